//! `--check` of the name server: its files, its ports, and how old its databases are.

use std::{net::UdpSocket, time::Duration};

use inlet_common::{clock::UtcTime, config::CertificateSource};

use super::{Findings, bind_tcp};
use crate::{
    config::{Config, NameServer, fleet::Known},
    dns::{geo::Database, server::expand},
    service::fleet,
    udp::addresses,
};

/// GeoIP databases come once a week or a month; an older one sends people astray.
const MAX_AGE: Duration = Duration::from_secs(35 * 24 * 3600);

impl Findings {
    /// What is known of the fleet.
    pub(super) fn fleet(&mut self, config: &Config, known: &Known, now: UtcTime) {
        self.note(fleet::world(config));
        self.note(fleet::prober(config));
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

    /// Where the name server is to be reached.
    pub(super) fn dns(&mut self, dns: &NameServer, now: UtcTime) {
        if let Some(CertificateSource::Files(files)) = &dns.certificate
            && !dns.tls.is_empty()
        {
            self.certificate("dns", files, now);
        }
        if let Some(machine) = self.note(addresses::machine()) {
            for address in expand(&dns.udp, &machine) {
                self.bound("dns.udp", address, UdpSocket::bind(address));
            }
        }
        for (key, addresses) in [("dns.tcp", &dns.tcp), ("dns.tls", &dns.tls)] {
            for address in addresses {
                self.bound(key, *address, bind_tcp(*address));
            }
        }
    }
}
