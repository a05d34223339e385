//! Handshakes that must fail: at once, with a reason, and for good.

use super::*;
use crate::whip::session::tests::{EDGE, by_udp};

/// An offer that promises another certificate.
fn forged(offer: String) -> String {
    let other = Key::P256.certificate();
    let promised = fingerprint("sha-256", MessageDigest::sha256(), &other);
    let lines = offer.lines().map(|line| {
        if line.starts_with("a=fingerprint:") {
            format!("a=fingerprint:{promised}\r\n")
        } else {
            format!("{line}\r\n")
        }
    });
    lines.collect()
}

#[test]
fn another_certificate_than_promised_ends_the_session_with_an_alert() {
    for key in [Key::Rsa(2048), Key::P256] {
        for setup in ["active", "passive"] {
            let now = clock::now();
            let config = Config::new().unwrap();
            let presenter = openssl_presenter(key.certificate(), &config, now);
            let edit = |offer| forged(offering(setup)(offer));
            let mut pair = Pair::of(presenter, &config, edit, now);
            assert_eq!(pair.fail(), Failure::Fingerprint, "{key:?} {setup}");
            assert!(!pair.session.was_connected() && !pair.presenter.is_connected);
        }
    }
}

#[test]
fn the_presenter_hears_the_alert_behind_the_end() {
    let now = clock::now();
    let config = Config::new().unwrap();
    let presenter = str0m_presenter(DtlsVersion::Dtls12, now);
    let mut pair = Pair::of(presenter, &config, forged, now);
    assert_eq!(pair.fail(), Failure::Fingerprint);
    // As the worker does when a session has ended.
    pair.session.close();
    pair.drain_session();
    assert!(pair.presenter.has_failed);
}

#[test]
fn the_memory_safe_one_checks_it_too() {
    for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        for setup in ["active", "passive"] {
            let now = clock::now();
            let config = Config::with_dtls(Backend::MemorySafe).unwrap();
            let presenter = str0m_presenter(version, now);
            let edit = |offer| forged(offering(setup)(offer));
            let mut pair = Pair::of(presenter, &config, edit, now);
            assert_eq!(pair.fail(), Failure::Fingerprint, "{version} {setup}");
            assert!(!pair.session.was_connected());
        }
    }
}

#[test]
fn an_rsa_presenter_is_refused_at_once_by_the_memory_safe_one() {
    let certificate = Key::Rsa(2048).certificate();
    let mut pair = Pair::with_openssl(Backend::MemorySafe, certificate, "active");
    assert_eq!(pair.fail(), Failure::Certificate);
}

#[test]
fn what_comes_after_a_failure_is_dropped() {
    for backend in [Backend::OpenSsl, Backend::MemorySafe] {
        let now = clock::now();
        let config = Config::with_dtls(backend).unwrap();
        let presenter = str0m_presenter(DtlsVersion::Dtls12, now);
        let edit = |offer| forged(offering("active")(offer));
        let mut pair = Pair::of(presenter, &config, edit, now);
        pair.fail();
        let (source, edge) = (pair.presenter.address, EDGE.parse().unwrap());
        // As the worker would not, which has taken it out by now.
        for kind in 20..=63_u8 {
            let record = [kind, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0];
            pair.session
                .handle_datagram(pair.now, &by_udp(source, edge, &record));
            pair.drain_session();
        }
        pair.run_for(Duration::from_secs(20));
        pair.session.close();
        pair.drain_session();
        assert_eq!(pair.handshakes.len(), 1, "told once");
    }
}

#[test]
fn a_peer_that_never_ends_its_handshake_is_told_from_one_that_never_came() {
    let mut pair = Pair::with_str0m(Backend::OpenSsl, DtlsVersion::Dtls12, "active");
    pair.drops = Box::new(|_, datagram| is_dtls(datagram));
    pair.run_for(Duration::from_secs(16));
    assert_eq!(pair.handshakes, [Outcome::Failed(Failure::Timeout)]);
    assert_eq!(pair.ended, Some(CloseReason::NeverConnected));

    let mut pair = Pair::with_str0m(Backend::OpenSsl, DtlsVersion::Dtls12, "active");
    pair.drops = Box::new(|_, _| true);
    pair.run_for(Duration::from_secs(16));
    assert_eq!(pair.handshakes, []);
    assert_eq!(pair.ended, Some(CloseReason::NeverConnected));
}
