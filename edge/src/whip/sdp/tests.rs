//! Offers as real clients write them, each taken by the judge and by the
//! engine; what is wrong with others; and junk.

use inlet_common::{clock, ids::SessionId};
use proptest::prelude::*;

use super::*;
use crate::whip::session::{Addresses, Config, Session};

pub(crate) const CHROMIUM: &str = include_str!("../offers/chromium.sdp");

const CLIENTS: [(&str, &str); 9] = [
    ("chromium", CHROMIUM),
    ("firefox", include_str!("../offers/firefox.sdp")),
    ("obs", include_str!("../offers/obs.sdp")),
    ("gstreamer", include_str!("../offers/gstreamer.sdp")),
    ("ffmpeg", include_str!("../offers/ffmpeg.sdp")),
    ("eyevinn", include_str!("../offers/eyevinn.sdp")),
    ("webrtc-rs", include_str!("../offers/webrtc_rs.sdp")),
    (
        "simple-whip-client",
        include_str!("../offers/simple_whip_client.sdp"),
    ),
    ("whip-go", include_str!("../offers/whip_go.sdp")),
];

const HEAD: &str = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\na=ice-ufrag:u\na=ice-pwd:p\n\
                    a=fingerprint:SHA-256 AA\n";
const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=rtpmap:111 opus/48000/2\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 H264/90000\n";

fn refused(sdp: &str) -> (u16, Option<usize>, String) {
    let fault = judge(sdp.as_bytes()).unwrap_err();
    (fault.code.as_u16(), fault.line, fault.what)
}

fn is_taken(sdp: &str) -> bool {
    judge(sdp.as_bytes()).is_ok()
}

#[test]
fn every_client_is_taken_by_judge_and_engine() {
    let config = Config::new().unwrap();
    let media = Addresses {
        udp: vec!["192.0.2.1:40000".parse().unwrap()],
        ..Addresses::default()
    };
    for (client, sdp) in CLIENTS {
        for text in [sdp.to_owned(), sdp.replace('\n', "\r\n")] {
            let offer = judge(text.as_bytes()).unwrap_or_else(|fault| panic!("{client}: {fault}"));
            assert!(offer.has_video && offer.has_audio, "{client}");
            let id = SessionId::random();
            let mut rng = rand::rng();
            let accepted = Session::accept(offer.text, id, &media, &config, clock::now(), &mut rng);
            let (_, answer) = accepted.unwrap_or_else(|error| panic!("{client}: {error:?}"));
            assert!(
                answer.sdp.contains("a=recvonly"),
                "{client}: {}",
                answer.sdp
            );
        }
    }
}

#[test]
fn one_track_alone_is_taken_and_told() {
    let sdp = format!("{HEAD}{VIDEO}");
    let offer = judge(sdp.as_bytes()).unwrap();
    assert!(offer.has_video && !offer.has_audio);
    let sdp = format!("{HEAD}{AUDIO}");
    let offer = judge(sdp.as_bytes()).unwrap();
    assert!(!offer.has_video && offer.has_audio);
}

#[test]
fn what_does_not_matter_does_not_matter() {
    for change in [
        "a=rtcp-fb:120 nack pli\n",
        "a=rtpmap:\na=rtpmap:96\na=rtpmap:x y/z\na=\n",
        "a=mid:a-very-long-mid-with-no-meaning-at-all\n",
        "a=simulcast:send a;b\n",
        "a=candidate:1 1 udp 1 host.local 9 typ host\n",
        "\n\n",
        "a=inactive\na=sendonly\n",
        "b=AS:2000\nk=clear:x\n",
    ] {
        assert!(
            is_taken(&format!("{HEAD}{VIDEO}{change}{AUDIO}")),
            "{change:?}"
        );
    }
    assert!(is_taken(&format!("\r\n{HEAD}{AUDIO}{VIDEO}")));
    let capitals = AUDIO.replace("opus/48000/2", "OPUS/48000");
    let small = VIDEO.replace("H264", "vp9").replace("96", "35");
    assert!(is_taken(&format!("{HEAD}{small}{capitals}")));
}

#[test]
fn what_is_no_sdp_is_2100_with_its_line() {
    assert_eq!(refused("").0, 2100);
    assert_eq!(
        refused("hello"),
        (2100, Some(1), "SDP begins with v=0".to_owned())
    );
    for (sdp, line) in [
        ("\n{\"sdp\": \"v=0\"}".to_owned(), 2),
        (format!("{HEAD}nonsense\n"), 8),
        (format!("{HEAD}M=audio 9 RTP 0\n"), 8),
        (format!("{HEAD}m=audio\n"), 8),
        (format!("{HEAD}m=audio many RTP/SAVPF 111\n"), 8),
        (format!("{HEAD}m=audio 70000 RTP/SAVPF 111\n"), 8),
    ] {
        let (code, at, what) = refused(&sdp);
        assert_eq!((code, at), (2100, Some(line)), "{what}");
    }
    let fault = judge(b"v=0\ns=\xff\n").unwrap_err();
    assert_eq!((fault.code, fault.line), (ReasonCode::Malformed, Some(2)));
}

#[test]
fn what_the_transport_lacks_is_2100_by_name() {
    for missing in [
        "a=ice-ufrag:u\n",
        "a=ice-pwd:p\n",
        "a=fingerprint:SHA-256 AA\n",
    ] {
        let sdp = format!("{HEAD}{VIDEO}").replace(missing, "");
        let (code, _, what) = refused(&sdp);
        let name = missing.split(':').next().unwrap();
        assert!(code == 2100 && what.contains(name), "{what}");
    }
    let weak = format!("{HEAD}{VIDEO}").replace("SHA-256", "sha-1");
    assert!(refused(&weak).2.contains("sha-256"));
}

