//! Viewers on one thread: many connections that are kept alive, each with one
//! request at a time.
//!
//! Of an answer only the status and the length are read: what the client takes
//! for an answer is what the server must not wait for.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use inlet_common::clock;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

/// Nothing for so long is a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of an answer.
const MAX_HEAD: usize = 4_096;
const BUFFER: usize = 256 * 1024;

/// A request as a browser's player sends it; `accept` is its `Accept-Encoding`.
pub fn request(path: &str, accept: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: origin.example.com\r\nAccept: */*\r\n\
         Accept-Encoding: {accept}\r\nAccept-Language: en\r\n\
         Origin: https://site.example.com\r\nReferer: https://site.example.com/\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0\r\n\r\n"
    )
    .into_bytes()
}

/// Connections to one server.
#[derive(Debug)]
pub struct Load {
    poll: Poll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Of an answer whose end is still missing.
    head: Vec<u8>,
    /// Bytes of its body that are missing.
    left: usize,
    /// Length of the newest answer's body.
    length: usize,
}

/// What came of a flood.
#[derive(Clone, Copy, Debug)]
pub struct Flooded {
    /// Answers that arrived.
    pub answers: u64,
    /// In what time.
    pub elapsed: Duration,
}

impl Load {
    /// Opens `count` connections, and has each answer `greeting` once: one that
    /// waits in the server's backlog would lose its first request there.
    ///
    /// # Errors
    ///
    /// When one is refused, or has another answer than 200.
    pub fn connect(address: SocketAddr, count: usize, greeting: &[u8]) -> Result<Self> {
        let mut load = Self {
            poll: Poll::new()?,
            connections: Vec::with_capacity(count),
            buffer: vec![0; BUFFER],
        };
        for number in 0..count {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let mut stream = TcpStream::from_std(stream);
            let token = Token(number);
            load.poll
                .registry()
                .register(&mut stream, token, Interest::READABLE)?;
            load.connections.push(Connection {
                stream,
                head: Vec::new(),
                left: 0,
                length: 0,
            });
            load.length_of(number, greeting)?;
        }
        Ok(load)
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Asks the same over and over on every connection, for so long.
    ///
    /// # Errors
    ///
    /// When an answer is not 200, or missing.
    pub fn flood(&mut self, request: &[u8], time: Duration) -> Result<Flooded> {
        let begun = clock::now();
        let mut answers = 0;
        for number in 0..self.len() {
            self.ask(number, request)?;
        }
        let mut open = self.len();
        while open > 0 {
            let is_over = clock::now().duration_since(begun) >= time;
            for number in self.answered()? {
                answers += 1;
                match is_over {
                    true => open -= 1,
                    false => self.ask(number, request)?,
                }
            }
        }
        Ok(Flooded {
            answers,
            elapsed: clock::now().duration_since(begun),
        })
    }

    /// The length of the answer's body, on a connection while no other waits.
    ///
    /// # Errors
    ///
    /// When it is not 200, or missing.
    pub fn length_of(&mut self, number: usize, request: &[u8]) -> Result<usize> {
        self.ask(number, request)?;
        while self.answered()?.is_empty() {}
        let connection = self.connections.get(number).context("no connection")?;
        Ok(connection.length)
    }

    /// Sends a request on one connection.
    ///
    /// # Errors
    ///
    /// When it does not fit into the socket, or the connection is gone.
    pub fn ask(&mut self, number: usize, request: &[u8]) -> Result<()> {
        let connection = self.connections.get_mut(number).context("no connection")?;
        let written = connection.stream.write(request)?;
        ensure!(written == request.len(), "a request was cut");
        Ok(())
    }

    /// Waits for answers; the connections whose answer is whole now.
    ///
    /// # Errors
    ///
    /// When one is not 200, or none comes.
    pub fn answered(&mut self) -> Result<Vec<usize>> {
        let mut events = Events::with_capacity(1_024);
        self.poll.poll(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "no answer within {PATIENCE:?}");
        let mut whole = Vec::new();
        for event in &events {
            let number = event.token().0;
            let connection = self.connections.get_mut(number).context("no connection")?;
            if connection.read(&mut self.buffer)? {
                whole.push(number);
            }
        }
        Ok(whole)
    }
}

impl Connection {
    /// Reads what has come; whether the answer is whole.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            // One request is out, so nothing follows the answer's end: there is
            // no need to look whether there is more to read.
            if self.take(buffer.get(..read).unwrap_or_default())? {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<bool> {
        if self.left == 0 {
            let is_first = self.head.is_empty();
            if !is_first {
                self.head.extend_from_slice(bytes);
            }
            let head = if is_first { bytes } else { &self.head };
            let Some(end) = end_of_head(head) else {
                ensure!(head.len() < MAX_HEAD, "an endless head");
                if is_first {
                    self.head = bytes.to_vec();
                }
                return Ok(false);
            };
            let length = length(head.get(..end).unwrap_or_default())?;
            let beyond = head.len() - end;
            self.left = length;
            self.length = length;
            bytes = bytes.get(bytes.len() - beyond..).unwrap_or_default();
            self.head.clear();
        }
        ensure!(bytes.len() <= self.left, "more than one answer");
        self.left -= bytes.len();
        Ok(self.left == 0)
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

/// `Content-Length` of an answer that is 200.
fn length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(length.context("no length")?.1.trim().parse()?)
}
