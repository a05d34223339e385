//! Many viewers who ask for the same at once, each by a connection of its own that is
//! there before.
//!
//! Less than a client for each: in a debug build thousands of those would ask one after
//! another.

use std::{net::SocketAddr, time::Instant};

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Descriptors that a process needs beside the crowd's.
const OTHERS: u64 = 256;

/// Connections that nothing was asked by.
#[derive(Debug)]
pub struct Crowd {
    connections: Vec<TcpStream>,
    host: SocketAddr,
}

/// What one of them got.
#[derive(Debug)]
pub struct Served {
    /// The body.
    pub body: Vec<u8>,
    /// When all of it was there.
    pub at: Instant,
}

impl Crowd {
    /// Connects so many; this process may open so many more files from then on.
    ///
    /// # Errors
    ///
    /// When it may not, or they are not taken.
    pub async fn connect(host: SocketAddr, viewers: usize) -> Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let needed = viewers as u64 + OTHERS;
        ensure!(hard >= needed, "only {hard} files may be open");
        if soft < needed {
            setrlimit(Resource::RLIMIT_NOFILE, needed, hard)?;
        }
        let mut connections = Vec::new();
        for _ in 0..viewers {
            connections.push(TcpStream::connect(host).await?);
        }
        Ok(Self { connections, host })
    }

    /// All ask for a path; what each got, once all have it.
    ///
    /// # Errors
    ///
    /// When one is refused, or does not get all of it.
    pub async fn ask(self, path: &str) -> Result<Vec<Served>> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.host
        );
        let mut asked = Vec::new();
        for mut connection in self.connections {
            connection.write_all(request.as_bytes()).await?;
            asked.push(tokio::spawn(served(connection)));
        }
        let mut all = Vec::new();
        for one in asked {
            all.push(one.await??);
        }
        Ok(all)
    }
}

async fn served(mut connection: TcpStream) -> Result<Served> {
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    let at = clock::now();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = answer.split_off(end.context("no head")? + 4);
    let head = String::from_utf8(answer)?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    if let Some(length) = length {
        ensure!(body.len() == length.parse::<usize>()?, "cut off: {head}");
    }
    Ok(Served { body, at })
}
