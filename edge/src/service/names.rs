//! The name server's side of the process: its files, its sockets, its threads.

use std::{io, net::SocketAddr, sync::Arc};

use inlet_common::{
    lifecycle::Tasks,
    service::{listener::BindError, systemd::Progress},
};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Type};
use tokio_util::sync::CancellationToken;

use super::{certificates::Held, fleet::Known, workers};
use crate::{
    config::{Config, NameServer},
    dns::{
        limit::Rule,
        server::{self, Listening, NoAddress, Responder, Socket, UdpThread, expand},
    },
    udp::addresses,
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why the name server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not tell its addresses.
    #[error("the machine's addresses")]
    Addresses(#[source] io::Error),
    /// There is nothing to bind.
    #[error(transparent)]
    NoAddress(NoAddress),
    /// A socket cannot be bound.
    #[error("cannot bind {0} for DNS by UDP")]
    Bind(SocketAddr, #[source] io::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread of the name server")]
    Thread(#[source] io::Error),
}

/// The name server, bound and not yet running.
#[derive(Debug)]
pub(super) struct Names {
    known: Arc<Known>,
    config: NameServer,
    udp: Vec<Socket>,
    tcp: Vec<Listening>,
}

impl Names {
    /// Binds its sockets, if this edge is a name server; it will answer from `known`,
    /// without which there is no name server.
    pub(super) fn bind_if_any(
        config: &Config,
        known: Option<&Arc<Known>>,
        certificates: &mut Held,
    ) -> Result<Option<Self>, super::Error> {
        let parts = config.dns.as_ref().zip(known);
        let bound = parts.map(|(dns, known)| Self::bind(dns, Arc::clone(known), certificates));
        bound.transpose()
    }

    fn bind(
        config: &NameServer,
        known: Arc<Known>,
        certificates: &mut Held,
    ) -> Result<Self, super::Error> {
        let machine = addresses::machine().map_err(Error::Addresses)?;
        let mut udp = Vec::new();
        for address in expand(&config.udp, &machine).map_err(Error::NoAddress)? {
            udp.extend(bind_udp(address, config.threads)?);
        }
        let tls = match config.tls.is_empty() {
            true => None,
            false => certificates.server(config.certificate.as_ref(), "dns")?,
        };
        let tls = tls.map(|config| Arc::new(for_dns(&config)));
        let mut tcp = Vec::new();
        for address in &config.tcp {
            tcp.push(Listening {
                listener: bind_tcp(*address)?,
                tls: None,
            });
        }
        for address in &config.tls {
            tcp.push(Listening {
                listener: bind_tcp(*address)?,
                tls: tls.clone(),
            });
        }
        Ok(Self {
            known,
            config: config.clone(),
            udp,
            tcp,
        })
    }

    /// Where it is reached: by UDP, and by TCP and TLS.
    pub(super) fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let mut udp: Vec<SocketAddr> = self.udp.iter().map(Socket::local).collect();
        udp.dedup();
        let tcp = self.tcp.iter();
        let tcp = tcp.filter_map(|tcp| tcp.listener.local_addr().ok());
        (udp, tcp.collect())
    }

    /// Starts its threads, which end soon after `closing`, and tells what shows that
    /// they turn. One that ends before its time ends the process.
    pub(super) fn start(
        self,
        closing: &CancellationToken,
        tasks: &mut Tasks,
    ) -> Result<Vec<Progress>, Error> {
        let shared = self.known.shared();
        let locals: Vec<SocketAddr> = self.udp.iter().map(Socket::local).collect();
        let mut progress = Vec::new();
        let mut threads = Vec::new();
        for (index, socket) in self.udp.into_iter().enumerate() {
            let turns = Progress::new(format!("dns-udp-{index}"));
            let rule = share(self.config.rule, socket.local(), &locals);
            let thread = UdpThread {
                socket,
                responder: Responder::new(Arc::clone(shared), rule),
                progress: turns.clone(),
                closing: closing.clone(),
            };
            threads.push(thread.start().map_err(Error::Thread)?);
            progress.push(turns);
        }
        let limits = self.config.connections;
        let tcp = server::start_tcp(self.tcp, Arc::clone(shared), limits, closing.clone());
        threads.push(tcp.map_err(Error::Thread)?);
        for thread in threads {
            let end = workers::end_of(thread).map_err(Error::Thread)?;
            workers::watch("dns", end, tasks);
        }
        Ok(progress)
    }
}

/// One socket for each thread, at one port.
fn bind_udp(address: SocketAddr, threads: u16) -> Result<Vec<Socket>, Error> {
    let bind = |address| Socket::bind(address).map_err(|error| Error::Bind(address, error));
    let first = bind(address)?;
    let bound = first.local();
    let mut sockets = vec![first];
    for _ in 1..threads {
        sockets.push(bind(bound)?);
    }
    Ok(sockets)
}

fn bind_tcp(address: SocketAddr) -> Result<std::net::TcpListener, super::Error> {
    let bind = || {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(std::net::TcpListener::from(socket))
    };
    bind().map_err(|source| BindError { address, source }.into())
}

/// What the socket at `local` may tell a network of what all of them may. The kernel
/// spreads the ports of a source over the threads of an address, and a source may ask at
/// each address of its family.
fn share(rule: Rule, local: SocketAddr, all: &[SocketAddr]) -> Rule {
    let is_reached = |other: &&SocketAddr| other.is_ipv4() == local.is_ipv4();
    let sockets = all.iter().filter(is_reached).count().max(1);
    let sockets = u32::try_from(sockets).unwrap_or(u32::MAX);
    Rule {
        // 0 would be without limit.
        per_second: (rule.per_second / sockets).max(rule.per_second.min(1)),
        ..rule
    }
}

/// What is registered for DNS over TLS (RFC 7858) in ALPN.
const DOT_ALPN: &[u8] = b"dot";

/// The same, for clients of DNS: those that name it are agreed with, as are those that
/// say nothing; and a CA that validates, where it may, is let in behind them.
fn for_dns(config: &ServerConfig) -> ServerConfig {
    let mut config = config.clone();
    config.alpn_protocols.insert(0, DOT_ALPN.to_vec());
    config
}

#[cfg(test)]
mod tests;
