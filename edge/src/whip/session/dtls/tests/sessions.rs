//! Whole sessions, to the media that they carry.

use super::*;

/// What any pairing must end with: keys on both sides, and media through them.
fn assert_media(pair: &mut Pair, version: Version, profile: Profile, case: &str) {
    pair.connect();
    pair.present(3);
    assert_eq!(pair.video().count(), 12, "{case}");
    let expected = [Outcome::Established(version, profile)];
    assert_eq!(pair.handshakes, expected, "{case}");
    // And back: the key frame's request is encrypted with our keys.
    assert!(pair.presenter.keyframe_requests > 0, "{case}");
    pair.presenter.close();
    pair.deliver();
    assert_eq!(pair.ended, Some(CloseReason::DtlsClosed), "{case}");
}

#[test]
fn ecdsa_presenters_connect_in_either_role_and_version() {
    use Backend::{MemorySafe, OpenSsl};
    use DtlsVersion::{Auto, Dtls12, Dtls13};
    for (backend, theirs, setup, version) in [
        (OpenSsl, Dtls12, "actpass", Version::Dtls12),
        (OpenSsl, Dtls12, "active", Version::Dtls12),
        (OpenSsl, Dtls12, "passive", Version::Dtls12),
        (OpenSsl, Auto, "active", Version::Dtls12),
        (OpenSsl, Auto, "passive", Version::Dtls12),
        // Offers nothing below 1.3, which makes the memory-safe one answer.
        (OpenSsl, Dtls13, "actpass", Version::Dtls13),
        (OpenSsl, Dtls13, "active", Version::Dtls13),
        (MemorySafe, Dtls12, "active", Version::Dtls12),
        (MemorySafe, Dtls12, "passive", Version::Dtls12),
        (MemorySafe, Dtls13, "active", Version::Dtls13),
        (MemorySafe, Dtls13, "passive", Version::Dtls13),
        (MemorySafe, Auto, "actpass", Version::Dtls13),
        (MemorySafe, Auto, "passive", Version::Dtls13),
    ] {
        let mut pair = Pair::with_str0m(backend, theirs, setup);
        let case = format!("{backend:?} {theirs} {setup}");
        assert_media(&mut pair, version, Profile::AeadAes256Gcm, &case);
    }
}

#[test]
fn rsa_presenters_connect_in_either_role() {
    for key in [Key::Rsa(2048), Key::Rsa(4096), Key::P256, Key::P384] {
        let certificate = key.certificate();
        for setup in ["active", "passive", "actpass"] {
            let mut pair = Pair::with_openssl(Backend::OpenSsl, certificate.clone(), setup);
            let case = format!("{key:?} {setup}");
            assert_media(&mut pair, Version::Dtls12, Profile::AeadAes256Gcm, &case);
        }
    }
}

#[test]
fn openssl_presenters_connect_to_the_memory_safe_one() {
    for setup in ["active", "passive"] {
        let certificate = Key::P256.certificate();
        let mut pair = Pair::with_openssl(Backend::MemorySafe, certificate, setup);
        assert_media(&mut pair, Version::Dtls12, Profile::AeadAes256Gcm, setup);
    }
}

#[test]
fn stronger_fingerprints_are_taken_alone_and_beside_sha_256() {
    let certificate = Key::Rsa(2048).certificate();
    let of = |name, digest| format!("a=fingerprint:{}", fingerprint(name, digest, &certificate));
    let sha256 = of("sha-256", MessageDigest::sha256());
    let sha384 = of("sha-384", MessageDigest::sha384());
    let sha512 = of("SHA-512", MessageDigest::sha512());
    let broken = "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13";
    for lines in [
        vec![&sha384[..]],
        vec![&sha512[..]],
        vec![&sha512[..], &sha256[..]],
        vec![broken, &sha384[..], &sha512[..]],
    ] {
        let now = clock::now();
        let config = Config::new().unwrap();
        let presenter = openssl_presenter(certificate.clone(), &config, now);
        let edit = |offer: String| {
            assert!(crate::whip::sdp::judge(offer.as_bytes()).is_ok());
            let offer = offer.replace(&sha256, &lines.join("\r\n"));
            assert!(crate::whip::sdp::judge(offer.as_bytes()).is_ok());
            offer
        };
        let mut pair = Pair::of(presenter, &config, edit, now);
        pair.connect();
    }
}
