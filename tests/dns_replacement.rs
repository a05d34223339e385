//! GeoIP databases that are replaced, and the fleet's file that is read anew, under a
//! steady load: no query stays without an answer, and none gets a wrong one.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use inlet_common::clock;
use ipnet::Ipv4Net;
use tests::{
    mmdb::{Value, Writer},
    resolver::{self, Resolver},
    rig::{NameServer, name_server::FLEET, until},
};

const NAME: &str = "whip.inlet.test";
/// Sockets that ask, each in a thread of its own.
const SOCKETS: u8 = 4;
/// Queries of one socket that are on their way at once: far fewer than what fits any
/// socket's buffer, so that none is lost but by the server.
const IN_FLIGHT: u16 = 16;
/// From one round of [`IN_FLIGHT`] to the next: 6,400 queries per second in all.
const ROUND: Duration = Duration::from_millis(10);
/// How long an answer may take on a busy machine.
const ANSWER: Duration = Duration::from_secs(5);
/// Databases are looked at every five seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Client networks that are asked for: 10.0.0.0/24 to 10.7.255.0/24.
const NETWORKS: u32 = 2048;
/// Queries that must have been asked in the end: seconds of load, not a pause of it.
const LEAST: u64 = 20_000;

/// Which of the two databases counts, as far as is known.
const EITHER: u8 = 2;

const LONDON: (f64, f64) = (51.5, -0.1);
const SEATTLE: (f64, f64) = (47.6, -122.3);
const TOKYO: (f64, f64) = (35.7, 139.7);

/// By each of the two databases: where networks of even and of odd numbers are, and
/// where they are sent.
const PLACES: [[((f64, f64), Ipv4Addr); 2]; 2] = {
    const LON: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const SEA: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const TYO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
    [
        [(LONDON, LON), (SEATTLE, SEA)],
        [(TOKYO, TYO), (LONDON, LON)],
    ]
};

fn network(number: u32) -> Ipv4Net {
    let bits = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (number << 8);
    Ipv4Net::new_assert(bits.into(), 24)
}

