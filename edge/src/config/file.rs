//! `edge.toml` as written: one struct per section, each key with a default.
//!
//! A key that may be empty says what empty means; a key that is misspelt is
//! refused. What a key does, and what raising it costs, stands here and, in
//! the operator's words, in `config/edge.toml`. Unless a key says *reload*, a
//! change needs a restart.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use inlet_common::config::{Bitrate, Log, acme::Acme, duration};
use serde::{Deserialize, Serialize};

use super::{dns::Dns, fleet::Fleet, turn::Turn};
use crate::whip::session::dtls::Backend;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// What this process does.
    pub roles: Roles,
    /// Who this edge is.
    pub pop: Pop,
    /// The listener for presenters.
    pub http: Http,
    /// How media come in.
    pub media: Media,
    /// The link to the origin.
    pub roq: Roq,
    /// The STUN and TURN server.
    pub turn: Turn,
    /// The name server.
    pub dns: Dns,
    /// What this edge knows of the others.
    pub fleet: Fleet,
    /// Certificates from a CA.
    pub acme: Acme,
    /// The listener for operators.
    pub admin: Admin,
    /// The listener for Prometheus.
    pub metrics: Metrics,
    /// How much is taken on.
    pub limits: Limits,
    /// How the service stops.
    pub drain: Drain,
    /// What is logged, and how. Reload.
    pub log: Log,
}

/// `roles`: what this process does; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(pub Vec<Role>);

impl Default for Roles {
    fn default() -> Self {
        Self(vec![Role::Whip])
    }
}

/// One thing that a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes presenters by WHIP and forwards their media.
    Whip,
    /// Is a STUN and TURN server.
    Turn,
    /// Is a name server that answers with the nearest point of presence.
    Dns,
}

/// `[pop]`: who this edge is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pop {
    /// The point of presence's name, as the stream API shows it and as others of
    /// them know it. Empty, the default, means the machine's host name.
    pub name: String,
}

/// `[http]`: WHIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port. Default `127.0.0.1:8081`.
    pub listen: SocketAddr,
    /// PEM chain. Empty, the default, means the certificate of `[acme]`, and plain
    /// HTTP without that. Reload reads the same path anew.
    pub certificate: PathBuf,
    /// PEM key; empty exactly when `certificate` is.
    pub key: PathBuf,
    /// This point of presence's own base URL, such as `https://a.example`. Empty,
    /// the default: the one that the fleet's file has; without that, presenters are told
    /// no absolute URLs, and TURN by address.
    pub public_url: String,
    /// Base URL of another point of presence, where presenters are sent while this
    /// one drains, is full or reaches no origin. Empty, the default: they are told to come back.
    pub redirect_to: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            public_url: String::new(),
            redirect_to: String::new(),
        }
    }
}

/// `[media]`: ICE, DTLS and SRTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// Addresses that receive media. Default `0.0.0.0` and `::`, every address
    /// of the machine.
    pub addresses: Vec<IpAddr>,
    /// What presenters are told instead, behind 1:1 NAT; at most one per
    /// family. Empty, the default, tells them the machine's own addresses.
    pub public: Vec<IpAddr>,
    /// Port of the first worker, UDP and TCP; each further one takes the next.
    /// Default 40000.
    pub port: u16,
    /// Whether presenters may come by TCP too (ICE-TCP). Default true.
    pub tcp: bool,
    /// Threads that carry media, up to 256. 0, the default, is one per core.
    pub workers: u16,
    /// Which implementation speaks DTLS: `openssl`, the default, takes RSA and
    /// ECDSA certificates; `memory-safe` takes ECDSA alone.
    pub dtls: Backend,
    /// How long ICE and DTLS may take to come up, 1–60 s. Default 15 s.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Silence that ends a session, 5–60 s. Default 15 s.
    #[serde(with = "duration")]
    pub silence_timeout: Duration,
    /// Where a browser's encoder begins, 100 kbps to `max_bitrate`. Default
    /// 2 Mbps.
    pub start_bitrate: Bitrate,
    /// The most that a presenter may send, 500 kbps to 100 Mbps. Default
    /// 8 Mbps.
    pub max_bitrate: Bitrate,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            addresses: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            public: Vec::new(),
            port: 40_000,
            tcp: true,
            workers: 0,
            dtls: Backend::default(),
            connect_timeout: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(15),
            start_bitrate: Bitrate::from_kbps(2_000),
            max_bitrate: Bitrate::from_kbps(8_000),
        }
    }
}

