//! The exchange against a server that is made of the same codec, in virtual time.

mod rig;
pub(in crate::probe) mod server;

use std::time::Duration;

use super::{super::Error, FAREWELL, LONGEST_FAREWELL};
use crate::{
    probe::Patience,
    turn::wire::{ErrorCode, Method},
};
use rig::{DEADLINE, Rig};
use server::{Manners, Relaying};

const ALLOCATED: [Method; 2] = [Method::Allocate; 2];

fn with(manners: Manners) -> Rig {
    Rig::new(manners)
}

#[test]
fn both_allocations_hear_each_other_and_are_given_back() {
    let (verdict, server) = Rig::new(Manners::default()).run();
    // Challenge, allocation, permission, data: four round trips of 40 ms.
    assert_eq!(verdict, (Ok(()), Duration::from_millis(160)));
    let [first, second] = server.methods();
    assert_eq!(first[..2], ALLOCATED);
    assert_eq!(
        first[2..],
        [Method::CreatePermission, Method::Send, Method::Refresh]
    );
    assert_eq!(second[..2], ALLOCATED);
    // ChannelData are no message.
    assert_eq!(second[2..], [Method::ChannelBind, Method::Refresh]);
    assert!(server.is_empty());
}

#[test]
fn any_one_lost_datagram_is_made_good() {
    for lost in 0..18 {
        let mut rig = Rig::new(Manners::default());
        rig.lose = Some(lost);
        let ((verdict, took), server) = rig.run();
        assert_eq!(verdict, Ok(()), "{lost}");
        assert!(took < Duration::from_millis(600), "{lost}: {took:?}");
        assert!(server.is_empty(), "{lost}");
    }
}

#[test]
fn a_connection_repeats_nothing_however_slow_it_is() {
    let mut rig = Rig::new(Manners::default()).by_stream();
    rig.delay = Duration::from_millis(170);
    let ((verdict, took), server) = rig.run();
    assert_eq!((verdict, took.as_millis()), (Ok(()), 1_360));
    // But data, which datagrams between relayed addresses are.
    let [first, second] = server.methods();
    let requests = first.iter().filter(|method| **method != Method::Send);
    assert_eq!((requests.count(), second.len()), (4, 4));
    assert!(server.is_empty());
}

/// Twice as far as the Earth lets anybody be, with one packet that TCP sends again.
#[test]
fn a_long_way_and_a_lost_packet_are_waited_for() {
    for delay in [250, 300] {
        for (number, by_stream) in [(3, false), (3, true), (9, false), (9, true)] {
            let mut rig = Rig::new(Manners::default()).with(Patience::USUAL);
            rig.delay = Duration::from_millis(delay);
            if by_stream {
                rig = rig.by_stream();
                rig.late = Some((number, rig.delay * 6));
            } else {
                rig.lose = Some(number);
            }
            let ((verdict, took), server) = rig.run();
            assert_eq!(verdict, Ok(()), "{delay} {number} {by_stream}");
            assert!(took >= 8 * Duration::from_millis(delay), "{took:?}");
            assert!(server.is_empty(), "the goodbye is heard");
        }
    }
}

/// A long way is measured, and little is sent twice.
#[test]
fn a_long_way_is_not_flooded() {
    let mut rig = Rig::new(Manners::default()).with(Patience::USUAL);
    rig.delay = Duration::from_millis(250);
    let (_, server) = rig.run();
    // The first request goes out again, before anything is known of the way.
    for methods in server.methods() {
        let allocates = methods.iter().filter(|it| **it == Method::Allocate);
        assert!(allocates.count() <= 3, "{methods:?}");
        assert!(methods.len() <= 7, "{methods:?}");
    }
}

/// Whoever is near has no more time to say nothing.
#[test]
fn one_near_that_falls_silent_is_given_no_longer() {
    let mut rig = Rig::new(Manners::default()).with(Patience::USUAL);
    rig.server.manners.is_deaf_to = Some(Method::ChannelBind);
    let ((verdict, took), _) = rig.run();
    assert_eq!(verdict, Err(Error::Timeout));
    assert!(took < Duration::from_millis(1_800), "{took:?}");
}

#[test]
fn silence_ends_in_a_timeout() {
    let silent = Manners {
        is_silent: true,
        ..Manners::default()
    };
    let (verdict, _) = with(silent).run();
    assert_eq!(verdict, (Err(Error::Timeout), DEADLINE));
}

#[test]
fn a_goodbye_is_not_waited_for_without_end() {
    let mut rig = Rig::new(Manners::default());
    rig.server.manners.is_deaf_to = Some(Method::Refresh);
    let (over, server) = rig.run_to_its_end();
    assert!(!server.is_empty());
    assert_eq!(over, Duration::from_millis(160) + FAREWELL);
}

#[test]
fn a_stale_nonce_is_renewed_once() {
    for stale in 0..4 {
        let manners = Manners {
            stale: vec![stale],
            ..Manners::default()
        };
        let ((verdict, _), server) = with(manners).run();
        assert_eq!(verdict, Ok(()), "at the {stale}th signed request");
        assert!(server.is_empty());
    }
    let manners = Manners {
        stale: (0..100).collect(),
        ..Manners::default()
    };
    assert_eq!(with(manners).run().0.0, Err(Error::StaleNonce));
}

