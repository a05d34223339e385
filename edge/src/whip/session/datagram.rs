//! What comes from a presenter, and what goes to it.
//!
//! The trap: the engine answers a Binding request only when ufrag and
//! MESSAGE-INTEGRITY are right, and says nothing else about it. So its answer on
//! the way out is what tells that the request was authentic.

use std::time::Instant;

use str0m::{
    Input,
    error::NetError,
    net::{Protocol, Receive},
};

use super::{Datagram, Output, Phase, Session, Transmit, Way, binding::Binding};
use crate::demux::{self, Class};

/// What a success response of Binding begins with (RFC 8489 §5).
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];

impl Session {
    /// Whether a Binding request from an unknown address belongs here: its
    /// ufrag and its MESSAGE-INTEGRITY are ours.
    pub fn accepts(&mut self, now: Instant, datagram: &Datagram<'_>) -> bool {
        if self.is_of_restart(datagram.contents) {
            return true;
        }
        let binding = Binding::of(datagram.contents);
        let pwd = self.rtc.direct_api().local_ice_credentials().pass;
        // The engine takes everything from where it sends to, unchecked.
        if !binding.is_authentic(datagram.contents, &pwd) {
            return false;
        }
        let completed = self.completed(binding, datagram.contents);
        let contents = completed.as_deref().unwrap_or(datagram.contents);
        receive(datagram.way, contents)
            .is_ok_and(|receive| self.rtc.accepts(&Input::Receive(now, receive)))
    }

    /// Takes a datagram. [`Way::local`] is the address that the presenter sent
    /// to as it knows it: behind 1:1 NAT the public one.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &Datagram<'_>) {
        if self.phase == Phase::Ended {
            return;
        }
        self.now = now;
        self.drop_tentative();
        let (way, contents) = (datagram.way, datagram.contents);
        let mut binding = Binding::default();
        let mut completed = None;
        match demux::classify(contents) {
            Class::Rtp => self.introduce_source(contents),
            Class::Stun => {
                if self.is_of_restart(contents) {
                    self.carry_out_restart();
                }
                binding = Binding::of(contents);
                completed = self.completed(binding, contents);
            }
            Class::Dtls if self.phase == Phase::Connecting => self.note_media(way),
            _ => {}
        }
        self.arrival = Some((way, binding));
        let contents = completed.as_deref().unwrap_or(contents);
        let Ok(receive) = receive(way, contents) else {
            self.counters.malformed += 1;
            return;
        };
        self.drive(Input::Receive(now, receive));
    }

    /// The TCP connections of which this is true are closed; the presenter may
    /// come again by another, or by another way.
    pub fn forget_ways(&mut self, is_gone: impl Fn(&Way) -> bool) {
        self.ways.forget(is_gone);
    }

    pub(super) fn transmit(&mut self, transmit: str0m::net::Transmit) -> Transmit {
        let mut out = Transmit {
            is_tcp: transmit.proto == Protocol::Tcp,
            source: transmit.source,
            destination: transmit.destination,
            contents: transmit.contents.into(),
        };
        if out.contents.starts_with(&BINDING_SUCCESS) {
            // Only a Binding request that passed its integrity check is answered.
            self.last_heard = self.now;
            self.note_request(&out);
        } else if demux::classify(&out.contents) != Class::Stun
            && let Some(way) = self.ways.current()
        {
            out.is_tcp = way.path.is_tcp();
            (out.source, out.destination) = (way.local, way.remote);
        }
        out
    }

    /// The Binding request that has just come is answered.
    fn note_request(&mut self, answer: &Transmit) {
        let Some((way, binding)) = self.arrival else {
            return;
        };
        if (answer.destination, answer.source) != (way.remote, way.local) {
            return;
        }
        let (now, is_connected) = (self.now, self.is_connected());
        if (self.ways).note_request(now, way, binding.nominates, is_connected) {
            self.outputs.push_back(Output::Moved(way));
        }
    }

    /// Media of the presenter came by this way, or DTLS before there are any.
    pub(super) fn note_media(&mut self, way: Way) {
        if self.ways.note_media(self.now, way) {
            self.outputs.push_back(Output::Moved(way));
        }
    }

    /// A request with what the engine wants in each; `None` when it has it, or is
    /// nobody's.
    fn completed(&mut self, binding: Binding, datagram: &[u8]) -> Option<Vec<u8>> {
        if !binding.is_incomplete() {
            return None;
        }
        let pwd = self.rtc.direct_api().local_ice_credentials().pass;
        binding.complete(datagram, &pwd)
    }
}

/// A datagram as the engine takes it.
fn receive(way: Way, contents: &[u8]) -> Result<Receive<'_>, NetError> {
    let protocol = match way.path.is_tcp() {
        true => Protocol::Tcp,
        false => Protocol::Udp,
    };
    Receive::new(protocol, way.remote, way.local, contents)
}
