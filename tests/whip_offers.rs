//! Offers of every client that is known to publish, and oddities seen in them: each is
//! taken, and its answer is what the client needs and nothing that it did not offer.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, header};
use tests::{
    rig::{Rig, scenario},
    sdp::{Description, Media},
};

const CHROMIUM: &str = include_str!("../edge/src/whip/offers/chromium.sdp");
const EYEVINN: &str = include_str!("../edge/src/whip/offers/eyevinn.sdp");
const FFMPEG: &str = include_str!("../edge/src/whip/offers/ffmpeg.sdp");
const FIREFOX: &str = include_str!("../edge/src/whip/offers/firefox.sdp");
const GSTREAMER: &str = include_str!("../edge/src/whip/offers/gstreamer.sdp");
const OBS: &str = include_str!("../edge/src/whip/offers/obs.sdp");
const SIMPLE: &str = include_str!("../edge/src/whip/offers/simple_whip_client.sdp");
const WEBRTC_RS: &str = include_str!("../edge/src/whip/offers/webrtc_rs.sdp");
const WHIP_GO: &str = include_str!("../edge/src/whip/offers/whip_go.sdp");

/// Longest answer that every client reads whole.
const MAX_ANSWER: usize = 8 * 1_024;

/// What is expected of the answer to an offer.
struct Row {
    name: &'static str,
    offer: String,
    /// Codecs of the m-sections, in their order.
    codecs: &'static [&'static str],
    /// Whether lost packets of the picture can be sent again under a source of their own.
    has_rtx: bool,
}

fn row(
    name: &'static str,
    offer: impl Into<String>,
    codecs: &'static [&'static str],
    has_rtx: bool,
) -> Row {
    Row {
        name,
        offer: offer.into(),
        codecs,
        has_rtx,
    }
}

/// One client after the other, as it offers.
fn clients() -> Vec<Row> {
    vec![
        row(
            "Chromium, and the Gcore SDK on it",
            CHROMIUM,
            &["OPUS", "H264"],
            true,
        ),
        row("Firefox", FIREFOX, &["OPUS", "VP8"], true),
        row("Eyevinn's client", EYEVINN, &["H264", "OPUS"], true),
        row("OBS", OBS, &["OPUS", "H264"], false),
        row("GStreamer", GSTREAMER, &["H264", "OPUS"], true),
        row("FFmpeg", FFMPEG, &["OPUS", "H264"], true),
        row("simple-whip-client", SIMPLE, &["OPUS", "VP8"], false),
        row("whip-go", WHIP_GO, &["H264", "OPUS"], true),
        row("webrtc-rs", WEBRTC_RS, &["H264", "OPUS"], true),
    ]
}

/// OBS with something odd about it: an audio and a video section without RTX.
fn obs(name: &'static str, offer: impl Into<String>) -> Row {
    row(name, offer, &["OPUS", "H264"], false)
}

/// The lines of an offer in which a word does not stand.
fn without(offer: &str, word: &str) -> String {
    let kept = offer.lines().filter(|line| !line.contains(word));
    kept.map(|line| format!("{line}\n")).collect()
}

/// What clients do with lines and sections now and then.
fn odd_sections() -> Vec<Row> {
    let sections: Vec<&str> = OBS.split("m=").collect();
    let [head, audio, video] = sections[..] else {
        panic!("OBS offers two tracks")
    };
    let alone = without(head, "BUNDLE");
    let long = "a-camera-with-a-long-name-0123456789";
    let long = OBS
        .replace("a=mid:1", &format!("a=mid:{long}"))
        .replace("BUNDLE 0 1", &format!("BUNDLE 0 {long}"));
    let first = format!("{head}m={video}m={audio}");
    vec![
        obs("lines that end with CRLF", OBS.replace('\n', "\r\n")),
        row("video first", first, &["H264", "OPUS"], false),
        row("audio alone", format!("{alone}m={audio}"), &["OPUS"], false),
        row("video alone", format!("{alone}m={video}"), &["H264"], false),
        obs("no mid", without(&without(OBS, "a=mid"), "BUNDLE")),
        obs("long mids", long),
        obs(
            "a ufrag of 256 characters",
            OBS.replace("Lz5T", &"aB+/".repeat(64)),
        ),
        obs("DTLS client", OBS.replace("actpass", "active")),
        obs("DTLS server", OBS.replace("actpass", "passive")),
    ]
}

