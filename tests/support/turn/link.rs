//! A client's way to its server, by UDP, TCP or TLS; blocking.
//!
//! What comes is handed out frame by frame, whatever the reads brought: a
//! connection carries STUN messages and ChannelData back to back (RFC 8656 §3.1).

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

/// How long a read waits before whoever reads looks at its own deadline.
const TICK: Duration = Duration::from_millis(100);
/// How long a handshake may take on a busy machine.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any datagram here.
const DATAGRAM: usize = 2_048;

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A connection with TLS.
    Tls,
}

/// A server as links see it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Port, on both families, of all transports.
    pub port: u16,
    /// What the certificate says.
    pub name: ServerName<'static>,
    /// Whom a certificate is believed by.
    pub tls: Arc<ClientConfig>,
}

/// An open way.
#[derive(Debug)]
pub struct Link {
    socket: Socket,
    /// What a connection brought and nobody has taken.
    inbox: Vec<u8>,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<ClientConnection>, TcpStream),
}

impl Link {
    /// Opens a way from loopback.
    ///
    /// # Errors
    ///
    /// When the server does not listen, or TLS does not come about.
    pub fn open(server: &Server, transport: Transport, is_ipv4: bool) -> Result<Self> {
        let ip = match is_ipv4 {
            true => IpAddr::V4(Ipv4Addr::LOCALHOST),
            false => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        let address = SocketAddr::new(ip, server.port);
        let socket = match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind((ip, 0))?;
                socket.connect(address)?;
                socket.set_read_timeout(Some(TICK))?;
                Socket::Udp(socket)
            }
            Transport::Tcp => Socket::Tcp(connect(address)?),
            Transport::Tls => {
                let session = ClientConnection::new(Arc::clone(&server.tls), server.name.clone())?;
                let (mut session, mut stream) = (Box::new(session), connect(address)?);
                shake_hands(&mut session, &mut stream)?;
                Socket::Tls(session, stream)
            }
        };
        Ok(Self {
            socket,
            inbox: Vec::new(),
        })
    }

    /// Whether what is sent may be lost.
    pub const fn is_datagram(&self) -> bool {
        matches!(self.socket, Socket::Udp(_))
    }

    /// Sends one frame; ChannelData must be padded already for a connection.
    ///
    /// # Errors
    ///
    /// When the other side has gone.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        match &mut self.socket {
            Socket::Udp(socket) => socket.send(frame).map(drop),
            Socket::Tcp(stream) => stream.write_all(frame),
            Socket::Tls(session, stream) => {
                rustls::Stream::new(&mut **session, stream).write_all(frame)
            }
        }
        .context("sending")
    }

    /// Takes the next frame; `None` when nothing comes for a moment.
    ///
    /// # Errors
    ///
    /// When the other side has gone.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>> {
        let mut bytes = [0; DATAGRAM];
        loop {
            if let Some(frame) = self.frame() {
                return Ok(Some(frame));
            }
            let read = match &mut self.socket {
                Socket::Udp(socket) => socket.recv(&mut bytes),
                Socket::Tcp(stream) => stream.read(&mut bytes),
                Socket::Tls(session, stream) => {
                    rustls::Stream::new(&mut **session, stream).read(&mut bytes)
                }
            };
            match read {
                Ok(length) if self.is_datagram() => return Ok(Some(bytes[..length].to_vec())),
                Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(length) => self.inbox.extend(&bytes[..length]),
                Err(error) if is_nothing(&error) => return Ok(None),
                Err(error) => return Err(error).context("receiving"),
            }
        }
    }

    /// Takes a whole frame out of what a connection brought.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let &[first, _, high, low] = self.inbox.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let length = match first {
            // RFC 8656 §12.5: ChannelData is padded on a connection.
            0x40..=0x4F => 4 + length.next_multiple_of(4),
            _ => super::message::HEADER + length,
        };
        (self.inbox.len() >= length).then(|| self.inbox.drain(..length).collect())
    }
}

/// Not left to the first frame: to send one, a moment without an answer would be
/// an error.
fn shake_hands(session: &mut ClientConnection, stream: &mut TcpStream) -> Result<()> {
    let start = clock::now();
    while session.is_handshaking() {
        match session.complete_io(stream) {
            Ok(_) => {}
            Err(error) if is_nothing(&error) => {}
            Err(error) => return Err(error).context("TLS"),
        }
        let lasted = clock::now().duration_since(start);
        ensure!(lasted < HANDSHAKE_PATIENCE, "TLS: no answer in {lasted:?}");
    }
    Ok(())
}

fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
