//! Trickled ICE: reads the `application/trickle-ice-sdpfrag` of a PATCH
//! (RFC 8840 §9).
//!
//! Pure, linear in the fragment's length, and lenient: what parses is taken,
//! the rest is passed over and counted, since a presenter's software gets away
//! with all of it elsewhere (`a=ice-ufrag:null`, an empty `a=`, `m=audio 9
//! RTP/AVP 0` for whatever media, no `a=group`, components that do not exist,
//! `[bracketed]` addresses, mDNS names). The trap: every m-line may repeat the
//! ICE credentials, and all of a fragment belong to one ICE session, so the
//! first sound pair counts, wherever it stands.

use std::net::{IpAddr, Ipv6Addr};

use str0m::IceCreds;

#[cfg(test)]
mod tests;

/// Most candidates that are kept of a fragment; a browser with many interfaces
/// has some thirty.
pub const MAX_CANDIDATES: usize = 128;

/// Longest ufrag and pwd (RFC 8839 §5.4).
pub const MAX_CREDENTIAL: usize = 256;

/// Shortest ufrag (RFC 8839 §5.4).
const MIN_UFRAG: usize = 4;

/// Shortest pwd (RFC 8839 §5.4).
const MIN_PWD: usize = 22;

/// What a presenter trickled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// `a=ice-ufrag`, when there is a sound one.
    pub ufrag: Option<&'a str>,
    /// `a=ice-pwd`, when there is a sound one.
    pub pwd: Option<&'a str>,
    /// Whether it names credentials at all, sound ones or not.
    pub has_credentials: bool,
    /// The candidates that could be read, in their order.
    pub candidates: Vec<Candidate<'a>>,
    /// Whether more will not come (RFC 8838 §13).
    pub is_complete: bool,
    /// Lines, or candidates beyond [`MAX_CANDIDATES`], that were passed over.
    pub skipped: usize,
}

/// One candidate (RFC 8839 §5.1), as far as anybody wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// 1 is RTP; with RTCP multiplexed into it there is no other.
    pub component: u16,
    /// Whether it is for TCP (RFC 6544).
    pub is_tcp: bool,
    /// Where it is.
    pub host: Host<'a>,
    /// Its port; 9 for a TCP candidate that only connects.
    pub port: u16,
    /// What kind of address it is.
    pub kind: Kind,
}

/// Where a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// At this address.
    Address(IpAddr),
    /// Behind a name, mostly one of mDNS, which hides it.
    Name(&'a str),
}

/// The kinds of candidates (RFC 8445 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An address of the presenter's machine.
    Host,
    /// What a STUN server saw.
    ServerReflexive,
    /// What a peer saw.
    PeerReflexive,
    /// An address of a TURN server.
    Relayed,
}

/// A body that is no fragment at all: not one of its lines is of SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no line of SDP: send what a=candidate, a=ice-ufrag and a=ice-pwd lines there are")]
pub struct NotSdp;

impl<'a> Fragment<'a> {
    /// Reads a fragment. An empty one says nothing and is sound.
    ///
    /// # Errors
    ///
    /// [`NotSdp`].
    pub fn parse(text: &'a str) -> Result<Self, NotSdp> {
        let mut fragment = Self::default();
        let mut has_line = false;
        let mut is_empty = true;
        for line in text.split(['\r', '\n']).map(str::trim) {
            if line.is_empty() {
                continue;
            }
            is_empty = false;
            match split_line(line) {
                Some((b'a', value)) => {
                    has_line = true;
                    fragment.attribute(value);
                }
                Some(_) => has_line = true,
                None => fragment.skipped += 1,
            }
        }
        match has_line || is_empty {
            true => Ok(fragment),
            false => Err(NotSdp),
        }
    }

    /// The ICE credentials, when both are there.
    pub fn credentials(&self) -> Option<IceCreds> {
        Some(IceCreds {
            ufrag: self.ufrag?.to_owned(),
            pass: self.pwd?.to_owned(),
        })
    }

    fn attribute(&mut self, attribute: &'a str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let value = value.trim();
        match name.trim() {
            "ice-ufrag" | "ice-pwd" if value.is_empty() || value == "null" => self.skipped += 1,
            "ice-ufrag" => self.credential(|it| &mut it.ufrag, value, MIN_UFRAG),
            "ice-pwd" => self.credential(|it| &mut it.pwd, value, MIN_PWD),
            "candidate" => match Candidate::parse(value) {
                // What `RTCIceCandidate` says when it has come to its end.
                None if value.is_empty() => self.is_complete = true,
                Some(candidate) if self.candidates.len() < MAX_CANDIDATES => {
                    self.candidates.push(candidate);
                }
                Some(_) | None => self.skipped += 1,
            },
            "end-of-candidates" => self.is_complete = true,
            "" => self.skipped += 1,
            _ => {}
        }
    }
}

impl<'a> Fragment<'a> {
    /// Takes one of the credentials, unless there is a sound one already.
    fn credential(
        &mut self,
        field: impl Fn(&mut Self) -> &mut Option<&'a str>,
        value: &'a str,
        min: usize,
    ) {
        self.has_credentials = true;
        match is_credential(value, min) {
            true => {
                field(self).get_or_insert(value);
            }
            false => self.skipped += 1,
        }
    }
}

impl<'a> Candidate<'a> {
    /// `<foundation> <component> <transport> <priority> <address> <port> typ <type> …`
    fn parse(value: &'a str) -> Option<Self> {
        // Some write the line as JavaScript has it, with its name in front.
        let value = value.strip_prefix("candidate:").unwrap_or(value);
        let mut words = value.split_ascii_whitespace();
        let _foundation = words.next()?;
        let component = words.next()?.parse().ok()?;
        let is_tcp = match words.next()? {
            udp if udp.eq_ignore_ascii_case("udp") => false,
            tcp if tcp.eq_ignore_ascii_case("tcp") => true,
            _ => return None,
        };
        let _priority: u64 = words.next()?.parse().ok()?;
        let host = Host::parse(words.next()?)?;
        let port = words.next()?.parse().ok()?;
        (words.next()? == "typ").then_some(())?;
        Some(Self {
            component,
            is_tcp,
            host,
            port,
            kind: Kind::parse(words.next()?)?,
        })
    }
}

impl<'a> Host<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| {
            let address = rest.strip_suffix(']')?;
            address.parse::<Ipv6Addr>().ok()
        });
        if let Some(address) = bare {
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let is_name = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        (is_name && text.len() <= 253).then_some(Self::Name(text))
    }
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "host" => Self::Host,
            "srflx" => Self::ServerReflexive,
            "prflx" => Self::PeerReflexive,
            "relay" => Self::Relayed,
            _ => return None,
        })
    }
}

/// A line of SDP: one letter, `=`, and a value, which here may be empty.
fn split_line(line: &str) -> Option<(u8, &str)> {
    let (kind, value) = line.split_once('=')?;
    let [kind] = kind.as_bytes() else {
        return None;
    };
    kind.is_ascii_lowercase().then_some((*kind, value))
}

/// Whether a ufrag or pwd can be what it says. The RFC's alphabet is letters,
/// digits, `+` and `/`; whatever else is printable does no harm, but for the
/// colon, which ends a ufrag in a Binding request's USERNAME.
fn is_credential(text: &str, min: usize) -> bool {
    (min..=MAX_CREDENTIAL).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
}
