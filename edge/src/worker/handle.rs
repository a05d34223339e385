//! The sending end of a worker's channel, and starting its thread.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use inlet_common::clock;
use mio::Waker;
use rand::Rng as _;

use super::{
    Command, Telling,
    driver::{Driver, LOAD_UNIT, Live},
    engine::Engine,
    ice_tcp::{self, Streams},
    media::{self, Listener},
    pace::Pace,
    token::Source,
};
use crate::{
    metrics::{self, Media},
    roq::{self, NotForQuic, link::Link},
    turn::plane as turn,
    udp::{
        Receiver, Socket,
        addresses::{self, Advertised},
    },
    whip::session::Addresses,
};

/// Commands that may wait for a worker's next turn, which is at most
/// milliseconds away.
const MAX_QUEUED_COMMANDS: usize = 1024;

/// Ports that are tried where any will do.
const MAX_TRIES: usize = 16;

/// Settings of one worker, which has media, the TURN server, or both.
#[derive(Debug)]
pub struct Config {
    /// Which worker it is, from 0.
    pub index: u16,
    /// Media and the link to the origin; `None` without the role.
    pub media: Option<MediaConfig>,
    /// The TURN server; `None` without the role.
    pub turn: Option<turn::Config>,
}

/// Settings of one worker's media.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Addresses to receive media at; the wildcard stands for all of the
    /// machine's.
    pub bind: Vec<IpAddr>,
    /// Media port of worker 0; this one takes `port + index`. 0 takes any.
    pub port: u16,
    /// Public addresses behind 1:1 NAT, at most one per family; empty without.
    pub public: Vec<IpAddr>,
    /// Whether presenters may come by TCP too, at the same port.
    pub tcp: bool,
    /// Where presenters' TCP connections are handed to this worker from, which is
    /// the port of HTTPS; empty without.
    pub shared: Vec<SocketAddr>,
    /// Sessions that this worker takes. Default of the process's
    /// configuration: 500.
    pub max_sessions: usize,
    /// The link to the origin.
    pub link: roq::Config,
}

/// A worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A media address cannot be bound, for UDP.
    #[error("media address {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// The same for TCP.
    #[error("media address {0}, TCP (media.tcp = false does without)")]
    BindTcp(SocketAddr, #[source] io::Error),
    /// Neither bind addresses nor the machine give an address for candidates.
    #[error("no address that presenters could reach")]
    NoAddress,
    /// Base port and index together exceed 65535.
    #[error("media port out of range")]
    Port,
    /// Something else the kernel refuses.
    #[error("worker")]
    Io(#[from] io::Error),
    /// The TURN server cannot start.
    #[error(transparent)]
    Turn(#[from] turn::Error),
    /// The link's TLS configuration is of no use.
    #[error(transparent)]
    Tls(#[from] NotForQuic),
}

/// A command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many commands wait; the worker is overloaded.
    #[error("worker has no room for another command")]
    Full,
    /// The worker has stopped.
    #[error("worker has stopped")]
    Stopped,
}

/// Speaks to a worker from anywhere.
#[derive(Clone, Debug)]
pub struct Handle {
    index: u16,
    addresses: Arc<Addresses>,
    commands: SyncSender<Command>,
    waker: Arc<Waker>,
    live: Arc<Live>,
    metrics: Media,
}

impl Handle {
    /// Which worker it is.
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// What the candidates of this worker's sessions are made of.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Sends a command; never blocks. A command that is not taken is dropped,
    /// and with it its session.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        self.commands.try_send(command).map_err(|error| {
            self.metrics.commands_refused.increment(1);
            match error {
                TrySendError::Full(_) => SendError::Full,
                TrySendError::Disconnected(_) => SendError::Stopped,
            }
        })?;
        self.waker.wake().map_err(|_| SendError::Stopped)
    }

    /// Sessions that run there now.
    pub fn sessions(&self) -> usize {
        self.live.sessions.load(Ordering::Relaxed)
    }

    /// Whether its link to the origin is up.
    pub fn is_link_up(&self) -> bool {
        self.live.is_link_up.load(Ordering::Relaxed)
    }

    /// Share of its time that it has worked in the last seconds, from 0 to 1.
    pub fn load(&self) -> f64 {
        f64::from(self.live.load.load(Ordering::Relaxed)) / LOAD_UNIT
    }

    /// Turns of its loop so far: a worker whose number has not moved for a
    /// second hangs.
    pub fn turns(&self) -> u64 {
        self.live.turns.load(Ordering::Relaxed)
    }
}