/// `[roq]`: RTP over QUIC to the origin, by mutual TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roq {
    /// Host and UDP port of the origin. Default `127.0.0.1:4433`. A name is
    /// looked up once, at the start.
    pub origin: String,
    /// The name in the origin's certificate. Empty, the default, means the host
    /// of `origin`.
    pub origin_name: String,
    /// PEM chain that is shown to the origin. Default the credential
    /// `roq-certificate`. Reload reads the same path anew.
    pub certificate: PathBuf,
    /// PEM key. Default the credential `roq-key`. Reload reads it anew.
    pub key: PathBuf,
    /// PEM authorities that sign the origin. Default `/etc/inlet/origin-ca.pem`.
    pub ca: PathBuf,
    /// How long the origin may take to accept a presenter, 500 ms to 30 s.
    /// Default 5 s.
    #[serde(with = "duration")]
    pub open_timeout: Duration,
    /// The link is taken for dead after so long without a packet, 2–60 s.
    /// Default 8 s.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long running sessions outlive their link, up to 30 s. Default 30 s.
    #[serde(with = "duration")]
    pub link_lost_timeout: Duration,
    /// Share of packets that may be lost without sending less, 0 to 0.5.
    /// Default 0.15.
    pub loss_tolerance: f64,
    /// Sends several packets per system call (GSO). Default true.
    pub segmentation_offload: bool,
}

impl Default for Roq {
    fn default() -> Self {
        Self {
            origin: "127.0.0.1:4433".to_owned(),
            origin_name: String::new(),
            certificate: "roq-certificate".into(),
            key: "roq-key".into(),
            ca: "/etc/inlet/origin-ca.pem".into(),
            open_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(8),
            link_lost_timeout: Duration::from_secs(30),
            loss_tolerance: 0.15,
            segmentation_offload: true,
        }
    }
}

/// `[admin]`: health, readiness, and what only an operator may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address and port. Default `127.0.0.1:9081`.
    pub listen: SocketAddr,
    /// File with the bearer token. Empty, the default, leaves health and
    /// readiness alone.
    pub token_file: PathBuf,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9081)),
            token_file: PathBuf::new(),
        }
    }
}

/// `[metrics]`: Prometheus text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Address and port. Default `127.0.0.1:9091`.
    pub listen: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9091)),
        }
    }
}

/// `[limits]`: how much is taken on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sessions on one worker, 1–10,000; above it a presenter gets 503 with
    /// 2302. Default 500. One of 2 Mbps takes about 0.2 % of a core.
    pub sessions_per_worker: u32,
    /// Offers that are answered at once, 1–10,000; above it a presenter gets
    /// 503 with 2302. Default 64.
    pub admissions: u32,
    /// Share of its time that a worker may be busy, 0.1–1; when all are busier, a
    /// presenter gets 503 with 2302. Default 0.85.
    pub worker_busy: f64,
    /// Connections to the WHIP listener, 16–1,000,000; above it new ones wait.
    /// Default 4096. Each needs a descriptor.
    pub http_connections: u32,
    /// Offers of one stream key, and of one source, that may be refused in a
    /// row, 1–10,000; then they get 429 with 2200. Default 5.
    pub refused_burst: u32,
    /// Time after which one more of them may be made, 1 s–1 h. Default 10 s.
    #[serde(with = "duration")]
    pub refused_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_per_worker: 500,
            admissions: 64,
            worker_busy: 0.85,
            http_connections: 4096,
            refused_burst: 5,
            refused_interval: Duration::from_secs(10),
        }
    }
}

/// `[drain]`: how the service stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// How long running sessions may go on after SIGTERM, up to an hour.
    /// Default 30 s. The unit's `TimeoutStopSec` must be longer.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
        }
    }
}
