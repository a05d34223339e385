//! A resolver's half of DNS: one question for A by UDP, from an address of its choice,
//! with the client's network (RFC 7871) or without EDNS at all.
//!
//! It shares no code with `inlet-edge`: what both got wrong in the same way, no test
//! would see.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::Ipv4Net;
use tokio::{net::UdpSocket, time::timeout};

const A: u16 = 1;
const OPT: u16 = 41;
/// EDNS Client Subnet (RFC 7871 §6).
const CLIENT_SUBNET: u16 = 8;
const IPV4: u16 = 1;
const RECURSION_DESIRED: u16 = 0x0100;
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
/// What is taken by UDP (RFC 9715 has resolvers ask for no more).
const PAYLOAD: u16 = 1232;
/// How long one try waits, and how many there are.
const TIMEOUT: Duration = Duration::from_secs(1);
const TRIES: usize = 3;

/// Who asks, and whom.
#[derive(Clone, Copy, Debug)]
pub struct Resolver {
    /// The name server.
    pub server: SocketAddr,
    /// The resolver's own address.
    pub source: Ipv4Addr,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The response code; 0 is NOERROR.
    pub rcode: u16,
    /// Data of the A records, in their order.
    pub addresses: Vec<Ipv4Addr>,
    /// TTL of the last A record, in seconds.
    pub ttl: Option<u32>,
    /// For how long a prefix of the client's network this is the answer; `None` without
    /// EDNS Client Subnet.
    pub scope: Option<u8>,
}

impl Resolver {
    /// One on loopback.
    pub const fn of(server: SocketAddr) -> Self {
        Self {
            server,
            source: Ipv4Addr::LOCALHOST,
        }
    }

    /// The same at another address of this machine.
    #[must_use]
    pub const fn at(self, source: Ipv4Addr) -> Self {
        Self { source, ..self }
    }

    /// Asks for the addresses of `name`, for a client in `subnet` if there is one.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one that cannot be read.
    pub async fn ask(&self, name: &str, subnet: Option<Ipv4Net>) -> Result<Answer> {
        let socket = UdpSocket::bind((self.source, 0)).await?;
        socket.connect(self.server).await?;
        let id = rand::random();
        let query = query(id, name, subnet);
        for _ in 0..TRIES {
            socket.send(&query).await?;
            if let Ok(answer) = timeout(TIMEOUT, receive(&socket, id)).await {
                return answer;
            }
        }
        bail!("{} does not answer", self.server)
    }

    /// Likewise, where one address is to be the answer.
    ///
    /// # Errors
    ///
    /// As [`Resolver::ask`], and when it is another number of addresses.
    pub async fn resolve(&self, name: &str, subnet: Option<Ipv4Net>) -> Result<Ipv4Addr> {
        let answer = self.ask(name, subnet).await?;
        match &answer.addresses[..] {
            [address] => Ok(*address),
            _ => bail!("{name}: {answer:?}"),
        }
    }
}

async fn receive(socket: &UdpSocket, id: u16) -> Result<Answer> {
    let mut bytes = [0; PAYLOAD as usize];
    loop {
        let length = socket.recv(&mut bytes).await?;
        match read(&bytes[..length])? {
            (theirs, answer) if theirs == id => return Ok(answer),
            _ => {}
        }
    }
}

/// The message that asks for A records of `name`.
///
/// # Panics
///
/// When a label of `name` is longer than 255 bytes.
pub fn query(id: u16, name: &str, subnet: Option<Ipv4Net>) -> Vec<u8> {
    let additional = u16::from(subnet.is_some());
    let mut out = Vec::new();
    let mut add = |fields: &[u16]| {
        for field in fields {
            out.extend(field.to_be_bytes());
        }
    };
    add(&[id, RECURSION_DESIRED, 1, 0, 0, additional]);
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("a label"));
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    if let Some(subnet) = subnet {
        out.push(0);
        let address = subnet.trunc().network().octets();
        let address = &address[..usize::from(subnet.prefix_len().div_ceil(8))];
        let length = address.len() as u16 + 4;
        let fields = [OPT, PAYLOAD, 0, 0, length + 4, CLIENT_SUBNET, length, IPV4];
        for field in fields {
            out.extend(field.to_be_bytes());
        }
        out.extend([subnet.prefix_len(), 0]);
        out.extend(address);
    }
    out
}

