//! One client with one allocation, as far as its half of the exchange goes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng};

use super::{
    super::{
        Error,
        target::Credential,
        transaction::{Pace, Transaction},
    },
    session::Session,
};
use crate::turn::wire::{
    ChannelData, ChannelNumber, Class, Encoder, ErrorCode, Family, Message, Method, TransactionId,
};

/// REQUESTED-TRANSPORT: UDP (RFC 8656 §18.7).
const UDP: u8 = 17;

/// The channel of whoever has one: any will do.
const CHANNEL: ChannelNumber = match ChannelNumber::new(0x4000) {
    Some(number) => number,
    None => panic!("0x4000 is a channel"),
};

/// Length of what is sent, a multiple of four: ChannelData on a stream need no padding
/// then (RFC 8656 §12.5).
const PAYLOAD: usize = 32;

/// MAPPED-ADDRESS, which servers add for clients of RFC 3489 (RFC 8489 §14.1).
const MAPPED_ADDRESS: u16 = 0x0001;

/// How a leg reaches the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// By a permission; data go and come in indications.
    Permission,
    /// By a channel; data go and come as ChannelData.
    Channel,
}

/// What a leg waits for an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// An Allocate without a credential.
    Challenge,
    /// One with it.
    Allocate,
    /// A permission or a channel for this peer.
    Permit(SocketAddr),
    /// The end of the allocation.
    Leave,
}

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begun,
    /// It was asked for a credential, and has none.
    Challenged,
    Allocated(SocketAddr),
    /// And may send to this peer.
    Permitted(SocketAddr),
    Left,
}

/// One client.
#[derive(Debug)]
pub(super) struct Leg {
    role: Role,
    pace: Pace,
    credential: Option<Credential>,
    session: Option<Session>,
    stage: Stage,
    /// Answers that have brought it on.
    steps: u32,
    waiting: Option<(Step, Transaction)>,
    /// The family of the relayed address, where the default is not served.
    family: Option<Family>,
    /// The server may have an allocation for us.
    may_hold: bool,
    /// A nonce was stale once.
    is_renewed: bool,
    /// An answer came that was not signed as it must be.
    is_violated: bool,
    payload: [u8; PAYLOAD],
    /// The other leg's payload has come, from its relayed address.
    has_heard: bool,
    transmits: VecDeque<Vec<u8>>,
}

impl Leg {
    /// Asks for an allocation.
    pub(super) fn new(
        now: Instant,
        role: Role,
        is_reliable: bool,
        credential: Option<Credential>,
        rng: &mut StdRng,
    ) -> Self {
        let mut payload = [0; PAYLOAD];
        rng.fill_bytes(&mut payload);
        let mut leg = Self {
            role,
            pace: Pace::new(is_reliable),
            credential,
            session: None,
            stage: Stage::Begun,
            steps: 0,
            waiting: None,
            family: None,
            may_hold: false,
            is_renewed: false,
            is_violated: false,
            payload,
            has_heard: false,
            transmits: VecDeque::new(),
        };
        leg.request(now, Step::Challenge, rng);
        leg
    }

    pub(super) fn is_challenged(&self) -> bool {
        self.stage == Stage::Challenged
    }

    /// The relayed address, as long as no peer is asked for.
    pub(super) fn unpermitted(&self) -> Option<SocketAddr> {
        match self.stage {
            Stage::Allocated(relayed) if self.waiting.is_none() => Some(relayed),
            _ => None,
        }
    }

    pub(super) fn is_permitted(&self) -> bool {
        matches!(self.stage, Stage::Permitted(_))
    }

    pub(super) fn has_left(&self) -> bool {
        self.stage == Stage::Left
    }

    pub(super) const fn has_heard(&self) -> bool {
        self.has_heard
    }

    pub(super) const fn is_violated(&self) -> bool {
        self.is_violated
    }

    pub(super) const fn payload(&self) -> [u8; PAYLOAD] {
        self.payload
    }

    pub(super) const fn steps(&self) -> u32 {
        self.steps
    }

    pub(super) const fn rto(&self) -> Duration {
        self.pace.rto()
    }