#[test]
fn other_than_one_of_each_is_2103() {
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n";
    let off = VIDEO.replace(" 9 ", " 0 ");
    for (media, line) in [
        (String::new(), None),
        (format!("{VIDEO}{VIDEO}"), Some(10)),
        (format!("{AUDIO}{VIDEO}{AUDIO}"), Some(12)),
        (format!("{AUDIO}{VIDEO}{data}"), Some(12)),
        (format!("{AUDIO}{off}"), Some(10)),
        (VIDEO.repeat(MAX_SECTIONS + 1), Some(8 + 2 * MAX_SECTIONS)),
    ] {
        let (code, at, what) = refused(&format!("{HEAD}{media}"));
        assert_eq!((code, at), (2103, line), "{what}");
        assert!(what.contains("one video and one audio track"), "{what}");
    }
    assert!(is_taken(&format!("{HEAD}{AUDIO}{off}a=bundle-only\n")));
}

#[test]
fn a_track_that_is_not_sent_is_2104() {
    for direction in ["recvonly", "inactive"] {
        let sdp = format!("{HEAD}{AUDIO}a=sendonly\n{VIDEO}a={direction}\n");
        let (code, line, what) = refused(&sdp);
        assert_eq!((code, line), (2104, Some(11)), "{what}");
        assert!(
            what.contains("video") && what.contains("a=sendonly"),
            "{what}"
        );
    }
    let session = format!("{HEAD}a=recvonly\n{AUDIO}a=sendrecv\n{VIDEO}");
    assert_eq!(
        refused(&session).1,
        Some(12),
        "the session's direction is the default"
    );
}

#[test]
fn a_codec_nobody_decodes_is_named_beside_what_would_be_taken() {
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 45 46 96\na=rtpmap:45 AV1/90000\n\
                 a=rtpmap:46 H265/90000\na=rtpmap:97 VP8/90000\n";
    let (code, line, what) = refused(&format!("{HEAD}{AUDIO}{video}"));
    assert_eq!((code, line), (2101, Some(10)));
    assert!(
        what.contains("AV1, H265;") && what.contains("VP8/90000"),
        "{what}"
    );

    let audio = AUDIO.replace("opus/48000/2", "PCMU/8000");
    let (code, line, what) = refused(&format!("{HEAD}{audio}{VIDEO}"));
    assert_eq!((code, line), (2102, Some(8)));
    assert!(
        what.contains("PCMU;") && what.contains("opus/48000/2"),
        "{what}"
    );

    let bare = "m=video 9 UDP/TLS/RTP/SAVPF 96\n";
    assert!(
        refused(&format!("{HEAD}{bare}"))
            .2
            .contains("no codec with an a=rtpmap")
    );
}

#[test]
fn a_refusal_repeats_little_and_nothing_odd() {
    let name = format!("<script>\"{}", "x".repeat(60_000));
    let video = format!("m=video 9 RTP/SAVPF 45\na=rtpmap:45 {name}/90000\n");
    let (_, _, what) = refused(&format!("{HEAD}{video}"));
    assert!(what.len() < 200 && !what.contains(['<', '"']), "{what}");
}

/// Parts of offers, put together in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(HEAD.to_owned()),
        Just(AUDIO.to_owned()),
        Just(VIDEO.to_owned()),
        "[mav]=[a-z]{0,8}[: ][ -~]{0,40}\n",
        "a=rtpmap:[0-9]{0,4} [A-Za-z0-9/]{0,12}\n",
        "a=(sendonly|recvonly|inactive|bundle-only|ice-pwd:x)\n",
        "m=(audio|video) [0-9]{0,6} [A-Z/]{0,9}( [0-9]{1,3}){0,9}\n",
        "\\PC{0,20}\n",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        // The outcome is its own; that there is one is what counts.
        drop(judge(&bytes));
    }

    #[test]
    fn what_is_taken_has_one_of_each_at_most_and_faults_name_a_line(sdp in pieces()) {
        match judge(sdp.as_bytes()) {
            Ok(offer) => {
                prop_assert!(offer.has_video || offer.has_audio);
                let lines = || sdp.lines().map(str::trim);
                prop_assert!(lines().filter(|line| line.starts_with("m=video")).count() <= 1);
                prop_assert!(lines().filter(|line| line.starts_with("m=audio")).count() <= 1);
            }
            Err(fault) => {
                prop_assert!((2100..=2104).contains(&fault.code.as_u16()));
                prop_assert!(fault.line.is_none_or(|line| line <= sdp.split('\n').count()));
            }
        }
    }
}

#[test]
fn the_longest_body_is_judged_in_bounded_time() {
    let begun = clock::now();
    for line in [
        "a=rtpmap:96 x/1\n",
        "m=video 9 R 96 97 98\n",
        "a=\n",
        "\n",
        "v=0\n",
        "a=sendonly\n",
    ] {
        let body = format!("{HEAD}{VIDEO}{}", line.repeat(65_536 / line.len()));
        drop(judge(body.as_bytes()));
        let wide = format!("{HEAD}m=video 9 R{}\n", " 96".repeat(21_000));
        drop(judge(wide.as_bytes()));
    }
    // Some milliseconds in an unoptimised build; a quadratic reader needs minutes.
    assert!(clock::now().duration_since(begun).as_secs() < 5);
}
