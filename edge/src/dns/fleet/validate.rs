//! From the fleet's file to what queries are answered from, with all that is wrong
//! with it said at once.

use std::{collections::BTreeMap, path::Path, time::Duration};

use inlet_common::config::{self, Check, Error};

use super::{
    super::{
        geo::{Code, MAX_BIAS_KM, MAX_POPS, Overrides, Place, Plan, PopId, Site},
        wire::Name,
        zone::{Zones, build},
    },
    Fleet, LoadLimits, Pop, Service, TurnPorts,
    file::{self, FleetFile},
};

/// Most addresses of a family that a point of presence has: more would not fit an
/// answer of three times its query.
const MAX_ADDRESSES: usize = 2;

/// Longest TTL: a day, after which even a forgotten one is gone.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// A sound fleet file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Every point of presence.
    pub fleet: Fleet,
    /// What the server is the authority for.
    pub zones: Zones,
    /// Where the points of presence are, and what goes before nearness.
    pub plan: Plan,
}

impl FleetFile {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// Those of [`config::load`], and [`Error::Invalid`] with every value that
    /// cannot be used.
    pub fn load(path: &Path) -> Result<Checked, Error> {
        config::load::<Self>(path)?.validate(path)
    }

    /// Checks every value; `path` is only named in the error.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with every value that cannot be used.
    pub fn validate(self, path: &Path) -> Result<Checked, Error> {
        let mut check = Check::new();
        check.require(
            (1..=MAX_POPS).contains(&self.pop.len()),
            "pop",
            format!("there are {}: name 1 to {MAX_POPS}", self.pop.len()),
        );
        for zone in &self.zone {
            check_ttls(zone, &mut check);
        }
        let pops = self.pop.iter().take(MAX_POPS);
        let pops: Vec<Pop> = pops.filter_map(|pop| read_pop(pop, &mut check)).collect();
        for (index, pop) in pops.iter().enumerate() {
            let is_first = pops.iter().take(index).all(|other| other.name != pop.name);
            let what = format!("{} is there twice: each needs a name of its own", pop.name);
            check.require(is_first, "pop.name", what);
        }
        let fleet = Fleet::new(pops).with_turn_ports(turn_ports(&self.zone));
        let zones = build::build(&fleet, &self.zone, &mut check);
        let overrides = read_overrides(&self.overrides, &fleet, &mut check);
        let default = list("default", &self.overrides.default, &fleet, &mut check);
        let sites: Vec<Site> = fleet.pops().iter().map(|pop| pop.site).collect();
        let plan = Plan::new(&sites, &overrides, &default);
        if let Err(error) = &plan
            && !sites.is_empty()
        {
            check.require(false, "overrides", error.to_string());
        }
        check.finish(path)?;
        let plan = plan.map_err(|_| Error::Invalid {
            path: path.to_owned(),
            problems: Vec::new(),
        })?;
        Ok(Checked { fleet, zones, plan })
    }
}

fn read_pop(pop: &file::Pop, check: &mut Check) -> Option<Pop> {
    let key = |key: &str| format!("pop {}: {key}", pop.name);
    let is_named = !pop.name.is_empty() && pop.name.len() <= 63 && pop.name.is_ascii();
    check.require(is_named, "pop.name", "must be 1 to 63 ASCII characters");
    check.require(
        !pop.ipv4.is_empty() || !pop.ipv6.is_empty(),
        &key("ipv4"),
        "has no address, nor has ipv6: nobody could reach it",
    );
    for (family, addresses) in [("ipv4", pop.ipv4.len()), ("ipv6", pop.ipv6.len())] {
        check.range(&key(family), addresses, 0..=MAX_ADDRESSES);
    }
    check.range(&key("bias_km"), pop.bias_km, -MAX_BIAS_KM..=MAX_BIAS_KM);
    check.range(&key("hard_limit"), pop.hard_limit, 0.05..=1.0);
    check.require(
        (0.0..=pop.hard_limit).contains(&pop.soft_limit),
        &key("soft_limit"),
        format!("must be from 0 to hard_limit, {}", pop.hard_limit),
    );
    check.require(
        !pop.services.is_empty(),
        &key("services"),
        "is empty: name whip, turn, or both",
    );
    let place = Place::new(pop.latitude, pop.longitude);
    check.require(
        place.is_some(),
        &key("latitude"),
        "or longitude is not on earth: −90 to 90 degrees north, −180 to 180 east",
    );
    let is_url = crate::config::host_of(&pop.url).is_some();
    check.require(
        pop.url.is_empty() || is_url,
        &key("url"),
        "must be like https://a.example, without a path",
    );
    let host = pop.host.parse::<Name>();
    if let Err(error) = &host {
        check.require(false, &key("host"), format!("{:?} {error}", pop.host));
    }
    Some(Pop {
        name: pop.name.clone(),
        host: host.ok()?,
        url: match pop.url.is_empty() {
            true => format!("https://{}", pop.host.trim_end_matches('.')),
            false => pop.url.clone(),
        },
        ipv4: pop.ipv4.clone(),
        ipv6: pop.ipv6.clone(),
        site: Site {
            place: place?,
            bias_km: pop.bias_km,
        },
        services: pop.services.clone(),
        limits: LoadLimits {
            soft: pop.soft_limit,
            hard: pop.hard_limit,
        },
    })
}

