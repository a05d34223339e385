//! Ten thousand queries, each for another network, sent by `dnsperf`.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;

use super::{LOAD_CORE, NAME};

/// Different queries.
const QUERIES: usize = 10_000;

/// Types that are asked for in turn to see how much longer answers are.
const KINDS: [(u16, &str); 4] = [(1, "A"), (28, "AAAA"), (65, "HTTPS"), (16, "no data")];

/// What of EDNS a query has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edns {
    /// A client's network, as public resolvers send it.
    Subnet,
    /// That, and the cookie of a client that has none of the server's yet: the server
    /// makes one (RFC 7873 §5.2.3).
    SubnetAndCookie,
}

/// A file of queries.
#[derive(Debug)]
pub struct Load {
    file: PathBuf,
}

/// What a run of them came to.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Answers that came.
    pub answers: f64,
    /// Answers per second.
    pub rate: f64,
    /// Share of queries that got none.
    pub lost: f64,
}

impl Load {
    /// Writes the queries, for an A record each, with a random /24 and what else of EDNS
    /// they shall have.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn new(folder: &Path, edns: Edns) -> Result<Self> {
        let file = folder.join(format!("queries-{edns:?}"));
        let mut bytes = Vec::new();
        for id in 0..QUERIES {
            let query = query(id as u16, 1, edns);
            bytes.extend_from_slice(&u16::try_from(query.len())?.to_be_bytes());
            bytes.extend_from_slice(&query);
        }
        fs::write(&file, bytes)?;
        Ok(Self { file })
    }

    /// Sends them for so many seconds, with so many under way at a time.
    ///
    /// # Errors
    ///
    /// When `dnsperf` cannot be run, or does not say what it saw.
    pub fn run(&self, port: u16, seconds: u32, outstanding: u32) -> Result<Run> {
        let output = Command::new("taskset")
            .args([
                "-c",
                &LOAD_CORE.to_string(),
                "dnsperf",
                "-B",
                "-s",
                "127.0.0.1",
            ])
            .args(["-p", &port.to_string(), "-d"])
            .arg(&self.file)
            .args(["-l", &seconds.to_string(), "-q", &outstanding.to_string()])
            .args(["-c", "16", "-t", "1"])
            .output()
            .context("dnsperf")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let value = |name: &str| -> Result<f64> {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            let number = number.with_context(|| format!("dnsperf says no {name}:\n{text}"))?;
            Ok(number.parse()?)
        };
        let (sent, answers) = (value("Queries sent:")?, value("Queries completed:")?);
        ensure!(answers > 0.0, "no answers:\n{text}");
        Ok(Run {
            answers,
            rate: value("Queries per second:")?,
            lost: (sent - answers) / sent,
        })
    }
}

/// How many times longer than its query the answer is, for each type.
///
/// # Errors
///
/// When the server does not answer.
pub fn amplification(port: u16) -> Result<Vec<(&'static str, f64)>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut buffer = [0; 4096];
    KINDS
        .iter()
        .map(|(kind, name)| {
            let query = query(1, *kind, Edns::Subnet);
            socket.send(&query)?;
            let length = socket.recv(&mut buffer)?;
            Ok((*name, length as f64 / query.len() as f64))
        })
        .collect()
}

/// A query for [`NAME`].
fn query(id: u16, kind: u16, edns: Edns) -> Vec<u8> {
    let mut query = Vec::new();
    for field in [id, 0, 1, 0, 0, 1] {
        query.extend_from_slice(&field.to_be_bytes());
    }
    for label in NAME.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    let mut network = [0; 3];
    rand::rng().fill_bytes(&mut network);
    // Of unicast addresses.
    network[0] = network[0] % 222 + 1;
    let mut options = [&[0, 8, 0, 7, 0, 1, 24, 0][..], &network].concat();
    if edns == Edns::SubnetAndCookie {
        let mut cookie = [0; 8];
        rand::rng().fill_bytes(&mut cookie);
        options.extend_from_slice(&[0, 10, 0, 8]);
        options.extend_from_slice(&cookie);
    }
    // OPT with 1232 bytes of payload.
    query.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0]);
    query.extend_from_slice(&(options.len() as u16).to_be_bytes());
    query.extend_from_slice(&options);
    query
}
