//! Who a connection is for, by its first bytes.
//!
//! ```text
//!  byte   0    1    2    3    4    5    6    7    8    9
//!       +----+----+----+----+----+----+----+----+----+----+
//!       | 16 |                                               TLS record (handshake)
//!       |0-3 :type|  length | 21   12   A4   42 |            STUN, so TURN by TCP
//!       |  length |0-3 :type|  length | 21   12   A4   42 |  ICE-TCP (RFC 4571 framing)
//!       |40-4F:chn|  length |                                ChannelData
//!       +----+----+----+----+----+----+----+----+----+----+
//! ```
//!
//! 0x41–0x4F are letters too, those that GET, HEAD, OPTIONS and DELETE begin
//! with. A channel exists only once a request on the same connection has bound
//! it (RFC 8656 §12), so no client begins with ChannelData: where HTTP is a
//! possible answer, these bytes are HTTP.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

/// The content type of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// RFC 8489 §5.
const MAGIC_COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();

/// Where the cookie stands in a STUN message.
const COOKIE_OFFSET: usize = 4;

/// What RFC 4571 puts before each message.
pub(super) const FRAMING_BYTES: usize = 2;

/// Bytes that always suffice to tell.
pub(super) const ENOUGH: usize = FRAMING_BYTES + COOKIE_OFFSET + MAGIC_COOKIE.len();

/// What may come in the clear, and whether TLS may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// TURN, and HTTP where `http` says so; no TLS.
    Plain {
        /// Whether HTTP is served.
        http: bool,
    },
    /// TLS alone.
    Tls,
    /// TLS, and TURN and ICE without it.
    TlsOrPlain,
}

/// What a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A handshake.
    Tls,
    /// STUN as TURN speaks it.
    Turn,
    /// Whatever else there is where HTTP is expected.
    Http,
    /// STUN with RFC 4571 framing in front, as ICE speaks it by TCP.
    IceTcp,
    /// A handshake that was all: a CA has validated
    /// ([RFC 8737](https://www.rfc-editor.org/rfc/rfc8737)).
    Validation,
    /// Nothing that is expected here.
    Unknown,
}

/// Tells by the bytes a connection begins with; `None` when it takes more of
/// them, which [`ENOUGH`] never do.
pub(super) fn first_bytes(bytes: &[u8], expected: Expected) -> Option<Kind> {
    let first = *bytes.first()?;
    let otherwise = match expected {
        Expected::Plain { http: true } => Kind::Http,
        Expected::Plain { http: false } => Kind::Unknown,
        Expected::Tls | Expected::TlsOrPlain if first == TLS_HANDSHAKE => return Some(Kind::Tls),
        Expected::Tls => return Some(Kind::Unknown),
        Expected::TlsOrPlain => Kind::Unknown,
    };
    if is_channel_data(first) && otherwise == Kind::Unknown {
        return Some(Kind::Turn);
    }
    match (is_stun_at(0, bytes), is_stun_at(FRAMING_BYTES, bytes)) {
        (Some(true), _) => Some(Kind::Turn),
        (_, Some(true)) => Some(Kind::IceTcp),
        (Some(false), Some(false)) => Some(otherwise),
        _ => None,
    }
}

/// Tells by the first byte inside of TLS that named no protocol by ALPN.
pub(super) fn first_plaintext(first: u8, http: bool) -> Kind {
    if is_stun(first) || (is_channel_data(first) && !http) {
        Kind::Turn
    } else if http {
        Kind::Http
    } else {
        Kind::Unknown
    }
}

/// Whether a STUN message begins at `offset`; `None` when that is still open.
fn is_stun_at(offset: usize, bytes: &[u8]) -> Option<bool> {
    if !is_stun(*bytes.get(offset)?) {
        return Some(false);
    }
    let cookie = bytes.get(offset + COOKIE_OFFSET..).unwrap_or_default();
    if cookie.iter().zip(MAGIC_COOKIE).any(|(a, b)| *a != b) {
        return Some(false);
    }
    (cookie.len() >= MAGIC_COOKIE.len()).then_some(true)
}

/// RFC 7983 §7.
fn is_stun(first: u8) -> bool {
    first <= 0x03
}

