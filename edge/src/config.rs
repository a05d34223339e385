//! The edge's configuration.
//!
//! [`ConfigFile`] is the file as written, one struct per section ([`mod@file`]);
//! [`Config`] is what the rest of the edge works with: every value in range and
//! no empty text that means something else. `config/edge.toml` shows each key
//! at its default, and a test holds the two together.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use inlet_common::config::{self, Bitrate, CertificateSource, Check, Error, Log, TlsFiles, acme};

use crate::whip::{rate::Rule, session::dtls::Backend};

pub mod dns;
pub mod file;
pub mod fleet;
pub mod turn;

#[cfg(test)]
mod tests;

pub use dns::NameServer;
pub use file::ConfigFile;
pub use turn::Appliance;

use file::Role;

/// Most workers: each has a UDP port of its own and a connection to the origin.
const MAX_WORKERS: u16 = 256;

/// Longest name of a point of presence, in bytes.
const MAX_POP_NAME: usize = 63;

/// A sound configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// This point of presence's name; `None` means the machine's host name.
    pub pop: Option<String>,
    /// Whether presenters are taken by WHIP; without it, `http`, `roq` and the
    /// addresses of `media` are of no use.
    pub is_whip: bool,
    /// The listener for presenters.
    pub http: Http,
    /// How media come in.
    pub media: Media,
    /// The link to the origin.
    pub roq: Roq,
    /// The STUN and TURN server; `None` without the role.
    pub turn: Option<Appliance>,
    /// The name server; `None` without the role.
    pub dns: Option<NameServer>,
    /// What is known of the fleet; `None` when it is nothing.
    pub fleet: Option<fleet::Known>,
    /// The certificate from a CA; `None` without.
    pub acme: Option<acme::Settings>,
    /// The listener for operators.
    pub admin: Admin,
    /// Where Prometheus scrapes.
    pub metrics: SocketAddr,
    /// How much is taken on.
    pub limits: Limits,
    /// How long running sessions may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// What is logged, and how.
    pub log: Log,
}

/// The listener for presenters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// The certificate's source; `None` means plain HTTP.
    pub tls: Option<CertificateSource>,
    /// This point of presence's own base URL.
    pub public_url: Option<String>,
    /// Base URL of the one where presenters go when there is no room.
    pub redirect_to: Option<String>,
}

/// How media come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Addresses that receive media; wildcards stand for all of the machine's.
    pub addresses: Vec<IpAddr>,
    /// What presenters are told instead, behind 1:1 NAT; empty without.
    pub public: Vec<IpAddr>,
    /// Port of the first worker; 0 takes any.
    pub port: u16,
    /// Whether presenters may come by TCP too (ICE-TCP), at the same ports and at
    /// that of WHIP.
    pub tcp: bool,
    /// Threads that carry media; at least one.
    pub workers: u16,
    /// Which implementation speaks DTLS.
    pub dtls: Backend,
    /// How long ICE and DTLS may take to come up.
    pub connect_timeout: Duration,
    /// Silence that ends a session.
    pub silence_timeout: Duration,
    /// Where a browser's encoder begins.
    pub start_bitrate: Bitrate,
    /// The most that a presenter may send.
    pub max_bitrate: Bitrate,
}

/// The link to the origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Roq {
    /// Host and UDP port of the origin.
    pub origin: String,
    /// The name in its certificate.
    pub origin_name: String,
    /// What is shown to it.
    pub tls: TlsFiles,
    /// Authorities that sign it.
    pub ca: PathBuf,
    /// How long it may take to accept a presenter.
    pub open_timeout: Duration,
    /// The link is taken for dead after so long without a packet.
    pub idle_timeout: Duration,
    /// How long running sessions outlive their link.
    pub link_lost_timeout: Duration,
    /// Share of packets that may be lost without sending less.
    pub loss_tolerance: f64,
    /// Several packets per system call.
    pub segmentation_offload: bool,
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port.
    pub listen: SocketAddr,
    /// File with the bearer token; `None` leaves only health and readiness.
    pub token_file: Option<PathBuf>,
}

