//! `origin.toml` as written: one struct per section, each key with a default.
//!
//! A key that may be empty says what empty means; a key that is misspelt is
//! refused. What a key does, and what raising it costs, stands here and, in
//! the operator's words, in `config/origin.toml`. Unless a key says *reload*,
//! a change needs a restart.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use inlet_common::config::{BaseUrl, Bitrate, Bytes, Log, duration};
use serde::{Deserialize, Serialize};

use crate::transcode::{Encoder, Preset};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// The public listener.
    pub http: Http,
    /// The listener for the edges.
    pub roq: Roq,
    /// The listener for operators.
    pub admin: Admin,
    /// The listener for Prometheus.
    pub metrics: Metrics,
    /// Who may watch.
    pub playback: Playback,
    /// What the URLs that are handed out begin with.
    pub urls: Urls,
    /// What is kept on disk.
    pub state: State,
    /// How streams are made.
    pub media: Media,
    /// How much is taken on.
    pub limits: Limits,
    /// How the service stops.
    pub drain: Drain,
    /// What is logged, and how. Reload.
    pub log: Log,
}

/// `[http]`: API, playlists, manifests and pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// PEM chain. Empty, the default, means plain HTTP. Reload reads the same
    /// path anew.
    pub certificate: PathBuf,
    /// PEM key; empty exactly when `certificate` is.
    pub key: PathBuf,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
        }
    }
}

/// `[roq]`: RTP over QUIC from the edges, by mutual TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roq {
    /// Address and UDP port. Default `[::]:4433`.
    pub listen: SocketAddr,
    /// PEM chain that edges check. Default the credential `roq-certificate`.
    pub certificate: PathBuf,
    /// PEM key. Default the credential `roq-key`.
    pub key: PathBuf,
    /// PEM authorities; whoever holds a certificate of theirs is an edge and
    /// may publish what it likes. Default `/etc/inlet/edge-ca.pem`.
    pub client_ca: PathBuf,
}

impl Default for Roq {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0_u16; 8], 4433)),
            certificate: "roq-certificate".into(),
            key: "roq-key".into(),
            client_ca: "/etc/inlet/edge-ca.pem".into(),
        }
    }
}

/// `[admin]`: health, readiness, and what only an operator may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address and port. Default `127.0.0.1:9080`.
    pub listen: SocketAddr,
    /// File with the bearer token. Empty, the default, leaves health and
    /// readiness alone.
    pub token_file: PathBuf,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9080)),
            token_file: PathBuf::new(),
        }
    }
}

/// `[metrics]`: Prometheus text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Address and port. Default `127.0.0.1:9090`.
    pub listen: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
        }
    }
}

/// `[playback]`: who may watch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Playback {
    /// File with the secrets of playback tokens, one in each line. Empty, the
    /// default, lets everyone watch. Reload reads the same path anew.
    pub secret_file: PathBuf,
    /// Header in which a proxy in front tells the viewer's address, for tokens
    /// that are bound to one. Empty, the default, takes the connection's own.
    pub address_header: String,
}

/// `[urls]`: what the URLs in a stream object begin with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Urls {
    /// The edges' public name. Default `http://127.0.0.1:8081`, an edge on the
    /// same machine.
    pub whip: BaseUrl,
    /// This origin's public name, or its CDN's. Default
    /// `http://127.0.0.1:8080`, the default listener.
    pub web: BaseUrl,
}

impl Default for Urls {
    fn default() -> Self {
        let base = |text: &str| text.parse().expect("a constant base URL");
        Self {
            whip: base("http://127.0.0.1:8081"),
            web: base("http://127.0.0.1:8080"),
        }
    }
}

/// `[state]`: what is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Directory of the registry and the first API key, absolute. Default
    /// `/var/lib/inlet-origin`, which systemd makes.
    pub dir: PathBuf,
    /// The registry's file, from `dir` on unless absolute. Default
    /// `registry.sqlite3`.
    pub registry: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self {
            dir: "/var/lib/inlet-origin".into(),
            registry: "registry.sqlite3".into(),
        }
    }
}

