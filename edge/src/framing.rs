//! RFC 4571: datagrams in a TCP stream, as ICE-TCP carries STUN, DTLS and SRTP.
//!
//! ```text
//!   0                   1
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
//!  +-------------------------------+
//!  |             LENGTH            |  of what follows, without these two bytes
//!  +-------------------------------+
//!  |            message …          |
//! ```
//!
//! Pure. There is nothing in it by which to find the next message once one is
//! lost, so a stream whose length makes no sense is of no use any more.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

/// What stands in front of each message.
pub const HEADER: usize = 2;

/// Longest message that is taken. What belongs here was made to fit a datagram of
/// a path; the largest frames of local networks have 9,000 bytes.
pub const MAX_MESSAGE: usize = 9_000;

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing<'a> {
    /// A whole message, which may be empty, and what stands behind it.
    Whole {
        /// The message without its length.
        message: &'a [u8],
        /// The rest of the stream.
        rest: &'a [u8],
    },
    /// More bytes are needed, at most [`HEADER`] and [`MAX_MESSAGE`] in all.
    More,
    /// The message would be longer than [`MAX_MESSAGE`].
    TooLong,
}

impl<'a> Framing<'a> {
    /// Looks at the front of `stream`.
    pub fn next(stream: &'a [u8]) -> Self {
        let Some((len, behind)) = stream.split_first_chunk::<HEADER>() else {
            return Self::More;
        };
        let len = usize::from(u16::from_be_bytes(*len));
        if len > MAX_MESSAGE {
            return Self::TooLong;
        }
        match behind.split_at_checked(len) {
            Some((message, rest)) => Self::Whole { message, rest },
            None => Self::More,
        }
    }
}

/// What is written in front of `message`; `None` when it is too long for a frame.
pub fn header(message: &[u8]) -> Option<[u8; HEADER]> {
    u16::try_from(message.len()).ok().map(u16::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_cut_out_one_by_one() {
        let stream = [0, 2, b'a', b'b', 0, 0, 0, 3, b'c'];
        let Framing::Whole { message, rest } = Framing::next(&stream) else {
            panic!("a whole message");
        };
        assert_eq!(message, b"ab");
        let Framing::Whole { message, rest } = Framing::next(rest) else {
            panic!("an empty message");
        };
        assert!(message.is_empty());
        assert_eq!(Framing::next(rest), Framing::More);
        assert_eq!(Framing::next(&rest[..1]), Framing::More);
        assert_eq!(Framing::next(&[]), Framing::More);
    }

    #[test]
    fn what_is_too_long_shows_by_its_length() {
        let len = u16::try_from(MAX_MESSAGE).unwrap();
        assert_eq!(Framing::next(&len.to_be_bytes()), Framing::More);
        assert_eq!(Framing::next(&(len + 1).to_be_bytes()), Framing::TooLong);
        assert_eq!(header(&vec![0; 70_000]), None);
    }

    proptest! {
        #[test]
        fn a_message_survives_the_stream(
            messages in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 0..8),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                stream.extend(header(message).unwrap());
                stream.extend(message);
            }
            let (mut rest, mut heard) = (&stream[..], Vec::new());
            while let Framing::Whole { message, rest: behind } = Framing::next(rest) {
                heard.push(message.to_vec());
                rest = behind;
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(heard, messages);
        }
    }
}
