//! What an operator may change while the appliance runs. A reload exchanges all
//! of it at once, and no allocation notices.

use std::{net::SocketAddr, time::Duration};

use super::{auth::Credentials, peer_policy::PeerPolicy, quota::Limits};

/// Settings of every worker's relay.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may allocate.
    pub credentials: Credentials,
    /// Who may be a peer.
    pub peers: PeerPolicy,
    /// How much may be held.
    pub limits: Limits,
    /// What an allocation gets that asks for nothing, or for less.
    pub default_lifetime: Duration,
    /// The most that it gets.
    pub max_lifetime: Duration,
    /// Where clients are sent who cannot be taken.
    pub alternate_servers: Vec<SocketAddr>,
    /// Challenges per second that one source prefix gets over UDP from each
    /// worker; 0 is without limit.
    pub challenges_per_second: u32,
}

impl Settings {
    /// The lifetime that a request gets (RFC 8656 §7.2): what it asks for, but
    /// no less than the default and no more than the maximum.
    pub fn lifetime(&self, asked: Option<u32>) -> Duration {
        let asked = asked.map_or(Duration::ZERO, |seconds| {
            Duration::from_secs(u64::from(seconds))
        });
        // Not `clamp`, which panics when an operator's maximum is below.
        asked.max(self.default_lifetime).min(self.max_lifetime)
    }

    /// Where a client of this family is sent (RFC 8489 §14.15 wants the same
    /// family).
    pub fn alternate(&self, of: SocketAddr) -> Option<SocketAddr> {
        let mut servers = self.alternate_servers.iter();
        let fits = |server: &&SocketAddr| server.is_ipv4() == of.is_ipv4();
        servers.find(fits).copied()
    }
}
