//! Offers as real clients write them.

use proptest::prelude::*;

use super::*;

const SLOPPY: &str = "v=0\r\no=- 1 2 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\n\
    a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n\
    m=video 0 UDP/TLS/RTP/SAVPF 96 97 98 99 100 35\r\na=bundle-only\r\na=mid:video-track\r\n\
    a=ice-ufrag:uf\r\na=ice-pwd:pw\r\n\
    a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
    a=rtpmap:98 H264/90000\r\na=fmtp:98 profile-level-id=42e01f;packetization-mode=0\r\n\
    a=rtpmap:99 h264/90000\r\na=fmtp:99 profile-level-id=640c1f; packetization-mode=1\r\n\
    a=rtpmap:100 rtx/90000\r\na=fmtp:100 apt=99\r\n\
    a=rtpmap:35 H264/90000\r\na=fmtp:35 packetization-mode=1;profile-level-id=640c1f; \r\n\
    a=rtcp-fb:99 nack\r\na=rtcp-fb:99 nack pli\r\na=rtcp-fb:120 transport-cc\r\na=rtcp-fb:* goog-remb\r\n\
    a=extmap:3/sendonly urn:3gpp:video-orientation\r\na=extmap:200 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
    a=ssrc-group:FID 11 12\r\na=ssrc:11 cname:x\r\na=ssrc:12 cname:x\r\na=sendrecv\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=rtpmap:111 OPUS/48000/2\r\na=rtpmap:63 red/48000/2\r\n";

#[test]
fn packetization_mode_1_comes_first() {
    let offer = Offer::parse(SLOPPY);
    let formats = offer.sections[0].formats(Codec::H264);
    let order: Vec<u8> = formats.iter().map(|format| format.payload_type).collect();
    assert_eq!(order, [99, 98], "35 is the same as 99");
    assert_eq!(formats[0].rtx, Some(100));
    assert_eq!(
        (formats[0].nack, formats[0].pli, formats[0].fir),
        (true, true, false)
    );
    assert_eq!((formats[0].transport_cc, formats[0].remb), (false, true));
}

#[test]
fn capitals_and_other_codecs_are_told_apart() {
    let offer = Offer::parse(SLOPPY);
    let audio = offer.sections[1].formats(Codec::Opus);
    assert_eq!(audio.len(), 1);
    assert_eq!(audio[0].payload_type, 111);
    assert!(offer.sections[0].formats(Codec::Vp9).is_empty());
    assert!(!offer.has_other);
}

#[test]
fn sources_are_told_from_what_repairs_them() {
    let offer = Offer::parse(SLOPPY);
    assert_eq!(offer.sections[0].only_ssrc(), Some(11));
}

#[test]
fn the_plain_offer_holds_the_chosen_codec_only() {
    let offer = Offer::parse(SLOPPY);
    let chosen = [
        offer.sections[0].formats(Codec::Vp8),
        offer.sections[1].formats(Codec::Opus),
    ];
    let plain = offer.to_plain_sdp(&chosen);
    assert!(
        plain.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"),
        "{plain}"
    );
    assert!(
        plain.contains("a=group:BUNDLE video-track inner1\r\n"),
        "{plain}"
    );
    assert!(plain.contains("a=ice-ufrag:uf\r\na=ice-pwd:pw\r\na=fingerprint:sha-256 AA:BB\r\n"));
    assert!(
        !plain.contains("H264") && !plain.contains("sendrecv") && !plain.contains("extmap:200")
    );
    // Reading what was written gives the same again.
    assert_eq!(Offer::parse(&plain).to_plain_sdp(&chosen), plain);
}

#[test]
fn a_data_channel_is_noticed() {
    let offer =
        Offer::parse("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n");
    assert!(offer.has_other && offer.sections.is_empty());
}

proptest! {
    #[test]
    fn junk_never_panics(junk in "(m=(audio|video) 9 X 96 97\r\n)?([a-z]=[a-z0-9:;=/ -]{0,40}\r\n){0,20}") {
        let offer = Offer::parse(&junk);
        let chosen: Vec<_> = offer.sections.iter().map(|s| s.formats(Codec::H264)).collect();
        let _ = offer.to_plain_sdp(&chosen);
    }
}
