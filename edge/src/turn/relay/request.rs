//! From a client's message to a believed request, or its refusal.
//!
//! No state is kept for a stranger: a challenge is made of the request alone,
//! and its nonce proves itself when it comes back (RFC 8489 §9.2.4).

use std::time::Instant;

use super::{Forward, Relay, answer::Reply};
use crate::turn::{
    auth::{Failure, Identity},
    client::Client,
    nonce::Verdict,
    tally::Dropped,
    wire::{ChannelData, Class, ErrorCode, Message, Method, PasswordAlgorithm},
};

impl Relay {
    /// Takes a datagram of a client, or a frame of its stream.
    pub fn handle_client<'a>(
        &mut self,
        now: Instant,
        client: Client,
        bytes: &'a [u8],
    ) -> Forward<'a> {
        match bytes.first() {
            Some(0x40..=0x4F) => match ChannelData::decode(bytes) {
                Some(message) => return self.channel_data(now, &client, message),
                None => self.tally.note_dropped(Dropped::Malformed),
            },
            Some(0x00..=0x03) => match Message::decode(bytes) {
                Ok(message) => return self.handle_message(now, client, &message, bytes),
                Err(_) => self.tally.note_dropped(Dropped::Malformed),
            },
            _ => self.tally.note_dropped(Dropped::Unknown),
        }
        Forward::Nothing
    }

    fn handle_message<'a>(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'a>,
        bytes: &[u8],
    ) -> Forward<'a> {
        match (message.class, message.method) {
            (Class::Indication, Method::Send) => return self.send(now, &client, message),
            (Class::Request, Method::Binding) => self.binding(client, message),
            (Class::Request, method) if is_request(method) => {
                self.request(now, client, message, bytes);
            }
            // A Binding indication keeps a NAT's mapping alive (RFC 8489 §11).
            (Class::Indication, Method::Binding) => {}
            _ => self.tally.note_dropped(Dropped::Unexpected),
        }
        Forward::Nothing
    }

    /// RFC 8489 §3: everybody may ask where it is seen.
    fn binding(&mut self, client: Client, message: &Message<'_>) {
        let reply = Reply::to(client, message);
        if !message.unknown().is_empty() {
            return self.refuse_unknown(&reply, message);
        }
        self.tally.bindings += 1;
        self.succeed(&reply, |encoder| encoder.xor_mapped_address(client.remote));
    }

    fn request(&mut self, now: Instant, client: Client, message: &Message<'_>, bytes: &[u8]) {
        let Some((reply, identity)) = self.believe(now, client, message) else {
            return;
        };
        if !message.unknown().is_empty() {
            return self.refuse_unknown(&reply, message);
        }
        if message.attributes.is_malformed {
            return self.refuse(&reply, ErrorCode::BadRequest);
        }
        self.end_if_over(now, &client);
        match message.method {
            Method::Allocate => self.allocate(now, reply, message, identity),
            Method::Refresh => self.refresh(now, &reply, message, &identity),
            Method::CreatePermission => self.create_permission(now, &reply, message, &identity),
            Method::ChannelBind => self.channel_bind(now, &reply, message, &identity),
            Method::Connect => self.connect(now, reply, message, &identity),
            _ => self.connection_bind(now, &reply, message, &identity, bytes),
        }
    }

    /// RFC 8489 §7.3.1: 420 names what we do not know.
    fn refuse_unknown(&mut self, reply: &Reply, message: &Message<'_>) {
        self.refuse_with(reply, ErrorCode::UnknownAttribute, |encoder| {
            encoder.unknown_attributes(message.unknown())
        });
    }

    /// The checks of RFC 8489 §9.2.4.
    ///
    /// deviates: the nonce comes before the integrity, so that a flood of forged
    /// requests costs one MAC each.
    fn believe(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
    ) -> Option<(Reply, Identity)> {
        let reply = Reply::to(client, message);
        let said = &message.attributes;
        if message.mac().is_none() {
            self.challenge(now, &reply, ErrorCode::Unauthenticated);
            return None;
        }
        let has_user = said.username.is_some() || said.userhash.is_some();
        let (true, Some(_), Some(nonce)) = (has_user, said.realm, said.nonce) else {
            self.refuse(&reply, ErrorCode::BadRequest);
            return None;
        };
        let round_trip = match self
            .shared
            .nonces
            .check(self.age(now), client.remote, nonce)
        {
            Verdict::Fresh(age) => age,
            Verdict::Stale => {
                self.tally.stale_nonces += 1;
                self.challenge(now, &reply, ErrorCode::StaleNonce);
                return None;
            }
        };
        if !has_sound_algorithms(message) {
            self.refuse(&reply, ErrorCode::BadRequest);
            return None;
        }
        match self.settings.credentials.authenticate(message) {
            Ok(identity) => {
                let reply = reply.signed(message, &identity);
                if message.method == Method::Allocate {
                    self.tally.note_round_trip(round_trip);
                }
                Some((reply, identity))
            }
            Err(failure) => {
                self.fail(now, &reply, failure);
                None
            }
        }
    }

    /// A request is not believed: 401 whatever the reason, so that nobody
    /// learns which names there are.
    pub(super) fn fail(&mut self, now: Instant, reply: &Reply, failure: Failure) {
        self.tally.note_failure(failure);
        self.challenge(now, reply, ErrorCode::Unauthenticated);
    }
}

/// RFC 8489 §9.2.4, against bidding down: who names an algorithm must send back
/// our list as it was, and choose from it; who names none is of the time before.
fn has_sound_algorithms(message: &Message<'_>) -> bool {
    let said = &message.attributes;
    match (said.password_algorithms, said.password_algorithm) {
        (None, None) => true,
        (Some(list), Some(_)) => list == PasswordAlgorithm::OFFERED,
        _ => false,
    }
}

const fn is_request(method: Method) -> bool {
    matches!(
        method,
        Method::Allocate
            | Method::Refresh
            | Method::CreatePermission
            | Method::ChannelBind
            | Method::Connect
            | Method::ConnectionBind
    )
}
