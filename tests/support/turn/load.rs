//! Many sessions at once, the peer that echoes, and junk from elsewhere.

use std::{
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use inlet_common::clock;
use nix::sys::socket::{setsockopt, sockopt};
use rand::RngExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use super::{
    link::Server,
    message::{ALLOCATE, BINDING, Draft, REQUESTED_TRANSPORT},
    session::{self, World, noise, pause},
};

/// Whence junk comes: no source that clients share a limit with.
const JUNK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Complaints that are kept; one is too many already.
const MAX_COMPLAINTS: usize = 20;
/// Room for a burst of every session at once.
const ECHO_BUFFER: usize = 1 << 20;
/// How long the credential of a session is good, in seconds.
const CREDENTIAL: i64 = 86_400;

/// What all sessions have done.
#[derive(Debug, Default)]
pub struct Counts {
    allocations: AtomicU64,
    sessions: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
    complaints: Mutex<Vec<String>>,
    is_stopped: AtomicBool,
}

impl Counts {
    /// Allocations made.
    pub fn allocations(&self) -> u64 {
        self.allocations.load(Relaxed)
    }

    /// Sessions that have come to their end.
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Relaxed)
    }

    /// Data sent, and how much of that has not come back.
    pub fn data(&self) -> [u64; 2] {
        [self.sent.load(Relaxed), self.lost.load(Relaxed)]
    }

    /// What went wrong.
    pub fn complaints(&self) -> Vec<String> {
        let complaints = self.complaints.lock();
        complaints.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Relaxed)
    }

    pub(super) fn note_allocations(&self, count: u64) {
        self.allocations.fetch_add(count, Relaxed);
    }

    pub(super) fn note_session(&self) {
        self.sessions.fetch_add(1, Relaxed);
    }

    pub(super) fn note_data(&self, sent: usize, lost: usize) {
        self.sent.fetch_add(sent as u64, Relaxed);
        self.lost.fetch_add(lost as u64, Relaxed);
    }

    fn complain(&self, text: String) {
        let complaints = self.complaints.lock();
        let mut complaints = complaints.unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < MAX_COMPLAINTS {
            complaints.push(text);
        }
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    /// What it has done so far.
    pub counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins with so many sessions at a time, each followed by another one.
    ///
    /// # Errors
    ///
    /// When there is no socket for the peer.
    pub fn start(server: Server, secret: &str, sessions: usize) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let mut load = Self {
            counts,
            threads: Vec::new(),
        };
        let echoes = [
            (Ipv4Addr::LOCALHOST, 0).into(),
            (Ipv6Addr::LOCALHOST, 0).into(),
        ];
        let echoes = echoes.map(|address: SocketAddr| load.echo(address));
        let [ipv4, ipv6] = echoes;
        let world = Arc::new(World {
            server,
            secret: secret.to_owned(),
            echoes: [ipv4?, ipv6?],
        });
        for _ in 0..sessions {
            let world = Arc::clone(&world);
            load.spawn(move |counts| {
                while !counts.is_stopped() {
                    if let Err(error) = session::run(&world, counts) {
                        counts.complain(format!("{error:#}"));
                    }
                }
            });
        }
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, world.server.port));
        let socket = UdpSocket::bind((JUNK, 0))?;
        load.spawn(move |counts| {
            while !counts.is_stopped() {
                throw(&socket, server);
                pause(1..8);
            }
        });
        Ok(load)
    }

    /// Ends it: every session comes to its end at once.
    pub fn stop(self) {
        self.counts.is_stopped.store(true, Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                self.counts.complain("a thread panicked".to_owned());
            }
        }
    }

    /// A peer that sends back whatever it gets; returns where it is.
    fn echo(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        let socket = UdpSocket::bind(address)?;
        // The system may grant less.
        setsockopt(&socket, sockopt::RcvBuf, &ECHO_BUFFER)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let address = socket.local_addr()?;
        self.spawn(move |counts| {
            let mut bytes = [0; 2_048];
            while !counts.is_stopped() {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else {
                    continue;
                };
                if let Err(error) = socket.send_to(&bytes[..length], from) {
                    counts.complain(format!("the peer: {error}"));
                }
            }
        });
        Ok(address)
    }

    fn spawn(&mut self, run: impl FnOnce(&Counts) + Send + 'static) {
        let counts = Arc::clone(&self.counts);
        self.threads.push(thread::spawn(move || run(&counts)));
    }
}

/// Username and password that the holder of `secret` gives out; a new name each
/// time.
pub fn credential(secret: &str) -> (String, String) {
    let expiry = clock::utc().as_unix_seconds() + CREDENTIAL;
    let username = format!("{expiry}:guest-{:016x}", rand::random::<u64>());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let password = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
    (username, password)
}

/// A server on loopback whose certificate `authority`, a PEM file, has signed
/// for `localhost`.
///
/// # Errors
///
/// When there is no certificate in that file.
pub fn server(port: u16, authority: &Path) -> Result<Server> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).context("the authority")?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Server {
        port,
        name: ServerName::try_from("localhost")?,
        tls: Arc::new(config),
    })
}

/// One datagram, or now and then a connection, that means nothing.
fn throw(socket: &UdpSocket, server: SocketAddr) {
    let mut rng = rand::rng();
    let length = rng.random_range(0..300);
    let mut bytes = match rng.random_range(0..4) {
        0 => noise(length),
        1 => [&[0x40, rng.random(), 0, 8][..], &noise(length)].concat(),
        2 => Draft::new(BINDING)
            .attribute(rng.random(), &noise(length))
            .finish(),
        _ => Draft::new(ALLOCATE)
            .attribute(REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .attribute(rng.random(), &noise(length))
            .finish(),
    };
    if !bytes.is_empty() && rng.random() {
        let place = rng.random_range(0..bytes.len());
        bytes[place] = rng.random();
    }
    // Whoever throws junk does not care where it lands.
    if rng.random_ratio(1, 100) {
        let connection = TcpStream::connect(server);
        connection
            .and_then(|mut stream| stream.write_all(&bytes))
            .ok();
    } else {
        let relayed = SocketAddr::new(server.ip(), rng.random_range(61_000..=65_535));
        let target = if rng.random_ratio(1, 5) {
            relayed
        } else {
            server
        };
        socket.send_to(&bytes, target).ok();
    }
}
