//! What an event of the poll is about: the kind of a socket and its place,
//! packed into a token and taken out again.

use mio::Token;

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// Commands or hops wait.
    Waker,
    /// A media socket.
    Media(usize),
    /// The link's socket.
    Link,
    /// A listener for STUN and TURN over UDP.
    TurnUdp(usize),
    /// A relayed UDP socket.
    Relay(usize),
    /// A TURN client's connection.
    Stream(usize),
    /// A relayed TCP address.
    PeerListener(usize),
    /// A connection to a peer.
    Peer(usize),
    /// A listener for ICE-TCP.
    MediaListener(usize),
    /// A presenter's TCP connection.
    MediaStream(usize),
}

/// Bits of the place; the kind stands above them.
const PLACE_BITS: u32 = 56;

impl Source {
    /// The token to register with.
    pub(crate) const fn token(self) -> Token {
        let (kind, place) = match self {
            Self::Waker => (0, 0),
            Self::Media(place) => (1, place),
            Self::Link => (2, 0),
            Self::TurnUdp(place) => (3, place),
            Self::Relay(place) => (4, place),
            Self::Stream(place) => (5, place),
            Self::PeerListener(place) => (6, place),
            Self::Peer(place) => (7, place),
            Self::MediaListener(place) => (8, place),
            Self::MediaStream(place) => (9, place),
        };
        Token(kind << PLACE_BITS | place)
    }

    /// Whether it brings media, or what the link says.
    pub(crate) const fn is_media(self) -> bool {
        matches!(
            self,
            Self::Media(_) | Self::Link | Self::MediaListener(_) | Self::MediaStream(_)
        )
    }

    /// What a token was made of.
    pub(crate) const fn of(token: Token) -> Self {
        let place = token.0 & ((1 << PLACE_BITS) - 1);
        match token.0 >> PLACE_BITS {
            1 => Self::Media(place),
            2 => Self::Link,
            3 => Self::TurnUdp(place),
            4 => Self::Relay(place),
            5 => Self::Stream(place),
            6 => Self::PeerListener(place),
            7 => Self::Peer(place),
            8 => Self::MediaListener(place),
            9 => Self::MediaStream(place),
            _ => Self::Waker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_kind_and_place() {
        for source in [
            Source::Waker,
            Source::Media(3),
            Source::Link,
            Source::TurnUdp(1),
            Source::Relay(70_000),
            Source::Stream(0),
            Source::PeerListener(9),
            Source::Peer(1 << 40),
            Source::MediaListener(1),
            Source::MediaStream(9),
        ] {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
