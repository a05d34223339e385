//! DTLS 1.2 and 1.3 without C above the arithmetic: str0m's own, watched.
//!
//! What is added: the fingerprint of any hash is checked here, a failure is told
//! at once and with its reason, and a certificate that is larger than str0m's
//! buffer does not end the session. After a failure whatever comes is dropped. The
//! library tests all its cryptography whenever a configuration is made, which takes
//! a millisecond, so all sessions share one.

use std::{fmt, sync::Arc, time::Instant};

use dimpl::{Config, Dtls, DtlsCertificate, SecurityError};
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsVersion, ProtocolVersion};

use super::handshake::{Failure, Handshake, Outcome, Profile, Version};

/// Largest certificate that is looked at, as much as a record holds (RFC 6347
/// §4.1.1 by RFC 5246 §6.2.1).
const MAX_CERTIFICATE: usize = 1 << 14;

/// What all instances share. `None` when the library cannot vouch for its
/// cryptography.
pub(super) fn config() -> Option<Arc<Config>> {
    let config = Config::builder()
        // ICE has shown that the address is the peer's own.
        .use_server_cookie(false)
        .mtu(super::MTU)
        .build();
    config.ok().map(Arc::new)
}

/// What an instance is made from, if it comes to that.
pub(super) struct Maker {
    pub(super) config: Arc<Config>,
    pub(super) certificate: DtlsCertificate,
    pub(super) handshake: Arc<Handshake>,
}

impl Maker {
    pub(super) fn make(self, version: DtlsVersion, now: Instant) -> Watched {
        let inner = match version {
            DtlsVersion::Dtls12 => Dtls::new_12(self.config, self.certificate, now),
            DtlsVersion::Dtls13 => Dtls::new_13(self.config, self.certificate, now),
            _ => Dtls::new_auto(self.config, self.certificate, now),
        };
        Watched {
            inner,
            handshake: self.handshake,
            now,
            profile: None,
            is_up: false,
            is_dead: false,
            has_told_start: false,
            has_told_end: false,
        }
    }
}

// Without the certificate's key.
impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maker").finish_non_exhaustive()
    }
}

/// str0m's DTLS, and what is added to it.
pub(super) struct Watched {
    inner: Dtls,
    handshake: Arc<Handshake>,
    now: Instant,
    profile: Option<Profile>,
    is_up: bool,
    is_dead: bool,
    has_told_start: bool,
    has_told_end: bool,
}

/// What became of one poll of the instance inside.
enum Step {
    Packet(Vec<u8>),
    Done(DtlsOutput<'static>),
    /// Dealt with here.
    Seen,
}

impl Watched {
    /// The library says of its errors that they are final; but as long as no
    /// version is agreed on they may be about what some stranger sent, and it
    /// goes on.
    fn note(&mut self, result: Result<(), DtlsImplError>) {
        let Err(error) = result else {
            return;
        };
        tracing::debug!(%error, "DTLS refused a record");
        let is_timeout = matches!(error, DtlsImplError::Timeout(_));
        if is_timeout || self.inner.protocol_version().is_some() {
            self.give_up(reason(&error));
        }
    }

    fn give_up(&mut self, failure: Failure) {
        self.handshake.fail(failure);
        self.is_dead = true;
    }

    fn step(&mut self, buffer: &mut [u8]) -> Step {
        let mut large = Vec::new();
        let output = match self.inner.poll_output(buffer) {
            DtlsOutput::BufferTooSmall { needed } if needed <= MAX_CERTIFICATE => {
                large.resize(needed, 0);
                self.inner.poll_output(&mut large)
            }
            output => output,
        };
        match output {
            DtlsOutput::Packet(packet) => return Step::Packet(packet.to_vec()),
            DtlsOutput::KeyingMaterial(material, profile) => {
                self.profile = Profile::of(profile);
                return Step::Done(DtlsOutput::KeyingMaterial(material, profile));
            }
            DtlsOutput::Timeout(at) => return Step::Done(DtlsOutput::Timeout(at)),
            DtlsOutput::CloseNotify => return Step::Done(DtlsOutput::CloseNotify),
            DtlsOutput::Connected => self.is_up = true,
            DtlsOutput::PeerCert(certificate) if !self.handshake.is_expected(certificate) => {
                self.give_up(Failure::Fingerprint);
            }
            DtlsOutput::BufferTooSmall { .. } => self.give_up(Failure::Certificate),
            // The right certificate. There is no data channel here, and nothing
            // else is known.
            _ => {}
        }
        Step::Seen
    }

    /// The library says `Connected` before it gives the keys; str0m hears of it
    /// when both are there.
    fn establish(&mut self) -> Option<DtlsOutput<'static>> {
        let profile = self
            .profile
            .filter(|_| self.is_up && !self.has_told_start)?;
        self.has_told_start = true;
        let version = Version::of(self.inner.protocol_version());
        self.handshake.end(Outcome::Established(version, profile));
        Some(DtlsOutput::Connected)
    }

    fn last_word(&mut self) -> DtlsOutput<'static> {
        if self.has_told_start && !self.has_told_end {
            self.has_told_end = true;
            return DtlsOutput::CloseNotify;
        }
        DtlsOutput::Timeout(self.now + super::NEVER)
    }
}

impl DtlsInstance for Watched {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        // An empty packet is str0m's nudge to a client, which has begun already.
        if !self.is_dead && !packet.is_empty() {
            let result = self.inner.handle_packet(packet);
            self.note(result);
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        loop {
            if self.is_dead {
                return self.last_word();
            }
            if let Some(output) = self.establish() {
                return output;
            }
            match self.step(buffer) {
                Step::Packet(packet) => {
                    if packet.len() <= buffer.len() {
                        return super::packet_in(buffer, &packet);
                    }
                    // Larger than any MTU.
                    self.give_up(Failure::Protocol);
                }
                Step::Done(output) => return output,
                Step::Seen => {}
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        if !self.is_dead {
            let result = self.inner.handle_timeout(now);
            self.note(result);
        }
        Ok(())
    }

    fn send_application_data(&mut self, _data: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(0)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.is_dead || self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.is_dead || self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        if !self.is_dead {
            let result = self.inner.close();
            self.note(result);
        }
        Ok(())
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("is_up", &self.is_up)
            .field("is_dead", &self.is_dead)
            .finish_non_exhaustive()
    }
}

const fn reason(error: &DtlsImplError) -> Failure {
    match error {
        DtlsImplError::CertificateError(_) => Failure::Certificate,
        DtlsImplError::SecurityError(SecurityError::FatalAlert { .. }) => Failure::PeerAlert,
        DtlsImplError::SecurityError(_) => Failure::Cipher,
        DtlsImplError::ReceiveQueueFull | DtlsImplError::TooManyClientHelloFragments => {
            Failure::Flood
        }
        DtlsImplError::Timeout(_) => Failure::Timeout,
        DtlsImplError::ConnectionClosed => Failure::PeerClosed,
        _ => Failure::Protocol,
    }
}
