//! OpenSSL itself opposite, below str0m: every profile, every kind of key, both
//! roles, small datagrams; and what a peer can lack.

use ::openssl::ssl::{
    SslContextBuilder, SslMethod, SslOptions, SslStream, SslVerifyMode, SslVersion,
};
use str0m::crypto::dtls::{DtlsInstance, DtlsOutput};

use super::*;
use crate::whip::session::dtls::openssl::Wire;

/// What a peer is like.
struct Wants {
    key: Key,
    profile: Option<&'static str>,
    mtu: u32,
    shows_certificate: bool,
    version: SslVersion,
    ciphers: &'static str,
    /// Whether it answers a first ClientHello with a cookie (RFC 6347 §4.2.1).
    asks_for_cookie: bool,
}

impl Default for Wants {
    fn default() -> Self {
        Self {
            key: Key::P256,
            profile: Some("SRTP_AES128_CM_SHA1_80"),
            mtu: 1_200,
            shows_certificate: true,
            version: SslVersion::DTLS1_2,
            ciphers: "ALL:@SECLEVEL=0",
            asks_for_cookie: false,
        }
    }
}

const COOKIE: &[u8] = b"sixteen bytes it";

/// OpenSSL on one side, the edge's instance on the other.
struct Handshakes {
    peer: SslStream<Wire>,
    peer_is_active: bool,
    peer_is_done: bool,
    ours: Box<dyn DtlsInstance>,
    handshake: Arc<Handshake>,
    keys: Option<(Vec<u8>, Profile)>,
    is_connected: bool,
    /// The datagrams of each of the peer's flights come from the last to the first,
    /// but for those that change the cipher: OpenSSL waits for their repetition.
    is_reversed: bool,
}

impl Handshakes {
    fn new(backend: Backend, wants: &Wants, peer_is_active: bool) -> Self {
        let now = clock::now();
        let certificate = wants.key.certificate();
        let factory = Factory::new(backend).unwrap();
        let handshake = expecting(&certificate);
        handshake.note_path();
        let crypto = factory.crypto();
        let mut ours = factory.with_session(&handshake, || {
            let provider = crypto.dtls_provider;
            let mtu = Some(1_150);
            provider
                .new_dtls(&factory.certificate(), now, DtlsVersion::Auto, mtu)
                .unwrap()
        });
        ours.set_active(!peer_is_active);
        ours.handle_timeout(now).unwrap();
        Self {
            peer: peer(wants, &certificate),
            peer_is_active,
            peer_is_done: false,
            ours,
            handshake,
            keys: None,
            is_connected: false,
            is_reversed: false,
        }
    }

    /// Lets both talk until neither has anything to say.
    fn run(&mut self) -> Option<Outcome> {
        if !self.peer_is_active {
            self.ours.handle_packet(&[]).unwrap();
        }
        for _ in 0..60 {
            self.peer_turn(None);
            let mut sent = std::mem::take(&mut self.peer.get_mut().sent);
            if self.is_reversed {
                let changes = |datagram: &Vec<u8>| contains_change_of_cipher(datagram);
                let end = sent.iter().position(changes).unwrap_or(sent.len());
                sent[..end].reverse();
            }
            for datagram in sent {
                self.ours.handle_packet(&datagram).unwrap();
            }
            let packets = self.poll();
            for packet in packets {
                self.peer_turn(Some(packet));
            }
        }
        self.handshake.outcome()
    }

    fn peer_turn(&mut self, received: Option<Vec<u8>>) {
        self.peer.get_mut().received = received;
        if !self.peer_is_done {
            let result = if self.peer_is_active {
                self.peer.connect()
            } else {
                self.peer.accept()
            };
            self.peer_is_done = result.is_ok();
        }
    }

    fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut buffer = vec![0; 2_000];
        loop {
            match self.ours.poll_output(&mut buffer) {
                DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                DtlsOutput::KeyingMaterial(keys, profile) => {
                    self.keys = Some((keys.to_vec(), Profile::of(profile).unwrap()));
                }
                DtlsOutput::Connected => self.is_connected = true,
                DtlsOutput::Timeout(_) => return packets,
                output => panic!("{output:?}"),
            }
        }
    }
}

fn contains_change_of_cipher(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Some(head) = rest.first_chunk::<13>() {
        if head[0] == 20 {
            return true;
        }
        rest = &rest[13 + usize::from(u16::from_be_bytes([head[11], head[12]]))..];
    }
    false
}

fn peer(wants: &Wants, certificate: &DtlsCert) -> SslStream<Wire> {
    let mut context = SslContextBuilder::new(SslMethod::dtls()).unwrap();
    context.set_security_level(0);
    context.set_min_proto_version(Some(wants.version)).unwrap();
    context.set_max_proto_version(Some(wants.version)).unwrap();
    context.set_cipher_list(wants.ciphers).unwrap();
    context.set_options(SslOptions::NO_QUERY_MTU);
    context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    if let Some(profile) = wants.profile {
        context.set_tlsext_use_srtp(profile).unwrap();
    }
    if wants.shows_certificate {
        let x509 = X509::from_der(&certificate.certificate).unwrap();
        let key = PKey::private_key_from_der(&certificate.private_key).unwrap();
        context.set_certificate(&x509).unwrap();
        context.set_private_key(&key).unwrap();
    }
    if wants.asks_for_cookie {
        context.set_options(SslOptions::COOKIE_EXCHANGE);
        context.set_cookie_generate_cb(|_, cookie| {
            cookie[..COOKIE.len()].copy_from_slice(COOKIE);
            Ok(COOKIE.len())
        });
        context.set_cookie_verify_cb(|_, cookie| cookie == COOKIE);
    }
    let mut ssl = ::openssl::ssl::Ssl::new(&context.build()).unwrap();
    ssl.set_mtu(wants.mtu).unwrap();
    SslStream::new(ssl, Wire::default()).unwrap()
}

