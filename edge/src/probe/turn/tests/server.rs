//! A TURN server for two clients, with whatever manners a test wants.

use std::{collections::BTreeMap, net::SocketAddr};

use inlet_common::clock::UtcTime;

use super::super::super::engine::Side;
use crate::turn::{
    auth::{Credentials, Identity, long_term_key},
    wire::{
        ChannelData, ChannelNumber, Class, Encoder, ErrorCode, Family, Mac, Message, Method,
        PasswordAlgorithm, TransactionId,
    },
};

pub(in crate::probe) const SECRET: &str = "a secret of the fleet";
const REALM: &str = "inlet.test";

/// What becomes of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Relaying {
    Right,
    Nothing,
    /// From the first client to the second alone.
    OneWay,
    /// With a byte changed.
    Garbled,
    /// As if another peer had sent them.
    FromElsewhere,
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub(in crate::probe) struct Manners {
    pub(in crate::probe) is_silent: bool,
    pub(in crate::probe) is_deaf_to: Option<Method>,
    /// Which signed requests, counted from 0, are told that their nonce is stale.
    pub(in crate::probe) stale: Vec<usize>,
    /// Signed requests that are refused.
    pub(in crate::probe) refuses: Option<(Method, ErrorCode)>,
    pub(in crate::probe) relaying: Relaying,
    pub(in crate::probe) is_unsigned: bool,
    /// Signs with a key of its own.
    pub(in crate::probe) is_forged: bool,
    /// Sends junk in front of each message.
    pub(in crate::probe) is_noisy: bool,
    pub(in crate::probe) has_realm: bool,
    /// Asks nobody for a credential.
    pub(in crate::probe) is_open: bool,
    /// Relayed addresses are of IPv6 alone.
    pub(in crate::probe) is_ipv6: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            is_silent: false,
            is_deaf_to: None,
            stale: Vec::new(),
            refuses: None,
            relaying: Relaying::Right,
            is_unsigned: false,
            is_forged: false,
            is_noisy: false,
            has_realm: true,
            is_open: false,
            is_ipv6: false,
        }
    }
}

#[derive(Default)]
struct Client {
    transaction: Option<TransactionId>,
    relayed: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    channel: Option<ChannelNumber>,
}

pub(in crate::probe) struct Server {
    pub(in crate::probe) manners: Manners,
    credentials: Credentials,
    clients: BTreeMap<Side, Client>,
    log: Vec<(Side, Method)>,
    signed: usize,
}

impl Server {
    pub(in crate::probe) fn new(manners: Manners) -> Self {
        Self {
            manners,
            credentials: Credentials::new(REALM, vec![SECRET.to_owned()], []),
            clients: BTreeMap::new(),
            log: Vec::new(),
            signed: 0,
        }
    }

    /// Whether no client has an allocation.
    pub(in crate::probe) fn is_empty(&self) -> bool {
        self.clients.values().all(|client| client.relayed.is_none())
    }

    /// What each client has sent, as far as it arrived.
    pub(in crate::probe) fn methods(&self) -> [Vec<Method>; 2] {
        [Side::First, Side::Second].map(|side| {
            let log = self.log.iter().filter(|(from, _)| *from == side);
            log.map(|(_, method)| *method).collect()
        })
    }

    /// Takes a message; what it sends, and to whom.
    pub(in crate::probe) fn handle(&mut self, from: Side, bytes: &[u8]) -> Vec<(Side, Vec<u8>)> {
        if self.manners.is_silent {
            return Vec::new();
        }
        let sent = self.answer(from, bytes);
        let mut all = Vec::new();
        if let Some((to, message)) = sent {
            if self.manners.is_noisy {
                all.extend(junk(&message).into_iter().map(|junk| (to, junk)));
            }
            all.push((to, message));
        }
        all
    }

    fn answer(&mut self, from: Side, bytes: &[u8]) -> Option<(Side, Vec<u8>)> {
        if let Some(data) = ChannelData::decode(bytes) {
            let client = self.clients.get(&from)?;
            let peer = client
                .peer
                .filter(|_| client.channel == Some(data.number))?;
            return self.relay(from, peer, data.data);
        }
        let message = Message::decode(bytes).expect("a message");
        self.log.push((from, message.method));
        let said = &message.attributes;
        if message.method == Method::Send {
            return self.relay(from, said.xor_peer_address?, said.data?);
        }
        assert_eq!(message.class, Class::Request);
        assert!(said.has_fingerprint);
        if self.manners.is_deaf_to == Some(message.method) {
            return None;
        }
        Some((from, self.request(from, &message)))
    }

    fn request(&mut self, from: Side, message: &Message<'_>) -> Vec<u8> {
        if message.mac().is_none() && !self.manners.is_open {
            return self.challenge(message, ErrorCode::Unauthenticated);
        }
        if self.manners.is_open {
            return match self.serve(from, message) {
                Ok(success) => success.finish(),
                Err(code) => error(message, code).finish(),
            };
        }
        self.signed += 1;
        if self.manners.stale.contains(&(self.signed - 1)) {
            return self.challenge(message, ErrorCode::StaleNonce);
        }
        let Ok(identity) = self.credentials.authenticate(message) else {
            return self.challenge(message, ErrorCode::Unauthenticated);
        };
        let now = UtcTime::from_unix_micros(0);
        assert!(
            self.credentials
                .check_expiry(&identity.username, now)
                .is_ok()
        );
        let answer = match self.manners.refuses {
            Some((method, code)) if method == message.method => error(message, code),
            _ => match self.serve(from, message) {
                Ok(success) => success,
                Err(code) => error(message, code),
            },
        };
        self.sign(answer, &identity)
    }