/// Those of the first name for TURN.
fn turn_ports(zones: &[file::Zone]) -> TurnPorts {
    let mut steered = zones.iter().flat_map(|zone| &zone.steered);
    let turn = steered.find(|steered| steered.service == Service::Turn);
    turn.map_or_else(TurnPorts::default, |steered| TurnPorts {
        udp: steered.udp_port,
        tcp: steered.tcp_port,
        tls: steered.tls_port,
    })
}

fn check_ttls(zone: &file::Zone, check: &mut Check) {
    let range = || Duration::from_secs(1)..=MAX_TTL;
    let key = |key: &str| format!("zone {}: {key}", zone.name);
    check.span(&key("negative_ttl"), zone.negative_ttl, range());
    for steered in &zone.steered {
        if let Some(ttl) = steered.ttl {
            check.span(&key("steered.ttl"), ttl, range());
        }
    }
    for record in &zone.records {
        check.span(&key("record.ttl"), record.ttl, range());
    }
}

fn read_overrides(overrides: &file::Overrides, fleet: &Fleet, check: &mut Check) -> Overrides {
    let mut read = Overrides::default();
    for (network, names) in &overrides.networks {
        let pops = list(&format!("networks {network}"), names, fleet, check);
        read.networks.push((*network, pops));
    }
    for (asn, names) in &overrides.asns {
        let pops = list(&format!("asns {asn}"), names, fleet, check);
        let number = asn.strip_prefix("AS").unwrap_or(asn).parse();
        match number {
            Ok(number) => drop(read.asns.insert(number, pops)),
            Err(_) => check.require(
                false,
                "overrides.asns",
                format!("{asn} is no number of an autonomous system, such as 64500"),
            ),
        }
    }
    for (from, to, kind) in [
        (&overrides.countries, &mut read.countries, "countries"),
        (&overrides.continents, &mut read.continents, "continents"),
    ] {
        read_codes(from, to, kind, fleet, check);
    }
    read
}

fn read_codes(
    from: &BTreeMap<String, Vec<String>>,
    to: &mut BTreeMap<Code, Vec<PopId>>,
    kind: &str,
    fleet: &Fleet,
    check: &mut Check,
) {
    for (code, names) in from {
        let pops = list(&format!("{kind} {code}"), names, fleet, check);
        match Code::parse(code) {
            Some(code) => drop(to.insert(code, pops)),
            None => check.require(
                false,
                &format!("overrides.{kind}"),
                format!("{code} is no code of two letters"),
            ),
        }
    }
}

/// Points of presence by their names.
fn list(key: &str, names: &[String], fleet: &Fleet, check: &mut Check) -> Vec<PopId> {
    let mut pops = Vec::with_capacity(names.len());
    for name in names {
        match fleet.find(name) {
            Some(pop) => pops.push(pop),
            None => check.require(
                false,
                &format!("overrides.{key}"),
                format!("{name} is no point of presence of this file"),
            ),
        }
    }
    pops
}
