//! From a datagram to its session.
//!
//! The trap: an address becomes known only by a Binding request whose ufrag and
//! MESSAGE-INTEGRITY are a session's, and a relayed presenter reaches no stream
//! but the one that its credential is bound to.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use super::Engine;
use crate::{
    demux::{self, Class},
    metrics::Refused,
    turn::relay::MediaHop,
};

impl Engine {
    /// Takes a datagram from a media socket.
    pub(in crate::worker) fn handle_media(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
    ) {
        // Whoever comes directly may reach every stream.
        self.handle_relayed(
            now,
            &MediaHop {
                from: source,
                to: destination,
                stream: None,
                data: datagram,
            },
        );
    }

    /// Takes a datagram of a presenter who is relayed by this process. A
    /// credential that was made for a stream reaches no other one. Returns
    /// whether a session took it.
    pub(in crate::worker) fn handle_relayed(&mut self, now: Instant, hop: &MediaHop<'_>) -> bool {
        let (source, destination) = (hop.from, hop.to);
        let class = demux::classify(hop.data);
        self.tally.note_class(class);
        let key = match class {
            Class::Rtp | Class::Dtls => self.table.key_of_address(&source).ok_or(Refused::Stranger),
            Class::Stun if self.may_introduce(hop) => {
                self.introduce(now, source, destination, hop.data)
            }
            Class::Stun => Err(Refused::OtherStream),
            Class::ChannelData | Class::Unknown => Err(Refused::Unknown),
        };
        let key = key.and_then(|key| match self.may_reach(key, hop.stream) {
            true => Ok(key),
            false => Err(Refused::OtherStream),
        });
        match key {
            Ok(key) => {
                self.with_session(now, key, |session| {
                    session.handle_datagram(now, source, destination, hop.data);
                });
                true
            }
            Err(reason) => {
                self.tally.note_refused(reason);
                false
            }
        }
    }

    /// Whether the session that a relayed STUN message names is one of the
    /// stream that its sender's credential is bound to.
    fn may_introduce(&self, hop: &MediaHop<'_>) -> bool {
        let by_ufrag = demux::stun_local_ufrag(hop.data);
        let by_ufrag = by_ufrag.and_then(|ufrag| self.table.key_of_ufrag(ufrag));
        let key = by_ufrag.or_else(|| self.table.key_of_address(&hop.from));
        key.is_none_or(|key| self.may_reach(key, hop.stream))
    }

    /// Whether whoever is bound to `stream`, if to any, may reach this session.
    fn may_reach(&self, key: usize, stream: Option<u64>) -> bool {
        let of_session = self.table.stream(key);
        stream.is_none_or(|stream| {
            of_session.is_some_and(|of_session| u64::try_from(of_session.0) == Ok(stream))
        })
    }

    /// The session that a STUN message belongs to; the one way by which an
    /// address becomes known.
    fn introduce(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
    ) -> Result<usize, Refused> {
        let known = self.table.key_of_address(&source);
        let Some(ufrag) = demux::stun_local_ufrag(datagram) else {
            return known.ok_or(Refused::Stranger);
        };
        let key = self
            .table
            .key_of_ufrag(ufrag)
            .ok_or(Refused::UnknownUfrag)?;
        if known == Some(key) {
            return Ok(key);
        }
        let running = self.table.get_mut(key).ok_or(Refused::UnknownUfrag)?;
        let session = &running.session;
        let accepts = catch_unwind(AssertUnwindSafe(|| {
            session.accepts(now, source, destination, datagram)
        }));
        if !accepts.unwrap_or(false) {
            return Err(Refused::Integrity);
        }
        self.table.learn(key, source);
        Ok(key)
    }
}
