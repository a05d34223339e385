//! One Binding request by UDP (RFC 8489 §3, §6).

use std::time::{Duration, Instant};

use rand::{Rng as _, rngs::StdRng};

use super::{
    Error,
    engine::{Engine, Output, Side},
    transaction::{Pace, Transaction},
};
use crate::turn::wire::{Class, Encoder, Message, Method, TransactionId};

/// Asks a server where it sees us.
#[derive(Debug)]
pub(super) struct Binding {
    transaction: Transaction,
    deadline: Instant,
    transmit: Option<Vec<u8>>,
    /// To be told, then told.
    verdict: Option<Result<(), Error>>,
    is_over: bool,
}

impl Binding {
    /// Asks at `now`, and waits for so long.
    pub(super) fn new(now: Instant, timeout: Duration, rng: &mut StdRng) -> Self {
        let mut id = [0; 12];
        rng.fill_bytes(&mut id);
        let id = TransactionId(id);
        let request = Encoder::new(Class::Request, Method::Binding, id);
        let request = request.fingerprint().finish();
        let pace = Pace::new(false);
        Self {
            transaction: Transaction::begin(now, Method::Binding, id, request.clone(), &pace),
            deadline: now + timeout,
            transmit: Some(request),
            verdict: None,
            is_over: false,
        }
    }

    fn conclude(&mut self, verdict: Result<(), Error>) {
        if !self.is_over {
            self.verdict = Some(verdict);
            self.is_over = true;
        }
    }
}

impl Engine for Binding {
    fn handle_message(&mut self, _: Instant, _: Side, message: &[u8]) {
        // RFC 8489 §6.3: what is no answer to our request is passed over.
        let Ok(message) = Message::decode(message) else {
            return;
        };
        if !self.transaction.is_answered_by(&message) {
            return;
        }
        let said = &message.attributes;
        self.conclude(match (message.class, said.xor_mapped_address) {
            (Class::Success, Some(_)) if !said.is_malformed => Ok(()),
            (Class::Success, _) => Err(Error::Protocol),
            _ => Err(Error::of_code(said.error_code.unwrap_or(0))),
        });
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.deadline {
            self.conclude(Err(Error::Timeout));
        } else if !self.is_over {
            self.transmit = self
                .transaction
                .handle_timeout(now)
                .or(self.transmit.take());
        }
    }

    fn handle_closed(&mut self, error: Error) {
        self.conclude(Err(error));
    }

    fn poll_output(&mut self) -> Output {
        if let Some(verdict) = self.verdict.take() {
            return Output::Verdict(verdict);
        }
        if self.is_over {
            return Output::Timeout(None);
        }
        if let Some(message) = self.transmit.take() {
            let side = Side::First;
            return Output::Transmit { side, message };
        }
        let again = self.transaction.next_timeout();
        Output::Timeout(again.into_iter().chain([self.deadline]).min())
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::clock;
    use rand::SeedableRng as _;

    use super::*;
    use crate::turn::wire::ErrorCode;

    const TIMEOUT: Duration = Duration::from_millis(1_500);

    /// What it sends and says, and when it wants to be called again.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Drained {
        sent: Vec<Vec<u8>>,
        verdict: Option<Result<(), Error>>,
        timeout: Option<Instant>,
    }

    fn drain(binding: &mut Binding) -> Drained {
        let mut drained = Drained::default();
        loop {
            match binding.poll_output() {
                Output::Transmit { message, .. } => drained.sent.push(message),
                Output::Verdict(said) => assert_eq!(drained.verdict.replace(said), None),
                Output::Timeout(at) => {
                    drained.timeout = at;
                    return drained;
                }
            }
        }
    }

    fn begin() -> (Instant, Binding, TransactionId) {
        let now = clock::now();
        let mut binding = Binding::new(now, TIMEOUT, &mut StdRng::seed_from_u64(1));
        let Drained { sent, verdict, .. } = drain(&mut binding);
        assert_eq!((sent.len(), verdict), (1, None));
        let request = Message::decode(&sent[0]).unwrap();
        assert!(request.attributes.has_fingerprint);
        let id = request.transaction;
        (now, binding, id)
    }

    fn answer(class: Class, id: TransactionId) -> Encoder {
        Encoder::new(class, Method::Binding, id)
    }

    #[test]
    fn an_address_is_what_it_wants() {
        let (now, mut binding, id) = begin();
        let success = answer(Class::Success, id).xor_mapped_address("192.0.2.1:9".parse().unwrap());
        binding.handle_message(now, Side::First, &success.finish());
        let over = Drained {
            verdict: Some(Ok(())),
            ..Drained::default()
        };
        assert_eq!(drain(&mut binding), over);
        // Once is enough.
        binding.handle_closed(Error::Closed);
        assert_eq!(drain(&mut binding), Drained::default());
    }

    #[test]
    fn silence_and_what_is_no_answer_end_in_a_timeout() {
        let (begun, mut binding, id) = begin();
        let mut others = vec![vec![], vec![0; 20], b"HTTP/1.1 400 Bad Request".to_vec()];
        let address = "192.0.2.1:9".parse().unwrap();
        let other = TransactionId([0; 12]);
        others.push(
            answer(Class::Success, other)
                .xor_mapped_address(address)
                .finish(),
        );
        others.push(answer(Class::Request, id).finish());
        let method = Encoder::new(Class::Success, Method::Allocate, id);
        others.push(method.xor_mapped_address(address).finish());
        for other in others {
            binding.handle_message(begun, Side::First, &other);
        }
        let mut sent = Vec::new();
        loop {
            let drained = drain(&mut binding);
            sent.extend(drained.sent);
            let Some(at) = drained.timeout else {
                assert_eq!(drained.verdict, Some(Err(Error::Timeout)));
                break;
            };
            binding.handle_timeout(at);
        }
        assert_eq!(sent.len(), 2, "after 300 and 900 ms");
    }

    #[test]
    fn bad_answers_are_told_apart() {
        let cases = [
            (
                Encoder::finish as fn(Encoder) -> Vec<u8>,
                Class::Success,
                Error::Protocol,
            ),
            (
                |it| it.error(ErrorCode::ServerError, true).finish(),
                Class::Error,
                Error::Server,
            ),
            (Encoder::finish, Class::Error, Error::Protocol),
        ];
        for (fill, class, expected) in cases {
            let (now, mut binding, id) = begin();
            binding.handle_message(now, Side::First, &fill(answer(class, id)));
            assert_eq!(drain(&mut binding).verdict, Some(Err(expected)));
        }
    }
}