/// `[media]`: how streams are made. A stream keeps what it started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// Length of a segment, 1–10 whole seconds. Default 1 s. Longer segments
    /// need fewer key frames, and make players without low latency later.
    #[serde(with = "duration")]
    pub segment: Duration,
    /// Wished length of an LL-HLS part, from 50 ms to a segment; becomes the
    /// nearest whole number of frames. Default 200 ms. Shorter parts multiply
    /// requests and do not help stock players.
    #[serde(with = "duration")]
    pub part: Duration,
    /// Longest LL-DASH chunk, from 16 ms to a part. Default 100 ms.
    #[serde(with = "duration")]
    pub chunk: Duration,
    /// How far back viewers may seek, 10–3600 segments. Default 60 s. Costs
    /// memory: 60 s of the default ladder are 55 MB, thumbnails add 0.3 MB, and 1.5 MB
    /// at most.
    #[serde(with = "duration")]
    pub window: Duration,
    /// How long playlists answer after the presenter has left, up to an hour.
    /// Default 60 s.
    #[serde(with = "duration")]
    pub linger: Duration,
    /// Distance from capture to display that DASH players aim at, 100 ms to
    /// 30 s. Default 800 ms.
    #[serde(with = "duration")]
    pub latency: Duration,
    /// What DASH's availability times allow for publishing a chunk, at most a
    /// chunk. Default 50 ms.
    #[serde(with = "duration")]
    pub publish_margin: Duration,
    /// Which encoder of FFmpeg's makes the rungs: `libx264`, the default, or in
    /// hardware `h264_nvenc`, `h264_vaapi` or `h264_qsv`. It is tried when the
    /// origin starts, which fails where it does not work.
    pub encoder: Encoder,
    /// libx264's preset; the others have none. Default `superfast`.
    pub preset: Preset,
    /// Rate of the AAC track, 32–320 kbps. Default 128 kbps.
    pub audio_bitrate: Bitrate,
    /// Rate of an Opus track beside it, 16–320 kbps, for players that take it. Default
    /// 0: none.
    pub opus_bitrate: Bitrate,
    /// Memory of one stream's worker process, 256 MiB to 16 GiB; above it the
    /// worker is replaced. Default 768 MiB.
    pub worker_memory: Bytes,
    /// Whether a stream gives up its dearest rungs when the machine cannot keep
    /// up, so that viewers are not delayed. Default yes. Without it everything is
    /// made, however late.
    pub shed_rungs: bool,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(1),
            part: Duration::from_millis(200),
            chunk: Duration::from_millis(100),
            window: Duration::from_secs(60),
            linger: Duration::from_secs(60),
            latency: Duration::from_millis(800),
            publish_margin: Duration::from_millis(50),
            encoder: Encoder::default(),
            preset: Preset::default(),
            audio_bitrate: Bitrate::from_kbps(128),
            opus_bitrate: Bitrate::from_kbps(0),
            worker_memory: Bytes::from_mib(768),
            shed_rungs: true,
        }
    }
}

/// `[limits]`: how much is taken on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Live streams on this origin, 1–10,000; above it a presenter gets 503.
    /// Default 64. A 1080p ladder takes 1.3 cores.
    pub live_streams: u32,
    /// Percent of this machine's cores that the ladders of all live streams may
    /// take by estimate, up to 1000; above it a presenter gets 503, unless its
    /// stream is the only one, and a ladder does not grow. Default 90. Zero estimates
    /// nothing.
    pub cpu_percent: u32,
    /// Live streams of one client, 1–10,000; above it a presenter gets 403
    /// with 2005. Default 32.
    pub live_streams_per_client: u32,
    /// Streams, live or not, of one client, 1–1,000,000; above it the API
    /// refuses new ones. Default 10,000.
    pub streams_per_client: u32,
    /// Connections to the public listener, 16–1,000,000; above it new ones
    /// wait. Default 8192. Each needs a descriptor.
    pub http_connections: u32,
    /// QUIC connections of edges, 1–65,536; every worker of every edge has
    /// one. Default 1024.
    pub edge_connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            live_streams: 64,
            cpu_percent: 90,
            live_streams_per_client: 32,
            streams_per_client: 10_000,
            http_connections: 8192,
            edge_connections: 1024,
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