/// RFC 8656 §12: channel numbers are 0x4000 to 0x4FFF.
fn is_channel_data(first: u8) -> bool {
    matches!(first, 0x40..=0x4F)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HTTP: Expected = Expected::Plain { http: true };
    const PLAIN: Expected = Expected::Plain { http: false };
    const EACH: [Expected; 4] = [HTTP, PLAIN, Expected::Tls, Expected::TlsOrPlain];

    /// An Allocate request's head, a Binding request behind a frame's length.
    const STUN: &[u8] = &[0x00, 0x03, 0x00, 0x08, 0x21, 0x12, 0xA4, 0x42];
    const ICE: &[u8] = &[0, 0x64, 0x00, 0x01, 0, 0x50, 0x21, 0x12, 0xA4, 0x42];
    /// A frame as long as a ChannelData's or a TLS record's first bytes say.
    const LONG_ICE: &[u8] = &[0x16, 3, 0x00, 0x01, 0, 0x50, 0x21, 0x12, 0xA4, 0x42];

    #[test]
    fn each_kind_is_told_by_its_first_bytes() {
        use Kind::{Http, IceTcp, Tls, Turn, Unknown};
        let table: [(&[u8], [Option<Kind>; 4]); 16] = [
            // As in EACH.
            (b"", [None; 4]),
            (STUN, [Some(Turn), Some(Turn), Some(Unknown), Some(Turn)]),
            (&STUN[..7], [None, None, Some(Unknown), None]),
            (&STUN[..1], [None, None, Some(Unknown), None]),
            (
                ICE,
                [Some(IceTcp), Some(IceTcp), Some(Unknown), Some(IceTcp)],
            ),
            (&ICE[..9], [None, None, Some(Unknown), None]),
            (LONG_ICE, [Some(IceTcp), Some(IceTcp), Some(Tls), Some(Tls)]),
            (&[0x16], [None, None, Some(Tls), Some(Tls)]),
            (b"\x16\x03\x01", [None, None, Some(Tls), Some(Tls)]),
            (b"\x16\x03\x03\x40", [None, None, Some(Tls), Some(Tls)]),
            (
                b"GET / HTTP",
                [Some(Http), Some(Turn), Some(Unknown), Some(Turn)],
            ),
            (
                b"POST",
                [Some(Http), Some(Unknown), Some(Unknown), Some(Unknown)],
            ),
            (
                b"PRI",
                [Some(Http), Some(Unknown), Some(Unknown), Some(Unknown)],
            ),
            (
                &[0x40, 0x01, 4, 0],
                [Some(Http), Some(Turn), Some(Unknown), Some(Turn)],
            ),
            (
                b"\x00\x01\x00\x00\x21\x12\xA4\x43\x00\x00",
                [Some(Http), Some(Unknown), Some(Unknown), Some(Unknown)],
            ),
            (
                &[0xFF; ENOUGH],
                [Some(Http), Some(Unknown), Some(Unknown), Some(Unknown)],
            ),
        ];
        for (bytes, kinds) in table {
            for (expected, kind) in EACH.into_iter().zip(kinds) {
                assert_eq!(first_bytes(bytes, expected), kind, "{bytes:?} {expected:?}");
            }
        }
    }

    #[test]
    fn inside_tls_one_byte_tells() {
        let table = [
            (0x00, Kind::Turn, Kind::Turn),
            (0x03, Kind::Turn, Kind::Turn),
            (0x04, Kind::Http, Kind::Unknown),
            (b'G', Kind::Http, Kind::Turn),
            (0x40, Kind::Http, Kind::Turn),
            (0x4F, Kind::Http, Kind::Turn),
            (b'P', Kind::Http, Kind::Unknown),
            (0x16, Kind::Http, Kind::Unknown),
        ];
        for (first, beside_http, alone) in table {
            assert_eq!(first_plaintext(first, true), beside_http, "{first:#x}");
            assert_eq!(first_plaintext(first, false), alone, "{first:#x}");
        }
    }

    proptest! {
        #[test]
        fn enough_bytes_always_tell(bytes in any::<[u8; ENOUGH]>()) {
            for expected in EACH {
                prop_assert!(first_bytes(&bytes, expected).is_some());
            }
        }

        #[test]
        fn more_bytes_never_change_the_answer(
            bytes in prop_oneof![
                any::<[u8; ENOUGH]>(),
                (0_usize..3, any::<[u8; ENOUGH]>()).prop_map(|(offset, mut bytes)| {
                    let cookie = offset + COOKIE_OFFSET;
                    bytes[offset] &= 0x03;
                    bytes[cookie..cookie + 4].copy_from_slice(&MAGIC_COOKIE);
                    bytes
                }),
            ],
        ) {
            for expected in EACH {
                let told: Vec<_> = (0..=ENOUGH)
                    .filter_map(|len| first_bytes(&bytes[..len], expected))
                    .collect();
                prop_assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
            }
        }
    }
}
