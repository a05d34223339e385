//! A TURN client: an allocation, permissions and channels, and data by both.
//!
//! One thread owns a client; data that comes while a response is waited for is
//! kept for whoever asks for data next.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use inlet_common::clock;

use super::{
    link::{Link, Server, Transport},
    message::{
        ADDITIONAL_ADDRESS_FAMILY, ALLOCATE, CHANNEL_BIND, CHANNEL_NUMBER, CREATE_PERMISSION,
        Credentials, DATA, DATA_INDICATION, Draft, EVEN_PORT, LIFETIME, Message, REFRESH,
        REQUESTED_ADDRESS_FAMILY, REQUESTED_TRANSPORT, RESERVATION_TOKEN, SEND, XOR_PEER_ADDRESS,
        XOR_RELAYED_ADDRESS,
    },
};

/// How long a response is waited for before a datagram is sent again.
const PATIENCE: Duration = Duration::from_millis(1_000);
const ATTEMPTS: usize = 7;
/// Tries with other ports: the server may still know the client that had this one.
const MAX_PORTS: usize = 8;
/// RFC 8656 §19: the client's port is one that an allocation still has.
const ALLOCATION_MISMATCH: u16 = 437;

const IPV4: [u8; 4] = [1, 0, 0, 0];
const IPV6: [u8; 4] = [2, 0, 0, 0];

/// A way to come, and who comes.
#[derive(Clone, Debug)]
pub struct Caller {
    /// By which transport.
    pub transport: Transport,
    /// From 127.0.0.1, else from ::1.
    pub is_ipv4: bool,
    /// USERNAME.
    pub username: String,
    /// Its password.
    pub password: String,
}

/// Which relayed addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// One of IPv4.
    Ipv4,
    /// One of IPv6.
    Ipv6,
    /// One of each.
    Both,
    /// An even port of IPv4, and the next one in reserve.
    Pair,
    /// The one in reserve.
    Reserved([u8; 8]),
}

/// A client that has an allocation.
#[derive(Debug)]
pub struct Client {
    link: Link,
    credentials: Credentials,
    /// Where peers reach it, one address per family.
    pub relayed: Vec<SocketAddr>,
    /// Names the port in reserve.
    pub token: Option<[u8; 8]>,
    channels: Vec<(u16, SocketAddr)>,
    data: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Client {
    /// Makes an allocation.
    ///
    /// # Errors
    ///
    /// When it is refused or not answered.
    pub fn allocate(server: &Server, caller: &Caller, wish: Wish) -> Result<Self> {
        for _ in 0..MAX_PORTS {
            let mut link = Link::open(server, caller.transport, caller.is_ipv4)?;
            let challenge = exchange(&mut link, &request(wish).finish(), |_| {})?;
            let credentials = Credentials::learn(&challenge, &caller.username, &caller.password)?;
            let granted = exchange(&mut link, &request(wish).sign(&credentials), |_| {})?;
            match granted.error_code() {
                0 => {}
                ALLOCATION_MISMATCH if link.is_datagram() => continue,
                code => bail!("{wish:?} was refused with {code}"),
            }
            let relayed: Vec<_> = granted.addresses(XOR_RELAYED_ADDRESS).collect();
            let wanted = if wish == Wish::Both { 2 } else { 1 };
            ensure!(relayed.len() == wanted, "{wish:?} got {relayed:?}");
            let token = granted.attribute(RESERVATION_TOKEN);
            let token = token.map(<[u8; 8]>::try_from).transpose()?;
            ensure!(
                token.is_some() == (wish == Wish::Pair),
                "{wish:?}, {token:?}"
            );
            return Ok(Self {
                link,
                credentials,
                relayed,
                token,
                channels: Vec::new(),
                data: VecDeque::new(),
            });
        }
        bail!("every port is another allocation's")
    }

    /// Permits a peer's address.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn permit(&mut self, peer: SocketAddr) -> Result<()> {
        let draft = Draft::new(CREATE_PERMISSION).peer(peer);
        self.request("CreatePermission", draft).map(drop)
    }