/// One of the two databases, built so many seconds after the other ones.
fn database(which: usize, age: u64) -> Vec<u8> {
    let mut writer = Writer::new("GeoIP2-City", 1_790_000_000 + age);
    let records = PLACES[which].map(|(place, _)| Value::city("EU", "GB", Some(place)));
    for number in 0..NETWORKS {
        writer.insert(network(number).into(), &records[number as usize % 2]);
    }
    writer.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_is_lost_while_databases_and_the_fleet_are_replaced() {
    let limit = "responses_per_second = 0";
    let mut server = NameServer::start_with(FLEET, &database(0, 0), limit)
        .await
        .expect("a name server");
    if let Err(error) = story(&mut server).await {
        panic!("{error:#}\n{}", server.process.tail(40));
    }
    server.stop().await.expect("an orderly end");
}

#[expect(clippy::print_stdout, reason = "the figures are asked for")]
async fn story(server: &mut NameServer) -> Result<()> {
    let load = Load::start(server.address())?;
    load.counts(0);
    // Watched, then at once with a reload, then watched again.
    for (age, which, is_reloaded) in [
        (1, 1, false),
        (2, 0, true),
        (3, 1, true),
        (4, 0, false),
        (5, 1, false),
    ] {
        load.counts(EITHER);
        server.replace_database(&database(which, age))?;
        if is_reloaded {
            let serial = format!("name = \"inlet.test\"\nserial = {}", age + 1);
            server.reload(&FLEET.replace("name = \"inlet.test\"", &serial))?;
        }
        let expected = PLACES[which].map(|(_, address)| address);
        let resolver = Resolver::of(server.address());
        until("the new database", PATIENCE, async || {
            for (number, address) in (0..).zip(expected) {
                let told = resolver.resolve(NAME, Some(network(number))).await?;
                ensure!(told == address, "{told}");
            }
            Ok(())
        })
        .await?;
        load.counts(u8::try_from(which)?);
        // Some rounds with nothing else to come.
        let before = load.answered()?;
        until("more answers", PATIENCE, async || {
            ensure!(load.answered()? > before + 1_000);
            Ok(())
        })
        .await?;
    }
    until("a load worth its name", PATIENCE, async || {
        ensure!(load.answered()? >= LEAST);
        Ok(())
    })
    .await?;
    let answered = load.stop()?;
    println!("{answered} queries, and as many answers");
    let metrics = server.metrics().await?;
    let lost = metrics.sum("inlet_edge_dns_unsent_total", &[]);
    ensure!(lost < 0.5, "{lost} answers were not sent");
    Ok(())
}

/// Threads that ask and ask.
struct Load {
    counts: Arc<AtomicU8>,
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    fn start(server: SocketAddr) -> Result<Self> {
        let mut load = Self {
            counts: Arc::new(AtomicU8::new(EITHER)),
            is_over: Arc::default(),
            answered: Arc::default(),
            threads: Vec::new(),
        };
        for index in 0..SOCKETS {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_read_timeout(Some(ANSWER))?;
            socket.connect(server)?;
            let (counts, is_over) = (Arc::clone(&load.counts), Arc::clone(&load.is_over));
            let answered = Arc::clone(&load.answered);
            load.threads.push(thread::spawn(move || {
                let mut number = u32::from(index) * NETWORKS / u32::from(SOCKETS);
                while !is_over.load(SeqCst) {
                    let begin = clock::now();
                    let told = round(&socket, number, &counts);
                    told.with_context(|| format!("socket {index}, from network {number} on"))?;
                    number = (number + u32::from(IN_FLIGHT)) % NETWORKS;
                    answered.fetch_add(u64::from(IN_FLIGHT), SeqCst);
                    thread::sleep(ROUND.saturating_sub(begin.elapsed()));
                }
                Ok(())
            }));
        }
        Ok(load)
    }

    /// From now on this database counts, or it is not known which.
    fn counts(&self, which: u8) {
        self.counts.store(which, SeqCst);
    }

    /// Answers so far, all of them right.
    fn answered(&self) -> Result<u64> {
        let is_well = !self.threads.iter().any(JoinHandle::is_finished);
        ensure!(is_well, "a socket has given up");
        Ok(self.answered.load(SeqCst))
    }

    fn stop(self) -> Result<u64> {
        self.is_over.store(true, SeqCst);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        Ok(self.answered.load(SeqCst))
    }
}

/// Asks for [`IN_FLIGHT`] networks at once and waits for every answer; each is right by
/// the database that counts, where that is known before and after.
fn round(socket: &UdpSocket, first: u32, counts: &AtomicU8) -> Result<()> {
    let before = counts.load(SeqCst);
    for id in 0..IN_FLIGHT {
        let network = network(first + u32::from(id));
        socket.send(&resolver::query(id, NAME, Some(network)))?;
    }
    let mut told = [None; IN_FLIGHT as usize];
    let mut bytes = [0; 2048];
    for _ in 0..IN_FLIGHT {
        let length = socket.recv(&mut bytes).context("an answer is missing")?;
        let (id, answer) = resolver::read(&bytes[..length])?;
        let place = told.get_mut(usize::from(id)).context("a strange answer")?;
        ensure!(place.is_none(), "{id} is answered twice");
        let [address] = answer.addresses[..] else {
            return Err(anyhow!("{answer:?}"));
        };
        *place = Some(address);
    }
    let after = counts.load(SeqCst);
    for (number, address) in (first..).zip(told) {
        let right = [0, 1].map(|which: usize| PLACES[which][number as usize % 2].1);
        let is_right = match before == after && before != EITHER {
            true => Some(right[usize::from(before)]) == address,
            false => right.map(Some).contains(&address),
        };
        ensure!(is_right, "{address:?}, database {before} and {after}");
    }
    Ok(())
}
