//! DTLS 1.2 by the system's OpenSSL, without I/O: records in, records out.
//!
//! Five things to know. A handshake that failed never touches OpenSSL again,
//! whatever comes after, but its alert still goes out. What it could stumble over
//! is taken out by [`super::records`] before it sees it. A datagram may hold many
//! records, and each call reads until there is none left. OpenSSL never checks
//! the certificate's chain here, only the offer's fingerprint counts (RFC 8827
//! §6.5): while the handshake runs, so that a peer with another certificate gets
//! an alert, and again when it is done, which is the check that is relied on. And
//! what is lost is sent again by [`super::flight`].

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read, Write},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};

use openssl::{
    error::ErrorStack,
    ssl::{ErrorCode, SslStream, SslVerifyMode},
    x509::{X509StoreContextRef, X509VerifyResult},
};
use str0m::crypto::{
    CryptoError,
    dtls::{DtlsImplError, DtlsInstance, DtlsOutput, KeyingMaterial, ProtocolVersion, SrtpProfile},
};

pub(super) use self::context::Context;
use self::reason::reason;
use super::{
    flight::Flight,
    handshake::{Failure, Handshake, Outcome, Version},
    records,
};

mod context;
mod reason;

/// RFC 5764 §4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// Most bytes that a peer may send before its handshake is done. A chain of RSA
/// 4096 has less than 10 KiB, and each flight may come a few times.
const MAX_HANDSHAKE: usize = 128 * 1024;

/// One DTLS connection.
pub(super) struct Instance {
    stream: AssertUnwindSafe<SslStream<Wire>>,
    handshake: Arc<Handshake>,
    phase: Phase,
    is_active: bool,
    now: Instant,
    /// Bytes that came before the handshake was done.
    received: usize,
    flight: Flight,
    packets: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshaking,
    Established,
    /// Nothing is read or written any more, what is queued apart.
    Over,
}

#[derive(Debug)]
enum Event {
    Keys(KeyingMaterial, SrtpProfile),
    Connected,
    Closed,
}

