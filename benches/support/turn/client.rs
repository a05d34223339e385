//! TURN clients with allocations, by UDP, TCP and TLS.
//!
//! Setting up is blocking and by request and response; only the load that comes
//! after does not block. Windows of requests keep a server busy while
//! allocations are counted.

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ClientConfig, ClientConnection};
use tests::turn::message::{
    ALLOCATE, BINDING, CHANNEL_BIND, CHANNEL_NUMBER, CREATE_PERMISSION, Credentials, Draft, HEADER,
    Message, REQUESTED_TRANSPORT, XOR_RELAYED_ADDRESS,
};

use super::{CLIENT_IP, PASSWORD, REALM, SERVER, SERVER_TLS, USER};

/// How long a response is waited for before a datagram is sent again.
const PATIENCE: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 6;
/// What a client's socket buffers: 1,700 packets of 1,200 bytes as the kernel
/// counts them.
const CLIENT_BUFFER: usize = 4 << 20;
/// No answer to these requests is longer.
const LONGEST_RESPONSE: usize = 1_500;

/// How a client reaches its server.
#[derive(Debug)]
pub enum Link {
    /// A connected socket.
    Udp(Rc<UdpSocket>),
    /// TCP alone.
    Tcp(TcpStream),
    /// TLS on TCP.
    Tls(Box<ClientConnection>, TcpStream),
}

impl Link {
    /// Opens a UDP socket that talks to the server; from any port when
    /// `source` has none.
    ///
    /// # Errors
    ///
    /// When the address is taken.
    pub fn udp(source: SocketAddrV4) -> Result<Self> {
        let socket = bound(source, CLIENT_BUFFER)?;
        socket.connect(SERVER)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::Udp(socket))
    }

    /// Connects by TCP.
    ///
    /// # Errors
    ///
    /// When the server does not listen.
    pub fn tcp() -> Result<Self> {
        Ok(Self::Tcp(connect(SERVER)?))
    }

    /// Connects by TLS; the handshake comes with the first request.
    ///
    /// # Errors
    ///
    /// When the server does not listen.
    pub fn tls(config: &Arc<ClientConfig>) -> Result<Self> {
        let name = IpAddr::V4(*SERVER_TLS.ip()).into();
        let session = ClientConnection::new(Arc::clone(config), name)?;
        Ok(Self::Tls(Box::new(session), connect(SERVER_TLS)?))
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(request).map(drop),
            Self::Tcp(socket) => socket.write_all(request),
            Self::Tls(session, socket) => {
                rustls::Stream::new(&mut **session, socket).write_all(request)
            }
        }
    }

    /// Waits for the response to a request that was sent.
    fn response(&mut self, request: &[u8]) -> Result<Message> {
        for _ in 0..ATTEMPTS {
            match self.receive() {
                Ok(wire) => match Message::decode(&wire) {
                    Some(response) if response.answers(request) => return Ok(response),
                    _ => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ensure!(matches!(self, Self::Udp(_)), "no response");
                    self.send(request)?;
                }
                Err(error) => return Err(error).context("receiving a response"),
            }
        }
        bail!("no response")
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut wire = vec![0; LONGEST_RESPONSE];
        let length = match self {
            Self::Udp(socket) => socket.recv(&mut wire)?,
            Self::Tcp(socket) => read_message(socket, &mut wire)?,
            Self::Tls(session, socket) => {
                read_message(&mut rustls::Stream::new(&mut **session, socket), &mut wire)?
            }
        };
        wire.truncate(length);
        Ok(wire)
    }
}

/// Whether a server answers a Binding request; a datagram is sent.
///
/// # Errors
///
/// When a socket cannot be had.
pub fn answers_binding() -> Result<bool> {
    let mut link = Link::udp(SocketAddrV4::new(CLIENT_IP, 0))?;
    let request = Draft::new(BINDING).finish();
    Ok(link.send(&request).is_ok() && link.receive().is_ok())
}

/// A client that has an allocation.
#[derive(Debug)]
pub struct Client {
    /// Its way to the server.
    pub link: Link,
    /// Where peers reach it.
    pub relayed: SocketAddrV4,
    credentials: Credentials,
}

