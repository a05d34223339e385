//! Permissions of one allocation: which addresses may send to it (RFC 8656 §9).
//!
//! Sorted by address in one small vector, as an allocation has one to three of
//! them; the number is bounded by the user's quota.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::quota::Hold;

/// RFC 8656 §9.
pub const LIFETIME: Duration = Duration::from_secs(300);

/// The permissions of an allocation.
#[derive(Debug, Default)]
pub struct Permissions(Vec<Permission>);

#[derive(Debug)]
struct Permission {
    peer: IpAddr,
    expires: Instant,
    _hold: Hold,
}

impl Permissions {
    /// Whether data may pass to and from `peer` at `now`.
    pub fn has(&self, now: Instant, peer: IpAddr) -> bool {
        self.find(peer)
            .ok()
            .and_then(|at| self.0.get(at))
            .is_some_and(|permission| permission.expires > now)
    }

    /// Installs or refreshes; a new one takes a hold from `take`. Returns
    /// whether there was one.
    pub fn install(
        &mut self,
        now: Instant,
        peer: IpAddr,
        take: impl FnOnce() -> Option<Hold>,
    ) -> bool {
        let expires = now + LIFETIME;
        match self.find(peer) {
            Ok(at) => {
                if let Some(permission) = self.0.get_mut(at) {
                    permission.expires = expires;
                }
            }
            Err(at) => {
                let Some(hold) = take() else {
                    return false;
                };
                let permission = Permission {
                    peer,
                    expires,
                    _hold: hold,
                };
                self.0.insert(at, permission);
            }
        }
        true
    }

    /// The addresses.
    pub fn peers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.iter().map(|permission| permission.peer)
    }

    /// Forgets one.
    pub fn remove(&mut self, peer: IpAddr) {
        if let Ok(at) = self.find(peer) {
            self.0.remove(at);
        }
    }

    /// Forgets those whose time is over.
    pub fn expire(&mut self, now: Instant) {
        self.0.retain(|permission| permission.expires > now);
    }

    /// When the next one's time is over.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.0.iter().map(|permission| permission.expires).min()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, peer: IpAddr) -> Result<usize, usize> {
        self.0
            .binary_search_by(|permission| permission.peer.cmp(&peer))
    }
}
