//! What offers are answered with, and what cannot be answered.

use super::*;

#[test]
fn one_codec_is_answered_with_its_feedback() {
    let (session, answer) = accept(&CHROMIUM.replace('\n', "\r\n")).unwrap();
    let sdp = &answer.sdp;
    assert!(sdp.starts_with("v=0\r\n"), "{sdp}");
    for line in [
        "a=ice-lite",
        "a=group:BUNDLE 0 1",
        "m=video 9 UDP/TLS/RTP/SAVPF 103 104 109 114 107 108",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-mux-only",
        "a=setup:passive",
        "a=rtcp-fb:103 transport-cc",
        "a=rtcp-fb:103 goog-remb",
        "a=rtcp-fb:103 nack pli",
        "a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f;x-google-start-bitrate=2000",
        "b=TIAS:8000000",
        "a=end-of-candidates",
    ] {
        assert!(
            sdp.lines().any(|found| found == line),
            "{line} is missing in\n{sdp}"
        );
    }
    assert!(
        !sdp.contains("VP8") && !sdp.contains("sendrecv") && !sdp.contains("a=ssrc"),
        "{sdp}"
    );
    assert_eq!(sdp.matches("a=candidate:").count(), 2);
    assert!(
        sdp.contains("203.0.113.1 40000 typ host") && sdp.contains("2001:db8::1 40000 typ host")
    );
    assert!(sdp.len() < 8 * 1024);
    let tracks: Vec<_> = session.tracks().collect();
    assert_eq!(
        (tracks[0].codec, tracks[1].codec),
        (Codec::Opus, Codec::H264)
    );
    assert_eq!(tracks[1].extensions[0].uri, "urn:3gpp:video-orientation");
}

#[test]
fn without_h264_the_answer_is_vp8() {
    let offer: String = CHROMIUM
        .lines()
        .map(|line| line.replace("H264/90000", "H265/90000") + "\r\n")
        .collect();
    let (session, answer) = accept(&offer).unwrap();
    assert_eq!(session.tracks().nth(1).unwrap().codec, Codec::Vp8);
    assert!(
        answer.sdp.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"),
        "{}",
        answer.sdp
    );
    assert!(
        answer
            .sdp
            .contains("a=fmtp:96 x-google-start-bitrate=2000\r\n"),
        "{}",
        answer.sdp
    );
}

#[test]
fn offers_that_cannot_be_answered_say_why() {
    let offer = CHROMIUM.replace('\n', "\r\n");
    let code = |offer: &str| accept(offer).unwrap_err().reason_code();
    let no_video_codec = offer
        .replace("H264/", "H265/")
        .replace("VP8/", "AV1/")
        .replace("VP9/", "AV1/");
    assert_eq!(code(&no_video_codec), ReasonCode::VideoCodec);
    assert_eq!(
        code(&offer.replace("opus/48000/2", "G722/8000")),
        ReasonCode::AudioCodec
    );
    assert_eq!(code("v=0\r\n"), ReasonCode::Tracks);
    let twice = format!(
        "{offer}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:9\r\na=rtpmap:111 opus/48000/2\r\n"
    );
    assert_eq!(code(&twice), ReasonCode::Tracks);
    let no_ice: String = offer
        .lines()
        .filter(|l| !l.contains("ice-"))
        .map(|l| format!("{l}\r\n"))
        .collect();
    assert_eq!(code(&no_ice), ReasonCode::Malformed);
    let no_print: String = offer
        .lines()
        .filter(|l| !l.contains("fingerprint"))
        .map(|l| format!("{l}\r\n"))
        .collect();
    assert_eq!(code(&no_print), ReasonCode::Malformed);
}

#[test]
fn mids_of_any_length_are_answered_as_they_came() {
    let long = "a-very-long-name-of-a-media-line";
    let offer = CHROMIUM
        .replace("a=mid:1", &format!("a=mid:{long}"))
        .replace("BUNDLE 0 1", &format!("BUNDLE 0 {long}"))
        .replace('\n', "\r\n");
    let (_, answer) = accept(&offer).unwrap();
    assert!(
        answer.sdp.contains(&format!("a=group:BUNDLE 0 {long}\r\n")),
        "{}",
        answer.sdp
    );
    assert!(
        answer.sdp.contains(&format!("a=mid:{long}\r\n")),
        "{}",
        answer.sdp
    );
}