    fn challenge(&self, message: &Message<'_>, code: ErrorCode) -> Vec<u8> {
        let challenge = error(message, code).nonce(b"a nonce").password_algorithms();
        match self.manners.has_realm {
            true => challenge.realm(REALM).fingerprint().finish(),
            false => challenge.fingerprint().finish(),
        }
    }

    fn sign(&self, answer: Encoder, identity: &Identity) -> Vec<u8> {
        let key = match self.manners.is_forged {
            true => long_term_key(PasswordAlgorithm::Md5, b"a", "b", "c"),
            false => identity.key.clone(),
        };
        match self.manners.is_unsigned {
            true => answer.finish(),
            false => answer.integrity(Mac::Sha1, &key).fingerprint().finish(),
        }
    }

    fn serve(&mut self, from: Side, message: &Message<'_>) -> Result<Encoder, ErrorCode> {
        let is_ipv6 = self.manners.is_ipv6;
        let client = self.clients.entry(from).or_default();
        let said = &message.attributes;
        let success = Encoder::new(Class::Success, message.method, message.transaction);
        match message.method {
            Method::Allocate => {
                let is_again = client.transaction == Some(message.transaction);
                if client.relayed.is_some() && !is_again {
                    return Err(ErrorCode::AllocationMismatch);
                }
                if is_ipv6 && said.requested_family != Some(Ok(Family::V6)) {
                    return Err(ErrorCode::AddressFamilyNotSupported);
                }
                client.transaction = Some(message.transaction);
                let relayed = relayed(from, is_ipv6);
                client.relayed = Some(relayed);
                Ok(success.xor_relayed_address(relayed).lifetime(600))
            }
            Method::Refresh if said.lifetime == Some(0) => match client.relayed {
                Some(_) => {
                    *client = Client::default();
                    Ok(success.lifetime(0))
                }
                None => Err(ErrorCode::AllocationMismatch),
            },
            Method::CreatePermission | Method::ChannelBind => {
                let peer = said.xor_peer_address.ok_or(ErrorCode::BadRequest)?;
                client.peer = Some(peer);
                client.channel = said.channel_number.and_then(ChannelNumber::new);
                Ok(success)
            }
            method => panic!("{method:?}"),
        }
    }

    fn relay(&self, from: Side, peer: SocketAddr, data: &[u8]) -> Option<(Side, Vec<u8>)> {
        let sender = self.clients.get(&from)?.relayed?;
        let mut clients = self.clients.iter();
        let (to, receiver) = clients.find(|(_, client)| client.relayed == Some(peer))?;
        if receiver.peer?.ip() != sender.ip() {
            return None;
        }
        let mut data = data.to_vec();
        let mut sender = sender;
        match self.manners.relaying {
            Relaying::Right => {}
            Relaying::OneWay if from == Side::First => {}
            Relaying::Nothing | Relaying::OneWay => return None,
            Relaying::Garbled => data[0] ^= 1,
            Relaying::FromElsewhere => sender.set_port(sender.port() ^ 0x100),
        }
        let message = match receiver.channel.filter(|_| receiver.peer == Some(sender)) {
            Some(number) => [&number.header(data.len() as u16)[..], &data].concat(),
            None => Encoder::new(Class::Indication, Method::Data, TransactionId([9; 12]))
                .xor_peer_address(sender)
                .data(&data)
                .finish(),
        };
        Some((*to, message))
    }
}

fn relayed(side: Side, is_ipv6: bool) -> SocketAddr {
    let ip = match is_ipv6 {
        true => "2001:db8::1",
        false => "198.51.100.1",
    };
    SocketAddr::new(ip.parse().unwrap(), 50_000 + side as u16)
}

fn error(message: &Message<'_>, code: ErrorCode) -> Encoder {
    Encoder::new(Class::Error, message.method, message.transaction).error(code, true)
}

/// What is no answer: noise, an answer to somebody else, one to another method, and one
/// that broke on its way.
fn junk(message: &[u8]) -> Vec<Vec<u8>> {
    let other = TransactionId([0; 12]);
    let to_other = |method| {
        let refusal = Encoder::new(Class::Error, method, other);
        refusal.error(ErrorCode::Forbidden, true).finish()
    };
    let mut junk = vec![
        Vec::new(),
        vec![0xFF; 40],
        vec![0; 20],
        vec![0x4F, 0xFF, 0, 0],
    ];
    junk.push(to_other(Method::Allocate));
    if let Ok(message) = Message::decode(message) {
        let method = Encoder::new(Class::Success, Method::Connect, message.transaction);
        junk.push(method.finish());
        let indication = Encoder::new(Class::Indication, message.method, message.transaction);
        junk.push(indication.finish());
    }
    let mut broken = message.to_vec();
    if let Some(byte) = broken.get_mut(21) {
        *byte ^= 0x10;
        junk.push(broken);
    }
    junk
}
