//! Handshakes of every kind, under virtual time: with str0m's DTLS opposite
//! (ECDSA, DTLS 1.2 and 1.3) and with OpenSSL opposite (RSA, every profile).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::{MessageDigest, hash},
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{X509, X509Name},
};
use inlet_common::{clock, roq::control::CloseReason};
use str0m::{
    RtcConfig,
    crypto::dtls::{DtlsCert, DtlsVersion},
};

use super::{super::tests::Pair, *};
use crate::whip::session::{
    Config,
    presenter::Presenter,
    tests::{Drops, PRESENTER},
};

mod failures;
mod hostile;
mod lost;
mod peer;
mod sessions;

/// A key of a kind that presenters have.
#[derive(Clone, Copy, Debug)]
enum Key {
    Rsa(u32),
    P256,
    P384,
}

impl Key {
    fn generate(self) -> PKey<Private> {
        let ec = |curve| {
            let group = EcGroup::from_curve_name(curve).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
        };
        match self {
            Self::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap(),
            Self::P256 => ec(Nid::X9_62_PRIME256V1),
            Self::P384 => ec(Nid::SECP384R1),
        }
    }

    /// Self-signed, as WebRTC's are.
    fn certificate(self) -> DtlsCert {
        let key = self.generate();
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "presenter").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(30));
        builder.set_not_before(&from.unwrap()).unwrap();
        builder.set_not_after(&to.unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        DtlsCert {
            certificate: builder.build().to_der().unwrap(),
            private_key: key.private_key_to_pkcs8().unwrap(),
        }
    }
}

/// A value of `a=fingerprint`.
fn fingerprint(name: &str, digest: MessageDigest, certificate: &DtlsCert) -> String {
    let digest = hash(digest, &certificate.certificate).unwrap();
    let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("{name} {}", bytes.join(":"))
}

fn expecting(certificate: &DtlsCert) -> Arc<Handshake> {
    let value = fingerprint("sha-256", MessageDigest::sha256(), certificate);
    Arc::new(Handshake::new(Fingerprint::select([value])))
}

/// A presenter whose DTLS is OpenSSL's, with a certificate of a given kind.
fn openssl_presenter(certificate: DtlsCert, config: &Config, now: Instant) -> (Presenter, String) {
    let factory = Factory::with_certificate(Backend::OpenSsl, certificate).unwrap();
    let handshake = expecting(&config.dtls.certificate());
    // Its path is up when it sends.
    handshake.note_path();
    let rtc = factory.with_session(&handshake, || {
        RtcConfig::new()
            .set_crypto_provider(factory.crypto())
            .set_dtls_cert(factory.certificate())
            .set_rtp_mode(true)
            .build(now)
    });
    Presenter::with_rtc(rtc, PRESENTER.parse().unwrap(), now)
}

/// A presenter whose DTLS is str0m's.
fn str0m_presenter(version: DtlsVersion, now: Instant) -> (Presenter, String) {
    let config = RtcConfig::new().set_dtls_version(version);
    Presenter::with_config(config, PRESENTER.parse().unwrap(), now)
}

/// Offers to be a client or a server alone, or leaves the choice to us.
fn offering(setup: &'static str) -> impl FnOnce(String) -> String {
    move |offer| {
        assert!(offer.contains("a=setup:actpass"));
        offer.replace("a=setup:actpass", &format!("a=setup:{setup}"))
    }
}

fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

impl Pair {
    fn with_str0m(backend: Backend, version: DtlsVersion, setup: &'static str) -> Self {
        let now = clock::now();
        let config = Config::with_dtls(backend).unwrap();
        Self::of(str0m_presenter(version, now), &config, offering(setup), now)
    }

    fn with_openssl(backend: Backend, certificate: DtlsCert, setup: &'static str) -> Self {
        let now = clock::now();
        let config = Config::with_dtls(backend).unwrap();
        let presenter = openssl_presenter(certificate, &config, now);
        Self::of(presenter, &config, offering(setup), now)
    }

    fn connect(&mut self) {
        self.run_until(|pair| pair.session.is_connected() && pair.presenter.is_connected);
    }

    /// Runs until the session has ended, and says why the handshake failed.
    fn fail(&mut self) -> Failure {
        let start = self.now;
        self.run_until(|pair| pair.ended.is_some());
        assert_eq!(self.ended, Some(CloseReason::NeverConnected));
        assert!(self.now - start < Duration::from_secs(2), "not at once");
        let [Outcome::Failed(failure)] = self.handshakes[..] else {
            panic!("{:?}", self.handshakes);
        };
        failure
    }
}