#[test]
fn both_sides_have_the_same_keys_for_every_profile_role_and_key() {
    for (name, profile) in [
        ("SRTP_AEAD_AES_256_GCM", Profile::AeadAes256Gcm),
        ("SRTP_AEAD_AES_128_GCM", Profile::AeadAes128Gcm),
        ("SRTP_AES128_CM_SHA1_80", Profile::Aes128CmSha1),
    ] {
        for key in [Key::Rsa(2048), Key::P256] {
            for peer_is_active in [true, false] {
                let wants = Wants {
                    key,
                    profile: Some(name),
                    ..Wants::default()
                };
                let mut both = Handshakes::new(Backend::OpenSsl, &wants, peer_is_active);
                let expected = Outcome::Established(Version::Dtls12, profile);
                assert_eq!(
                    both.run(),
                    Some(expected),
                    "{name} {key:?} {peer_is_active}"
                );
                let (keys, agreed) = both.keys.unwrap();
                assert!(both.is_connected && both.peer_is_done && agreed == profile);
                let mut theirs = vec![0; keys.len()];
                let ssl = both.peer.ssl();
                assert_eq!(ssl.selected_srtp_profile().unwrap().name(), name);
                ssl.export_keying_material(&mut theirs, "EXTRACTOR-dtls_srtp", None)
                    .unwrap();
                assert_eq!(keys, theirs);
            }
        }
    }
}

#[test]
fn small_datagrams_make_fragments_that_come_in_any_order() {
    for backend in [Backend::OpenSsl, Backend::MemorySafe] {
        for peer_is_active in [true, false] {
            let wants = Wants {
                mtu: 260,
                ..Wants::default()
            };
            let mut both = Handshakes::new(backend, &wants, peer_is_active);
            let outcome = both.run();
            let expected = Outcome::Established(Version::Dtls12, Profile::Aes128CmSha1);
            assert_eq!(outcome, Some(expected), "{backend:?} {peer_is_active}");
            if backend == Backend::MemorySafe && !peer_is_active {
                // Its client wants the flight again, in order.
                continue;
            }
            let mut both = Handshakes::new(backend, &wants, peer_is_active);
            both.is_reversed = true;
            let outcome = both.run();
            assert_eq!(outcome, Some(expected), "{backend:?} {peer_is_active}");
        }
    }
}

#[test]
fn a_server_may_ask_for_a_cookie_first() {
    for backend in [Backend::OpenSsl, Backend::MemorySafe] {
        let wants = Wants {
            asks_for_cookie: true,
            ..Wants::default()
        };
        let mut both = Handshakes::new(backend, &wants, false);
        let expected = Outcome::Established(Version::Dtls12, Profile::Aes128CmSha1);
        assert_eq!(both.run(), Some(expected), "{backend:?}");
    }
}

#[test]
fn what_a_peer_lacks_is_told_apart() {
    for (wants, failure) in [
        (
            Wants {
                profile: None,
                ..Wants::default()
            },
            Failure::Srtp,
        ),
        (
            Wants {
                shows_certificate: false,
                ..Wants::default()
            },
            Failure::Certificate,
        ),
        (
            Wants {
                version: SslVersion::DTLS1,
                ..Wants::default()
            },
            Failure::Version,
        ),
        (
            Wants {
                ciphers: "ECDHE-ECDSA-AES128-SHA",
                ..Wants::default()
            },
            Failure::Cipher,
        ),
    ] {
        let mut both = Handshakes::new(Backend::OpenSsl, &wants, true);
        assert_eq!(both.run(), Some(Outcome::Failed(failure)));
        assert!(!both.is_connected && both.keys.is_none());
        // It has been told so by an alert, but for SRTP, which is no failure of
        // DTLS.
        assert!(both.ours.is_closed());
        assert!(!both.peer_is_done || failure == Failure::Srtp);
    }
}

#[test]
fn a_peer_that_gives_up_is_heard() {
    for backend in [Backend::OpenSsl, Backend::MemorySafe] {
        let mut both = Handshakes::new(backend, &Wants::default(), true);
        both.peer_turn(None);
        let hello = std::mem::take(&mut both.peer.get_mut().sent);
        both.ours.handle_packet(&hello[0]).unwrap();
        assert!(!both.poll().is_empty());
        // handshake_failure, fatal.
        let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
        both.ours.handle_packet(&alert).unwrap();
        both.poll();
        let outcome = both.handshake.outcome();
        assert_eq!(
            outcome,
            Some(Outcome::Failed(Failure::PeerAlert)),
            "{backend:?}"
        );
    }
}