    /// Binds a channel to a peer, or refreshes it; data to it goes by it.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<()> {
        let [high, low] = number.to_be_bytes();
        let draft = Draft::new(CHANNEL_BIND).attribute(CHANNEL_NUMBER, &[high, low, 0, 0]);
        self.request("ChannelBind", draft.peer(peer))?;
        if !self.channels.contains(&(number, peer)) {
            self.channels.push((number, peer));
        }
        Ok(())
    }

    /// Asks for a longer life; 0 ends the allocation.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn refresh(&mut self, seconds: u32) -> Result<()> {
        let draft = Draft::new(REFRESH).attribute(LIFETIME, &seconds.to_be_bytes());
        let granted = self.request("Refresh", draft)?;
        let granted = granted.attribute(LIFETIME).context("no LIFETIME")?;
        let granted = u32::from_be_bytes(granted.try_into()?);
        ensure!(
            (granted == 0) == (seconds == 0),
            "asked {seconds}, got {granted}"
        );
        Ok(())
    }

    /// Sends data to a peer: by its channel if there is one, else by a Send
    /// indication.
    ///
    /// # Errors
    ///
    /// When the server has gone.
    pub fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Result<()> {
        let channel = self.channels.iter().find(|(_, bound)| *bound == peer);
        let Some((number, _)) = channel else {
            let draft = Draft::new(SEND).peer(peer).attribute(DATA, data);
            return self.link.send(&draft.finish());
        };
        let mut frame = number.to_be_bytes().to_vec();
        frame.extend((data.len() as u16).to_be_bytes());
        frame.extend(data);
        if !self.link.is_datagram() {
            frame.resize(frame.len().next_multiple_of(4), 0);
        }
        self.link.send(&frame)
    }

    /// Waits for data of any peer; `None` when none comes within `patience`.
    ///
    /// # Errors
    ///
    /// When the server has gone.
    pub fn receive(&mut self, patience: Duration) -> Result<Option<(SocketAddr, Vec<u8>)>> {
        let start = clock::now();
        loop {
            if let Some(data) = self.data.pop_front() {
                return Ok(Some(data));
            }
            if clock::now().duration_since(start) > patience {
                return Ok(None);
            }
            if let Some(frame) = self.link.receive()? {
                keep(&mut self.data, &self.channels, &frame);
            }
        }
    }

    /// Goes without a word; a connection in the middle of a message.
    ///
    /// # Errors
    ///
    /// When the server has gone.
    pub fn vanish(mut self) -> Result<()> {
        match self.link.is_datagram() {
            true => Ok(()),
            false => self.link.send(&[0x40, 0, 1]),
        }
    }

    fn request(&mut self, name: &str, draft: Draft) -> Result<Message> {
        let wire = draft.sign(&self.credentials);
        let (data, channels) = (&mut self.data, &self.channels);
        let response = exchange(&mut self.link, &wire, |frame| keep(data, channels, frame));
        let response = response.with_context(|| name.to_owned())?;
        let code = response.error_code();
        ensure!(code == 0, "{name} was refused with {code}");
        Ok(response)
    }
}

fn request(wish: Wish) -> Draft {
    // RFC 8656 §14.7: UDP.
    let draft = Draft::new(ALLOCATE).attribute(REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    match wish {
        Wish::Ipv4 => draft.attribute(REQUESTED_ADDRESS_FAMILY, &IPV4),
        Wish::Ipv6 => draft.attribute(REQUESTED_ADDRESS_FAMILY, &IPV6),
        Wish::Both => draft.attribute(ADDITIONAL_ADDRESS_FAMILY, &IPV6),
        // RFC 8656 §18.5: the highest bit asks for the next port too.
        Wish::Pair => draft.attribute(EVEN_PORT, &[0x80]),
        Wish::Reserved(token) => draft.attribute(RESERVATION_TOKEN, &token),
    }
}

/// Sends a request and waits for its response; whatever else comes is handed on.
fn exchange(link: &mut Link, request: &[u8], mut other: impl FnMut(&[u8])) -> Result<Message> {
    for _ in 0..ATTEMPTS {
        link.send(request)?;
        let sent = clock::now();
        // A connection loses nothing, so nothing is sent again on it.
        let patience = match link.is_datagram() {
            true => PATIENCE,
            false => PATIENCE * ATTEMPTS as u32,
        };
        while clock::now().duration_since(sent) < patience {
            let Some(frame) = link.receive()? else {
                continue;
            };
            match Message::decode(&frame) {
                Some(message) if message.answers(request) => return Ok(message),
                _ => other(&frame),
            }
        }
        if !link.is_datagram() {
            break;
        }
    }
    bail!("no response")
}

/// Keeps what a peer sent; everything else is nothing to a client.
fn keep(data: &mut VecDeque<(SocketAddr, Vec<u8>)>, channels: &[(u16, SocketAddr)], frame: &[u8]) {
    if let Some((&[a @ 0x40..=0x4F, b, c, d], rest)) = frame.split_first_chunk() {
        let number = u16::from_be_bytes([a, b]);
        let channel = channels.iter().find(|(known, _)| *known == number);
        let bytes = rest.get(..usize::from(u16::from_be_bytes([c, d])));
        if let (Some((_, peer)), Some(bytes)) = (channel, bytes) {
            data.push_back((*peer, bytes.to_vec()));
        }
        return;
    }
    let message = Message::decode(frame).filter(|message| message.kind() == DATA_INDICATION);
    let Some(message) = message else { return };
    if let (Some(peer), Some(bytes)) = (message.address(XOR_PEER_ADDRESS), message.attribute(DATA))
    {
        data.push_back((peer, bytes.to_vec()));
    }
}
