//! Where messages begin and end in a TCP stream (RFC 8656 §12.5, RFC 8489 §6.2.2).
//!
//! STUN messages carry their length, a multiple of four; ChannelData is padded
//! to four bytes, and its length does not count the padding. Anything else on a
//! TURN connection ends it: there is no way to find the next message.

use super::{channel_data, message::MAGIC_COOKIE};

/// Longest frame: a STUN header and what its length field can say.
pub const MAX_FRAME: usize = 20 + 0xFFFC;

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing<'a> {
    /// A whole message.
    Whole(Frame<'a>),
    /// More bytes are needed.
    More,
    /// Neither STUN nor ChannelData.
    Broken,
}

/// A message cut out of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message without padding; its first byte tells STUN from ChannelData.
    pub message: &'a [u8],
    /// Bytes that it takes in the stream, padding included.
    pub len: usize,
}

impl<'a> Framing<'a> {
    /// Looks at the front of `stream`.
    pub fn next(stream: &'a [u8]) -> Self {
        let Some(&[kind, _, l1, l2]) = stream.first_chunk::<4>() else {
            return match stream.first() {
                None | Some(0x00..=0x03 | 0x40..=0x4F) => Self::More,
                Some(_) => Self::Broken,
            };
        };
        let len = usize::from(u16::from_be_bytes([l1, l2]));
        // As soon as it can be seen: another protocol must not keep a
        // connection until the length that it seems to have.
        let has_cookie = || {
            let mut cookie = stream.iter().skip(4).zip(MAGIC_COOKIE);
            cookie.all(|(byte, expected)| *byte == expected)
        };
        let (used, padded) = match kind {
            0x00..=0x03 if len.is_multiple_of(4) && has_cookie() => (20 + len, 20 + len),
            0x40..=0x4F => {
                let used = channel_data::HEADER + len;
                (used, used.next_multiple_of(4))
            }
            _ => return Self::Broken,
        };
        match (stream.get(..used), stream.len() >= padded) {
            (Some(message), true) => Self::Whole(Frame {
                message,
                len: padded,
            }),
            _ => Self::More,
        }
    }
}
