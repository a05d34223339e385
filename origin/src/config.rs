//! The origin's configuration.
//!
//! [`ConfigFile`] is the file as written, one struct per section ([`mod@file`]);
//! [`Config`] is what the rest of the origin works with: every value in range
//! and no empty text that means something else. `config/origin.toml` shows
//! each key at its default, and a test holds the two together.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderName;
use inlet_common::config::{self, BaseUrl, Bitrate, Bytes, Check, Error, Log, TlsFiles};

pub mod file;

#[cfg(test)]
mod tests;

use crate::transcode::{Encoder, Preset};
pub use file::ConfigFile;

/// A sound configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The public listener: API, playlists, manifests, pages.
    pub http: Http,
    /// The listener for the edges' QUIC connections.
    pub roq: Roq,
    /// The listener for operators.
    pub admin: Admin,
    /// Where Prometheus scrapes.
    pub metrics: SocketAddr,
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
    /// How long running sessions may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// What is logged, and how.
    pub log: Log,
}

/// The public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate and key; `None` means plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// The listener for the edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roq {
    /// Address and UDP port.
    pub listen: SocketAddr,
    /// What the origin shows to edges.
    pub tls: TlsFiles,
    /// Authorities whose certificates make somebody an edge.
    pub client_ca: PathBuf,
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port.
    pub listen: SocketAddr,
    /// File with the bearer token; `None` leaves only health and readiness.
    pub token_file: Option<PathBuf>,
}

/// Who may watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playback {
    /// File with the secrets of playback tokens; `None` lets everyone watch.
    pub secret_file: Option<PathBuf>,
    /// Where a proxy in front tells the viewer's address; `None` takes the
    /// connection's own.
    pub address_header: Option<HeaderName>,
}

/// What the URLs that are handed out begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// Where presenters publish by WHIP.
    pub whip: BaseUrl,
    /// Where viewers find pages, playlists and manifests.
    pub web: BaseUrl,
}

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The service's own directory.
    pub dir: PathBuf,
    /// The registry's file.
    pub registry: PathBuf,
}

/// How streams are made. Taken by a stream when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Length of a segment, whole seconds.
    pub segment: Duration,
    /// Wished length of an LL-HLS part; becomes whole frames.
    pub part: Duration,
    /// Longest LL-DASH chunk; becomes whole frames.
    pub chunk: Duration,
    /// How far back viewers may seek.
    pub window: Duration,
    /// How long playlists answer after the presenter has left.
    pub linger: Duration,
    /// Distance from capture to display that DASH players aim at.
    pub latency: Duration,
    /// What DASH's availability times allow for publishing a chunk.
    pub publish_margin: Duration,
    /// Which encoder makes the rungs.
    pub encoder: Encoder,
    /// How much CPU libx264 may spend.
    pub preset: Preset,
    /// Rate of the AAC track.
    pub audio_bitrate: Bitrate,
    /// Rate of the Opus track; `None` for no such track.
    pub opus_bitrate: Option<Bitrate>,
    /// Memory that one stream's worker process may hold.
    pub worker_memory: Bytes,
    /// Whether rungs are shed when the machine cannot keep up.
    pub shed_rungs: bool,
}

/// How much is taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live streams on this origin.
    pub live_streams: u32,
    /// Percent of the cores that transcoding may take, estimated, before new
    /// streams are refused; zero estimates nothing.
    pub cpu_percent: u32,
    /// Live streams of one client.
    pub live_streams_per_client: u32,
    /// Streams, live or not, of one client.
    pub streams_per_client: u32,
    /// Connections to the public listener.
    pub http_connections: u32,
    /// QUIC connections of edges.
    pub edge_connections: u32,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// Those of [`config::load`], and [`Error::Invalid`] with every value that
    /// cannot be used.
    pub fn load(path: &Path) -> Result<Self, Error> {
        config::load::<ConfigFile>(path)?.validate(path)
    }
}

impl Default for Config {
    fn default() -> Self {
        ConfigFile::default().build()
    }
}

impl ConfigFile {
    /// Checks every value; `path` is only named in the error.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with every value that cannot be used.
    pub fn validate(self, path: &Path) -> Result<Config, Error> {
        let mut check = Check::new();
        self.check_listeners(&mut check);
        self.check_files(&mut check);
        self.check_media(&mut check);
        self.check_limits(&mut check);
        check.finish(path)?;
        Ok(self.build())
    }

    fn check_listeners(&self, check: &mut Check) {
        let tcp = [
            ("http.listen", self.http.listen),
            ("admin.listen", self.admin.listen),
            ("metrics.listen", self.metrics.listen),
        ];
        for (index, (key, address)) in tcp.iter().enumerate() {
            let earlier = tcp.iter().take(index).find(|(_, other)| {
                // Port 0 is a fresh port each time.
                other == address && address.port() != 0
            });
            if let Some((other, _)) = earlier {
                check.require(
                    false,
                    key,
                    format!("{address} is {other} already: use another port"),
                );
            }
        }
        let tls = &self.http;
        check.require(
            tls.certificate.as_os_str().is_empty() == tls.key.as_os_str().is_empty(),
            "http.key",
            "certificate and key go together: give both for HTTPS, or leave both empty for HTTP",
        );
    }

