//! Channels of one allocation: four bytes that stand for a peer (RFC 8656 §12).
//!
//! A channel is bound to one peer, and a peer to one channel. Two sorted
//! vectors serve both directions; the number is bounded by the user's quota.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{quota::Hold, wire::ChannelNumber};

/// RFC 8656 §12.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// The channels of an allocation.
#[derive(Debug, Default)]
pub struct Channels {
    by_number: Vec<Channel>,
    by_peer: Vec<(SocketAddr, ChannelNumber)>,
}

#[derive(Debug)]
struct Channel {
    number: ChannelNumber,
    peer: SocketAddr,
    expires: Instant,
    _hold: Hold,
}

/// Why a channel is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The number stands for another peer, or the peer has another number: 400
    /// (RFC 8656 §12.2).
    Taken,
    /// The user has too many.
    Quota,
}

impl Channels {
    /// The peer behind a number.
    pub fn peer(&self, now: Instant, number: ChannelNumber) -> Option<SocketAddr> {
        let channel = self.by_number.get(self.find(number).ok()?)?;
        (channel.expires > now).then_some(channel.peer)
    }

    /// The number that stands for a peer.
    pub fn number(&self, now: Instant, peer: SocketAddr) -> Option<ChannelNumber> {
        let at = self.find_peer(peer).ok()?;
        let (_, number) = self.by_peer.get(at)?;
        self.peer(now, *number).map(|_| *number)
    }

    /// Binds or refreshes; a new one takes a hold from `take`.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn bind(
        &mut self,
        now: Instant,
        number: ChannelNumber,
        peer: SocketAddr,
        take: impl FnOnce() -> Option<Hold>,
    ) -> Result<(), Refused> {
        self.expire(now);
        let expires = now + LIFETIME;
        match (self.find(number), self.find_peer(peer)) {
            (Ok(at), Ok(_)) => {
                let channel = self.by_number.get_mut(at).ok_or(Refused::Taken)?;
                if channel.peer != peer {
                    return Err(Refused::Taken);
                }
                channel.expires = expires;
                Ok(())
            }
            (Err(at), Err(at_peer)) => {
                let channel = Channel {
                    number,
                    peer,
                    expires,
                    _hold: take().ok_or(Refused::Quota)?,
                };
                self.by_number.insert(at, channel);
                self.by_peer.insert(at_peer, (peer, number));
                Ok(())
            }
            _ => Err(Refused::Taken),
        }
    }

    /// Forgets a channel.
    pub fn unbind(&mut self, number: ChannelNumber) {
        self.by_number.retain(|channel| channel.number != number);
        self.by_peer.retain(|(_, bound)| *bound != number);
    }

    /// Forgets those whose time is over.
    pub fn expire(&mut self, now: Instant) {
        let before = self.by_number.len();
        self.by_number.retain(|channel| channel.expires > now);
        if self.by_number.len() < before {
            let alive = &self.by_number;
            self.by_peer.retain(|(_, number)| {
                alive
                    .binary_search_by_key(number, |channel| channel.number)
                    .is_ok()
            });
        }
    }

    /// When the next one's time is over.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.by_number.iter().map(|channel| channel.expires).min()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    fn find(&self, number: ChannelNumber) -> Result<usize, usize> {
        self.by_number
            .binary_search_by_key(&number, |channel| channel.number)
    }

    fn find_peer(&self, peer: SocketAddr) -> Result<usize, usize> {
        self.by_peer.binary_search_by_key(&peer, |(peer, _)| *peer)
    }
}
