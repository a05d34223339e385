//! The name server beside gdnsd: the same database of 20,000 networks, the same points of
//! presence, and 10,000 random client networks. Every difference must have a reason.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tests::{
    mmdb::{Value, Writer},
    rig::{
        NameServer,
        gdnsd::{Datacentre, Gdnsd},
    },
};
use tokio::task::spawn_blocking;

const NETWORKS: usize = 20_000;
const QUERIES: usize = 10_000;
/// Unicast /24s, as numbers; MaxMind's networks are as small as that mostly.
const UNICAST: std::ops::Range<u32> = 0x0001_0000..0x00e0_0000;
/// The same database, clients and fleet each time: a difference must be found again.
const SEED: u64 = 20_261_129;
/// Two points of presence that are equally far, as far as rounding goes.
const TIE_KM: f64 = 1.0;

/// Points of presence; the first is for whom nothing is known.
const POPS: [Datacentre; 8] = [
    Datacentre::new("fra", 50.11, 8.68, [192, 0, 2, 1]),
    Datacentre::new("iad", 38.95, -77.45, [192, 0, 2, 2]),
    Datacentre::new("sea", 47.61, -122.33, [192, 0, 2, 3]),
    Datacentre::new("gru", -23.55, -46.63, [192, 0, 2, 4]),
    Datacentre::new("jnb", -26.2, 28.05, [192, 0, 2, 5]),
    Datacentre::new("sin", 1.35, 103.99, [192, 0, 2, 6]),
    Datacentre::new("tyo", 35.68, 139.69, [192, 0, 2, 7]),
    Datacentre::new("akl", -36.85, 174.76, [192, 0, 2, 8]),
];

/// What is known of a client network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    /// Its coordinates.
    Place(f64, f64),
    /// Its country alone.
    Country(&'static str),
    /// Nothing.
    Nothing,
}

/// Countries whose networks have no coordinates, and the point of presence that is
/// nearest to where their people are.
const COUNTRIES: [(&str, &str, &str); 4] = [
    ("BR", "SA", "gru"),
    ("JP", "AS", "tyo"),
    ("NZ", "OC", "akl"),
    ("ZA", "AF", "jnb"),
];

#[tokio::test(flavor = "multi_thread")]
async fn gdnsd_sends_clients_to_the_same_places() {
    let mut random = StdRng::seed_from_u64(SEED);
    let (database, networks) = database(&mut random);
    let clients = clients(&networks, &mut random);
    let server = NameServer::start_with(&fleet(), &database, "responses_per_second = 0")
        .await
        .expect("a name server");
    let gdnsd = Gdnsd::start(&database, &POPS).await.expect("gdnsd");
    let compared = async {
        let ours = asked(server.address(), &clients).await?;
        let theirs = asked(gdnsd.address(), &clients).await.context("gdnsd")?;
        compare(&clients, &ours, &theirs)
    };
    if let Err(error) = compared.await {
        panic!("{error:#}\n{}", server.process.tail(40));
    }
    server.stop().await.expect("an orderly end");
}

#[expect(clippy::print_stdout, reason = "the differences are asked for")]
fn compare(clients: &[(Ipv4Addr, Known)], ours: &[Ipv4Addr], theirs: &[Ipv4Addr]) -> Result<()> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (((client, known), ours), theirs) in clients.iter().zip(ours).zip(theirs) {
        if ours == theirs {
            *reasons.entry("the same").or_default() += 1;
            continue;
        }
        let reason = match known {
            // gdnsd takes its default list for networks without coordinates; here the
            // middle of the country counts.
            Known::Country(code) => {
                let expected = COUNTRIES.iter().find(|(country, ..)| country == code);
                let expected = expected.and_then(|(.., pop)| address(pop));
                ensure!(expected == Some(*ours), "{client}, {known:?}: {ours}");
                "by country, where gdnsd has its default"
            }
            Known::Place(north, east) => {
                let km = |address| distance((*north, *east), address).context("no such place");
                let apart = (km(*ours)? - km(*theirs)?).abs();
                ensure!(
                    apart < TIE_KM,
                    "{client}, {known:?}: {ours}, gdnsd {theirs}, {apart} km"
                );
                "equally far"
            }
            Known::Nothing => anyhow::bail!("{client}, unknown: {ours}, gdnsd {theirs}"),
        };
        *reasons.entry(reason).or_default() += 1;
    }
    println!("{reasons:?}");
    let same = reasons.get("the same").copied().unwrap_or_default();
    ensure!(same > QUERIES / 2, "{reasons:?}");
    Ok(())
}

fn address(pop: &str) -> Option<Ipv4Addr> {
    POPS.iter()
        .find(|known| known.name == pop)
        .map(|pop| pop.address)
}