    /// Asks that `peer` may send to us, and we to it.
    pub(super) fn permit(&mut self, now: Instant, peer: SocketAddr, rng: &mut StdRng) {
        self.request(now, Step::Permit(peer), rng);
    }

    /// Sends the payload to the peer.
    pub(super) fn send(&mut self, rng: &mut StdRng) {
        let Stage::Permitted(peer) = self.stage else {
            return;
        };
        let message = match self.role {
            Role::Channel => [&CHANNEL.header(PAYLOAD as u16)[..], &self.payload].concat(),
            Role::Permission => Encoder::new(Class::Indication, Method::Send, new_transaction(rng))
                .xor_peer_address(peer)
                .data(&self.payload)
                .finish(),
        };
        self.transmits.push_back(message);
    }

    /// Gives the allocation back, if there may be one.
    pub(super) fn leave(&mut self, now: Instant, rng: &mut StdRng) {
        self.transmits.clear();
        self.waiting = None;
        match self.may_hold {
            true => self.request(now, Step::Leave, rng),
            false => self.stage = Stage::Left,
        }
    }

    /// Takes what the server sends; `expected` is what the other leg sends.
    ///
    /// # Errors
    ///
    /// When the server can be judged.
    pub(super) fn handle_message(
        &mut self,
        now: Instant,
        bytes: &[u8],
        expected: [u8; PAYLOAD],
        rng: &mut StdRng,
    ) -> Result<(), Error> {
        if let Some(message) = ChannelData::decode(bytes) {
            let is_ours = self.role == Role::Channel && message.number == CHANNEL;
            self.has_heard |= is_ours && self.is_permitted() && message.data == expected;
            return Ok(());
        }
        // RFC 8489 §6.3: what cannot be read, and what is nothing to us, is passed over.
        let Ok(message) = Message::decode(bytes) else {
            return Ok(());
        };
        if (message.class, message.method) == (Class::Indication, Method::Data) {
            self.hear(&message, expected);
            return Ok(());
        }
        match &self.waiting {
            Some((step, transaction)) if transaction.is_answered_by(&message) => {
                let step = *step;
                self.pace.learn_from(transaction, now);
                self.answered(now, step, &message, rng)
            }
            _ => Ok(()),
        }
    }

    /// Sends again what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let waiting = self.waiting.as_mut();
        let again = waiting.and_then(|(_, transaction)| transaction.handle_timeout(now));
        self.transmits.extend(again);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let (_, transaction) = self.waiting.as_ref()?;
        transaction.next_timeout()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// A Data indication (RFC 8656 §11.3) must name the other leg's relayed address.
    fn hear(&mut self, message: &Message<'_>, expected: [u8; PAYLOAD]) {
        let Stage::Permitted(peer) = self.stage else {
            return;
        };
        let said = &message.attributes;
        self.has_heard |= said.xor_peer_address == Some(peer) && said.data == Some(&expected[..]);
    }

    fn answered(
        &mut self,
        now: Instant,
        step: Step,
        answer: &Message<'_>,
        rng: &mut StdRng,
    ) -> Result<(), Error> {
        let code = match answer.class {
            Class::Error => Some(answer.attributes.error_code.unwrap_or(0)),
            _ => None,
        };
        if !self.is_believed(answer, code) {
            return self.violated();
        }
        self.steps += 1;
        if let Some(code) = code {
            return self.refused(now, step, code, answer, rng);
        }
        self.waiting = None;
        let said = &answer.attributes;
        // RFC 8489 §6.3.3: a success with something in it that must be understood, and
        // is not, is a failure.
        let is_clear = answer.unknown().iter().all(|kind| *kind == MAPPED_ADDRESS);
        if said.is_malformed || !is_clear {
            return Err(Error::Protocol);
        }
        match step {
            // Who relays for everybody has no use for credentials, and is no server of
            // ours.
            Step::Challenge => return Err(Error::Protocol),
            Step::Allocate => {
                let relayed = said.xor_relayed_address.ok_or(Error::Protocol)?;
                if relayed.ip().is_unspecified() || relayed.port() == 0 {
                    return Err(Error::Protocol);
                }
                self.stage = Stage::Allocated(relayed);
            }
            Step::Permit(peer) => self.stage = Stage::Permitted(peer),
            Step::Leave => self.stage = Stage::Left,
        }
        Ok(())
    }

