//! The last touches to the engine's answer.
//!
//! What str0m cannot say: where a browser's encoder shall begin, that no more
//! candidates will come, how a layer is restricted, and mids that are longer than
//! it can hold.

use inlet_common::roq::control::Kind;

use super::{
    Config,
    offer::{Format, LayerName, Offer},
};

/// Completes the answer.
pub(super) fn finish(
    answer: &str,
    offer: &Offer,
    chosen: &[Vec<Format>],
    config: &Config,
) -> String {
    let mut out = String::with_capacity(answer.len() + 256);
    let mut section: Option<usize> = None;
    let mut has_candidates = false;
    for line in answer.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            end_section(&mut out, section, &mut has_candidates, chosen, config);
            section = Some(section.map_or(0, |at| at + 1));
        }
        if line.starts_with("a=candidate:") {
            has_candidates = true;
        }
        let replaced = replace_mid(line, offer, section)
            .or_else(|| restrict_layer(line, offer, section?, chosen));
        let line = replaced.as_deref().unwrap_or(line);
        // Sources of a recvonly answer and their names tell nobody anything.
        if line.starts_with("a=msid") || line.starts_with("a=ssrc") {
            continue;
        }
        out.push_str(line);
        if section
            .and_then(|at| chosen.get(at))
            .is_some_and(|formats| is_fmtp_of(line, formats))
        {
            out.push_str(&format!(";{}", start_bitrate(config)));
        }
        out.push_str("\r\n");
        // deviates: RFC 8858 §4.3 leaves it to offers. It says what WHIP takes for
        // granted on both sides: that RTCP has no port of its own.
        if line == "a=rtcp-mux" {
            out.push_str("a=rtcp-mux-only\r\n");
        }
        if line.starts_with("c=")
            && section
                .and_then(|at| chosen.get(at))
                .is_some_and(|formats| is_video(formats))
        {
            out.push_str(&bandwidth(config));
        }
    }
    end_section(&mut out, section, &mut has_candidates, chosen, config);
    out
}

/// Chromium begins where this parameter of the answer says, in kbps, instead
/// of at 300 kbps and a small picture.
fn start_bitrate(config: &Config) -> String {
    format!("x-google-start-bitrate={}", config.start_bitrate / 1000)
}

/// The most that may be sent (RFC 3890 §6.2), which Chromium and Firefox both
/// read; its place is right behind `c=`.
fn bandwidth(config: &Config) -> String {
    format!("b=TIAS:{}\r\n", config.max_bitrate)
}

fn is_video(formats: &[Format]) -> bool {
    formats
        .first()
        .is_some_and(|format| format.codec.kind() == Kind::Video)
}

fn is_fmtp_of(line: &str, formats: &[Format]) -> bool {
    is_video(formats)
        && line
            .strip_prefix("a=fmtp:")
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .is_some_and(|payload_type: u8| {
                formats
                    .iter()
                    .any(|format| format.payload_type == payload_type)
            })
}

fn end_section(
    out: &mut String,
    section: Option<usize>,
    has_candidates: &mut bool,
    chosen: &[Vec<Format>],
    config: &Config,
) {
    let formats = section
        .and_then(|at| chosen.get(at))
        .map_or(&[][..], Vec::as_slice);
    for format in formats {
        // VP8 has no fmtp line of its own to append to.
        if format.codec.kind() == Kind::Video && format.plain_fmtp().is_none() {
            let start = start_bitrate(config);
            out.push_str(&format!("a=fmtp:{} {start}\r\n", format.payload_type));
        }
    }
    if std::mem::take(has_candidates) {
        out.push_str("a=end-of-candidates\r\n");
    }
}

/// Repeats the restrictions of a layer, which the engine leaves out: an answer
/// keeps them (RFC 8851 §6.3).
fn restrict_layer(
    line: &str,
    offer: &Offer,
    section: usize,
    chosen: &[Vec<Format>],
) -> Option<String> {
    let id = line.strip_prefix("a=rid:")?.strip_suffix(" recv")?;
    let layers = offer.layers(section, chosen.get(section)?);
    let layer = layers
        .into_iter()
        .find(|layer| matches!(&layer.name, LayerName::Rid(own) if own == id))?;
    (!layer.restrictions.is_empty()).then(|| format!("{line} {}", layer.restrictions))
}

/// Puts the presenter's own mids back where the engine was given shorter ones.
fn replace_mid(line: &str, offer: &Offer, section: Option<usize>) -> Option<String> {
    let outer = |at: usize| offer.sections.get(at).map(|section| section.mid.as_str());
    if let Some(mids) = line.strip_prefix("a=group:BUNDLE ") {
        let mids: Vec<&str> = mids
            .split(' ')
            .map(|mid| {
                (0..offer.sections.len())
                    .find(|at| offer.inner_mid(*at) == mid)
                    .and_then(outer)
                    .filter(|outer| !outer.is_empty())
                    .unwrap_or(mid)
            })
            .collect();
        return Some(format!("a=group:BUNDLE {}", mids.join(" ")));
    }
    line.strip_prefix("a=mid:")?;
    let outer = outer(section?).filter(|outer| !outer.is_empty())?;
    Some(format!("a=mid:{outer}"))
}
