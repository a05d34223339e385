//! Reads an offer and judges whether it is one that Inlet can take.
//!
//! Pure and linear in the offer's length. It is lenient in everything that a
//! presenter's software gets away with elsewhere (any mids, any order, no
//! `a=group`, `m=video 0` with `a=bundle-only`, capitals, attributes of payload
//! types that are gone) and strict in what could only fail later and silently:
//! a track that is not sent, a second camera, a codec nobody decodes. An
//! m-line that would have to be rejected alone refuses the whole offer, so that
//! the presenter learns of it at once (RFC 9725 §4.4.2).

use std::fmt;

use inlet_common::{reason::ReasonCode, roq::control::Kind};

#[cfg(test)]
mod tests;

/// Most m-lines that are read. Ours need two, and refusing the third is enough
/// to tell what is wrong.
const MAX_SECTIONS: usize = 16;

/// Hashes of `a=fingerprint` that are taken.
const HASHES: [&str; 3] = ["sha-256", "sha-384", "sha-512"];

/// Most codec names that a refusal repeats.
const MAX_NAMES: usize = 8;

/// Longest word of the presenter's that a refusal repeats.
const MAX_WORD: usize = 24;

/// An offer that can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The SDP as it came.
    pub text: &'a str,
    /// Whether a video track is sent.
    pub has_video: bool,
    /// Whether an audio track is sent.
    pub has_audio: bool,
}

/// Why an offer cannot be taken, in words for whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of 2100 to 2104.
    pub code: ReasonCode,
    /// The line in question, from 1; `None` when it is about what is missing.
    pub line: Option<usize>,
    /// What is wrong there, and what would be accepted.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// Reads and judges an offer.
///
/// # Errors
///
/// The first [`Fault`]: what makes it unreadable before what makes it
/// unacceptable.
pub fn judge(body: &[u8]) -> Result<Offer<'_>, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let line = 1 + newlines(body.get(..error.valid_up_to()).unwrap_or_default());
        malformed(line, "not UTF-8: send SDP as text")
    })?;
    let read = Read::parse(text)?;
    read.check_transport()?;
    read.check_tracks()?;
    for section in &read.sections {
        section.check_direction(read.sends)?;
        section.check_codecs()?;
    }
    let has = |kind| {
        read.sections
            .iter()
            .any(|section| section.kind == Some(kind))
    };
    Ok(Offer {
        text,
        has_video: has(Kind::Video),
        has_audio: has(Kind::Audio),
    })
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// What of an offer matters to the judgement.
#[derive(Debug, Default)]
struct Read<'a> {
    sections: Vec<Section<'a>>,
    /// The session's default direction.
    sends: Option<bool>,
    has_ufrag: bool,
    has_pwd: bool,
    has_fingerprint: bool,
}

/// One m-line and what follows it.
#[derive(Debug)]
struct Section<'a> {
    line: usize,
    media: &'a str,
    /// `None` for what is neither audio nor video.
    kind: Option<Kind>,
    port: &'a str,
    payload_types: Vec<u8>,
    is_bundle_only: bool,
    /// Whether any direction attribute lets the presenter send; `None` without
    /// one.
    sends: Option<bool>,
    has_codec: bool,
    /// What was offered, for the refusal.
    names: Vec<&'a str>,
}

impl<'a> Read<'a> {
    fn parse(text: &'a str) -> Result<Self, Fault> {
        let mut read = Self::default();
        let mut begun = false;
        for (index, line) in text.split('\n').enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() {
                continue;
            }
            if !begun && line != "v=0" {
                return Err(malformed(number, "SDP begins with v=0"));
            }
            begun = true;
            let (kind, value) = split_line(line).ok_or_else(|| {
                malformed(number, "no line of SDP: each is one letter, =, and a value")
            })?;
            match kind {
                b'm' => read.begin_section(number, value)?,
                b'a' => read.attribute(value),
                _ => {}
            }
        }
        if !begun {
            return Err(malformed(1, "the body is empty: send an SDP offer"));
        }
        Ok(read)
    }

    fn begin_section(&mut self, number: usize, value: &'a str) -> Result<(), Fault> {
        if self.sections.len() == MAX_SECTIONS {
            let what = format!("more than {MAX_SECTIONS} m-lines: {ONE_EACH}");
            return Err(fault(ReasonCode::Tracks, number, what));
        }
        let section = Section::parse(number, value).ok_or_else(|| {
            malformed(
                number,
                "no m-line: it reads m=<media> <port> <protocol> <payload types>",
            )
        })?;
        self.sections.push(section);
        Ok(())
    }

    fn attribute(&mut self, attribute: &'a str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let value = value.trim();
        match name {
            "ice-ufrag" => self.has_ufrag |= !value.is_empty(),
            "ice-pwd" => self.has_pwd |= !value.is_empty(),
            "fingerprint" => {
                let hash = value.split_whitespace().next().unwrap_or_default();
                self.has_fingerprint |= HASHES.iter().any(|taken| taken.eq_ignore_ascii_case(hash));
            }
            "sendrecv" | "sendonly" => *self.direction() = Some(true),
            "recvonly" | "inactive" => {
                self.direction().get_or_insert(false);
            }
            _ => {
                if let Some(section) = self.sections.last_mut() {
                    section.attribute(name, value);
                }
            }
        }
    }

    fn direction(&mut self) -> &mut Option<bool> {
        match self.sections.last_mut() {
            Some(section) => &mut section.sends,
            None => &mut self.sends,
        }
    }

    fn check_transport(&self) -> Result<(), Fault> {
        // Without an m-line there is nothing to transport: that is told instead.
        let missing = match (self.has_ufrag, self.has_pwd, self.has_fingerprint) {
            _ if self.sections.is_empty() => return Ok(()),
            (true, true, true) => return Ok(()),
            (false, _, _) => "a=ice-ufrag",
            (_, false, _) => "a=ice-pwd",
            (_, _, false) => "a=fingerprint:sha-256",
        };
        Err(Fault {
            code: ReasonCode::Malformed,
            line: None,
            what: format!("no {missing} line: send the whole offer of a WebRTC peer"),
        })
    }

    fn check_tracks(&self) -> Result<(), Fault> {
        if self.sections.is_empty() {
            return Err(Fault {
                code: ReasonCode::Tracks,
                line: None,
                what: format!("no m-line: {ONE_EACH}"),
            });
        }
        let mut seen = Vec::new();
        for section in &self.sections {
            let media = word(section.media);
            let wrong = match section.kind {
                None => format!("m={media} is neither audio nor video"),
                Some(kind) if seen.contains(&kind) => format!("a second {media} track"),
                Some(_) if section.is_off() => {
                    format!("the {media} track is off (port 0 without a=bundle-only)")
                }
                Some(kind) => {
                    seen.push(kind);
                    continue;
                }
            };
            let what = format!("{wrong}: {ONE_EACH}");
            return Err(fault(ReasonCode::Tracks, section.line, what));
        }
        Ok(())
    }
}

