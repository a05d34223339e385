//! Who is believed: expiry, revocation, secrets, algorithms (RFC 8489 §9.2).

use std::time::Duration;

use super::{
    Answer, Caller, Rig,
    caller::new_transaction,
    rig::{REALM, UTC},
};
use crate::turn::{
    auth::{Credentials, Username, time_limited_password, userhash},
    wire::{Class, Encoder, Mac, Method, PasswordAlgorithm},
};

fn udp(encoder: Encoder) -> Encoder {
    encoder.requested_transport(17)
}

fn allocate(rig: &mut Rig, caller: &mut Caller) -> Answer {
    rig.ask(caller, Method::Allocate, udp)
}

#[test]
fn a_time_limited_credential_is_good_until_its_time() {
    let mut rig = Rig::new();
    let mut caller = Caller::time_limited(&format!("{}:x", UTC + 100));
    assert!(allocate(&mut rig, &mut caller).is_success());
    rig.pass(Duration::from_secs(101));
    // A running allocation lives on.
    assert!(
        rig.ask(&mut caller, Method::Refresh, |encoder| encoder)
            .is_success()
    );
    let mut second = caller.clone();
    second.client.remote.set_port(3_001);
    second.nonce.clear();
    assert_eq!(allocate(&mut rig, &mut second).code(), Some(401));
    rig.assert_all_comes_back();
}

#[test]
fn a_wrong_name_or_password_is_401_and_nothing_more() {
    let names = [
        "nobody",
        "",
        "1900000000",
        "1900000000:",
        "x:y",
        "-5:x",
        "99999999999999999999:x",
        "9223372036854775807:x",
        "%s%n%s",
        "\"; DROP TABLE users; --",
        "anna\0",
        "anna:",
    ];
    for name in names {
        let mut caller = Caller::new(name, "192.0.2.1:1000");
        let answer = allocate(&mut Rig::new(), &mut caller);
        assert_eq!(answer.code(), Some(401), "{name:?}");
        // The same for all, so that nobody learns which names there are.
        assert_eq!(answer.values(0x0009), [[0, 0, 4, 1]]);
        assert_eq!(answer.with(|message| message.mac()), None);
    }
    let mut rig = Rig::new();
    let mut caller = Caller::time_limited("1900000000:x");
    caller.password = time_limited_password("guessed", b"1900000000:x");
    assert_eq!(allocate(&mut rig, &mut caller).code(), Some(401));
    let mut anna = Caller::anna();
    anna.password.clear();
    assert_eq!(allocate(&mut rig, &mut anna).code(), Some(401));
}

#[test]
fn strange_bytes_in_a_static_name_are_a_name_like_any() {
    for name in ["%s%n", "\"quo'ted\"", "a\0b", "マトリックス"] {
        let (mut rig, mut caller) = (Rig::new(), Caller::new(name, "192.0.2.1:1000"));
        rig.change(|settings| {
            let users = [(name.to_owned(), format!("secret-of-{name}"))];
            settings.credentials = Credentials::new(REALM, Vec::new(), users);
        });
        assert!(allocate(&mut rig, &mut caller).is_success(), "{name:?}");
        assert_eq!(rig.relays[0].list(rig.now, 1, false)[0].username, name);
    }
}

#[test]
fn every_secret_is_good_while_it_is_there() {
    let mut rig = Rig::new();
    let name = format!("{}:x", UTC + 1_000);
    let secrets = |secrets: &[&str]| {
        let secrets = secrets.iter().map(|secret| (*secret).to_owned());
        Credentials::new(REALM, secrets.collect(), [])
    };
    rig.change(|settings| settings.credentials = secrets(&["new", "shared"]));
    let mut old = Caller::time_limited(&name);
    assert!(allocate(&mut rig, &mut old).is_success());
    let mut new = Caller::time_limited(&name);
    new.client.remote.set_port(3_001);
    new.password = time_limited_password("new", name.as_bytes());
    assert!(allocate(&mut rig, &mut new).is_success());
    rig.change(|settings| settings.credentials = secrets(&["new"]));
    assert_eq!(rig.relays[0].len(), 2);
    let refresh = |rig: &mut Rig, caller: &mut Caller| {
        rig.ask(caller, Method::Refresh, |encoder| encoder).code()
    };
    assert_eq!(refresh(&mut rig, &mut old), Some(401));
    assert_eq!(refresh(&mut rig, &mut new), None);
}

