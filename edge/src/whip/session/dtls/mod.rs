//! DTLS for every presenter: which implementation speaks, and what it and the
//! session tell each other.
//!
//! [`Backend::OpenSsl`], the default, takes RSA and ECDSA certificates; the
//! memory-safe one takes ECDSA alone, because its signature schemes are
//! constants that no provider can widen. A refused presenter is worse than a
//! handshake in C, and nobody can see beforehand which certificate will come:
//! the offer has its fingerprint alone, and of the ClientHello each library
//! writes but one. So OpenSSL answers whoever can speak DTLS 1.2. A ClientHello
//! that offers nothing below DTLS 1.3, which OpenSSL 3 does not speak, goes to
//! the memory-safe stack in either setting. The versions that OpenSSL may choose
//! are pinned all the same: a library upgrade shall not bring in a protocol that
//! the tests have never seen.
//!
//! What that costs: 0.56 ms of CPU for a handshake against 0.22 ms
//! (`benches/dtls_handshake.rs`), beside 0.7 ms for reading and answering the
//! offer, and 65 KiB per session, most of it record buffers that OpenSSL keeps for
//! DTLS. Nothing per packet, since SRTP is the same code in either case.
//!
//! Where we are the client (the presenter offers `a=setup:passive`, as FFmpeg
//! does) the configured implementation begins at once.
//!
//! The trap: str0m chooses its DTLS by a `&'static` provider that knows nothing
//! of the session. What belongs to the session crosses by `Handshake`, which
//! `Factory::with_session` lays down for the provider while str0m is being built.
//!
//! | file | holds |
//! |---|---|
//! | `handshake` | what a session and its DTLS tell each other, and outcomes |
//! | `fingerprint` | the offer's fingerprints against the peer's certificate |
//! | `choose` | the choice by the first ClientHello |
//! | `hello` | that ClientHello, from its fragments |
//! | `openssl` | DTLS 1.2 by the system's OpenSSL |
//! | `records` | which records that is shown |
//! | `flight` | when its last flight is sent again |
//! | `memory_safe` | DTLS 1.2 and 1.3 without C above the arithmetic |

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use str0m::crypto::{
    CryptoError, CryptoProvider,
    dtls::{DtlsCert, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion},
};

mod choose;
mod fingerprint;
mod flight;
mod handshake;
mod hello;
mod memory_safe;
mod openssl;
mod records;

pub use self::handshake::{Failure, Outcome, Profile, Version};
pub(super) use self::{fingerprint::Fingerprint, handshake::Handshake};

/// Later than any session lives: an instance that waits for nothing still has to
/// name a time.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Largest UDP payload that is sent: what str0m keeps to for the rest.
const MTU: usize = 1_150;

/// Which implementation speaks DTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// The system's OpenSSL for DTLS 1.2 with RSA and ECDSA, the memory-safe one
    /// for presenters that speak DTLS 1.3 alone.
    #[default]
    #[serde(rename = "openssl")]
    OpenSsl,
    /// DTLS 1.2 and 1.3 in Rust; ECDSA certificates alone.
    #[serde(rename = "memory-safe")]
    MemorySafe,
}

/// What the DTLS of all sessions is made from.
#[derive(Clone)]
pub(super) struct Factory {
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
    /// `None` with [`Backend::MemorySafe`].
    openssl: Option<openssl::Context>,
    memory_safe: Arc<dimpl::Config>,
}

impl Factory {
    /// Makes a certificate and, for OpenSSL, the context that all sessions share.
    /// `None` when a library cannot.
    pub(super) fn new(backend: Backend) -> Option<Self> {
        let provider = str0m::crypto::from_feature_flags().dtls_provider;
        Self::with_certificate(backend, provider.generate_certificate()?)
    }

    fn with_certificate(backend: Backend, certificate: DtlsCert) -> Option<Self> {
        let mut crypto = str0m::crypto::from_feature_flags();
        let openssl = match backend {
            Backend::OpenSsl => Some(openssl::Context::new(&certificate).ok()?),
            Backend::MemorySafe => None,
        };
        crypto.dtls_provider = &Provider;
        Some(Self {
            crypto: Arc::new(crypto),
            certificate,
            openssl,
            memory_safe: memory_safe::config()?,
        })
    }

    pub(super) fn crypto(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.crypto)
    }

    pub(super) fn certificate(&self) -> DtlsCert {
        self.certificate.clone()
    }

    /// Builds whatever holds the DTLS of one session, which `handshake` follows.
    pub(super) fn with_session<T>(
        &self,
        handshake: &Arc<Handshake>,
        build: impl FnOnce() -> T,
    ) -> T {
        let begun = Begun {
            handshake: Arc::clone(handshake),
            openssl: self.openssl.clone(),
            memory_safe: Arc::clone(&self.memory_safe),
        };
        BEGUN.with_borrow_mut(|slot| *slot = Some(begun));
        let built = build();
        BEGUN.with_borrow_mut(|slot| *slot = None);
        built
    }
}

/// A session that is being built on this thread.
struct Begun {
    handshake: Arc<Handshake>,
    openssl: Option<openssl::Context>,
    memory_safe: Arc<dimpl::Config>,
}

thread_local! {
    static BEGUN: RefCell<Option<Begun>> = const { RefCell::new(None) };
}

/// Gives each session that is being built its DTLS.
#[derive(Debug)]
struct Provider;

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        // It is made once for all sessions, before any of them.
        None
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let begun = BEGUN
            .with_borrow_mut(Option::take)
            .ok_or_else(|| CryptoError::Other("no session is being built".to_owned()))?;
        let memory_safe = memory_safe::Maker {
            config: begun.memory_safe,
            certificate: certificate.clone(),
            handshake: Arc::clone(&begun.handshake),
        };
        Ok(match begun.openssl {
            None => Box::new(memory_safe.make(DtlsVersion::Auto, now)),
            Some(context) => {
                let openssl = openssl::Instance::new(&context, begun.handshake, now)?;
                Box::new(choose::Choosing::new(openssl, memory_safe, now))
            }
        })
    }
}

/// A packet in the caller's buffer, which is large enough.
fn packet_in<'a>(buffer: &'a mut [u8], packet: &[u8]) -> DtlsOutput<'a> {
    let (into, _) = buffer.split_at_mut(packet.len());
    into.copy_from_slice(packet);
    DtlsOutput::Packet(into)
}

#[cfg(test)]
mod tests;