/// How much is taken on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Sessions on one worker.
    pub sessions_per_worker: usize,
    /// Offers that are answered at once.
    pub admissions: usize,
    /// Share of its time that a worker may be busy.
    pub worker_busy: f64,
    /// Connections to the WHIP listener.
    pub http_connections: usize,
    /// How often a stream key, and a source, may be refused.
    pub refused: Rule,
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
        self.check_media(&mut check);
        self.check_roq(&mut check);
        self.check_limits(&mut check);
        check.require(
            !self.roles.0.is_empty(),
            "roles",
            "is empty: name whip, turn, dns, or several",
        );
        if self.has_role(Role::Turn) {
            let has_certificate = !is_empty(&self.http.certificate) || self.acme.is_on();
            self.turn.check(&mut check, has_certificate);
        }
        if self.has_role(Role::Dns) {
            let has_certificate = !is_empty(&self.http.certificate) || self.acme.is_on();
            self.dns.check(&mut check, has_certificate);
        }
        self.fleet.check(&mut check, self.has_role(Role::Dns));
        self.check_acme(&mut check);
        check.finish(path)?;
        Ok(self.build())
    }

    fn has_role(&self, role: Role) -> bool {
        self.roles.0.contains(&role)
    }

    fn check_listeners(&self, check: &mut Check) {
        let mut tcp = vec![
            ("admin.listen", self.admin.listen),
            ("metrics.listen", self.metrics.listen),
        ];
        if self.has_role(Role::Whip) {
            tcp.insert(0, ("http.listen", self.http.listen));
        }
        if self.has_role(Role::Turn) {
            let turn = self.turn.tcp.iter().chain(&self.turn.tls);
            tcp.extend(turn.map(|address| ("turn.tcp", *address)));
        }
        if self.has_role(Role::Dns) {
            let dns = self.dns.tcp.iter().chain(&self.dns.tls);
            tcp.extend(dns.map(|address| ("dns.tcp", *address)));
        }
        if self.acme.is_on() && self.acme.challenge == acme::Challenge::Http01 {
            tcp.push(("acme.http_listen", self.acme.http_listen));
        }
        for (index, (key, address)) in tcp.iter().enumerate() {
            let earlier = tcp.iter().take(index).find(|(_, other)| {
                // Port 0 is a fresh port each time.
                other == address && address.port() != 0
            });
            if let Some((other, _)) = earlier {
                let what = format!("{address} is {other} already: use another port");
                check.require(false, key, what);
            }
        }
        self.check_media_ports(check, &tcp);
        for (key, url) in [
            ("http.public_url", &self.http.public_url),
            ("http.redirect_to", &self.http.redirect_to),
        ] {
            check.require(url.is_empty() || host_of(url).is_some(), key, BASE_URL);
        }
        check.require(
            is_empty(&self.http.certificate) == is_empty(&self.http.key),
            "http.key",
            "certificate and key go together: give both for HTTPS, or leave both empty for HTTP",
        );
        check.require(
            self.pop.name.len() <= MAX_POP_NAME && self.pop.name.is_ascii(),
            "pop.name",
            "must be at most 63 letters, digits and signs",
        );
    }

    /// A listener's certificate has one source.
    fn check_acme(&self, check: &mut Check) {
        self.acme.check(check);
        if !self.acme.is_on() {
            return;
        }
        let is_whip = self.has_role(Role::Whip);
        check.require(
            is_empty(&self.http.certificate),
            "acme.domains",
            "stands beside http.certificate: a listener has certificate files or ACME, so leave \
             one of them empty",
        );
        check.require(
            is_whip
                || (self.has_role(Role::Turn) && self.turn.wants_acme())
                || (self.has_role(Role::Dns) && self.dns.wants_acme()),
            "acme.domains",
            "would serve no listener: those of [turn] and [dns] by TLS have certificates of their \
             own, or there are none; leave it empty",
        );
        if let Some(host) = host_of(&self.http.public_url) {
            let what = format!("{host} of http.public_url is not among them: presenters go there");
            check.require(!is_whip || self.acme.has(host), "acme.domains", what);
        }
    }

    /// Media take TCP ports too, which must not be those of others.
    fn check_media_ports(&self, check: &mut Check, others: &[(&'static str, SocketAddr)]) {
        let media = &self.media;
        if !self.has_role(Role::Whip) || !media.tcp || media.port == 0 {
            return;
        }
        let last = media.port.saturating_add(workers(media.workers) - 1);
        let is_theirs = |address: &SocketAddr| {
            let is_same = |ip: &IpAddr| {
                ip.is_ipv4() == address.is_ipv4()
                    && (ip == &address.ip() || ip.is_unspecified() || address.ip().is_unspecified())
            };
            (media.port..=last).contains(&address.port()) && media.addresses.iter().any(is_same)
        };
        if let Some((key, address)) = others.iter().find(|(_, address)| is_theirs(address)) {
            let what =
                format!("{address} is a port of media.port: choose another, or media.tcp = false");
            check.require(false, key, what);
        }
    }

    fn check_media(&self, check: &mut Check) {
        let media = &self.media;
        check.require(
            !media.addresses.is_empty(),
            "media.addresses",
            "is empty: name an address, or 0.0.0.0 and :: for all",
        );
        let mut addresses = media.addresses.clone();
        addresses.sort_unstable();
        addresses.dedup();
        check.require(
            addresses.len() == media.addresses.len(),
            "media.addresses",
            "names an address twice: a port can be bound once",
        );
        for is_ipv4 in [true, false] {
            let of_family = media.public.iter().filter(|ip| ip.is_ipv4() == is_ipv4);
            check.require(
                of_family.count() <= 1,
                "media.public",
                "has more than one address of a family: 1:1 NAT has one",
            );
        }
        check.require(
            !media.public.iter().any(IpAddr::is_unspecified),
            "media.public",
            "must be an address that presenters can reach, not a wildcard",
        );
        check.range("media.workers", media.workers, 0..=MAX_WORKERS);
        let last = u32::from(media.port) + u32::from(workers(media.workers)) - 1;
        check.require(
            media.port == 0 || last <= u32::from(u16::MAX),
            "media.port",
            format!("the last worker would need port {last}: choose a lower one"),
        );
        let seconds = Duration::from_secs;
        let (connect, silence) = (media.connect_timeout, media.silence_timeout);
        check.span("media.connect_timeout", connect, seconds(1)..=seconds(60));
        check.span("media.silence_timeout", silence, seconds(5)..=seconds(60));
        check.range(
            "media.max_bitrate",
            media.max_bitrate,
            Bitrate::from_kbps(500)..=Bitrate::from_kbps(100_000),
        );
        check.range(
            "media.start_bitrate",
            media.start_bitrate,
            Bitrate::from_kbps(100)..=media.max_bitrate.max(Bitrate::from_kbps(100)),
        );
    }

    fn check_roq(&self, check: &mut Check) {
        let roq = &self.roq;
        check.require(
            split_host(&roq.origin).is_some(),
            "roq.origin",
            "is no host and port: write it like \"origin.example.com:4433\" or \"[2001:db8::1]:4433\"",
        );
        for (key, path) in [
            ("roq.certificate", &roq.certificate),
            ("roq.key", &roq.key),
            ("roq.ca", &roq.ca),
        ] {
            check.require(!is_empty(path), key, "is empty: name a file");
        }
        let (millis, seconds) = (Duration::from_millis, Duration::from_secs);
        check.span(
            "roq.open_timeout",
            roq.open_timeout,
            millis(500)..=seconds(30),
        );
        check.span(
            "roq.idle_timeout",
            roq.idle_timeout,
            seconds(2)..=seconds(60),
        );
        check.span(
            "roq.link_lost_timeout",
            roq.link_lost_timeout,
            seconds(0)..=seconds(30),
        );
        check.range("roq.loss_tolerance", roq.loss_tolerance, 0.0..=0.5);
    }

    fn check_limits(&self, check: &mut Check) {
        let limits = &self.limits;
        check.range(
            "limits.sessions_per_worker",
            limits.sessions_per_worker,
            1..=10_000,
        );
        check.range("limits.admissions", limits.admissions, 1..=10_000);
        check.range("limits.worker_busy", limits.worker_busy, 0.1..=1.0);
        check.range(
            "limits.http_connections",
            limits.http_connections,
            16..=1_000_000,
        );
        check.range("limits.refused_burst", limits.refused_burst, 1..=10_000);
        let hour = Duration::from_secs(3600);
        check.span(
            "limits.refused_interval",
            limits.refused_interval,
            Duration::from_secs(1)..=hour,
        );
        check.span("drain.timeout", self.drain.timeout, Duration::ZERO..=hour);
    }

    /// Puts checked values in their final form.
    fn build(self) -> Config {
        let (is_whip, is_turn) = (self.has_role(Role::Whip), self.has_role(Role::Turn));
        let is_dns = self.has_role(Role::Dns);
        let tls = file(self.http.certificate).zip(file(self.http.key));
        let tls = tls.map(|(certificate, key)| TlsFiles { certificate, key });
        let acme = self.acme.build();
        let tls = match &acme {
            Some(_) => Some(CertificateSource::Acme),
            None => tls.map(CertificateSource::Files),
        };
        let own_name = host_of(&self.http.public_url);
        let turn = self.turn.build(tls.as_ref(), &self.media.public, own_name);
        let dns = self.dns.build(tls.as_ref());
        let host = split_host(&self.roq.origin).map_or("", |(host, _)| host);
        let origin_name = match self.roq.origin_name {
            name if name.is_empty() => host.to_owned(),
            name => name,
        };
        Config {
            pop: Some(self.pop.name).filter(|name| !name.is_empty()),
            is_whip,
            turn: is_turn.then_some(turn),
            dns: is_dns.then_some(dns),
            fleet: self.fleet.build(),
            acme,
            http: Http {
                listen: self.http.listen,
                tls,
                public_url: Some(self.http.public_url).filter(|url| !url.is_empty()),
                redirect_to: Some(self.http.redirect_to).filter(|url| !url.is_empty()),
            },
            media: self.media.into(),
            roq: Roq {
                origin: self.roq.origin,
                origin_name,
                tls: TlsFiles {
                    certificate: self.roq.certificate,
                    key: self.roq.key,
                },
                ca: self.roq.ca,
                open_timeout: self.roq.open_timeout,
                idle_timeout: self.roq.idle_timeout,
                link_lost_timeout: self.roq.link_lost_timeout,
                loss_tolerance: self.roq.loss_tolerance,
                segmentation_offload: self.roq.segmentation_offload,
            },
            admin: Admin {
                listen: self.admin.listen,
                token_file: file(self.admin.token_file),
            },
            metrics: self.metrics.listen,
            limits: self.limits.into(),
            drain_timeout: self.drain.timeout,
            log: self.log,
        }
    }
}

impl From<file::Media> for Media {
    fn from(file: file::Media) -> Self {
        Self {
            addresses: file.addresses,
            public: file.public,
            port: file.port,
            tcp: file.tcp,
            workers: workers(file.workers),
            dtls: file.dtls,
            connect_timeout: file.connect_timeout,
            silence_timeout: file.silence_timeout,
            start_bitrate: file.start_bitrate,
            max_bitrate: file.max_bitrate,
        }
    }
}

impl From<file::Limits> for Limits {
    fn from(file: file::Limits) -> Self {
        Self {
            sessions_per_worker: file.sessions_per_worker as usize,
            admissions: file.admissions as usize,
            worker_busy: file.worker_busy,
            http_connections: file.http_connections as usize,
            refused: Rule {
                burst: file.refused_burst,
                interval: file.refused_interval,
            },
        }
    }
}

/// As many as were asked for; 0 asks for one per core.
fn workers(asked: u16) -> u16 {
    match asked {
        0 => thread::available_parallelism()
            .ok()
            .and_then(|cores| u16::try_from(cores.get()).ok())
            .unwrap_or(1)
            .min(MAX_WORKERS),
        asked => asked,
    }
}

const BASE_URL: &str = "must be like https://a.example, without a path";

/// The host of a base URL, brackets kept, port left out; `None` when it is none.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("https://")
        .or(url.strip_prefix("http://"))?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            port.parse::<u16>().ok()?;
            host
        }
        _ => authority,
    };
    (!host.is_empty() && authority.chars().all(is_plain)).then_some(host)
}

/// Host and port; the host without the brackets of an IPv6 address.
pub(crate) fn split_host(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then_some((host, port))
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn file(path: PathBuf) -> Option<PathBuf> {
    (!is_empty(&path)).then_some(path)
}
