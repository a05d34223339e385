//! A client's end of the appliance: the 5-tuple of RFC 8656 §2.

use std::net::{IpAddr, SocketAddr};

/// Names a client's TCP or TLS connection within its worker; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// How a client reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Datagrams to one of the worker's listeners.
    Udp {
        /// Which listener.
        listener: u16,
        /// Which of our addresses the client asked at, where the listener has
        /// several: answers must come from there.
        local: Option<IpAddr>,
    },
    /// A TCP connection.
    Tcp(StreamId),
    /// A TLS connection.
    Tls(StreamId),
}

/// What a client's messages travel by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// TCP in the clear.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// Labels of [`Via`], in the order of [`Via::index`].
pub const TRANSPORTS: [&str; 3] = ["udp", "tcp", "tls"];

impl Via {
    /// What it is, without saying which.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Udp { .. } => Transport::Udp,
            Self::Tcp(_) => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
        }
    }

    /// Place among [`TRANSPORTS`].
    pub const fn index(&self) -> usize {
        match self {
            Self::Udp { .. } => 0,
            Self::Tcp(_) => 1,
            Self::Tls(_) => 2,
        }
    }

    /// The connection, if it is one.
    pub const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Udp { .. } => None,
            Self::Tcp(id) | Self::Tls(id) => Some(*id),
        }
    }
}

/// A client, as its 5-tuple tells it from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// How it comes, and where to.
    pub via: Via,
    /// Its address as we see it, behind its NAT.
    pub remote: SocketAddr,
}
