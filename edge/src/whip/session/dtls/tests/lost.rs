//! Datagrams of the handshake that are lost on the way, under virtual time.

use std::thread;

use super::*;

/// How long a handshake may take that lost one datagram: the peer's first
/// repetition comes after a second at most.
const ONCE: Duration = Duration::from_millis(2_500);

/// Drops the `nth` datagram of DTLS.
fn nth(nth: usize) -> Drops {
    let seen = std::cell::Cell::new(0);
    Box::new(move |_, datagram| {
        if is_dtls(datagram) {
            seen.set(seen.get() + 1);
        }
        is_dtls(datagram) && seen.get() == nth
    })
}

#[test]
fn any_lost_datagram_comes_again() {
    for (backend, setup) in [
        (Backend::OpenSsl, "active"),
        (Backend::OpenSsl, "passive"),
        (Backend::MemorySafe, "active"),
        (Backend::MemorySafe, "passive"),
    ] {
        // Neither side sends more than these.
        for lost in 1..=5 {
            for is_ours in [true, false] {
                // The last word of a server is only repeated when the client
                // repeats its own: see the test below.
                if backend == Backend::OpenSsl && setup == "passive" && !is_ours {
                    continue;
                }
                let mut pair = Pair::with_str0m(backend, DtlsVersion::Dtls12, setup);
                let drops = if is_ours {
                    &mut pair.drops_back
                } else {
                    &mut pair.drops
                };
                *drops = nth(lost);
                let start = pair.now;
                pair.connect();
                let took = pair.now - start;
                assert!(
                    took < ONCE,
                    "{backend:?} {setup} {lost} {is_ours}: {took:?}"
                );
                pair.present(1);
                assert_eq!(pair.video().count(), 4);
            }
        }
    }
}

#[test]
fn a_dead_second_is_survived() {
    for setup in ["active", "passive"] {
        for key in [Key::Rsa(2048), Key::P256] {
            let mut pair = Pair::with_openssl(Backend::OpenSsl, key.certificate(), setup);
            pair.drops_back = Box::new(|_, datagram| is_dtls(datagram));
            pair.run_for(Duration::from_secs(1));
            assert!(!pair.session.is_connected());
            pair.drops_back = Box::new(|_, _| false);
            let start = pair.now;
            pair.connect();
            assert!(pair.now - start < Duration::from_secs(2), "{setup} {key:?}");
        }
    }
}

#[test]
fn as_a_client_nothing_is_repeated_before_ice_has_a_pair() {
    let mut pair = Pair::with_str0m(Backend::OpenSsl, DtlsVersion::Dtls12, "passive");
    pair.drops = Box::new(|_, _| true);
    pair.run_for(Duration::from_secs(5));
    let hellos = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = hellos.clone();
    pair.drops = Box::new(|_, _| false);
    pair.drops_back = Box::new(move |_, datagram| {
        counted.set(counted.get() + usize::from(is_dtls(datagram) && datagram[13] == 1));
        false
    });
    pair.connect();
    // One to ask, and one with the cookie if there is one.
    assert!((1..=2).contains(&hellos.get()), "{}", hellos.get());
}

/// OpenSSL repeats a client's last flight by wall time alone, one second after
/// it: the one case in which the virtual clock does not help.
#[test]
fn a_servers_lost_last_word_comes_again_within_openssls_own_second() {
    let certificate = Key::P256.certificate();
    let mut pair = Pair::with_openssl(Backend::OpenSsl, certificate, "passive");
    // The presenter's last word: the first datagram after our own Finished.
    let lost = std::cell::Cell::new(0);
    pair.drops = Box::new(move |_, datagram| {
        let is_last = is_dtls(datagram) && (datagram[0] == 20 || has_epoch_1(datagram));
        if is_last && lost.get() == 0 {
            lost.set(1);
            return true;
        }
        false
    });
    let deadline = clock::now() + Duration::from_secs(10);
    while !pair.session.is_connected() {
        assert!(clock::now() < deadline, "the handshake is stuck");
        let before = clock::now();
        pair.step();
        thread::sleep(Duration::from_millis(5));
        pair.now = pair.now.max(pair.now + before.elapsed()) - Duration::from_millis(5);
    }
    assert!(pair.presenter.is_connected);
}

fn has_epoch_1(datagram: &[u8]) -> bool {
    datagram.get(3..5) == Some(&[0, 1])
}
