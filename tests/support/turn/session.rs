//! Two clients from their allocations to their ends, with data between them.
//!
//! The first client's data come back: from the second one, which is reached by
//! hairpin, or from a plain UDP peer. What has not come back is lost.

use std::{collections::BTreeSet, net::SocketAddr, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rand::{Rng as _, RngExt as _};

use super::{
    client::{Caller, Client, Wish},
    link::{Server, Transport},
    load::{Counts, credential},
};

/// How long data may be under way on a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);
/// Data that are sent before any is waited for.
const MAX_BURST: u64 = 8;
/// Bytes of one datagram; the first eight tell which it is.
const SIZES: std::ops::Range<usize> = 8..1_200;
/// Lifetimes that are asked for, in seconds, within the server's and beyond.
const LIFETIMES: std::ops::Range<u32> = 1..200;

/// Where all sessions go.
#[derive(Clone, Debug)]
pub struct World {
    /// The server.
    pub server: Server,
    /// Its shared secret.
    pub secret: String,
    /// What sends back whatever it gets: by IPv4 and by IPv6.
    pub echoes: [SocketAddr; 2],
}

/// A client with its way of sending to its peers.
struct Session<'a> {
    counts: &'a Counts,
    near: Client,
    far: Client,
    /// Relayed addresses of one family: the near client's, and the far one's.
    pair: [SocketAddr; 2],
    echo: SocketAddr,
    number: u64,
}

/// Runs one session.
///
/// # Errors
///
/// When a request is refused or not answered, or data are not what was sent.
pub fn run(world: &World, counts: &Counts) -> Result<()> {
    let mut session = Session::open(world, counts)?;
    // Most come and go; some stay past the end of their first lifetime.
    let rounds = match rand::rng().random_ratio(1, 30) {
        true => 1_500,
        false => rand::rng().random_range(1..60),
    };
    for _ in 0..rounds {
        if counts.is_stopped() {
            break;
        }
        session.round()?;
        pause(10..60);
        if rand::rng().random_ratio(1, 20) {
            session.keep_up()?;
        }
    }
    for client in [session.near, session.far] {
        end(client)?;
    }
    counts.note_session();
    Ok(())
}

impl<'a> Session<'a> {
    fn open(world: &World, counts: &'a Counts) -> Result<Self> {
        let (username, password) = credential(&world.secret);
        let caller = || {
            let mut rng = rand::rng();
            let transport = match rng.random_range(0..4) {
                0 => Transport::Tcp,
                1 => Transport::Tls,
                _ => Transport::Udp,
            };
            Caller {
                transport,
                is_ipv4: rng.random(),
                username: username.clone(),
                password: password.clone(),
            }
        };
        let wish = match rand::rng().random_range(0..5) {
            0 => Wish::Ipv6,
            1 => Wish::Both,
            2 => Wish::Pair,
            _ => Wish::Ipv4,
        };
        let near = Client::allocate(&world.server, &caller(), wish)?;
        let wish = match near.token {
            // Every other port in reserve is never asked for.
            Some(token) if rand::rng().random() => Wish::Reserved(token),
            Some(_) => Wish::Ipv4,
            None => wish,
        };
        let far = Client::allocate(&world.server, &caller(), wish)?;
        counts.note_allocations(2);
        let is_ipv4 = match wish {
            Wish::Ipv6 => false,
            Wish::Both => rand::rng().random(),
            _ => true,
        };
        let pair = [address(&near, is_ipv4)?, address(&far, is_ipv4)?];
        let [ipv4, ipv6] = world.echoes;
        let mut session = Self {
            counts,
            near,
            far,
            pair,
            echo: if is_ipv4 { ipv4 } else { ipv6 },
            number: rand::random(),
        };
        session.meet()?;
        Ok(session)
    }

    /// Prepares every way that data go.
    fn meet(&mut self) -> Result<()> {
        let [near, far] = self.pair;
        meet(&mut self.near, 0x4000, far)?;
        meet(&mut self.near, 0x4FFF, self.echo)?;
        meet(&mut self.far, 0x4001, near)
    }

    /// Sends a burst there, and waits until it is back.
    fn round(&mut self) -> Result<()> {
        let is_hairpin: bool = rand::rng().random();
        let [near, far] = self.pair;
        let peer = if is_hairpin { far } else { self.echo };
        let mut missing = BTreeSet::new();
        for _ in 0..rand::rng().random_range(1..=MAX_BURST) {
            self.number = self.number.wrapping_add(1);
            self.near.send(peer, &data(self.number))?;
            missing.insert(self.number);
        }
        let sent = missing.len();
        for _ in 0..if is_hairpin { sent } else { 0 } {
            let Some((from, bytes)) = self.far.receive(PATIENCE)? else {
                break;
            };
            ensure!(from == near, "data from {from} instead of {near}");
            self.far.send(near, &bytes)?;
        }
        while !missing.is_empty() {
            let Some((from, bytes)) = self.near.receive(PATIENCE)? else {
                break;
            };
            let number = bytes.first_chunk().copied().map(u64::from_be_bytes);
            let number = number.context("data without a number")?;
            ensure!(bytes == data(number), "data were changed on the way");
            // Else it is late, and has been counted as lost.
            if missing.remove(&number) {
                ensure!(from == peer, "data from {from} instead of {peer}");
            }
        }
        self.counts.note_data(sent, missing.len());
        Ok(())
    }

    /// Refreshes what would expire.
    fn keep_up(&mut self) -> Result<()> {
        for client in [&mut self.near, &mut self.far] {
            client.refresh(rand::rng().random_range(LIFETIMES))?;
        }
        self.meet()
    }
}

/// Binds a channel, or permits and leaves it at indications.
fn meet(client: &mut Client, number: u16, peer: SocketAddr) -> Result<()> {
    match rand::rng().random_ratio(2, 3) {
        true => client.bind(number, peer),
        false => client.permit(peer),
    }
}

/// Releases the allocation, or is gone without a word.
fn end(mut client: Client) -> Result<()> {
    match rand::rng().random_ratio(2, 3) {
        true => client.refresh(0),
        false => client.vanish(),
    }
}

fn address(client: &Client, is_ipv4: bool) -> Result<SocketAddr> {
    let mut relayed = client.relayed.iter();
    let address = relayed.find(|address| address.is_ipv4() == is_ipv4);
    address
        .copied()
        .context("no relayed address of that family")
}

/// A datagram that can be told from every other: all of it follows from its number.
fn data(number: u64) -> Vec<u8> {
    let length = SIZES.start + (number as usize).wrapping_mul(97) % SIZES.len();
    let mut bytes = number.to_be_bytes().repeat(length.div_ceil(8));
    bytes.truncate(length);
    bytes
}

/// A random pause, in milliseconds.
pub(super) fn pause(millis: std::ops::Range<u64>) {
    thread::sleep(Duration::from_millis(rand::rng().random_range(millis)));
}

/// Random bytes.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