/// What they do with codecs.
fn odd_formats() -> Vec<Row> {
    let gone = "a=rtcp-fb:96 nack\na=rtcp-fb:120 nack pli\n";
    let no_h264 = without(WHIP_GO, "H264");
    let vp9 = without(&no_h264, "VP8");
    vec![
        obs("OPUS in capitals", OBS.replace("opus/", "OPUS/")),
        obs("payload types under 64", OBS.replace("96", "35")),
        obs(
            "feedback for what is gone",
            OBS.replace("a=rtcp-fb:96 nack\n", gone),
        ),
        obs(
            "feedback for everything",
            OBS.replace("a=rtcp-fb:96", "a=rtcp-fb:*"),
        ),
        obs(
            "packetization-mode 0",
            OBS.replace("packetization-mode=1", "packetization-mode=0"),
        ),
        obs(
            "constrained baseline, as Safari writes it",
            OBS.replace("42e01f", "42c01e"),
        ),
        obs("main profile", OBS.replace("42e01f", "4d0032")),
        obs("high profile", OBS.replace("42e01f", "640c1f")),
        obs("no fmtp", without(OBS, "a=fmtp")),
        row("no H.264", no_h264, &["VP8", "OPUS"], true),
        row("VP9 alone", vp9, &["VP9", "OPUS"], true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_answered_within_its_offer() {
    scenario(async |rig: &mut Rig| all(rig, clients()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_offers_are_answered_like_any_other() {
    scenario(async |rig: &mut Rig| {
        all(rig, odd_sections()).await?;
        all(rig, odd_formats()).await
    })
    .await;
}

async fn all(rig: &Rig, rows: Vec<Row>) -> Result<()> {
    for row in rows {
        let name = row.name;
        answered(rig, row).await.with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// Posts one offer and looks at its answer.
async fn answered(rig: &Rig, row: Row) -> Result<()> {
    let stream = rig.api.create(row.name).await?;
    let request = Client::new().post(&stream.whip);
    let request = request.header(header::CONTENT_TYPE, "application/sdp");
    let response = request.body(row.offer.clone()).send().await?;
    let (status, url) = (response.status(), response.url().clone());
    let location = response.headers().get(header::LOCATION).cloned();
    let text = response.text().await?;
    ensure!(status == 201, "{status}: {text}");
    let location = location.context("no Location")?;
    let ended = Client::new()
        .delete(url.join(location.to_str()?)?)
        .send()
        .await?;
    ensure!(ended.status() == 200, "DELETE: {}", ended.status());

    ensure!(text.len() < MAX_ANSWER, "{} bytes", text.len());
    ensure!(
        text.starts_with("v=0\r\n") && text.ends_with("\r\n"),
        "{text}"
    );
    ensure!(
        text.matches('\n').count() == text.matches("\r\n").count(),
        "bare line ends"
    );
    let (offer, answer) = (Description::parse(&row.offer)?, Description::parse(&text)?);
    looks_right(&row, &offer, &answer).with_context(|| text.clone())
}

fn looks_right(row: &Row, offer: &Description, answer: &Description) -> Result<()> {
    ensure!(answer.values("ice-lite").len() == 1, "no ICE-lite");
    ensure!(answer.media.len() == offer.media.len(), "other m-sections");
    let mids: Vec<&str> = answer
        .media
        .iter()
        .flat_map(|media| media.values("mid"))
        .collect();
    let bundle = format!("BUNDLE {}", mids.join(" "));
    ensure!(
        answer.values("group") == [bundle.as_str()],
        "not one bundle: {mids:?}"
    );
    ensure!(mids.len() == answer.media.len(), "mids {mids:?}");
    let setup = match offer
        .media
        .iter()
        .flat_map(|media| media.values("setup"))
        .next()
    {
        Some("passive") => "active",
        _ => "passive",
    };
    for (at, (asked, given)) in offer.media.iter().zip(&answer.media).enumerate() {
        let codec = given.payload_types.first();
        let codec = codec.and_then(|first| given.codec(first));
        ensure!(codec.as_deref() == Some(row.codecs[at]), "{codec:?}");
        ensure!(given.values("setup") == [setup], "not {setup}");
        // RFC 9143 §7.3.3: a bundled transport is described once.
        ensure!(
            given.has("candidate") == (at == 0),
            "candidates of section {at}"
        );
        receives(asked, given).with_context(|| format!("section {at}"))?;
        is_offered(asked, given)?;
        if given.kind == "video" {
            is_fit_for_pictures(row, asked, given)?;
        }
    }
    Ok(())
}

/// It takes the section, and says so as a receiver does.
fn receives(asked: &Media, given: &Media) -> Result<()> {
    ensure!(
        given.kind == asked.kind && given.port != 0,
        "it is rejected"
    );
    let mid = asked.values("mid");
    ensure!(mid.is_empty() || mid == given.values("mid"), "another mid");
    for word in [
        "recvonly",
        "rtcp-mux",
        "rtcp-mux-only",
        "ice-ufrag",
        "ice-pwd",
    ] {
        ensure!(given.has(word), "no {word}");
    }
    ensure!(
        !given.has("ssrc") && !given.has("msid"),
        "sources of a receiver"
    );
    Ok(())
}

/// RFC 3264 §6.1, RFC 4585 §4.2, RFC 8285 §6: an answer has what was offered, no more.
fn is_offered(asked: &Media, given: &Media) -> Result<()> {
    for payload_type in &given.payload_types {
        ensure!(
            asked.payload_types.contains(payload_type),
            "payload type {payload_type}"
        );
        ensure!(
            given.codec(payload_type) == asked.codec(payload_type),
            "{payload_type}"
        );
        let offered = asked.of_payload_type("rtcp-fb", payload_type);
        for feedback in given.of_payload_type("rtcp-fb", payload_type) {
            ensure!(
                offered.contains(&feedback),
                "{payload_type}: {feedback}: {offered:?}"
            );
        }
    }
    let id_and_uri = |value: &str| {
        let (id, uri) = value.split_once(' ')?;
        Some((id.split('/').next()?.to_owned(), uri.to_owned()))
    };
    let offered: Vec<_> = asked
        .values("extmap")
        .into_iter()
        .filter_map(id_and_uri)
        .collect();
    for extension in given.values("extmap").into_iter().filter_map(id_and_uri) {
        ensure!(offered.contains(&extension), "{extension:?}: {offered:?}");
    }
    Ok(())
}

/// What a picture needs: retransmission where it is known, and requests for key frames.
fn is_fit_for_pictures(row: &Row, asked: &Media, given: &Media) -> Result<()> {
    let codecs: Vec<_> = given
        .payload_types
        .iter()
        .filter_map(|pt| given.codec(pt))
        .collect();
    ensure!(
        codecs.iter().any(|codec| codec == "RTX") == row.has_rtx,
        "{codecs:?}"
    );
    let first = given.payload_types.first().context("no payload type")?;
    let (offered, taken) = (
        asked.of_payload_type("rtcp-fb", first),
        given.of_payload_type("rtcp-fb", first),
    );
    for feedback in ["nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"] {
        let is_offered = offered.contains(&feedback);
        ensure!(
            taken.contains(&feedback) == is_offered,
            "{feedback}: {taken:?}"
        );
    }
    let fmtp = given.of_payload_type("fmtp", first).concat();
    ensure!(fmtp.contains("x-google-start-bitrate="), "{fmtp}");
    let mode = |media: &Media| {
        let fmtp = media.of_payload_type("fmtp", first).concat();
        let mut parts = fmtp.split(';').map(str::trim);
        parts.any(|part| part == "packetization-mode=1")
    };
    ensure!(
        mode(asked) == mode(given),
        "another packetization-mode: {fmtp}"
    );
    Ok(())
}