    fn check_files(&self, check: &mut Check) {
        for (key, path) in [
            ("roq.certificate", &self.roq.certificate),
            ("roq.key", &self.roq.key),
            ("roq.client_ca", &self.roq.client_ca),
            ("state.registry", &self.state.registry),
        ] {
            check.require(!path.as_os_str().is_empty(), key, "is empty: name a file");
        }
        let header = &self.playback.address_header;
        check.require(
            header.is_empty() || header.parse::<HeaderName>().is_ok(),
            "playback.address_header",
            "is no header's name: give one such as X-Real-IP, or leave it empty",
        );
        check.require(
            self.state.dir.is_absolute(),
            "state.dir",
            "is not an absolute path: a relative one would depend on where the service is started",
        );
    }

    fn check_media(&self, check: &mut Check) {
        let media = &self.media;
        let seconds = Duration::from_secs;
        let millis = Duration::from_millis;
        check.span("media.segment", media.segment, seconds(1)..=seconds(10));
        check.require(
            media.segment.subsec_nanos() == 0,
            "media.segment",
            "must be whole seconds, so that each segment has whole frames at every frame rate",
        );
        check.span(
            "media.part",
            media.part,
            millis(50)..=media.segment.max(millis(50)),
        );
        check.span(
            "media.chunk",
            media.chunk,
            millis(16)..=media.part.max(millis(16)),
        );
        check.span(
            "media.window",
            media.window,
            media.segment.saturating_mul(10)..=media.segment.saturating_mul(3600),
        );
        check.span("media.linger", media.linger, seconds(0)..=seconds(3600));
        check.span("media.latency", media.latency, millis(100)..=seconds(30));
        check.span(
            "media.publish_margin",
            media.publish_margin,
            millis(0)..=media.chunk,
        );
        check.range(
            "media.audio_bitrate",
            media.audio_bitrate,
            Bitrate::from_kbps(32)..=Bitrate::from_kbps(320),
        );
        if media.opus_bitrate.as_bps() > 0 {
            check.range(
                "media.opus_bitrate",
                media.opus_bitrate,
                Bitrate::from_kbps(16)..=Bitrate::from_kbps(320),
            );
        }
        check.range(
            "media.worker_memory",
            media.worker_memory,
            Bytes::from_mib(256)..=Bytes::from_mib(16 << 10),
        );
    }

    fn check_limits(&self, check: &mut Check) {
        let limits = &self.limits;
        check.range("limits.live_streams", limits.live_streams, 1..=10_000);
        check.range("limits.cpu_percent", limits.cpu_percent, 0..=1000);
        check.range(
            "limits.live_streams_per_client",
            limits.live_streams_per_client,
            1..=10_000,
        );
        check.range(
            "limits.streams_per_client",
            limits.streams_per_client,
            1..=1_000_000,
        );
        check.range(
            "limits.http_connections",
            limits.http_connections,
            16..=1_000_000,
        );
        check.range(
            "limits.edge_connections",
            limits.edge_connections,
            1..=65_536,
        );
        let hour = Duration::from_secs(3600);
        check.span("drain.timeout", self.drain.timeout, Duration::ZERO..=hour);
    }

    /// Puts checked values in their final form.
    fn build(self) -> Config {
        let registry = self.state.dir.join(&self.state.registry);
        let file = |path: PathBuf| (!path.as_os_str().is_empty()).then_some(path);
        let tls = file(self.http.certificate).zip(file(self.http.key));
        Config {
            http: Http {
                listen: self.http.listen,
                tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
            },
            roq: Roq {
                listen: self.roq.listen,
                tls: TlsFiles {
                    certificate: self.roq.certificate,
                    key: self.roq.key,
                },
                client_ca: self.roq.client_ca,
            },
            admin: Admin {
                listen: self.admin.listen,
                token_file: file(self.admin.token_file),
            },
            metrics: self.metrics.listen,
            playback: Playback {
                secret_file: file(self.playback.secret_file),
                address_header: self.playback.address_header.parse().ok(),
            },
            urls: Urls {
                whip: self.urls.whip,
                web: self.urls.web,
            },
            state: State {
                dir: self.state.dir,
                registry,
            },
            media: self.media.into(),
            limits: self.limits.into(),
            drain_timeout: self.drain.timeout,
            log: self.log,
        }
    }
}

impl From<file::Media> for Media {
    fn from(file: file::Media) -> Self {
        Self {
            segment: file.segment,
            part: file.part,
            chunk: file.chunk,
            window: file.window,
            linger: file.linger,
            latency: file.latency,
            publish_margin: file.publish_margin,
            encoder: file.encoder,
            preset: file.preset,
            audio_bitrate: file.audio_bitrate,
            opus_bitrate: Some(file.opus_bitrate).filter(|rate| rate.as_bps() > 0),
            worker_memory: file.worker_memory,
            shed_rungs: file.shed_rungs,
        }
    }
}

impl From<file::Limits> for Limits {
    fn from(file: file::Limits) -> Self {
        Self {
            live_streams: file.live_streams,
            cpu_percent: file.cpu_percent,
            live_streams_per_client: file.live_streams_per_client,
            streams_per_client: file.streams_per_client,
            http_connections: file.http_connections,
            edge_connections: file.edge_connections,
        }
    }
}