    /// RFC 8489 §9.2.5: an answer to a signed request is signed, but for those that say
    /// that the signature was no good.
    fn is_believed(&self, answer: &Message<'_>, code: Option<u16>) -> bool {
        const UNSIGNED: [ErrorCode; 3] = [
            ErrorCode::BadRequest,
            ErrorCode::Unauthenticated,
            ErrorCode::StaleNonce,
        ];
        let Some(session) = &self.session else {
            return true;
        };
        let is_unsigned = UNSIGNED.map(ErrorCode::number).map(Some).contains(&code);
        is_unsigned || session.believes(answer)
    }

    /// RFC 8489 §9.2.5: dropped as if it had never come; a reliable transport brings no
    /// other one.
    fn violated(&mut self) -> Result<(), Error> {
        self.is_violated = true;
        match self.pace.is_reliable() {
            true => Err(Error::Integrity),
            false => Ok(()),
        }
    }

    fn refused(
        &mut self,
        now: Instant,
        step: Step,
        code: u16,
        answer: &Message<'_>,
        rng: &mut StdRng,
    ) -> Result<(), Error> {
        self.waiting = None;
        self.may_hold &= !matches!(step, Step::Challenge | Step::Allocate);
        let is = |known: ErrorCode| code == known.number();
        let is_challenge = step == Step::Challenge && is(ErrorCode::Unauthenticated);
        let is_stale = is(ErrorCode::StaleNonce) && self.session.is_some() && !self.is_renewed;
        if is_challenge || is_stale {
            self.is_renewed |= is_stale;
            let Some(credential) = &self.credential else {
                let said = &answer.attributes;
                self.stage = Stage::Challenged;
                let is_sound = said.realm.is_some() && said.nonce.is_some();
                return is_sound.then_some(()).ok_or(Error::Protocol);
            };
            self.session = Some(Session::learn(answer, credential)?);
            let next = if is_challenge { Step::Allocate } else { step };
            self.request(now, next, rng);
            return Ok(());
        }
        match step {
            // Nothing is there: what was asked for had never come, or is gone.
            Step::Leave => {
                self.stage = Stage::Left;
                Ok(())
            }
            // A server whose relayed addresses are all of IPv6 (RFC 8656 §7.2).
            Step::Allocate if is(ErrorCode::AddressFamilyNotSupported) && self.family.is_none() => {
                self.family = Some(Family::V6);
                self.request(now, step, rng);
                Ok(())
            }
            _ => Err(Error::of_code(code)),
        }
    }

    fn request(&mut self, now: Instant, step: Step, rng: &mut StdRng) {
        let id = new_transaction(rng);
        let method = match (step, self.role) {
            (Step::Challenge | Step::Allocate, _) => Method::Allocate,
            (Step::Permit(_), Role::Permission) => Method::CreatePermission,
            (Step::Permit(_), Role::Channel) => Method::ChannelBind,
            (Step::Leave, _) => Method::Refresh,
        };
        let mut request = Encoder::new(Class::Request, method, id);
        request = match step {
            Step::Challenge | Step::Allocate => request.requested_transport(UDP),
            Step::Permit(peer) => request.xor_peer_address(peer),
            Step::Leave => request.lifetime(0),
        };
        if let (Step::Allocate, Some(family)) = (step, self.family) {
            request = request.requested_family(family);
        }
        if method == Method::ChannelBind {
            request = request.channel_number(CHANNEL);
        }
        if let Some(session) = &self.session {
            request = session.sign(request);
        }
        self.may_hold |= method == Method::Allocate;
        let message = request.fingerprint().finish();
        let transaction = Transaction::begin(now, method, id, message.clone(), &self.pace);
        self.waiting = Some((step, transaction));
        self.transmits.push_back(message);
    }
}

fn new_transaction(rng: &mut StdRng) -> TransactionId {
    let mut id = [0; 12];
    rng.fill_bytes(&mut id);
    TransactionId(id)
}