impl<'a> Section<'a> {
    fn parse(line: usize, value: &'a str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (media, port) = (words.next()?, words.next()?);
        let _protocol = words.next()?;
        let number = port.split('/').next()?;
        number.parse::<u16>().ok()?;
        let kind = match media {
            "audio" => Some(Kind::Audio),
            "video" => Some(Kind::Video),
            _ => None,
        };
        let mut payload_types: Vec<u8> = words
            .filter_map(|word| word.parse().ok())
            .filter(|number| *number < 128)
            .collect();
        payload_types.sort_unstable();
        payload_types.dedup();
        Some(Self {
            line,
            media,
            kind,
            port: number,
            payload_types,
            is_bundle_only: false,
            sends: None,
            has_codec: false,
            names: Vec::new(),
        })
    }

    fn attribute(&mut self, name: &str, value: &'a str) {
        match name {
            "bundle-only" => self.is_bundle_only = true,
            "rtpmap" => self.rtpmap(value),
            _ => {}
        }
    }

    /// `<payload type> <encoding name>/<clock rate>[/<channels>]`
    fn rtpmap(&mut self, value: &'a str) {
        let Some((number, encoding)) = value.split_once(char::is_whitespace) else {
            return;
        };
        // A payload type that the m-line does not list is no offer.
        let listed = number
            .parse()
            .is_ok_and(|number: u8| self.payload_types.binary_search(&number).is_ok());
        let mut parts = encoding.trim().split('/');
        let (name, clock) = (parts.next().unwrap_or_default(), parts.next());
        if !listed || name.is_empty() {
            return;
        }
        self.has_codec |= is_taken(self.kind, name, clock);
        let is_new = !self
            .names
            .iter()
            .any(|other| other.eq_ignore_ascii_case(name));
        if is_new && self.names.len() < MAX_NAMES {
            self.names.push(name);
        }
    }

    /// RFC 9143 §6: port 0 with `a=bundle-only` is a live m-line.
    fn is_off(&self) -> bool {
        self.port.parse() == Ok(0_u16) && !self.is_bundle_only
    }

    fn check_direction(&self, default: Option<bool>) -> Result<(), Fault> {
        // RFC 8866 §6.7.4: sendrecv is the default.
        if self.sends.or(default).unwrap_or(true) {
            return Ok(());
        }
        let what = format!(
            "the {} track is not sent: offer it a=sendonly or a=sendrecv",
            word(self.media)
        );
        Err(fault(ReasonCode::Direction, self.line, what))
    }

    fn check_codecs(&self) -> Result<(), Fault> {
        if self.has_codec {
            return Ok(());
        }
        let (code, accepted) = match self.kind {
            Some(Kind::Audio) => (ReasonCode::AudioCodec, "opus/48000/2"),
            _ => (ReasonCode::VideoCodec, "H264/90000, VP8/90000 or VP9/90000"),
        };
        let names: Vec<String> = self.names.iter().map(|name| word(name)).collect();
        let offered = match names.as_slice() {
            [] => "no codec with an a=rtpmap".to_owned(),
            names => names.join(", "),
        };
        let media = word(self.media);
        let what = format!("{media} is offered as {offered}; {accepted} would be accepted");
        Err(fault(code, self.line, what))
    }
}

const ONE_EACH: &str = "one video and one audio track would be accepted, and nothing else";

/// Names of encodings have no case (RFC 4855 §3).
fn is_taken(kind: Option<Kind>, name: &str, clock: Option<&str>) -> bool {
    let (names, rate): (&[&str], _) = match kind {
        Some(Kind::Video) => (&["H264", "VP8", "VP9"], "90000"),
        Some(Kind::Audio) => (&["opus"], "48000"),
        None => return false,
    };
    clock == Some(rate) && names.iter().any(|taken| taken.eq_ignore_ascii_case(name))
}

/// One letter, `=`, and the rest.
fn split_line(line: &str) -> Option<(u8, &str)> {
    let (kind, value) = line.split_once('=')?;
    match kind.as_bytes() {
        [letter] if letter.is_ascii_lowercase() => Some((*letter, value)),
        _ => None,
    }
}

/// A word of the presenter's, fit to be repeated to it.
fn word(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))
        .take(MAX_WORD)
        .collect()
}

fn fault(code: ReasonCode, line: usize, what: String) -> Fault {
    Fault {
        code,
        line: Some(line),
        what,
    }
}

fn malformed(line: usize, what: &str) -> Fault {
    fault(ReasonCode::Malformed, line, what.to_owned())
}
