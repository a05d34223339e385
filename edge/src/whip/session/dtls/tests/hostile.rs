//! What strangers and broken peers send: nothing of it may panic, and none of it
//! may end somebody's session.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::*;
use crate::whip::session::tests::{EDGE, by_udp};

/// Records that OpenSSL's queue of one datagram was once too short for.
const RECORDS: usize = 34;

fn record(kind: u8, epoch: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, sequence];
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

impl Pair {
    /// Feeds a datagram as if the presenter had sent it.
    fn inject(&mut self, datagram: &[u8]) {
        let (source, edge) = (self.presenter.address, EDGE.parse().unwrap());
        self.session
            .handle_datagram(self.now, &by_udp(source, edge, datagram));
        self.drain_session();
    }

    /// What the presenter has to send just now, of DTLS.
    fn take_dtls(&mut self) -> Vec<Vec<u8>> {
        let outbox = std::mem::take(&mut self.presenter.outbox);
        let (dtls, rest): (Vec<_>, Vec<_>) = outbox
            .into_iter()
            .partition(|(_, datagram)| is_dtls(datagram));
        self.presenter.outbox = rest;
        dtls.into_iter().map(|(_, datagram)| datagram).collect()
    }
}

const BACKENDS: [Backend; 2] = [Backend::OpenSsl, Backend::MemorySafe];

#[test]
fn many_records_in_a_datagram_are_read_one_by_one() {
    for backend in BACKENDS {
        for setup in ["active", "passive"] {
            let mut pair = Pair::with_str0m(backend, DtlsVersion::Dtls12, setup);
            let junk: Vec<u8> = (0..RECORDS as u8)
                .flat_map(|at| record(20 + at % 5, 1, at, &vec![at; usize::from(at) + 1]))
                .collect();
            pair.inject(&junk);
            // Ahead of each datagram of the handshake, and after it.
            while !(pair.session.is_connected() && pair.presenter.is_connected) {
                pair.presenter.handle_timeout(pair.now);
                for datagram in pair.take_dtls() {
                    pair.inject(&junk);
                    let mut both = datagram.clone();
                    both.extend(&junk);
                    both.truncate(1_400.max(datagram.len()));
                    pair.inject(&both);
                }
                pair.step();
                assert_eq!(pair.ended, None, "{backend:?} {setup}");
            }
            pair.inject(&junk);
            pair.present(3);
            assert_eq!((pair.ended, pair.video().count()), (None, 12));
        }
    }
}

#[test]
fn junk_between_flights_ends_nothing() {
    let mut rng = StdRng::seed_from_u64(9_147);
    for backend in BACKENDS {
        for setup in ["active", "passive"] {
            let mut pair = Pair::with_str0m(backend, DtlsVersion::Dtls12, setup);
            while !(pair.session.is_connected() && pair.presenter.is_connected) {
                for _ in 0..20 {
                    let len = rng.random_range(1..200);
                    let mut junk: Vec<u8> = (0..len).map(|_| rng.random()).collect();
                    // Ciphertext and unknown content types of any epoch: a stranger
                    // cannot know more. Plaintext of the handshake that is well
                    // formed is trusted by every DTLS until its end.
                    junk[0] = rng.random_range(23..=63);
                    pair.inject(&junk);
                }
                pair.step();
                assert_eq!(pair.ended, None, "{backend:?} {setup}");
                assert!(pair.now < pair.presenter.timeout + Duration::from_secs(60));
            }
            pair.present(3);
            assert_eq!((pair.ended, pair.video().count()), (None, 12));
        }
    }
}

#[test]
fn everything_twice_and_in_any_order_still_connects() {
    let mut rng = StdRng::seed_from_u64(6_347);
    for backend in BACKENDS {
        for setup in ["active", "passive"] {
            let mut pair = Pair::with_str0m(backend, DtlsVersion::Dtls12, setup);
            let mut all = Vec::new();
            let deadline = pair.now + Duration::from_secs(10);
            while !(pair.session.is_connected() && pair.presenter.is_connected) {
                assert!(pair.now < deadline, "{backend:?} {setup}: stuck");
                pair.presenter.handle_timeout(pair.now);
                let mut datagrams = pair.take_dtls();
                all.extend(datagrams.iter().cloned());
                datagrams.extend(all.iter().rev().take(4).cloned().collect::<Vec<_>>());
                datagrams.shuffle(&mut rng);
                for datagram in datagrams {
                    pair.inject(&datagram);
                }
                pair.step();
                assert_eq!(pair.ended, None, "{backend:?} {setup}");
            }
            // Replays of the whole handshake afterwards.
            for datagram in &all {
                pair.inject(datagram);
            }
            pair.present(3);
            assert_eq!((pair.ended, pair.video().count()), (None, 12));
        }
    }
}

/// Not "connects": a forged handshake message may well end the handshake that it
/// is part of. Only a panic is a fault.
#[test]
fn mutated_and_cut_handshakes_never_panic() {
    let mut rng = StdRng::seed_from_u64(5_764);
    for backend in BACKENDS {
        for round in 0..120 {
            let setup = if round % 2 == 0 { "active" } else { "passive" };
            let version = if round % 3 == 0 {
                DtlsVersion::Dtls13
            } else {
                DtlsVersion::Dtls12
            };
            let mut pair = Pair::with_str0m(backend, version, setup);
            for _ in 0..12 {
                pair.presenter.handle_timeout(pair.now);
                for datagram in pair.take_dtls() {
                    let mut forged = datagram.clone();
                    let at = rng.random_range(0..forged.len());
                    match rng.random_range(0..4) {
                        0 => forged.truncate(at.max(1)),
                        1 => forged[at] ^= 1 << rng.random_range(0..8),
                        2 => forged.extend_from_slice(&datagram),
                        _ => forged[at] = rng.random(),
                    }
                    pair.inject(&forged);
                    if rng.random_bool(0.7) {
                        pair.inject(&datagram);
                    }
                }
                pair.step();
            }
        }
    }
}

#[test]
fn a_flood_before_the_keys_ends_its_own_session_alone() {
    let mut pair = Pair::with_str0m(Backend::OpenSsl, DtlsVersion::Dtls12, "active");
    pair.drops = Box::new(|_, datagram| is_dtls(datagram));
    pair.run_for(Duration::from_millis(500));
    // A handshake message that is announced as large as can be, and never whole.
    for sequence in 0..200_u8 {
        let mut body = vec![11, 0xFF, 0xFF, 0xFF, 0, 1, 0, 0, sequence, 0, 4, 0];
        body.extend([0; 1_024]);
        pair.inject(&record(22, 0, sequence, &body));
    }
    assert_eq!(pair.ended, Some(CloseReason::NeverConnected));
    assert!(matches!(pair.handshakes[..], [Outcome::Failed(_)]));
}