#[test]
fn refusals_are_told_apart_and_nothing_stays() {
    let of_allocate = [
        (ErrorCode::TryAlternate, Error::Elsewhere),
        (ErrorCode::BadRequest, Error::Protocol),
        (ErrorCode::Forbidden, Error::Forbidden),
        (ErrorCode::AllocationMismatch, Error::Mismatch),
        (ErrorCode::WrongCredentials, Error::Unauthorized),
        (ErrorCode::AllocationQuotaReached, Error::Quota),
        (ErrorCode::ServerError, Error::Server),
        (ErrorCode::InsufficientCapacity, Error::Capacity),
    ];
    let cases = of_allocate.map(|(code, error)| (Method::Allocate, code, error));
    let of_peers = [Method::CreatePermission, Method::ChannelBind];
    let of_peers = of_peers.map(|method| (method, ErrorCode::Forbidden, Error::Forbidden));
    for (method, code, error) in cases.into_iter().chain(of_peers) {
        let manners = Manners {
            refuses: Some((method, code)),
            ..Manners::default()
        };
        for rig in [with(manners.clone()), with(manners.clone()).by_stream()] {
            let ((verdict, _), server) = rig.run();
            assert_eq!(verdict, Err(error), "{method:?} {code:?}");
            assert!(server.is_empty(), "{method:?} {code:?}");
        }
    }
}

#[test]
fn who_does_not_relay_is_found_out() {
    for relaying in [
        Relaying::Nothing,
        Relaying::OneWay,
        Relaying::Garbled,
        Relaying::FromElsewhere,
    ] {
        let manners = Manners {
            relaying,
            ..Manners::default()
        };
        let (verdict, server) = with(manners).run();
        assert_eq!(verdict, (Err(Error::Relay), DEADLINE), "{relaying:?}");
        assert!(server.is_empty(), "{relaying:?}");
    }
}

#[test]
fn successes_that_are_not_signed_are_refused() {
    for is_forged in [false, true] {
        let manners = Manners {
            is_unsigned: !is_forged,
            is_forged,
            ..Manners::default()
        };
        // A datagram may be anybody's, and the right one may still come.
        let (verdict, _) = with(manners.clone()).run();
        assert_eq!(verdict, (Err(Error::Integrity), DEADLINE));
        let (verdict, _) = with(manners).by_stream().run();
        assert_eq!(verdict, (Err(Error::Integrity), Duration::from_millis(80)));
    }
}

#[test]
fn a_refusal_that_is_not_signed_is_not_believed() {
    let manners = Manners {
        refuses: Some((Method::Allocate, ErrorCode::InsufficientCapacity)),
        is_unsigned: true,
        ..Manners::default()
    };
    assert_eq!(with(manners).run().0.0, Err(Error::Integrity));
}

#[test]
fn junk_and_answers_to_others_are_passed_over() {
    let manners = Manners {
        is_noisy: true,
        ..Manners::default()
    };
    let (verdict, server) = with(manners).run();
    assert_eq!(verdict, (Ok(()), Duration::from_millis(160)));
    assert!(server.is_empty());
}

#[test]
fn a_challenge_without_a_realm_or_a_nonce_makes_no_sense() {
    let manners = Manners {
        has_realm: false,
        ..Manners::default()
    };
    let (verdict, server) = with(manners).run();
    assert_eq!(verdict.0, Err(Error::Protocol));
    assert!(server.is_empty());
}

#[test]
fn a_wrong_secret_is_found_out() {
    let ((verdict, _), server) = Rig::new(Manners::default()).knowing("wrong").run();
    assert_eq!(verdict, Err(Error::Unauthorized));
    assert!(server.is_empty());
}

#[test]
fn without_a_credential_a_challenge_will_do() {
    let (verdict, server) = Rig::new(Manners::default()).knowing_nothing().run();
    assert_eq!(verdict, (Ok(()), Duration::from_millis(40)));
    assert_eq!(server.methods(), [[Method::Allocate], [Method::Allocate]]);
}

#[test]
fn who_relays_for_everybody_is_no_server_of_ours_and_is_left() {
    let open = Manners {
        is_open: true,
        ..Manners::default()
    };
    let ((verdict, _), server) = with(open).run();
    assert_eq!(verdict, Err(Error::Protocol));
    assert!(server.is_empty());
}

#[test]
fn a_server_with_relayed_addresses_of_ipv6_alone_is_asked_for_one() {
    let manners = Manners {
        is_ipv6: true,
        ..Manners::default()
    };
    let ((verdict, _), server) = with(manners).run();
    assert_eq!(verdict, Ok(()));
    assert!(server.is_empty());
}

#[test]
fn a_broken_connection_is_the_verdict_once() {
    let mut rig = Rig::new(Manners::default()).by_stream();
    assert_eq!(rig.close(Error::Closed), Some(Err(Error::Closed)));
    assert_eq!(rig.close(Error::Refused), None);
}

#[test]
fn whatever_comes_it_ends_in_time() {
    for seed in 0..300 {
        let mut rig = Rig::new(Manners::default());
        rig.damage = Some(seed);
        if seed % 2 == 0 {
            rig = rig.by_stream();
        }
        let limit = DEADLINE + LONGEST_FAREWELL;
        let (over, _) = rig.run_to_its_end();
        assert!(over <= limit, "seed {seed}: {over:?}");
    }
}
