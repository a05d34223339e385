//! What it costs to know where a client belongs: a synthetic database of a million
//! networks, opened, compiled for a fleet, and asked for random addresses.
//!
//! Beside it `maxminddb`, which decodes the place in the database at each question, and
//! leaves the distances to be measured. Neighbours lie far apart here, so that hardly
//! any collapse: a real database is kinder.

use std::{
    fs,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use benches::figure::{Figure, median, report, say};
use inlet_common::clock::{self, UtcTime};
use inlet_edge::dns::geo::{Database, Overrides, Place, Plan, Site, Table};
use tests::mmdb::{Value, Writer};

const TURNS: usize = 5;
/// Seconds since the epoch at which the database is built, and a while later.
const BUILT: u64 = 1_790_000_000;
const NOW: UtcTime = UtcTime::from_unix_micros(1_800_000_000_000_000);
const IPV4: u64 = 900_000;
const IPV6: u64 = 100_000;
const PLACES: u64 = 60_000;
const POPS: u64 = 30;
/// More than caches hold the way to.
const ADDRESSES: u64 = 100_000;

fn main() -> Result<()> {
    let file = write()?;
    say(format!(
        "{} networks, {} MB",
        IPV4 + IPV6,
        file.len() / 1_000_000
    ));
    let path = std::env::temp_dir().join(format!("inlet-bench-{}.mmdb", std::process::id()));
    fs::write(&path, &file)?;
    let measured = measure(&file, &path);
    fs::remove_file(&path)?;
    measured
}

fn measure(file: &[u8], path: &Path) -> Result<()> {
    let sites = (0..POPS).map(site).collect::<Option<Vec<_>>>();
    let plan = Plan::new(&sites.context("a place")?, &Overrides::default(), &[])?;
    let reader = maxminddb::Reader::from_source(file)?;
    let (mut opening, mut compiling) = (Vec::new(), Vec::new());
    let mut finding: [[Vec<f64>; 2]; 2] = Default::default();
    let mut memory = (0, 0);
    for turn in 1..=TURNS {
        say(format!("turn {turn} of {TURNS}"));
        let begin = clock::now();
        let database = Database::open(path, NOW)?;
        opening.push(millis(begin.elapsed()));
        memory.0 = database.memory();
        let databases = [Arc::new(database)];
        let begin = clock::now();
        let table = Table::compile(&plan, &databases)?;
        compiling.push(millis(begin.elapsed()));
        memory.1 = table.memory();
        for (family, addresses) in [addresses(ipv4), addresses(ipv6)].iter().enumerate() {
            let ours = each(addresses, |address| {
                black_box(table.find(address));
                Ok(())
            })?;
            let peer = each(addresses, |address| {
                black_box(decode(&reader, address)?);
                Ok(())
            })?;
            finding[family][0].push(ours);
            finding[family][1].push(peer);
        }
    }
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let [ipv4, ipv6] = finding.map(|both| both.map(median));
    report(
        "geo_table",
        &[
            Figure::new("database opened and verified", "ms", median(opening)),
            Figure::new("memory of a database", "MB", megabytes(memory.0)),
            Figure::new("table compiled, 30 PoPs", "ms", median(compiling)),
            Figure::new("memory of a table", "MB", megabytes(memory.1)),
            Figure::new("ranked list of an IPv4 address", "µs", ipv4[0]).against(ipv4[1]),
            Figure::new("ranked list of an IPv6 address", "µs", ipv6[0]).against(ipv6[1]),
        ],
    )
}

/// CPU's time for each address, in µs.
fn each(addresses: &[IpAddr], mut ask: impl FnMut(IpAddr) -> Result<()>) -> Result<f64> {
    let begin = clock::now();
    for address in addresses {
        ask(black_box(*address))?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e6 / addresses.len() as f64)
}

/// The coordinates, if it has any.
fn decode(reader: &maxminddb::Reader<&[u8]>, address: IpAddr) -> Result<Option<(f64, f64)>> {
    let found = reader.lookup(address)?;
    let Some(city) = found.decode::<maxminddb::geoip2::City<'_>>()? else {
        return Ok(None);
    };
    Ok(city.location.latitude.zip(city.location.longitude))
}

fn write() -> Result<Vec<u8>> {
    let mut writer = Writer::new("GeoLite2-City", BUILT);
    writer.alias_v4();
    for number in 0..IPV4 {
        let address = Ipv4Addr::from_bits(scramble(number) as u32 & 0xffff_ff00);
        writer.insert(format!("{address}/24").parse()?, &record(number));
    }
    for number in 0..IPV6 {
        let bits = 0x2a00 << 112 | u128::from(scramble(number) & 0xffff_ffff) << 80;
        let address = Ipv6Addr::from_bits(bits);
        writer.insert(format!("{address}/48").parse()?, &record(number));
    }
    let file = writer.finish();
    ensure!(!file.is_empty());
    Ok(file)
}

fn record(number: u64) -> Value {
    Value::city("EU", "DE", Some(place(number % PLACES)))
}

fn site(number: u64) -> Option<Site> {
    let (latitude, longitude) = place(number);
    Some(Site {
        place: Place::new(latitude, longitude)?,
        bias_km: 0.0,
    })
}

fn place(number: u64) -> (f64, f64) {
    let [a, b] = [scramble(number), scramble(!number)].map(|bits| bits as f64 / u64::MAX as f64);
    (a * 140.0 - 60.0, b * 360.0 - 180.0)
}

fn addresses(address: impl Fn(u64) -> IpAddr) -> Vec<IpAddr> {
    (0..ADDRESSES)
        .map(|number| address(scramble(number)))
        .collect()
}

fn ipv4(number: u64) -> IpAddr {
    Ipv4Addr::from_bits(number as u32).into()
}

fn ipv6(number: u64) -> IpAddr {
    Ipv6Addr::from_bits(0x2a00 << 112 | u128::from(number) << 64).into()
}

/// Fibonacci hashing, and its high bits over its low ones.
fn scramble(number: u64) -> u64 {
    let product = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