#[test]
fn a_revoked_credential_ends_what_it_has_and_gets_nothing_new() {
    let mut rig = Rig::new();
    let name = format!("{}:x", UTC + 1_000);
    let mut caller = Caller::time_limited(&name);
    assert!(allocate(&mut rig, &mut caller).is_success());
    rig.allocate(&mut Caller::anna());
    rig.change(|settings| {
        settings
            .credentials
            .set_revoked([Username::new(name.as_bytes())].into_iter())
    });
    assert_eq!(rig.relays[0].len(), 1);
    assert_eq!(allocate(&mut rig, &mut caller).code(), Some(401));
    rig.assert_all_comes_back();
}

#[test]
fn both_algorithms_and_both_macs_are_taken_and_answered_alike() {
    use PasswordAlgorithm::{Md5, Sha256};
    for algorithm in [None, Some(Md5), Some(Sha256)] {
        for mac in [Mac::Sha1, Mac::Sha256] {
            let (mut rig, mut anna) = (Rig::new(), Caller::anna());
            (anna.algorithm, anna.mac) = (algorithm, mac);
            // The rig looks at the answer's integrity.
            assert!(allocate(&mut rig, &mut anna).is_success());
            let refused = rig.ask(&mut anna, Method::Allocate, udp);
            assert_eq!(refused.code(), Some(437));
            refused.with(|message| {
                assert_eq!(message.mac(), Some(mac));
                assert!(message.is_signed_with(&anna.key()));
            });
        }
    }
}

#[test]
fn a_list_of_algorithms_that_is_not_ours_is_400() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.greet(&mut anna);
    let list = |encoder: Encoder, list: &[u8]| encoder.raw_attribute(0x8002, list);
    let choice = |encoder: Encoder, choice: u8| encoder.raw_attribute(0x001D, &[0, choice, 0, 0]);
    let ours = [0, 2, 0, 0, 0, 1, 0, 0];
    let wrong: [(&str, &dyn Fn(Encoder) -> Encoder); 5] = [
        ("the stronger taken out", &|e| {
            choice(list(e, &[0, 1, 0, 0]), 1)
        }),
        ("another order", &|e| {
            choice(list(e, &[0, 1, 0, 0, 0, 2, 0, 0]), 1)
        }),
        ("a list alone", &|e| list(e, &ours)),
        ("a choice alone", &|e| choice(e, 1)),
        ("a choice that nobody offered", &|e| {
            choice(list(e, &ours), 3)
        }),
    ];
    for (what, fill) in wrong {
        let request = anna.request(Method::Allocate, new_transaction(), |encoder| {
            fill(udp(encoder))
        });
        let answer = rig.exchange(&anna, &request).unwrap();
        assert_eq!(answer.code(), Some(400), "{what}");
    }
    assert!(rig.relays[0].is_empty());
}

#[test]
fn a_userhash_names_a_static_user_where_there_is_no_secret() {
    let mut rig = Rig::new();
    let mut anna = Caller::anna();
    let ask = |rig: &mut Rig, anna: &mut Caller| {
        rig.greet(anna);
        let request = udp(Encoder::new(
            Class::Request,
            Method::Allocate,
            new_transaction(),
        ))
        .userhash(&userhash(b"anna", REALM))
        .realm(REALM)
        .nonce(&anna.nonce)
        .integrity(Mac::Sha1, &anna.key())
        .finish();
        rig.exchange(anna, &request).unwrap()
    };
    assert_eq!(ask(&mut rig, &mut anna).code(), Some(401));
    rig.change(|settings| {
        let users = [("anna".to_owned(), "secret-of-anna".to_owned())];
        settings.credentials = Credentials::new(REALM, Vec::new(), users);
    });
    assert!(ask(&mut rig, &mut anna).is_success());
    assert_eq!(rig.relays[0].list(rig.now, 1, false)[0].username, "anna");
}

#[test]
fn an_old_nonce_is_438_with_a_fresh_one() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    for round in 0..3 {
        rig.pass(Duration::from_secs(500));
        rig.ask(&mut anna, Method::Refresh, |encoder| encoder);
        assert_eq!(rig.relays[0].len(), 1, "{round}");
    }
    rig.pass(Duration::from_secs(301));
    let stale = rig.ask(&mut anna, Method::Refresh, |encoder| encoder);
    assert_eq!(stale.code(), Some(438));
    anna.nonce = stale.values(0x0015).remove(0);
    assert!(
        rig.ask(&mut anna, Method::Refresh, |encoder| encoder)
            .is_success()
    );
}

#[test]
fn a_nonce_is_no_good_for_another_source() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.greet(&mut anna);
    anna.client.remote.set_ip("198.51.100.99".parse().unwrap());
    let answer = allocate(&mut rig, &mut anna);
    assert_eq!(answer.code(), Some(438));
    anna.nonce = b"obMatJos2gAAAforged".to_vec();
    assert_eq!(allocate(&mut rig, &mut anna).code(), Some(438));
}