impl Client {
    /// Makes an allocation for each link, `window` of them at a time.
    ///
    /// # Errors
    ///
    /// When one of them is refused or not answered.
    pub fn allocate(links: Vec<Link>, window: usize) -> Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(links.len());
        let mut links = links.into_iter().peekable();
        while links.peek().is_some() {
            let mut window: Vec<Link> = links.by_ref().take(window).collect();
            let asked = exchange(&mut window, |_| Ok(allocate().finish()))?;
            let credentials: Result<Vec<_>> = asked.iter().map(learn).collect();
            let credentials = credentials?;
            let granted = exchange(&mut window, |at| Ok(allocate().sign(&credentials[at])))?;
            for ((link, credentials), granted) in window.into_iter().zip(credentials).zip(granted) {
                clients.push(Self {
                    link,
                    relayed: relayed_address(&granted)?,
                    credentials,
                });
            }
        }
        Ok(clients)
    }

    /// Permits a peer.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn permit(&mut self, peer: SocketAddrV4) -> Result<()> {
        self.request(Draft::new(CREATE_PERMISSION).peer(peer.into()))
    }

    /// Binds a channel to a peer.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn bind(&mut self, channel: u16, peer: SocketAddrV4) -> Result<()> {
        let [high, low] = channel.to_be_bytes();
        let number = [high, low, 0, 0];
        self.request(
            Draft::new(CHANNEL_BIND)
                .attribute(CHANNEL_NUMBER, &number)
                .peer(peer.into()),
        )
    }

    fn request(&mut self, message: Draft) -> Result<()> {
        let request = message.sign(&self.credentials);
        self.link.send(&request)?;
        let code = self.link.response(&request)?.error_code();
        ensure!(code == 0, "a request was refused with {code}");
        Ok(())
    }
}

/// A socket with a buffer larger than what the system grants by itself.
///
/// # Errors
///
/// When the address is taken, or this does not run as root.
pub fn bound(address: SocketAddrV4, buffer: usize) -> Result<Rc<UdpSocket>> {
    let socket =
        UdpSocket::bind(SocketAddr::V4(address)).with_context(|| format!("binding {address}"))?;
    setsockopt(&socket, sockopt::RcvBufForce, &buffer)?;
    setsockopt(&socket, sockopt::SndBufForce, &buffer)?;
    Ok(Rc::new(socket))
}

fn connect(server: SocketAddrV4) -> Result<TcpStream> {
    let stream = TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
    stream.set_read_timeout(Some(PATIENCE * ATTEMPTS as u32))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request on each link, then waits for all of the responses.
fn exchange(
    links: &mut [Link],
    message: impl Fn(usize) -> Result<Vec<u8>>,
) -> Result<Vec<Message>> {
    let requests: Result<Vec<Vec<u8>>> = (0..links.len()).map(message).collect();
    let requests = requests?;
    for (link, request) in links.iter_mut().zip(&requests) {
        link.send(request)?;
    }
    let all = links.iter_mut().zip(&requests);
    all.map(|(link, request)| link.response(request)).collect()
}

fn learn(challenge: &Message) -> Result<Credentials> {
    let credentials = Credentials::learn(challenge, USER, PASSWORD)?;
    ensure!(credentials.realm() == REALM.as_bytes(), "another realm");
    Ok(credentials)
}

fn relayed_address(granted: &Message) -> Result<SocketAddrV4> {
    let code = granted.error_code();
    ensure!(code == 0, "an allocation was refused with {code}");
    match granted.address(XOR_RELAYED_ADDRESS) {
        Some(SocketAddr::V4(address)) => Ok(address),
        _ => bail!("no IPv4 relayed address"),
    }
}

fn allocate() -> Draft {
    // RFC 8656 §14.7: UDP.
    Draft::new(ALLOCATE).attribute(REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

/// One STUN message of a stream: its header says how long it is.
fn read_message(stream: &mut impl io::Read, wire: &mut [u8]) -> io::Result<usize> {
    let (header, body) = wire.split_at_mut(HEADER);
    stream.read_exact(header)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let body = body
        .get_mut(..length)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    stream.read_exact(body)?;
    Ok(HEADER + length)
}
