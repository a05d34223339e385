//! `--check`: would the edge start with this configuration, and run well?
//!
//! What would keep it from starting is a problem (exit code 78); what would
//! only make it run badly is advice.

mod acme;
mod dns;

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use inlet_common::{
    clock::{self, UtcTime},
    config::{CertificateSource, TlsFiles},
    roq,
    service::{
        credential::Secret,
        logging,
        tls::{self, Certificates},
    },
};
use metrics::Gauge;
use socket2::{Domain, Type};

use super::{appliance, workers};
use crate::{
    config::{Appliance, Config},
    turn::{peer_policy::Policy, revocation::Revocations},
    udp::Socket,
};

/// `EX_CONFIG` of `sysexits.h`, which systemd shows by name.
const EX_CONFIG: u8 = 78;

/// A certificate that ends sooner should be renewed now.
const RENEW_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Bytes that the kernel should grant a media socket.
const SOCKET_BUFFER: u64 = 8 << 20;

/// Checks the configuration at `path` and prints what it found: 0 when the edge
/// would start, 78 when it would not.
pub fn check(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let found = Findings::of(&config, clock::utc());
    print(&found, path)
}

/// Says why a configuration cannot be used; the exit code is 78.
#[expect(clippy::print_stderr, reason = "the answer to a command on a terminal")]
pub fn refuse(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{}", explain(error));
    ExitCode::from(EX_CONFIG)
}

#[expect(clippy::print_stdout, reason = "the answer to a command on a terminal")]
#[expect(clippy::print_stderr, reason = "the answer to a command on a terminal")]
fn print(found: &Findings, path: &Path) -> ExitCode {
    for advice in &found.advice {
        println!("advice: {advice}");
    }
    for problem in &found.problems {
        eprintln!("{problem}");
    }
    if !found.problems.is_empty() {
        return ExitCode::from(EX_CONFIG);
    }
    println!("{}: sound", path.display());
    ExitCode::SUCCESS
}

/// What a configuration was found to be like on this machine.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<String>,
    pub(super) advice: Vec<String>,
}

impl Findings {
    pub(super) fn of(config: &Config, now: UtcTime) -> Self {
        let mut found = Self::default();
        found.note(logging::check_filter(&config.log.filter));
        if config.is_whip {
            if let Some(CertificateSource::Files(files)) = &config.http.tls {
                found.certificate("http", files, now);
            }
            found.link(config, now);
            found.note(workers::session_config(config));
        }
        if let Some(turn) = &config.turn {
            found.turn(turn, now);
        }
        if let Some(fleet) = &config.fleet {
            found.fleet(config, fleet, now);
        }
        if let Some(dns) = &config.dns {
            found.dns(dns, now);
        }
        if let Some(file) = &config.admin.token_file {
            found.note(Secret::load(file));
        }
        if let Some(settings) = &config.acme {
            found.acme(config, settings, now);
        }
        found.ports(config);
        found.buffers();
        if config.is_whip
            && let Err(error) = workers::look_up(&config.roq.origin)
        {
            let origin = &config.roq.origin;
            found.problems.push(format!(
                "roq.origin: {origin} cannot be looked up ({error}): mend the name or the resolver"
            ));
        }
        found
    }

    fn note<T, E: std::error::Error + 'static>(&mut self, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|error| self.problems.push(explain(&error)))
            .ok()
    }

    fn certificate(&mut self, section: &str, files: &TlsFiles, now: UtcTime) {
        let loaded = Certificates::load(files.clone(), Gauge::noop());
        let Some(loaded) = self.note(loaded) else {
            return;
        };
        let left = loaded.not_after().micros_since(now);
        let days = left / 86_400_000_000;
        if left <= 0 {
            let what = format!("{section}.certificate has expired: renew it");
            self.problems.push(what);
        } else if (left as u128) < RENEW_BEFORE.as_micros() {
            let what = format!("{section}.certificate ends in {days} days: renew it");
            self.advice.push(what);
        }
        if loaded.names().is_empty() {
            self.advice.push(format!(
                "{section}.certificate is for no name (no subjectAltName): clients will refuse it"
            ));
        }
    }

    fn link(&mut self, config: &Config, now: UtcTime) {
        self.certificate("roq", &config.roq.tls, now);
        // What is wrong with the certificate has been said.
        let loaded = Certificates::load(config.roq.tls.clone(), Gauge::noop());
        if let Ok(loaded) = loaded {
            self.note(tls::link_client(loaded, &config.roq.ca, roq::ALPN));
        }
    }

    fn turn(&mut self, turn: &Appliance, now: UtcTime) {
        if let Some(CertificateSource::Files(files)) = &turn.listen.certificate {
            self.certificate("turn", files, now);
        }
        self.note(appliance::credentials(&turn.realm, &turn.credentials));
        self.note(appliance::relay_addresses(turn));
        let revocations = turn.listen.revocations.as_deref();
        self.note(Revocations::load(revocations, now));
        for address in &turn.listen.udp {
            self.bound("turn.udp", *address, Socket::bind(*address));
        }
        for (key, addresses) in [
            ("turn.tcp", &turn.listen.tcp),
            ("turn.tls", &turn.listen.tls),
        ] {
            for address in addresses {
                self.bound(key, *address, bind_tcp(*address));
            }
        }
        if turn.peers.policy == Policy::Open && !turn.peers.allow.is_empty() {
            self.advice.push(
                "turn.allow_peers lets strangers reach these networks: be sure that nothing \
                 there trusts this machine"
                    .to_owned(),
            );
        }
    }

    fn ports(&mut self, config: &Config) {
        for (key, address) in [
            ("admin.listen", config.admin.listen),
            ("metrics.listen", config.metrics),
        ] {
            self.bound(key, address, TcpListener::bind(address));
        }
        if !config.is_whip {
            return;
        }
        let http = config.http.listen;
        self.bound("http.listen", http, TcpListener::bind(http));
        for worker in 0..config.media.workers {
            let port = match config.media.port {
                0 => 0,
                port => port.saturating_add(worker),
            };
            for ip in &config.media.addresses {
                let address = SocketAddr::new(*ip, port);
                self.bound("media.port", address, Socket::bind(address));
                if config.media.tcp {
                    self.bound("media.port, TCP", address, bind_tcp(address));
                }
            }
        }
    }

    fn bound<T>(&mut self, key: &str, address: SocketAddr, bound: io::Result<T>) {
        if let Err(error) = bound {
            self.problems.push(format!(
                "{key}: {address} cannot be bound ({error}): stop what uses it, or choose another"
            ));
        }
    }

    fn buffers(&mut self) {
        for name in ["rmem_max", "wmem_max"] {
            let path = format!("/proc/sys/net/core/{name}");
            let Ok(text) = fs::read_to_string(path) else {
                continue;
            };
            let granted: u64 = text.trim().parse().unwrap_or(0);
            if granted < SOCKET_BUFFER {
                self.advice.push(format!(
                    "net.core.{name} is {granted}: bursts will be lost; \
                     run `sysctl -w net.core.{name}={SOCKET_BUFFER}`"
                ));
            }
        }
    }
}

/// Binds as the service does: IPv6 leaves IPv4 alone.
fn bind_tcp(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// An error and what caused it, in one line.
pub(super) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
