//! The loads: who sends what to whom.
//!
//! Each client has a peer of its own, so that a server's sockets and channels
//! are as many as in life.

use std::{net::SocketAddrV4, rc::Rc, time::Duration};

use anyhow::{Result, bail};
use tests::turn::message::{DATA, Draft, SEND};

use super::{
    CLIENT_IP, CLIENTS,
    client::{Client, Link, bound},
    generator::{Generator, Pace},
    path::Path,
    peer, plain_client,
    receiver::Receiver,
    server::Stand,
};

/// What a peer's socket buffers: a peer is never the one that loses.
const PEER_BUFFER: usize = 32 << 20;
const CHANNEL: u16 = 0x4000;
/// Allocations made at once.
const WINDOW: usize = 16;
/// Fills caches and finds routes before anything is counted.
const WARM_UP: Pace = Pace {
    rate: 2_000.0,
    lasts: Duration::from_millis(200),
};

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// ChannelData by UDP to a peer.
    ToPeer,
    /// Send indications to a peer.
    ToPeerBySend,
    /// ChannelData by TCP to a peer.
    ToPeerByTcp,
    /// ChannelData by TLS to a peer.
    ToPeerByTls,
    /// From a peer, as ChannelData to a client.
    ToClient,
    /// From one client to another, both by their allocations.
    Hairpin,
    /// ChannelData to a forwarder that has no allocations.
    Plain,
}

/// What goes that way.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The way.
    pub route: Route,
    /// Bytes of payload in a packet, a multiple of four.
    pub payload: usize,
    /// Packets that leave at once.
    pub burst: usize,
}

impl Load {
    /// The same another way.
    #[must_use]
    pub const fn by(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// Makes the allocations, channels and sockets at a running server.
    ///
    /// # Errors
    ///
    /// When the server refuses one, or does not relay.
    pub fn set_up(self, stand: &Stand, server: i32) -> Result<Generator> {
        let (paths, receiver) = match self.route {
            Route::ToPeer | Route::ToPeerByTcp | Route::ToPeerByTls => self.to_peer(stand)?,
            Route::ToPeerBySend => self.to_peer_by_send(stand)?,
            Route::ToClient => self.to_client(stand)?,
            Route::Hairpin => self.hairpin(stand)?,
            Route::Plain => self.plain()?,
        };
        let mut generator = Generator::new(paths, receiver, server);
        generator.trial(WARM_UP)?;
        Ok(generator)
    }

    fn to_peer(self, stand: &Stand) -> Result<(Vec<Path>, Receiver)> {
        let mut paths = Vec::new();
        for (index, mut client) in self.clients(stand)?.into_iter().enumerate() {
            client.bind(CHANNEL, peer(index as u16))?;
            paths.push(Path::of_link(
                client.link,
                &self.channel_data(),
                self.burst,
            )?);
        }
        Ok((paths, peers()?))
    }

    fn to_peer_by_send(self, stand: &Stand) -> Result<(Vec<Path>, Receiver)> {
        let mut paths = Vec::new();
        for (index, mut client) in self.clients(stand)?.into_iter().enumerate() {
            let peer = peer(index as u16);
            client.permit(peer)?;
            let packet = Draft::new(SEND)
                .peer(peer.into())
                .attribute(DATA, &self.payload());
            paths.push(Path::of_link(client.link, &packet.finish(), self.burst)?);
        }
        Ok((paths, peers()?))
    }

    fn to_client(self, stand: &Stand) -> Result<(Vec<Path>, Receiver)> {
        let (mut paths, mut sockets) = (Vec::new(), Vec::new());
        for (index, mut client) in self.clients(stand)?.into_iter().enumerate() {
            let peer = peer(index as u16);
            client.bind(CHANNEL, peer)?;
            let socket = bound(peer, PEER_BUFFER)?;
            let to = Some(client.relayed);
            paths.push(Path::datagrams(socket, to, &self.payload(), self.burst));
            sockets.push(datagram_socket(client)?);
        }
        Ok((paths, Receiver::new(sockets)?))
    }

    fn hairpin(self, stand: &Stand) -> Result<(Vec<Path>, Receiver)> {
        let (mut paths, mut sockets) = (Vec::new(), Vec::new());
        let pairs = self.clients(stand)?.into_iter().zip(self.clients(stand)?);
        for (mut from, mut to) in pairs {
            from.bind(CHANNEL, to.relayed)?;
            to.bind(CHANNEL, from.relayed)?;
            paths.push(Path::of_link(from.link, &self.channel_data(), self.burst)?);
            sockets.push(datagram_socket(to)?);
        }
        Ok((paths, Receiver::new(sockets)?))
    }

    fn plain(self) -> Result<(Vec<Path>, Receiver)> {
        let mut paths = Vec::new();
        for index in 0..CLIENTS {
            let link = Link::udp(plain_client(index))?;
            paths.push(Path::of_link(link, &self.channel_data(), self.burst)?);
        }
        Ok((paths, peers()?))
    }

    fn clients(self, stand: &Stand) -> Result<Vec<Client>> {
        let links: Result<Vec<Link>> = (0..CLIENTS)
            .map(|_| match self.route {
                Route::ToPeerByTcp => Link::tcp(),
                Route::ToPeerByTls => Link::tls(&stand.tls),
                _ => Link::udp(SocketAddrV4::new(CLIENT_IP, 0)),
            })
            .collect();
        Client::allocate(links?, WINDOW)
    }

    fn payload(self) -> Vec<u8> {
        vec![0x5A; self.payload]
    }

    /// RFC 8656 §12.4; no padding, for the payload is a multiple of four.
    fn channel_data(self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(4 + self.payload);
        packet.extend(CHANNEL.to_be_bytes());
        packet.extend((self.payload as u16).to_be_bytes());
        packet.extend(self.payload());
        packet
    }
}

fn peers() -> Result<Receiver> {
    let sockets: Result<Vec<_>> = (0..CLIENTS)
        .map(|index| bound(peer(index), PEER_BUFFER))
        .collect();
    Receiver::new(sockets?)
}

fn datagram_socket(client: Client) -> Result<Rc<std::net::UdpSocket>> {
    match client.link {
        Link::Udp(socket) => Ok(socket),
        Link::Tcp(_) | Link::Tls(..) => bail!("a stream is no datagram socket"),
    }
}
