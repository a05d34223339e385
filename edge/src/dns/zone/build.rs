//! From the fleet's file to zones: every record that follows from a point of
//! presence or a steered name, and those that are written out.

use std::collections::{BTreeSet, HashMap};

use inlet_common::config::Check;

use super::{
    super::{
        fleet::{Fleet, Service, file},
        wire::{Kind, MAX_NAME, Name, Rdata, suffixes},
    },
    Data, Node, RecordSet, Zone, Zones, data,
};

/// Most zones.
const MAX_ZONES: usize = 64;

/// Most records that are written out in a zone.
const MAX_RECORDS: usize = 10_000;

/// Longest set of records of one type at one name, in bytes: with all that may stand
/// beside it, it has to fit in a message.
const MAX_SET: usize = 60_000;

/// How long resolvers may keep SOA and NS, in seconds.
const APEX_TTL: u32 = 3600;

/// How long they may keep a point of presence's own name: it does not move, and a
/// new machine should be found within minutes.
const HOST_TTL: u32 = 300;

/// Services that clients of STUN and TURN look for (RFC 8489 §8.1, RFC 5928 §4).
const STUN_AND_TURN: [(&str, Port); 6] = [
    ("_stun._udp", Port::Udp),
    ("_stun._tcp", Port::Tcp),
    ("_stuns._tcp", Port::Tls),
    ("_turn._udp", Port::Udp),
    ("_turn._tcp", Port::Tcp),
    ("_turns._tcp", Port::Tls),
];

#[derive(Clone, Copy)]
enum Port {
    Udp,
    Tcp,
    Tls,
}

/// Makes the zones of a fleet; what is wrong with them goes to `check`.
pub fn build(fleet: &Fleet, zones: &[file::Zone], check: &mut Check) -> Zones {
    let mut building = Building {
        zones: Vec::new(),
        nodes: HashMap::new(),
        check,
    };
    if zones.len() > MAX_ZONES {
        building.complain(format!("more than {MAX_ZONES} of them"));
    }
    // Names that lie in a zone within another belong to the inner one.
    let mut zones: Vec<(&file::Zone, Name)> = zones
        .iter()
        .take(MAX_ZONES)
        .filter_map(|zone| Some((zone, building.apex(zone)?)))
        .collect();
    zones.sort_by_key(|(_, apex)| std::cmp::Reverse(suffixes(apex.as_bytes()).count()));
    for (zone, apex) in &zones {
        building.zone(zone, apex);
    }
    building.hosts(fleet);
    building.finish()
}

struct Building<'c> {
    zones: Vec<Zone>,
    nodes: HashMap<Name, Node>,
    check: &'c mut Check,
}

