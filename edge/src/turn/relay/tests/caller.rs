//! A client: signs requests, and reads answers.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    Rig, Went,
    rig::{REALM, at},
};
use crate::turn::{
    auth::{long_term_key, time_limited_password},
    client::{Client, StreamId, Via},
    wire::{
        ChannelNumber, Class, ConnectionId, Encoder, IntegrityKey, Mac, Message, Method,
        PasswordAlgorithm, ReservationToken, TransactionId,
    },
};

#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) worker: usize,
    pub(super) client: Client,
    pub(super) username: String,
    pub(super) password: String,
    /// Named in requests; `None` is what clients of the time before do.
    pub(super) algorithm: Option<PasswordAlgorithm>,
    pub(super) mac: Mac,
    pub(super) nonce: Vec<u8>,
}

impl Caller {
    /// A static user, by UDP at the first worker.
    pub(super) fn new(name: &str, remote: &str) -> Self {
        Self {
            worker: 0,
            client: Client {
                via: Via::Udp {
                    listener: 0,
                    local: None,
                },
                remote: at(remote),
            },
            username: name.to_owned(),
            password: format!("secret-of-{name}"),
            algorithm: None,
            mac: Mac::Sha1,
            nonce: Vec::new(),
        }
    }

    pub(super) fn anna() -> Self {
        Self::new("anna", "192.0.2.1:1000")
    }

    pub(super) fn bert() -> Self {
        Self::new("bert", "192.0.2.2:2000")
    }

    /// A time-limited credential of the shared secret.
    pub(super) fn time_limited(username: &str) -> Self {
        let mut caller = Self::new(username, "192.0.2.3:3000");
        caller.password = time_limited_password("shared", username.as_bytes());
        caller
    }

    /// The same user by TCP.
    pub(super) fn by_tcp(mut self, stream: u64) -> Self {
        self.client.via = Via::Tcp(StreamId(stream));
        self
    }

    pub(super) fn at_worker(mut self, worker: usize) -> Self {
        self.worker = worker;
        self
    }

    pub(super) fn key(&self) -> IntegrityKey {
        let algorithm = self.algorithm.unwrap_or(PasswordAlgorithm::Md5);
        let name = self.username.as_bytes();
        long_term_key(algorithm, name, REALM, &self.password)
    }

    /// A whole request.
    pub(super) fn request(
        &self,
        method: Method,
        transaction: TransactionId,
        fill: impl FnOnce(Encoder) -> Encoder,
    ) -> Vec<u8> {
        let mut encoder = fill(Encoder::new(Class::Request, method, transaction))
            .username(self.username.as_bytes())
            .realm(REALM)
            .nonce(&self.nonce);
        if let Some(algorithm) = self.algorithm {
            encoder = encoder.password_algorithms().password_algorithm(algorithm);
        }
        encoder.integrity(self.mac, &self.key()).finish()
    }
}

