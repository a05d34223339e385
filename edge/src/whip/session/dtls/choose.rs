//! The choice by the first ClientHello: see the module above for the rule.
//!
//! Until it is made nothing is answered, so a hello in fragments waits for its
//! last one; then everything that came is handed to the chosen implementation.
//! As a client there is nothing to wait for.

use std::time::Instant;

use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsVersion, ProtocolVersion};

use super::{
    hello::{Gathering, Verdict},
    memory_safe::{Maker, Watched},
    openssl,
};

/// OpenSSL, unless the peer speaks what only the other knows.
#[derive(Debug)]
pub(super) struct Choosing {
    openssl: openssl::Instance,
    /// What the other is made from, while it may come to that.
    undecided: Option<(Maker, Gathering)>,
    memory_safe: Option<Watched>,
    now: Instant,
}

impl Choosing {
    pub(super) fn new(openssl: openssl::Instance, memory_safe: Maker, now: Instant) -> Self {
        Self {
            openssl,
            undecided: Some((memory_safe, Gathering::default())),
            memory_safe: None,
            now,
        }
    }

    fn chosen(&self) -> &dyn DtlsInstance {
        match &self.memory_safe {
            Some(memory_safe) => memory_safe,
            None => &self.openssl,
        }
    }

    fn chosen_mut(&mut self) -> &mut dyn DtlsInstance {
        match &mut self.memory_safe {
            Some(memory_safe) => memory_safe,
            None => &mut self.openssl,
        }
    }

    fn decide(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let Some((maker, mut gathering)) = self.undecided.take() else {
            return self.chosen_mut().handle_packet(packet);
        };
        match gathering.take(packet) {
            Verdict::Wait => {
                self.undecided = Some((maker, gathering));
                return Ok(());
            }
            Verdict::Only13 => {
                let mut memory_safe = maker.make(DtlsVersion::Dtls13, self.now);
                memory_safe.set_active(false);
                memory_safe.handle_timeout(self.now)?;
                self.memory_safe = Some(memory_safe);
            }
            Verdict::Any => {}
        }
        for datagram in gathering.into_datagrams() {
            self.chosen_mut().handle_packet(&datagram)?;
        }
        Ok(())
    }
}

impl DtlsInstance for Choosing {
    fn set_active(&mut self, active: bool) {
        if active {
            self.undecided = None;
        }
        self.openssl.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if self.undecided.is_some() {
            return self.decide(packet);
        }
        self.chosen_mut().handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.chosen_mut().poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        self.chosen_mut().handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.chosen_mut().send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.chosen().is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.chosen().protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.chosen().is_closing()
    }

    fn is_closed(&self) -> bool {
        self.chosen().is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.chosen_mut().close()
    }
}
