//! `--check` of the name server: its files, its ports, and how old its databases are.

use std::{net::UdpSocket, time::Duration};

use inlet_common::{clock::UtcTime, config::CertificateSource};

use super::{Findings, bind_tcp};
use crate::{
    config::{Config, NameServer, fleet::Known},
    dns::{
        fleet::{Family, Fleet, Pop, Service},
        geo::Database,
        server::expand,
    },
    service::fleet,
    udp::addresses,
};

/// GeoIP databases come once a week or a month; an older one sends people astray.
const MAX_AGE: Duration = Duration::from_secs(35 * 24 * 3600);

impl Findings {
    /// What is known of the fleet.
    pub(super) fn fleet(&mut self, config: &Config, known: &Known, now: UtcTime) {
        if let Some(Some(world)) = self.note(fleet::world(config)) {
            self.families(&world.fleet);
        }
        self.note(fleet::prober(config, None));
        for path in &known.databases {
            let Some(database) = self.note(Database::open(path, now)) else {
                continue;
            };
            let age = now.micros_since(database.built());
            if age > 0 && age.unsigned_abs() > MAX_AGE.as_micros() as u64 {
                self.advice.push(format!(
                    "fleet.databases: {} is {} days old: fetch a newer one",
                    path.display(),
                    age / 86_400_000_000
                ));
            }
        }
        if known.databases.is_empty() {
            self.advice.push(
                "fleet.databases is empty: only overrides and the default list tell where clients \
                 go; fetch GeoLite2-City from MaxMind"
                    .to_owned(),
            );
        }
    }

    /// Who asks for both families is led to those that have both.
    fn families(&mut self, fleet: &Fleet) {
        let lacks = |pop: &Pop, family| {
            let others = fleet.pops().iter();
            let mut shared = Service::ALL
                .into_iter()
                .filter(|of| pop.services.contains(of));
            shared.any(|service| {
                !pop.has(service, family) && others.clone().any(|pop| pop.has(service, family))
            })
        };
        for pop in fleet.pops() {
            for family in Family::ALL.into_iter().filter(|family| lacks(pop, *family)) {
                self.advice.push(format!(
                    "fleet.file: {} has no {} address and others have: clients near it that \
                     have both families are led to those by {}; give it one",
                    pop.name,
                    family.as_str(),
                    family.record()
                ));
            }
        }
    }

    /// Where the name server is to be reached.
    pub(super) fn dns(&mut self, dns: &NameServer, now: UtcTime) {
        if let Some(CertificateSource::Files(files)) = &dns.certificate
            && !dns.tls.is_empty()
        {
            self.certificate("dns", files, now);
        }
        let machine = self.note(addresses::machine());
        let udp = machine.and_then(|machine| self.note(expand(&dns.udp, &machine)));
        for address in udp.into_iter().flatten() {
            self.bound("dns.udp", address, UdpSocket::bind(address));
        }
        for (key, addresses) in [("dns.tcp", &dns.tcp), ("dns.tls", &dns.tls)] {
            for address in addresses {
                self.bound(key, *address, bind_tcp(*address));
            }
        }
    }
}
