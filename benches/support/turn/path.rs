//! What sends: a train of equal datagrams, or a stream with ChannelData in it.
//!
//! A payload ends with the moment it was sent, in ns since the load's epoch, so
//! that any packet of a train tells its latency.

use std::{
    io::{self, IoSlice, Write as _},
    net::{SocketAddrV4, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    rc::Rc,
};

use anyhow::Result;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use rustls::ClientConnection;

use super::client::Link;

/// Bytes of the moment at a payload's end.
pub const STAMP: usize = size_of::<u64>();

/// One way by which packets leave.
#[derive(Debug)]
pub struct Path {
    way: Way,
    /// All packets of a train in a row.
    train: Vec<u8>,
    packet_len: usize,
}

#[derive(Debug)]
enum Way {
    Datagrams {
        socket: Rc<UdpSocket>,
        to: Option<SockaddrIn>,
    },
    Stream(Stream),
}

impl Path {
    /// Sends trains of `burst` datagrams from a socket, connected or to an
    /// address.
    pub fn datagrams(
        socket: Rc<UdpSocket>,
        to: Option<SocketAddrV4>,
        packet: &[u8],
        burst: usize,
    ) -> Self {
        let way = Way::Datagrams {
            socket,
            to: to.map(SockaddrIn::from),
        };
        Self {
            way,
            train: packet.repeat(burst),
            packet_len: packet.len(),
        }
    }

    /// Sends trains of `burst` packets by a client's link.
    ///
    /// # Errors
    ///
    /// When a stream cannot be made non-blocking.
    pub fn of_link(link: Link, packet: &[u8], burst: usize) -> Result<Self> {
        let (session, socket) = match link {
            Link::Udp(socket) => return Ok(Self::datagrams(socket, None, packet, burst)),
            Link::Tcp(socket) => (None, socket),
            Link::Tls(session, socket) => (Some(session), socket),
        };
        socket.set_nonblocking(true)?;
        let way = Way::Stream(Stream {
            socket,
            session,
            rest: Vec::new(),
        });
        Ok(Self {
            way,
            train: packet.repeat(burst),
            packet_len: packet.len(),
        })
    }

    /// Packets in a train.
    pub const fn burst(&self) -> u64 {
        (self.train.len() / self.packet_len) as u64
    }

    /// Sends a train, unless there is no room for it.
    ///
    /// # Errors
    ///
    /// When a stream has ended.
    pub fn send(&mut self, stamp: u64) -> Result<bool> {
        for packet in self.train.chunks_exact_mut(self.packet_len) {
            let at = self.packet_len - STAMP;
            packet[at..].copy_from_slice(&stamp.to_be_bytes());
        }
        match &mut self.way {
            Way::Datagrams { socket, to } => {
                Ok(send_train(socket, *to, &self.train, self.packet_len))
            }
            Way::Stream(stream) => stream.send(&self.train),
        }
    }
}

/// One system call whatever the burst; a full queue is a refused train.
fn send_train(socket: &UdpSocket, to: Option<SockaddrIn>, train: &[u8], segment: usize) -> bool {
    let segment_size = segment as u16;
    let segments = [ControlMessage::UdpGsoSegments(&segment_size)];
    let control = if train.len() > segment {
        &segments[..]
    } else {
        &[]
    };
    let slices = [IoSlice::new(train)];
    sendmsg(
        socket.as_raw_fd(),
        &slices,
        control,
        MsgFlags::empty(),
        to.as_ref(),
    )
    .is_ok()
}

/// A stream that takes a train whole or not at all.
#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    session: Option<Box<ClientConnection>>,
    /// What of an accepted train the socket had no room for.
    rest: Vec<u8>,
}

impl Stream {
    fn send(&mut self, train: &[u8]) -> Result<bool> {
        if !self.flush()? {
            return Ok(false);
        }
        match &mut self.session {
            Some(session) => session.writer().write_all(train)?,
            None => self.rest.extend_from_slice(train),
        }
        self.flush()?;
        Ok(true)
    }

    /// Whether nothing is left to write.
    fn flush(&mut self) -> Result<bool> {
        let written = match &mut self.session {
            Some(session) => write_records(session, &mut self.socket),
            None => write_bytes(&mut self.rest, &mut self.socket),
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn write_records(session: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(socket)?;
    }
    Ok(())
}

fn write_bytes(rest: &mut Vec<u8>, socket: &mut TcpStream) -> io::Result<()> {
    while !rest.is_empty() {
        let written = socket.write(rest)?;
        rest.drain(..written);
    }
    Ok(())
}
