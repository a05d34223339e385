//! The sockets that presenters call by TCP: one for each media socket, on the same
//! number.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Type};

use crate::udp::addresses::Advertised;

/// Connections that wait in the kernel while the worker is busy.
const BACKLOG: i32 = 1024;

/// A socket that is called, and what it goes by.
#[derive(Debug)]
pub(in crate::worker) struct Listener {
    inner: TcpListener,
    advertised: Advertised,
}

impl Listener {
    /// Binds and listens. IPv6 leaves IPv4 alone, as for UDP.
    pub(in crate::worker) fn bind(
        address: SocketAddr,
        machine: &[IpAddr],
        public: &[IpAddr],
    ) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A restart must not wait for the last connections' TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self {
            inner: TcpListener::from_std(socket.into()),
            advertised: Advertised::new(address, machine, public),
        })
    }

    /// What presenters are told.
    pub(super) fn candidates(&self) -> Vec<SocketAddr> {
        self.advertised.candidates()
    }

    /// The socket for `mio::Registry::register`.
    pub(super) const fn source(&mut self) -> &mut TcpListener {
        &mut self.inner
    }

    /// Takes the next connection: itself, its remote end, and ours as the presenter
    /// knows it.
    pub(super) fn accept(&self) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
        let (socket, remote) = self.inner.accept()?;
        let local = socket.local_addr()?;
        let local = self.advertised.destination(Some(local.ip()));
        Ok((socket, remote, local))
    }
}