/// Reads a response: whose it is, and what it says.
///
/// # Errors
///
/// When it is none, is cut, or ends early.
pub fn read(message: &[u8]) -> Result<(u16, Answer)> {
    let mut rest = Rest(message);
    let (id, flags) = (rest.u16()?, rest.u16()?);
    ensure!(flags & RESPONSE != 0, "a query came back");
    ensure!(flags & TRUNCATED == 0, "the answer is cut");
    let questions = rest.u16()?;
    let records = rest.u16()? + rest.u16()? + rest.u16()?;
    for _ in 0..questions {
        rest.name()?;
        rest.take(4)?;
    }
    let mut answer = Answer {
        rcode: flags & 0xF,
        ..Answer::default()
    };
    for _ in 0..records {
        rest.name()?;
        let (kind, _class) = (rest.u16()?, rest.u16()?);
        let ttl = u32::from(rest.u16()?) << 16 | u32::from(rest.u16()?);
        let length = rest.u16()?;
        let data = rest.take(length.into())?;
        match kind {
            A => {
                let octets: [u8; 4] = data.try_into().context("an A record")?;
                answer.addresses.push(octets.into());
                answer.ttl = Some(ttl);
            }
            OPT => answer.scope = scope(Rest(data))?,
            _ => {}
        }
    }
    ensure!(rest.0.is_empty(), "bytes after the last record");
    Ok((id, answer))
}

/// SCOPE PREFIX-LENGTH among the options of an OPT record.
fn scope(mut options: Rest<'_>) -> Result<Option<u8>> {
    let mut scope = None;
    while !options.0.is_empty() {
        let (code, length) = (options.u16()?, options.u16()?);
        let data = options.take(length.into())?;
        if code == CLIENT_SUBNET {
            scope = Some(*data.get(3).context("a short client subnet")?);
        }
    }
    Ok(scope)
}

/// What of a message is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .context("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Passes over a name, which may end in a pointer (RFC 1035 §4.1.4).
    fn name(&mut self) -> Result<()> {
        loop {
            match self.take(1)?[0] {
                0 => return Ok(()),
                0xC0.. => return self.take(1).map(drop),
                length => self.take(length.into()).map(drop)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_the_bytes_of_the_rfcs() {
        let subnet = "81.2.69.177/27".parse().unwrap();
        let query = query(7, "a.bc", Some(subnet));
        let (head, rest) = query.split_at(12);
        assert_eq!(head, [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        let (question, opt) = rest.split_at(10);
        assert_eq!(question, b"\x01a\x02bc\x00\x00\x01\x00\x01");
        assert_eq!(opt[..11], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 12]);
        assert_eq!(opt[11..], [0, 8, 0, 8, 0, 1, 27, 0, 81, 2, 69, 160]);
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let mut answer = query(7, "a.bc", Some("10.0.0.0/8".parse().unwrap()));
        answer[2] |= 0x80;
        answer[7] = 1;
        let scope = answer.len() - 2;
        answer[scope] = 16;
        let opt = answer.split_off(22);
        answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc0\x00\x02\x01");
        answer.extend(opt);
        let (id, read_back) = read(&answer).unwrap();
        let expected = Answer {
            rcode: 0,
            addresses: vec![Ipv4Addr::new(192, 0, 2, 1)],
            ttl: Some(30),
            scope: Some(16),
        };
        assert_eq!((id, read_back), (7, expected));
        assert!(read(&answer[..answer.len() - 1]).is_err());
    }
}
