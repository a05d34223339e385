//! Building answers, and counting the bad ones.
//!
//! What a stranger gets is short: no reason phrase, no SOFTWARE, and never more
//! than five times what it sent, since its source may be forged.

use std::time::Instant;

use super::Relay;
use crate::turn::{
    auth::Identity,
    client::{Client, Via},
    tally::Dropped,
    wire::{Class, Encoder, ErrorCode, IntegrityKey, Mac, Message, Method, TransactionId},
};

/// An answer to a stranger may have so many times the size of the request.
const MAX_AMPLIFICATION: usize = 5;

/// How a request's answer is addressed and signed.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) client: Client,
    pub(super) method: Method,
    pub(super) transaction: TransactionId,
    /// The request had a FINGERPRINT, so its answer has one (RFC 8489 §7.3.1).
    has_fingerprint: bool,
    /// With what a believed request's answer is signed.
    signed: Option<(Mac, IntegrityKey)>,
    request_len: usize,
}

impl Reply {
    /// To a request that is not, or not yet, believed.
    pub(super) fn to(client: Client, message: &Message<'_>) -> Self {
        Self {
            client,
            method: message.method,
            transaction: message.transaction,
            has_fingerprint: message.attributes.has_fingerprint,
            signed: None,
            request_len: message.wire_len(),
        }
    }

    /// To the same request, which is believed: the answer is protected as it
    /// was (RFC 8489 §9.2.4).
    pub(super) fn signed(mut self, message: &Message<'_>, identity: &Identity) -> Self {
        self.signed = message.mac().map(|mac| (mac, identity.key.clone()));
        self
    }

    fn begin(&self, class: Class) -> Encoder {
        Encoder::new(class, self.method, self.transaction)
    }

    /// The finished message.
    fn finish(&self, mut encoder: Encoder) -> Vec<u8> {
        if let Some((mac, key)) = &self.signed {
            encoder = encoder.integrity(*mac, key);
        }
        if self.has_fingerprint {
            encoder = encoder.fingerprint();
        }
        encoder.finish()
    }
}

impl Relay {
    /// Sends a success answer with what `fill` puts in.
    pub(super) fn succeed(&mut self, reply: &Reply, fill: impl FnOnce(Encoder) -> Encoder) {
        let contents = reply.finish(fill(reply.begin(Class::Success)));
        self.transmit(reply.client, contents);
    }

    /// Sends an error answer.
    pub(super) fn refuse(&mut self, reply: &Reply, code: ErrorCode) {
        self.refuse_with(reply, code, |encoder| encoder);
    }

    /// Sends an error answer with more in it.
    pub(super) fn refuse_with(
        &mut self,
        reply: &Reply,
        code: ErrorCode,
        fill: impl FnOnce(Encoder) -> Encoder,
    ) {
        let is_stranger = reply.signed.is_none();
        let encoder = reply.begin(Class::Error).error(code, !is_stranger);
        let contents = reply.finish(fill(encoder));
        let is_datagram = matches!(reply.client.via, Via::Udp { .. });
        if is_stranger && is_datagram && contents.len() > MAX_AMPLIFICATION * reply.request_len {
            return self.tally.note_dropped(Dropped::Amplification);
        }
        self.tally.note_refused(reply.method, code);
        self.transmit(reply.client, contents);
    }

    /// Sends 401 or 438 with a fresh nonce (RFC 8489 §9.2.4).
    pub(super) fn challenge(&mut self, now: Instant, reply: &Reply, code: ErrorCode) {
        let age = self.age(now);
        let source = reply.client.remote;
        let limit = self.settings.challenges_per_second;
        let is_datagram = matches!(reply.client.via, Via::Udp { .. });
        if is_datagram && !self.challenges.may_answer(age, source.ip(), limit) {
            return self.tally.note_dropped(Dropped::ChallengeLimit);
        }
        let nonce = self.shared.nonces.make(age, source);
        let settings = std::sync::Arc::clone(&self.settings);
        self.refuse_with(reply, code, |encoder| {
            encoder
                .realm(settings.credentials.realm())
                .nonce(&nonce)
                .password_algorithms()
        });
    }
}