/// The way on the sphere, by the haversine, in km.
fn distance((north, east): (f64, f64), address: Ipv4Addr) -> Option<f64> {
    let pop = POPS.iter().find(|pop| pop.address == address)?;
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let (here, there) = (north.to_radians(), pop.north.to_radians());
    let h = half(north, pop.north) + here.cos() * there.cos() * half(east, pop.east);
    Some(2.0 * 6371.0 * h.sqrt().asin())
}

/// Networks all over the address space, each known as well as real ones are.
fn database(random: &mut StdRng) -> (Vec<u8>, BTreeMap<u32, Known>) {
    let mut networks = BTreeMap::new();
    while networks.len() < NETWORKS {
        let network = random.random_range(UNICAST);
        let known = match random.random_range(0..10) {
            0 => {
                let (code, ..) = COUNTRIES[random.random_range(0..COUNTRIES.len())];
                Known::Country(code)
            }
            // As databases write them: four digits.
            _ => Known::Place(
                f64::from(random.random_range(-600_000..700_000)) / 1e4,
                f64::from(random.random_range(-1_800_000..1_800_000)) / 1e4,
            ),
        };
        networks.insert(network << 8, known);
    }
    let mut writer = Writer::new("GeoIP2-City", 1_790_000_000);
    for (network, known) in &networks {
        let network = format!("{}/24", Ipv4Addr::from(*network));
        let value = match known {
            Known::Place(north, east) => Value::city("EU", "XK", Some((*north, *east))),
            Known::Country(code) => {
                let country = COUNTRIES.iter().find(|(known, ..)| known == code);
                Value::city(country.map_or("EU", |country| country.1), code, None)
            }
            Known::Nothing => continue,
        };
        writer.insert(network.parse().expect("a network"), &value);
    }
    (writer.finish(), networks)
}

/// Most of them known.
fn clients(networks: &BTreeMap<u32, Known>, random: &mut StdRng) -> Vec<(Ipv4Addr, Known)> {
    let all: Vec<(u32, Known)> = networks.iter().map(|(key, known)| (*key, *known)).collect();
    (0..QUERIES)
        .map(|_| match random.random_range(0..8) {
            0 => {
                let network = random.random_range(UNICAST) << 8;
                let known = networks.get(&network).copied();
                (network.into(), known.unwrap_or(Known::Nothing))
            }
            _ => {
                let (network, known) = all[random.random_range(0..all.len())];
                (network.into(), known)
            }
        })
        .collect()
}

fn fleet() -> String {
    let mut fleet = String::new();
    for pop in POPS {
        let Datacentre {
            name,
            north,
            east,
            address,
        } = pop;
        fleet += &format!(
            "[[pop]]\nname = \"{name}\"\nhost = \"{name}.inlet.test\"\nipv4 = [\"{address}\"]\n\
             latitude = {north:?}\nlongitude = {east:?}\n"
        );
    }
    fleet
        + "[overrides]\ndefault = [\"fra\"]\n[[zone]]\nname = \"inlet.test\"\n\
           name_servers = [\"ns1\"]\n[[zone.steered]]\nname = \"whip\"\nservice = \"whip\"\n"
}

/// What each client is told; one query after the other, asked again when lost.
async fn asked(server: SocketAddr, clients: &[(Ipv4Addr, Known)]) -> Result<Vec<Ipv4Addr>> {
    let clients: Vec<Ipv4Addr> = clients.iter().map(|(client, _)| *client).collect();
    spawn_blocking(move || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let one = |(id, client): (usize, &Ipv4Addr)| one(&socket, id as u16, *client);
        clients.iter().enumerate().map(one).collect()
    })
    .await?
}

fn one(socket: &UdpSocket, id: u16, client: Ipv4Addr) -> Result<Ipv4Addr> {
    let query = query(id, client);
    let mut buffer = [0; 1500];
    for _ in 0..10 {
        socket.send(&query)?;
        while let Ok(length) = socket.recv(&mut buffer) {
            if buffer[..2] == id.to_be_bytes() {
                return answer(&buffer[..length], query.len()).context("no address");
            }
        }
    }
    anyhow::bail!("no answer for {client}")
}

/// The address of the first answer, which follows the question.
fn answer(response: &[u8], query: usize) -> Option<Ipv4Addr> {
    const OPT: usize = 11 + 4 + 7;
    const FIXED: usize = 12;
    let at = query - OPT + FIXED;
    let address: [u8; 4] = response.get(at..at + 4)?.try_into().ok()?;
    (response[7] > 0).then(|| address.into())
}

fn query(id: u16, client: Ipv4Addr) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in ["whip", "inlet", "test"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 11]);
    query.extend_from_slice(&[0, 8, 0, 7, 0, 1, 24, 0]);
    query.extend_from_slice(&client.octets()[..3]);
    query
}
