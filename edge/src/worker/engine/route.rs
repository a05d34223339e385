//! From a datagram to its session.
//!
//! The trap: an address becomes known only by a Binding request whose ufrag and
//! MESSAGE-INTEGRITY are a session's, and a relayed presenter reaches no stream
//! but the one that its credential is bound to.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use super::Engine;
use crate::{
    demux::{self, Class},
    metrics::Refused,
    turn::{client::Transport, relay::MediaHop},
    whip::session::{Datagram, Path, Way},
    worker::table::Remote,
};

impl Engine {
    /// Takes a datagram from a media socket, or a frame of ICE-TCP. Whoever comes
    /// directly may reach every stream.
    pub(in crate::worker) fn handle_media(&mut self, now: Instant, datagram: &Datagram<'_>) {
        self.route(now, datagram, None);
    }

    /// Takes a datagram of a presenter who is relayed by this process. A
    /// credential that was made for a stream reaches no other one. Returns
    /// whether a session took it.
    pub(in crate::worker) fn handle_relayed(&mut self, now: Instant, hop: &MediaHop<'_>) -> bool {
        let path = match hop.transport {
            Transport::Udp => Path::RelayUdp,
            Transport::Tcp => Path::RelayTcp,
            Transport::Tls => Path::RelayTls,
        };
        let datagram = Datagram {
            way: Way {
                path,
                remote: hop.from,
                local: hop.to,
            },
            contents: hop.data,
        };
        self.route(now, &datagram, hop.stream)
    }

    /// Whether an address is a session's: a Binding request has proven it.
    pub(in crate::worker) fn knows(&self, remote: &Remote) -> bool {
        self.table.key_of_address(remote).is_some()
    }

    /// A presenter's TCP connection has ended. Its session lives on: the presenter
    /// may come again.
    pub(in crate::worker) fn handle_gone(&mut self, now: Instant, remote: &Remote) {
        if let Some(key) = self.table.forget(remote) {
            self.with_session(now, key, |session| {
                session.forget_ways(|way| Remote::from(way) == *remote);
            });
        }
    }

    /// Takes a datagram of a presenter who may reach `stream`, or every one.
    fn route(&mut self, now: Instant, datagram: &Datagram<'_>, stream: Option<u64>) -> bool {
        let remote = Remote::from(&datagram.way);
        let class = demux::classify(datagram.contents);
        self.tally.note_class(class);
        let key = match class {
            Class::Rtp | Class::Dtls => self.table.key_of_address(&remote).ok_or(Refused::Stranger),
            Class::Stun if self.may_introduce(datagram, stream) => {
                self.introduce(now, &remote, datagram)
            }
            Class::Stun => Err(Refused::OtherStream),
            Class::ChannelData | Class::Unknown => Err(Refused::Unknown),
        };
        let key = key.and_then(|key| match self.may_reach(key, stream) {
            true => Ok(key),
            false => Err(Refused::OtherStream),
        });
        match key {
            Ok(key) => {
                self.with_session(now, key, |session| session.handle_datagram(now, datagram));
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
    fn may_introduce(&self, datagram: &Datagram<'_>, stream: Option<u64>) -> bool {
        let by_ufrag = demux::stun_local_ufrag(datagram.contents);
        let by_ufrag = by_ufrag.and_then(|ufrag| self.table.key_of_ufrag(ufrag));
        let by_address = || self.table.key_of_address(&Remote::from(&datagram.way));
        let key = by_ufrag.or_else(by_address);
        key.is_none_or(|key| self.may_reach(key, stream))
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
        remote: &Remote,
        datagram: &Datagram<'_>,
    ) -> Result<usize, Refused> {
        let known = self.table.key_of_address(remote);
        let Some(ufrag) = demux::stun_local_ufrag(datagram.contents) else {
            return known.ok_or(Refused::Stranger);
        };
        let key = self
            .table
            .key_of_ufrag(ufrag)
            .ok_or(Refused::UnknownUfrag)?;
        if known == Some(key) {
            self.table.refresh(key, remote);
            return Ok(key);
        }
        let may_learn = self.table.may_learn(key);
        let running = self.table.get_mut(key).ok_or(Refused::UnknownUfrag)?;
        let session = &mut running.session;
        let accepts = catch_unwind(AssertUnwindSafe(|| session.accepts(now, datagram)));
        if !accepts.unwrap_or(false) {
            return Err(Refused::Integrity);
        }
        if !may_learn {
            return Err(Refused::Addresses);
        }
        self.table.learn(key, *remote);
        Ok(key)
    }
}
