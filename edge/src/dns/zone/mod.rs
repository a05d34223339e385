//! What this server is the authority for: zones, the names in them, and the
//! records of each.
//!
//! Made once from the fleet's file ([`build`]) and never changed. All names lie in
//! one table by their full wire form, so a name that exists is found by one
//! look-up; only for one that does not, its zone is searched. A name that has
//! names below it exists, if only as an empty one (RFC 8020).

pub mod build;
pub mod data;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::{
    fleet::Service,
    wire::{Kind, MAX_NAME, Name, NameBuf, Rdata},
};

/// Every zone of this server.
#[derive(Clone, Debug)]
pub struct Zones {
    zones: Vec<Zone>,
    nodes: HashMap<Name, Node>,
    /// Which lengths the zones' own names have: others need no look-up, so that a
    /// name of a hundred labels costs no more than one of three.
    lengths: [bool; MAX_NAME + 1],
}

/// A zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Its own name.
    pub apex: Name,
    /// The data of its SOA record.
    pub soa: Rdata,
    /// How long a resolver may keep that something is not there, in seconds: the
    /// TTL of the SOA record in such an answer (RFC 2308 §5).
    pub negative_ttl: u32,
}

/// A name that exists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    zone: usize,
    sets: Vec<RecordSet>,
}

/// A name's records of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordSet {
    /// The type.
    pub kind: Kind,
    /// How long a resolver may keep it, in seconds.
    pub ttl: u32,
    /// The records.
    pub data: Data,
}

/// Records of one set.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// The same for every client.
    Fixed(Vec<Rdata>),
    /// Addresses of the point of presence that a client is best served by.
    Steered(Service),
    /// HTTPS with those addresses as hints; what stands before them.
    Https(Service, Vec<u8>),
}

/// What is known of a name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'z> {
    /// It exists.
    Node(&'z Zone, &'z Node),
    /// It does not, and its zone is this server's.
    NoName(&'z Zone),
    /// It lies in no zone of this server.
    Elsewhere,
}

impl Zones {
    /// Looks a name up.
    pub fn find(&self, name: &NameBuf) -> Found<'_> {
        if let Some(node) = self.nodes.get(name.as_bytes())
            && let Some(zone) = self.zones.get(node.zone)
        {
            return Found::Node(zone, node);
        }
        let zone = super::wire::suffixes(name.as_bytes())
            .filter(|suffix| self.lengths.get(suffix.len()) == Some(&true))
            .find_map(|suffix| self.nodes.get(suffix))
            .and_then(|node| self.zones.get(node.zone));
        match zone {
            Some(zone) => Found::NoName(zone),
            None => Found::Elsewhere,
        }
    }

    /// Every zone.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The longest that a resolver may keep where clients of `service` are sent to, in
    /// seconds; 0 where no name is steered.
    pub fn longest_ttl(&self, service: Service) -> u32 {
        let sets = self.nodes.values().flat_map(|node| &node.sets);
        let steered = sets.filter(|set| match set.data {
            Data::Steered(other) | Data::Https(other, _) => other == service,
            Data::Fixed(_) => false,
        });
        steered.map(|set| set.ttl).max().unwrap_or(0)
    }
}

impl Node {
    /// Its records of one type.
    pub fn set(&self, kind: Kind) -> Option<&RecordSet> {
        self.sets.iter().find(|set| set.kind == kind)
    }

    /// All of its records.
    pub fn sets(&self) -> &[RecordSet] {
        &self.sets
    }
}

impl RecordSet {
    /// Bytes of the records in an answer, where they are written out.
    fn size(&self) -> usize {
        // A pointer to the name, type, class, TTL and length (RFC 1035 §4.1.3).
        const FIXED: usize = 12;
        match &self.data {
            Data::Fixed(records) => records.iter().map(|record| FIXED + record.len()).sum(),
            Data::Steered(_) | Data::Https(..) => 0,
        }
    }
}
