//! What a session and its DTLS tell each other, and how a handshake can end.
//!
//! Shared by the session and the instance inside str0m; both run on the same
//! thread, so the lock is never waited for. Only the first outcome counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use str0m::crypto::dtls::{ProtocolVersion, SrtpProfile};

use super::fingerprint::Fingerprint;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// SRTP is keyed.
    Established(Version, Profile),
    /// There will be no media.
    Failed(Failure),
}

/// The version of DTLS that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 6347.
    Dtls12,
    /// RFC 9147.
    Dtls13,
}

/// The protection profile of SRTP that was agreed on (RFC 5764 §4.1.2, RFC 7714
/// §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `SRTP_AEAD_AES_256_GCM`
    AeadAes256Gcm,
    /// `SRTP_AEAD_AES_128_GCM`
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`
    Aes128CmSha1,
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer's certificate is not the one that its offer promised.
    Fingerprint,
    /// The peer sent a fatal alert.
    PeerAlert,
    /// The peer closed before the handshake was done.
    PeerClosed,
    /// No version of DTLS in common.
    Version,
    /// No cipher suite, group or signature scheme in common.
    Cipher,
    /// No SRTP profile in common.
    Srtp,
    /// The peer showed no certificate, or one of a kind that cannot be used.
    Certificate,
    /// The peer broke the protocol.
    Protocol,
    /// More was sent than any handshake needs.
    Flood,
    /// The peer was heard by ICE, and the handshake never came to an end.
    Timeout,
}

impl Version {
    /// Every version.
    pub const ALL: [Self; 2] = [Self::Dtls12, Self::Dtls13];

    /// As it stands in metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dtls12 => "1.2",
            Self::Dtls13 => "1.3",
        }
    }

    pub(super) fn of(version: Option<ProtocolVersion>) -> Self {
        match version {
            Some(ProtocolVersion::DTLS1_3) => Self::Dtls13,
            _ => Self::Dtls12,
        }
    }
}

impl Profile {
    /// Every profile, the preferred first.
    pub const ALL: [Self; 3] = [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::Aes128CmSha1];

    /// As it stands in metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "aead_aes_256_gcm",
            Self::AeadAes128Gcm => "aead_aes_128_gcm",
            Self::Aes128CmSha1 => "aes128_cm_sha1_80",
        }
    }

    /// `None` for a profile of a later library, which is not offered here.
    pub(super) fn of(profile: SrtpProfile) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.in_engine() == profile)
    }

    /// As the media engine calls it.
    pub(super) const fn in_engine(self) -> SrtpProfile {
        match self {
            Self::AeadAes256Gcm => SrtpProfile::AEAD_AES_256_GCM,
            Self::AeadAes128Gcm => SrtpProfile::AEAD_AES_128_GCM,
            Self::Aes128CmSha1 => SrtpProfile::AES128_CM_SHA1_80,
        }
    }
}

impl Failure {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Fingerprint,
        Self::PeerAlert,
        Self::PeerClosed,
        Self::Version,
        Self::Cipher,
        Self::Srtp,
        Self::Certificate,
        Self::Protocol,
        Self::Flood,
        Self::Timeout,
    ];

    /// As it stands in metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::PeerAlert => "peer_alert",
            Self::PeerClosed => "peer_closed",
            Self::Version => "version",
            Self::Cipher => "cipher",
            Self::Srtp => "srtp",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Flood => "flood",
            Self::Timeout => "timeout",
        }
    }
}

/// Shared by a session and its DTLS.
#[derive(Debug)]
pub(in crate::whip::session) struct Handshake {
    fingerprints: Vec<Fingerprint>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_path_up: bool,
    outcome: Option<Outcome>,
}

impl Handshake {
    /// `fingerprints` are those of the offer; any of them will do.
    pub(in crate::whip::session) fn new(fingerprints: Vec<Fingerprint>) -> Self {
        Self {
            fingerprints,
            state: Mutex::default(),
        }
    }

    /// ICE has a pair, so what is sent from now on arrives.
    pub(in crate::whip::session) fn note_path(&self) {
        self.state().is_path_up = true;
    }

    /// How it ended; `None` while it goes on.
    pub(in crate::whip::session) fn outcome(&self) -> Option<Outcome> {
        self.state().outcome
    }

    /// Ends it, unless it has ended already.
    pub(in crate::whip::session) fn end(&self, outcome: Outcome) {
        self.state().outcome.get_or_insert(outcome);
    }

    pub(in crate::whip::session) fn fail(&self, failure: Failure) {
        self.end(Outcome::Failed(failure));
    }

    pub(in crate::whip::session) fn is_path_up(&self) -> bool {
        self.state().is_path_up
    }

    /// Whether the offer promised this certificate.
    pub(super) fn is_expected(&self, certificate: &[u8]) -> bool {
        let mut fingerprints = self.fingerprints.iter();
        fingerprints.any(|fingerprint| fingerprint.matches(certificate))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