/// Starts a worker: binds its sockets, then runs it on a thread of its own. The
/// thread ends after [`Command::Stop`], or when the last [`Handle`] is gone.
///
/// # Errors
///
/// See [`Error`].
pub fn start(
    config: Config,
    events: Telling,
    metrics: Media,
) -> Result<(Handle, JoinHandle<()>), Error> {
    let poll = mio::Poll::new()?;
    let registry = poll.registry();
    let waker = Arc::new(Waker::new(registry, Source::Waker.token())?);
    let now = clock::now();
    let index = config.index;
    let turn = config.turn.map(|turn| {
        let waker = Arc::clone(&waker);
        turn::Plane::new(index, turn, registry, waker, seed(), now)
    });
    let turn = turn.transpose()?;
    let media = config
        .media
        .map(|media| start_media(index, media, events, metrics.clone()));
    let mut media = media.transpose()?;
    if let Some(media) = &mut media {
        media.register(registry)?;
    }
    let addresses = Arc::new(Addresses {
        worker: index,
        ..media
            .as_ref()
            .map(media::Plane::addresses)
            .unwrap_or_default()
    });
    let (commands, received) = sync_channel(MAX_QUEUED_COMMANDS);
    let live = Arc::new(Live::default());
    let driver = Driver {
        poll,
        media,
        turn,
        commands: received,
        live: Arc::clone(&live),
        metrics: metrics.clone(),
        receiver: Receiver::default(),
        ready: BTreeSet::new(),
        pace: Pace::new(),
        load: metrics::load(index),
    };
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || driver.run())?;
    let handle = Handle {
        index,
        addresses,
        commands,
        waker,
        live,
        metrics,
    };
    Ok((handle, thread))
}

/// Binds the sockets of media and makes the link.
fn start_media(
    index: u16,
    config: MediaConfig,
    events: Telling,
    metrics: Media,
) -> Result<media::Plane, Error> {
    let (listeners, called) = bind(index, &config)?;
    if listeners
        .iter()
        .all(|listener| listener.candidates.is_empty())
    {
        return Err(Error::NoAddress);
    }
    let link_socket = Socket::bind(any_port(config.link.origin))?;
    let now = clock::now();
    let link = Link::new(config.link, seed(), now, clock::utc())?;
    Ok(media::Plane {
        engine: Engine::new(link, events, metrics.clone(), config.max_sessions, now),
        listeners,
        tcp: Streams::new(called, config.shared, metrics.ice_tcp.clone()),
        link_socket,
        link_out: Vec::new(),
        unsent: None,
        metrics,
    })
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    seed
}

/// Binds the sockets of media: for UDP, and for TCP on the same numbers.
fn bind(
    index: u16,
    config: &MediaConfig,
) -> Result<(Vec<Listener>, Vec<ice_tcp::Listener>), Error> {
    let port = match config.port {
        0 => 0,
        base => base.checked_add(index).ok_or(Error::Port)?,
    };
    let machine = addresses::machine()?;
    let (mut listeners, mut called) = (Vec::new(), Vec::new());
    // IPv4 first: where both work it is the shorter way more often.
    let mut ips = config.bind.clone();
    ips.sort_by_key(IpAddr::is_ipv6);
    for ip in ips {
        let (socket, listener) = bind_both(SocketAddr::new(ip, port), config, &machine)?;
        called.extend(listener);
        let advertised = Advertised::new(socket.local(), &machine, &config.public);
        let candidates = advertised.candidates();
        listeners.push(Listener {
            socket,
            advertised,
            candidates,
        });
    }
    Ok((listeners, called))
}

/// Binds an address for UDP and, where it is wanted, for TCP. Where any port will
/// do, one is looked for that is free for both.
fn bind_both(
    address: SocketAddr,
    config: &MediaConfig,
    machine: &[IpAddr],
) -> Result<(Socket, Option<ice_tcp::Listener>), Error> {
    let mut tries = if address.port() == 0 { MAX_TRIES } else { 1 };
    loop {
        let socket = Socket::bind(address).map_err(|error| Error::Bind(address, error))?;
        if !config.tcp {
            return Ok((socket, None));
        }
        tries -= 1;
        match ice_tcp::Listener::bind(socket.local(), machine, &config.public) {
            Ok(listener) => return Ok((socket, Some(listener))),
            Err(error) if tries == 0 => return Err(Error::BindTcp(socket.local(), error)),
            Err(_) => {}
        }
    }
}

const fn any_port(origin: SocketAddr) -> SocketAddr {
    match origin {
        SocketAddr::V4(_) => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        SocketAddr::V6(_) => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    }
}