/// What OpenSSL takes for a socket: one datagram at most to read.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) received: Option<Vec<u8>>,
    pub(super) sent: Vec<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // What does not fit is lost, as with a socket; OpenSSL reads with room
        // for the largest record.
        let mut datagram = self.received.take().ok_or(io::ErrorKind::WouldBlock)?;
        datagram.truncate(into.len());
        let (into, _) = into.split_at_mut(datagram.len());
        into.copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.sent.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Instance {
    /// # Errors
    ///
    /// When OpenSSL has no memory.
    pub(super) fn new(
        context: &Context,
        handshake: Arc<Handshake>,
        now: Instant,
    ) -> Result<Self, CryptoError> {
        let stream = Self::stream(context, &handshake)
            .map_err(|error| CryptoError::Other(error.to_string()))?;
        Ok(Self {
            stream: AssertUnwindSafe(stream),
            handshake,
            phase: Phase::Handshaking,
            is_active: false,
            now,
            received: 0,
            flight: Flight::default(),
            packets: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    fn stream(
        context: &Context,
        handshake: &Arc<Handshake>,
    ) -> Result<SslStream<Wire>, ErrorStack> {
        let mut ssl = context.connection()?;
        ssl.set_mtu(super::MTU as u32)?;
        let handshake = Arc::clone(handshake);
        let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
        ssl.set_verify_callback(mode, move |_, store| is_expected(store, &handshake));
        SslStream::new(ssl, Wire::default())
    }

    /// Reads what there is, and takes up what OpenSSL wants to send.
    fn advance(&mut self) {
        if self.phase == Phase::Handshaking {
            let result = if self.is_active {
                self.stream.connect()
            } else {
                self.stream.accept()
            };
            match result {
                Ok(()) => self.establish(),
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                Err(error) => self.fail(reason(&error)),
            }
        }
        // A record holds at least one byte, so this ends.
        while self.phase == Phase::Established {
            // There is no data channel here: what comes is dropped.
            match self.stream.ssl_read(&mut [0; 2_048]) {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::WANT_READ => break,
                Err(error) => {
                    tracing::debug!(%error, "DTLS over");
                    self.phase = Phase::Over;
                    self.events.push_back(Event::Closed);
                }
            }
        }
        self.take_up();
    }

    fn take_up(&mut self) {
        let sent = std::mem::take(&mut self.stream.get_mut().sent);
        if sent.is_empty() {
            return;
        }
        if self.phase == Phase::Handshaking {
            self.flight.sent(&sent);
        }
        self.packets.extend(sent);
    }

    fn establish(&mut self) {
        self.flight.finish();
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().and_then(|peer| peer.to_der().ok());
        if !certificate.is_some_and(|peer| self.handshake.is_expected(&peer)) {
            return self.fail(Failure::Fingerprint);
        }
        let agreed = ssl.selected_srtp_profile().map(|profile| profile.name());
        let Some(profile) = agreed.and_then(context::profile) else {
            return self.fail(Failure::Srtp);
        };
        let in_engine = profile.in_engine();
        let mut material = vec![0; in_engine.keying_material_len()];
        if let Err(error) = ssl.export_keying_material(&mut material, EXPORTER, None) {
            tracing::error!(%error, "no keys from DTLS");
            return self.fail(Failure::Protocol);
        }
        self.phase = Phase::Established;
        let keys = Event::Keys(KeyingMaterial::new(&material), in_engine);
        self.events.extend([keys, Event::Connected]);
        self.handshake
            .end(Outcome::Established(Version::Dtls12, profile));
    }

    fn fail(&mut self, failure: Failure) {
        self.flight.finish();
        self.phase = Phase::Over;
        self.handshake.fail(failure);
    }
}

/// Whether the certificate that OpenSSL looks at is the promised one. What it
/// says of the chain is of no interest: there is none.
fn is_expected(store: &mut X509StoreContextRef, handshake: &Handshake) -> bool {
    if store.error_depth() > 0 {
        return true;
    }
    let certificate = store.current_cert().and_then(|leaf| leaf.to_der().ok());
    let is_expected = certificate.is_some_and(|leaf| handshake.is_expected(&leaf));
    if !is_expected {
        // Else the alert would tell of the last fault of the chain.
        store.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
        handshake.fail(Failure::Fingerprint);
    }
    is_expected
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.is_active = active;
    }

    /// An empty packet makes a client begin.
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if self.phase == Phase::Handshaking {
            self.received += packet.len();
            if self.received > MAX_HANDSHAKE {
                self.fail(Failure::Flood);
            }
        }
        if self.phase != Phase::Over {
            let records = records::sift(packet);
            if !records.is_empty() || packet.is_empty() {
                self.stream.get_mut().received = (!records.is_empty()).then_some(records);
                self.advance();
            }
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        while let Some(packet) = self.packets.pop_front() {
            // Larger than any MTU it cannot be.
            if packet.len() <= buffer.len() {
                return super::packet_in(buffer, &packet);
            }
        }
        match self.events.pop_front() {
            Some(Event::Keys(material, profile)) => DtlsOutput::KeyingMaterial(material, profile),
            Some(Event::Connected) => DtlsOutput::Connected,
            Some(Event::Closed) => DtlsOutput::CloseNotify,
            None => DtlsOutput::Timeout(
                self.flight
                    .next(self.now)
                    .unwrap_or(self.now + super::NEVER),
            ),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        if !self.flight.handle_timeout(now) {
            return Ok(());
        }
        if !self.handshake.is_path_up() {
            // What str0m holds back until then is enough.
            self.flight.hold(now);
            return Ok(());
        }
        // OpenSSL's own timer, where it is due.
        let before = self.packets.len();
        self.stream.get_mut().received = None;
        self.advance();
        if self.packets.len() == before {
            self.packets.extend(self.flight.datagrams().iter().cloned());
        }
        Ok(())
    }

    fn send_application_data(&mut self, _data: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(0)
    }

    fn is_active(&self) -> bool {
        self.is_active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        (self.phase == Phase::Established).then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        self.phase == Phase::Over
    }

    fn is_closed(&self) -> bool {
        self.phase == Phase::Over && self.packets.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        if self.phase == Phase::Established
            && let Err(error) = self.stream.shutdown()
        {
            tracing::debug!(%error, "no close_notify");
        }
        self.phase = Phase::Over;
        self.flight.finish();
        self.take_up();
        Ok(())
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("phase", &self.phase)
            .field("is_active", &self.is_active)
            .finish_non_exhaustive()
    }
}
