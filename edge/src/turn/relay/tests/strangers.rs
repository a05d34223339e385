//! What strangers get: Binding, challenges with their limit, and never much more
//! than they sent.

use std::time::Duration;

use super::{
    Caller, Rig, Went,
    caller::{new_transaction, unsigned},
};
use crate::turn::{
    auth::Credentials,
    tally::Dropped,
    wire::{Class, Encoder, Mac, Method},
};

fn v6() -> Caller {
    Caller::new("anna", "[2001:db8::1]:1000")
}

#[test]
fn a_binding_answer_is_at_most_three_times_its_request() {
    for caller in [Caller::anna(), v6(), Caller::anna().by_tcp(1)] {
        let mut rig = Rig::new();
        for with_fingerprint in [false, true] {
            let request = unsigned(Method::Binding, |encoder| match with_fingerprint {
                true => encoder.fingerprint(),
                false => encoder,
            });
            let answer = rig.exchange(&caller, &request).unwrap();
            assert!(answer.bytes.len() <= 3 * request.len());
            answer.with(|message| {
                assert_eq!(message.class, Class::Success);
                let said = &message.attributes;
                assert_eq!(said.xor_mapped_address, Some(caller.client.remote));
                assert_eq!(said.has_fingerprint, with_fingerprint);
            });
        }
    }
}

#[test]
fn a_challenge_is_at_most_five_times_its_request() {
    for caller in [Caller::anna(), v6()] {
        let mut rig = Rig::new();
        for method in [Method::Allocate, Method::Refresh, Method::ConnectionBind] {
            for fill in [|encoder| encoder, Encoder::fingerprint] {
                let request = unsigned(method, fill);
                let answer = rig.exchange(&caller, &request).unwrap();
                assert_eq!(answer.code(), Some(401));
                assert!(answer.bytes.len() <= 5 * request.len());
            }
        }
        // Nor is what answers a stranger's junk.
        let attributes = (0..10).fold(
            Encoder::new(Class::Request, Method::Binding, new_transaction()),
            |encoder, kind| encoder.raw_attribute(0x7F00 + kind, &[]),
        );
        let request = attributes.finish();
        let answer = rig.exchange(&caller, &request).unwrap();
        assert_eq!(answer.code(), Some(420));
        assert!(answer.bytes.len() <= 3 * request.len());
        let request = unsigned(Method::Allocate, |encoder| {
            encoder.integrity(Mac::Sha1, &caller.key())
        });
        let answer = rig.exchange(&caller, &request).unwrap();
        assert_eq!(answer.code(), Some(400));
        assert!(answer.bytes.len() <= request.len());
    }
}

#[test]
fn a_challenge_that_would_be_larger_is_not_sent_but_over_tcp() {
    let mut rig = Rig::new();
    rig.change(|settings| {
        settings.credentials = Credentials::new(&"r".repeat(200), Vec::new(), []);
    });
    let request = unsigned(Method::Allocate, |encoder| encoder);
    assert!(rig.exchange(&Caller::anna(), &request).is_none());
    assert_eq!(rig.dropped(Dropped::Amplification), 1);
    // A source that has shaken hands is who it says.
    assert!(rig.exchange(&Caller::anna().by_tcp(1), &request).is_some());
}

#[test]
fn a_source_prefix_is_challenged_at_its_rate_alone() {
    let mut rig = Rig::new();
    rig.change(|settings| settings.challenges_per_second = 10);
    let request = unsigned(Method::Allocate, |encoder| encoder);
    let mut answered = 0;
    for port in 1..=1_000 {
        let mut caller = Caller::anna();
        caller.client.remote.set_port(port);
        answered += usize::from(rig.exchange(&caller, &request).is_some());
    }
    // A burst of five seconds' worth.
    assert_eq!(answered, 50);
    assert_eq!(rig.dropped(Dropped::ChallengeLimit), 950);
    assert!(rig.exchange(&Caller::bert(), &request).is_some());
    assert!(rig.exchange(&Caller::anna().by_tcp(1), &request).is_some());
    rig.pass(Duration::from_secs(1));
    assert!(rig.exchange(&Caller::anna(), &request).is_some());
}

#[test]
fn nothing_is_kept_of_strangers() {
    let mut rig = Rig::new();
    for source in 0..100_000_u32 {
        let [a, b, c, d] = source.to_be_bytes();
        let caller = Caller::new("x", &format!("{}.{b}.{c}.{d}:1000", a + 20));
        let bytes: &[u8] = match source % 3 {
            0 => &unsigned(Method::Allocate, |encoder| encoder),
            1 => &[0x40, 0, 0, 1, 7],
            _ => b"GET / HTTP/1.1\r\n\r\n",
        };
        assert_eq!(rig.feed(&caller, bytes), Went::Nowhere);
        rig.sent.clear();
    }
    let relay = &rig.relays[0];
    assert!(relay.is_empty() && relay.by_client.is_empty() && relay.pending.is_empty());
    assert_eq!(relay.next_timeout(), relay.next_tell);
}

#[test]
fn junk_gets_no_answer_and_is_counted() {
    let (mut rig, anna) = (Rig::new(), Caller::anna());
    let binding = unsigned(Method::Binding, |encoder| encoder);
    let mut cookie = binding.clone();
    cookie[4] ^= 1;
    let mut fingerprint = unsigned(Method::Binding, Encoder::fingerprint);
    fingerprint[27] ^= 1;
    let mut unknown = binding.clone();
    unknown[1] = 0x0F;
    for (bytes, reason) in [
        (b"".as_slice(), Dropped::Unknown),
        (b"\x80\0\0\0", Dropped::Unknown),
        (b"\x16\x03\x01", Dropped::Unknown),
        (b"PUT /", Dropped::Unknown),
        (b"\0", Dropped::Malformed),
        (&binding[..19], Dropped::Malformed),
        (&cookie, Dropped::Malformed),
        (&fingerprint, Dropped::Malformed),
        (&unknown, Dropped::Malformed),
        (b"\x40\0\0", Dropped::Malformed),
        (b"GET / HTTP/1.1\r\n\r\n", Dropped::Malformed),
    ] {
        let before = rig.dropped(reason);
        assert_eq!(rig.feed(&anna, bytes), Went::Nowhere);
        assert!(rig.sent.is_empty(), "{bytes:?}");
        assert_eq!(rig.dropped(reason), before + 1, "{bytes:?}");
    }
}
