//! Which ports the rig's processes listen on.
//!
//! Tests draw theirs below the ephemeral range, so that no outgoing connection
//! takes one between the look and the bind; the demonstration has fixed ones
//! and moves on where one is taken.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

use anyhow::{Result, bail};
use rand::RngExt as _;

/// Ports of one origin and one edge, all on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Origin: API, playlists, pages.
    pub origin_http: u16,
    /// Origin: RTP over QUIC, UDP.
    pub origin_roq: u16,
    /// Origin: health and readiness.
    pub origin_admin: u16,
    /// Origin: Prometheus.
    pub origin_metrics: u16,
    /// Edge: WHIP.
    pub edge_http: u16,
    /// Edge: health and readiness.
    pub edge_admin: u16,
    /// Edge: Prometheus.
    pub edge_metrics: u16,
    /// Edge: the first of `MEDIA_PORTS` ports for ICE, UDP and TCP.
    pub edge_media: u16,
    /// Edge: STUN and TURN, UDP and TCP.
    pub edge_turn: u16,
    /// Edge: TURN by TLS.
    pub edge_turns: u16,
}

/// Ports for media: as many as a test edge has workers.
pub(super) const MEDIA_PORTS: u16 = 2;

impl Ports {
    /// The demonstration's ports where nothing else runs.
    pub const FIXED: Self = Self {
        origin_http: 8080,
        origin_roq: 4433,
        origin_admin: 9080,
        origin_metrics: 9090,
        edge_http: 8081,
        edge_admin: 9081,
        edge_metrics: 9091,
        edge_media: 40_000,
        edge_turn: 3478,
        edge_turns: 5349,
    };

    /// Ports that nobody uses, anywhere.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn free() -> Result<Self> {
        Self::all_from(rand::rng().random_range(10_000..30_000)).or_next_free()
    }

    /// A wish for the first that are free from `base` on.
    const fn all_from(base: u16) -> Self {
        Self {
            origin_http: base,
            origin_roq: base,
            origin_admin: base,
            origin_metrics: base,
            edge_http: base,
            edge_admin: base,
            edge_metrics: base,
            edge_media: base,
            edge_turn: base,
            edge_turns: base,
        }
    }

    /// These, or for each that is taken the next free one.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn or_next_free(&self) -> Result<Self> {
        self.for_edges(1, &mut BTreeSet::new())
    }

    /// Likewise for so many edges at addresses of their own, which share ports but for
    /// what operators ask on loopback: as many in a row from `edge_admin`, and from
    /// `edge_metrics`.
    fn for_edges(&self, edges: u16, given: &mut BTreeSet<u16>) -> Result<Self> {
        let mut next = |wish, count| take(given, wish, count);
        Ok(Self {
            origin_http: next(self.origin_http, 1)?,
            origin_roq: next(self.origin_roq, 1)?,
            origin_admin: next(self.origin_admin, 1)?,
            origin_metrics: next(self.origin_metrics, 1)?,
            edge_http: next(self.edge_http, 1)?,
            edge_admin: next(self.edge_admin, edges)?,
            edge_metrics: next(self.edge_metrics, edges)?,
            edge_media: next(self.edge_media, MEDIA_PORTS)?,
            edge_turn: next(self.edge_turn, 1)?,
            edge_turns: next(self.edge_turns, 1)?,
        })
    }

    /// Every port with its name, in a constant order.
    pub fn named(&self) -> [(&'static str, u16); 10] {
        [
            ("origin http", self.origin_http),
            ("origin roq", self.origin_roq),
            ("origin admin", self.origin_admin),
            ("origin metrics", self.origin_metrics),
            ("edge http", self.edge_http),
            ("edge admin", self.edge_admin),
            ("edge metrics", self.edge_metrics),
            ("edge media", self.edge_media),
            ("edge turn", self.edge_turn),
            ("edge turns", self.edge_turns),
        ]
    }
}

/// Ports of an origin and several edges, each at an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetPorts {
    /// Those of the origin, and those that all edges share; `edge_admin` and
    /// `edge_metrics` are the first edge's, and the next ones the others'.
    pub shared: Ports,
    /// DNS, UDP and TCP.
    pub dns: u16,
}

impl FleetPorts {
    /// The demonstration's ports where nothing else runs.
    pub const FIXED: Self = Self {
        shared: Ports::FIXED,
        dns: 5300,
    };

    /// Ports that nobody uses, anywhere.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn free(edges: u16) -> Result<Self> {
        let shared = Ports::all_from(rand::rng().random_range(10_000..30_000));
        let dns = shared.origin_http;
        Self { shared, dns }.or_next_free(edges)
    }

    /// These, or for each that is taken the next free one.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn or_next_free(&self, edges: u16) -> Result<Self> {
        let mut given = BTreeSet::new();
        Ok(Self {
            shared: self.shared.for_edges(edges, &mut given)?,
            dns: take(&mut given, self.dns, 1)?,
        })
    }

    /// Every port with its name, in a constant order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u16)> {
        let dns = ("edge dns", self.dns);
        self.shared.named().into_iter().chain([dns])
    }
}

/// Some ports that nobody uses.
pub(super) fn any<const N: usize>() -> Result<[u16; N]> {
    let base = rand::rng().random_range(10_000..30_000);
    let mut given = BTreeSet::new();
    let mut ports = [0; N];
    for port in &mut ports {
        *port = take(&mut given, base, 1)?;
    }
    Ok(ports)
}

fn take(given: &mut BTreeSet<u16>, wish: u16, count: u16) -> Result<u16> {
    for first in wish..u16::MAX - count {
        let mut range = first..first + count;
        if range.all(|port| !given.contains(&port) && is_free(port)) {
            given.extend(first..first + count);
            return Ok(first);
        }
    }
    bail!("no free port from {wish} on")
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::UNSPECIFIED, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