pub(super) fn new_transaction() -> TransactionId {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut bytes = [0xAB; 12];
    bytes[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    TransactionId(bytes)
}

/// A request as a stranger sends it.
pub(super) fn unsigned(method: Method, fill: impl FnOnce(Encoder) -> Encoder) -> Vec<u8> {
    fill(Encoder::new(Class::Request, method, new_transaction())).finish()
}

impl Rig {
    /// Asks without credentials, as clients begin, and keeps the nonce.
    pub(super) fn greet(&mut self, caller: &mut Caller) {
        let hello = unsigned(Method::Allocate, |encoder| encoder.requested_transport(17));
        let answer = self.exchange(caller, &hello).unwrap();
        assert_eq!(answer.code(), Some(401));
        caller.nonce = answer.with(|message| message.attributes.nonce.unwrap().to_vec());
    }

    /// Sends a request, and takes its answer if there is one.
    pub(super) fn exchange(&mut self, caller: &Caller, request: &[u8]) -> Option<Answer> {
        self.sent.clear();
        assert_eq!(self.feed(caller, request), Went::Nowhere);
        let (client, bytes) = self.sent.pop_front()?;
        assert_eq!(client, caller.client);
        assert!(self.sent.is_empty(), "more than one answer");
        let answer = Answer { bytes };
        let asked = Message::decode(request).unwrap();
        answer.with(|message| {
            assert_eq!(message.transaction, asked.transaction);
            assert_eq!(message.method, asked.method);
            if message.class == Class::Success && asked.mac().is_some() {
                assert_eq!(message.mac(), asked.mac());
                assert!(message.is_signed_with(&caller.key()), "wrongly signed");
            }
        });
        Some(answer)
    }

    /// Sends a signed request, after a first one that fetches a nonce.
    pub(super) fn ask(
        &mut self,
        caller: &mut Caller,
        method: Method,
        fill: impl FnOnce(Encoder) -> Encoder,
    ) -> Answer {
        if caller.nonce.is_empty() {
            self.greet(caller);
        }
        let request = caller.request(method, new_transaction(), fill);
        self.exchange(caller, &request).unwrap()
    }

    pub(super) fn bind_channel(
        &mut self,
        caller: &mut Caller,
        number: u16,
        peer: SocketAddr,
    ) -> Answer {
        self.ask(caller, Method::ChannelBind, |encoder| {
            encoder
                .channel_number(ChannelNumber::new(number).unwrap())
                .xor_peer_address(peer)
        })
    }

    /// Sends a Send indication.
    pub(super) fn send(&mut self, caller: &Caller, peer: SocketAddr, data: &[u8]) -> Went {
        let indication = Encoder::new(Class::Indication, Method::Send, new_transaction())
            .xor_peer_address(peer)
            .data(data);
        self.feed(caller, &indication.finish())
    }

    /// Sends ChannelData.
    pub(super) fn send_on(&mut self, caller: &Caller, number: u16, data: &[u8]) -> Went {
        let number = ChannelNumber::new(number).unwrap();
        let header = number.header(u16::try_from(data.len()).unwrap());
        self.feed(caller, &[&header, data].concat())
    }
}

/// An answer, or an indication.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn with<T>(&self, read: impl FnOnce(&Message<'_>) -> T) -> T {
        read(&Message::decode(&self.bytes).unwrap())
    }

    /// Its error code; `None` for a success.
    pub(super) fn code(&self) -> Option<u16> {
        self.with(|message| message.attributes.error_code)
    }

    pub(super) fn is_success(&self) -> bool {
        self.with(|message| message.class == Class::Success)
    }

    pub(super) fn lifetime(&self) -> Option<u32> {
        self.with(|message| message.attributes.lifetime)
    }

    pub(super) fn token(&self) -> Option<ReservationToken> {
        self.with(|message| message.attributes.reservation_token)
    }

    pub(super) fn connection(&self) -> Option<ConnectionId> {
        self.with(|message| message.attributes.connection_id)
    }

    /// The values of every attribute of a type.
    pub(super) fn values(&self, kind: u16) -> Vec<Vec<u8>> {
        let (mut rest, mut values) = (&self.bytes[20..], Vec::new());
        while let Some((&[k1, k2, l1, l2], behind)) = rest.split_first_chunk::<4>() {
            let len = usize::from(u16::from_be_bytes([l1, l2]));
            if u16::from_be_bytes([k1, k2]) == kind {
                values.push(behind[..len].to_vec());
            }
            rest = &behind[len.next_multiple_of(4)..];
        }
        values
    }

    /// Every relayed address that it tells.
    pub(super) fn relayed(&self) -> Vec<SocketAddr> {
        // XOR-RELAYED-ADDRESS, one at a time through the decoder.
        let values = self.values(0x0016).into_iter();
        let transaction = self.with(|message| message.transaction);
        let read = values.map(|value| {
            let one = Encoder::new(Class::Success, Method::Allocate, transaction)
                .raw_attribute(0x0016, &value)
                .finish();
            let message = Message::decode(&one).unwrap();
            message.attributes.xor_relayed_address.unwrap()
        });
        read.collect()
    }
}