impl Building<'_> {
    fn complain(&mut self, problem: String) {
        self.check.require(false, "zone", problem);
    }

    fn apex(&mut self, zone: &file::Zone) -> Option<Name> {
        let parsed = zone.name.parse();
        if let Err(error) = &parsed {
            self.complain(format!("name {:?} {error}", zone.name));
        }
        parsed.ok()
    }

    fn zone(&mut self, zone: &file::Zone, apex: &Name) {
        if self.zones.iter().any(|other| other.apex == *apex) {
            return self.complain(format!("{apex} is there twice: make one of them"));
        }
        let negative_ttl = seconds(zone.negative_ttl);
        let mut servers = Vec::new();
        for server in &zone.name_servers {
            match data::absolute(server, apex) {
                Ok(name) => servers.push(name),
                Err(what) => self.complain(format!("{apex} name_servers: {what}")),
            }
        }
        // An address of mail is never below the zone by itself.
        let contact = match zone.contact.split_once('@') {
            Some((user, host)) => {
                Name::mailbox(user, host).map_err(|error| format!("{} {error}", zone.contact))
            }
            None => data::absolute(&zone.contact, apex),
        };
        let contact = match contact {
            Ok(name) => name,
            Err(what) => return self.complain(format!("{apex} contact: {what}")),
        };
        let Some(primary) = servers.first().cloned() else {
            return self.complain(format!(
                "{apex} name_servers: name at least one, as the parent zone has them"
            ));
        };
        let soa = data::soa(apex, &primary, &contact, zone.serial, negative_ttl);
        // Only now: a zone before this one may have been refused.
        let index = self.zones.len();
        self.zones.push(Zone {
            apex: apex.clone(),
            soa: soa.clone(),
            negative_ttl,
        });
        self.add(index, apex, Kind::SOA, APEX_TTL, soa);
        for server in servers {
            let data = Rdata::default().with_name(&server, apex);
            self.add(index, apex, Kind::NS, APEX_TTL, data);
        }
        for steered in &zone.steered {
            self.steered(index, apex, steered);
        }
        if zone.records.len() > MAX_RECORDS {
            self.complain(format!("{apex}: more than {MAX_RECORDS} records"));
        }
        for record in zone.records.iter().take(MAX_RECORDS) {
            self.written(index, apex, record);
        }
    }

    fn steered(&mut self, index: usize, apex: &Name, steered: &file::Steered) {
        let name = match data::absolute(&steered.name, apex) {
            Ok(name) => name,
            Err(what) => return self.complain(format!("{apex} steered.name: {what}")),
        };
        let service = steered.service;
        let ttl = seconds(steered.ttl.unwrap_or(service.default_ttl()));
        for kind in [Kind::A, Kind::AAAA] {
            self.set(index, &name, kind, ttl, Data::Steered(service));
        }
        match service {
            Service::Whip => {
                let head = data::https(steered.https_port);
                self.set(index, &name, Kind::HTTPS, ttl, Data::Https(service, head));
            }
            Service::Turn => self.stun_and_turn(index, apex, &name, ttl, steered),
        }
    }

    fn stun_and_turn(
        &mut self,
        index: usize,
        apex: &Name,
        target: &Name,
        ttl: u32,
        steered: &file::Steered,
    ) {
        let places: Vec<Name> = match steered.srv_at.is_empty() {
            true => vec![target.clone()],
            false => {
                let mut places = Vec::new();
                for place in &steered.srv_at {
                    match data::absolute(place, apex) {
                        Ok(place) => places.push(place),
                        Err(what) => self.complain(format!("{apex} steered.srv_at: {what}")),
                    }
                }
                places
            }
        };
        for place in &places {
            for (label, port) in STUN_AND_TURN {
                let port = match port {
                    Port::Udp => steered.udp_port,
                    Port::Tcp => steered.tcp_port,
                    Port::Tls => steered.tls_port,
                };
                let owner = label.parse::<Name>().ok();
                let owner = owner.and_then(|label| label.under(place).ok());
                match owner {
                    // Port 0: there is no such listener.
                    Some(owner) if port != 0 => {
                        self.add(index, &owner, Kind::SRV, ttl, data::srv(target, port));
                    }
                    Some(_) => {}
                    None => self.complain(format!("{apex}: {label} under {place} is too long")),
                }
            }
        }
    }

    fn written(&mut self, index: usize, apex: &Name, record: &file::Record) {
        let owner = match data::absolute(&record.name, apex) {
            Ok(owner) => owner,
            Err(what) => return self.complain(format!("{apex} record.name: {what}")),
        };
        match data::read(&record.kind.to_ascii_uppercase(), &record.data, apex) {
            Ok((Kind::NS, _)) if owner != *apex => self.complain(format!(
                "{apex}: NS of {owner} would hand names on to other servers, which is not done here"
            )),
            Ok((kind, data)) => self.add(index, &owner, kind, seconds(record.ttl), data),
            Err(what) => {
                self.complain(format!("{apex}: {} of {owner} {what}", record.kind));
            }
        }
    }

    /// Each point of presence by its own name.
    fn hosts(&mut self, fleet: &Fleet) {
        for pop in fleet.pops() {
            let zone = self
                .zones
                .iter()
                .position(|zone| pop.host.labels_before(&zone.apex).is_some());
            let Some(index) = zone else { continue };
            let addresses = pop.ipv4.iter().copied().map(Into::into);
            for ip in addresses.chain(pop.ipv6.iter().copied().map(Into::into)) {
                let (kind, data) = data::address(ip);
                self.add(index, &pop.host, kind, HOST_TTL, data);
            }
        }
    }

    fn add(&mut self, zone: usize, owner: &Name, kind: Kind, ttl: u32, record: Rdata) {
        let node = self.nodes.get_mut(owner);
        let set = node.and_then(|node| node.sets.iter_mut().find(|set| set.kind == kind));
        match set.map(|set| (&mut set.data, set.ttl)) {
            Some((Data::Fixed(_), other)) if other != ttl => self.complain(format!(
                "records of {owner} of one type have different ttl: give them the same"
            )),
            Some((Data::Fixed(records), _)) => {
                if !records.contains(&record) {
                    records.push(record);
                }
            }
            Some(_) => self.complain(format!(
                "{owner} is steered and has an address of its own: leave out one of them"
            )),
            None => self.set(zone, owner, kind, ttl, Data::Fixed(vec![record])),
        }
    }

    fn set(&mut self, zone: usize, owner: &Name, kind: Kind, ttl: u32, data: Data) {
        // The inner zones come first.
        let mut zones = self.zones.iter();
        let of = zones.position(|zone| owner.labels_before(&zone.apex).is_some());
        if of != Some(zone) {
            let apex = &self.zones[zone].apex;
            let problem = format!(
                "{owner} does not lie in the zone {apex}, or lies in one of this file within it"
            );
            return self.complain(problem);
        }
        let node = self.nodes.entry(owner.clone()).or_default();
        let is_alone = |kind| kind == Kind::CNAME;
        let clashes = node
            .sets
            .iter()
            .any(|set| is_alone(set.kind) || is_alone(kind));
        if clashes || node.sets.iter().any(|set| set.kind == kind) {
            return self.complain(format!(
                "{owner} has two things in one place: a CNAME stands alone, and a steered name has its addresses from the fleet"
            ));
        }
        node.zone = zone;
        node.sets.push(RecordSet { kind, ttl, data });
    }

    /// An answer that fits in no message would never come.
    fn measure(&mut self) {
        let sets = self
            .nodes
            .iter()
            .flat_map(|(owner, node)| node.sets.iter().map(move |set| (owner, set)));
        let long: BTreeSet<&Name> = sets
            .filter(|(_, set)| set.size() > MAX_SET)
            .map(|(owner, _)| owner)
            .collect();
        let problems: Vec<String> = long
            .into_iter()
            .map(|owner| {
                format!(
                    "{owner} has more than {MAX_SET} bytes of records of one type: leave some out"
                )
            })
            .collect();
        for problem in problems {
            self.complain(problem);
        }
    }

    /// Fills in the names that exist because of others below them, zones within zones
    /// included.
    fn finish(mut self) -> Zones {
        self.measure();
        let owners: BTreeSet<Name> = self.nodes.keys().cloned().collect();
        let mut lengths = [false; MAX_NAME + 1];
        for zone in &self.zones {
            if let Some(length) = lengths.get_mut(zone.apex.wire_len()) {
                *length = true;
            }
        }
        for owner in owners {
            for name in suffixes(owner.as_bytes()).skip(1) {
                let name = Name::from_wire(name);
                let mut zones = self.zones.iter();
                let zone = zones.position(|zone| name.labels_before(&zone.apex).is_some());
                let Some(zone) = zone else { break };
                self.nodes.entry(name).or_insert_with(|| Node {
                    zone,
                    sets: Vec::new(),
                });
            }
        }
        Zones {
            zones: self.zones,
            nodes: self.nodes,
            lengths,
        }
    }
}

fn seconds(span: std::time::Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
