//! Steps that move data: by a channel, from a peer, and from caller to caller.

use std::net::SocketAddr;

use super::{CALLERS, NUMBERS, PEERS, Went, World, at};

impl World {
    /// Tries every way that data could take.
    pub(in super::super) fn probe(&mut self) {
        for index in 0..CALLERS {
            for peer in PEERS {
                self.send(index, at(peer));
                self.arrive(index, at(peer));
            }
            for number in 0..NUMBERS {
                self.send_on(index, number);
            }
        }
    }

    pub(super) fn send(&mut self, index: usize, peer: SocketAddr) {
        let went = self.rig.send(&self.callers[index], peer, b"data");
        let is_sent = matches!(went, Went::Peer { peer: to, .. } if to == peer);
        assert_eq!(is_sent, self.may_pass(index, peer), "{went:?}");
    }

    pub(super) fn send_on(&mut self, index: usize, number: u16) {
        let went = self
            .rig
            .send_on(&self.callers[index], 0x4000 + number, b"data");
        let now = self.rig.now;
        let bound = self.alive(index).and_then(|known| {
            let (peer, until) = known.channels.get(&number)?;
            (*until > now).then_some(at(PEERS[*peer]))
        });
        let expected = bound.filter(|peer| self.may_pass(index, *peer));
        let sent = match went {
            Went::Peer { peer, .. } => Some(peer),
            _ => None,
        };
        assert_eq!(sent, expected);
    }

    pub(super) fn arrive(&mut self, index: usize, peer: SocketAddr) {
        let Some(known) = &self.known[index] else {
            return;
        };
        let mut relayed = known.relayed.iter();
        let Some(relayed) = relayed.find(|own| own.is_ipv4() == peer.is_ipv4()).copied() else {
            return;
        };
        let went = self.rig.arrive(relayed, peer, b"data");
        let client = self.callers[index].client;
        let is_told = matches!(went, Went::Client { client: to, .. } if to == client);
        // The port may be another's by now.
        if self.alive(index).is_some() {
            assert_eq!(is_told, self.may_pass(index, peer), "{went:?}");
        } else {
            assert!(!is_told);
        }
    }

    /// One caller permits and sends to another's relayed address.
    pub(super) fn hairpin(&mut self, index: usize, to: usize) {
        let target = self.alive(to).map(|known| known.relayed[0]);
        let Some(target) = target else {
            return;
        };
        self.permit(index, target);
        let from = self.alive(index).and_then(|known| {
            let mut own = known.relayed.iter();
            own.find(|own| own.is_ipv4() == target.is_ipv4()).copied()
        });
        let sent = self.rig.send(&self.callers[index], target, b"data");
        let went = match sent {
            Went::Relay {
                worker, from, to, ..
            } => self.rig.hop(worker, from, to, b"data"),
            went => went,
        };
        let is_told = went != Went::Nowhere;
        let may = from.is_some_and(|from| self.may_pass(index, target) && self.may_pass(to, from));
        assert_eq!(is_told, may, "{went:?}");
    }
}
