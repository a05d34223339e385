//! `[dns]`: the name server, as written and as checked.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use inlet_common::config::{CertificateSource, Check, TlsFiles};
use serde::{Deserialize, Serialize};

use super::{file, is_empty, workers};
use crate::dns::{limit::Rule, server::ConnectionLimits};

/// Most answers per second to a network: more than one machine gives.
const MAX_RESPONSES: u32 = 4_000_000;

/// `[dns]` as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Addresses for DNS by UDP. Default port 53 everywhere.
    pub udp: Vec<SocketAddr>,
    /// Addresses for DNS by TCP. Default port 53 everywhere.
    pub tcp: Vec<SocketAddr>,
    /// Addresses for DNS over TLS, such as `0.0.0.0:853`. Default none.
    pub tls: Vec<SocketAddr>,
    /// PEM chain for TLS. Empty, the default, means that of `[http]`, from files or
    /// by `[acme]`. Reload reads the same path anew.
    pub certificate: PathBuf,
    /// PEM key; empty exactly when `certificate` is.
    pub key: PathBuf,
    /// Threads for each address, up to 256. 0, the default, is one per core.
    pub threads: u16,
    /// Answers per second over UDP to one network (/24, /56) of each kind: more is
    /// cut, so that honest resolvers come by TCP, or dropped. Up to 4,000,000; 0 is
    /// without limit.
    /// Default 200.
    pub responses_per_second: u32,
    /// One in so many answers beyond that is cut instead of dropped, 0 to 10; 0
    /// drops all. Default 2.
    pub slip: u32,
    /// Connections in all, 16–100,000. Default 1000.
    pub connections: u32,
    /// Connections of one source (an IPv4 address, an IPv6 /64). Default 32.
    pub connections_per_source: u32,
}

impl Default for Dns {
    fn default() -> Self {
        let everywhere = vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 53)),
        ];
        Self {
            udp: everywhere.clone(),
            tcp: everywhere,
            tls: Vec::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            threads: 0,
            responses_per_second: 200,
            slip: 2,
            connections: 1000,
            connections_per_source: 32,
        }
    }
}

/// A sound `[dns]`: where the name server is reached, and by how many.
#[derive(Clone, Debug, PartialEq)]
pub struct NameServer {
    /// By UDP.
    pub udp: Vec<SocketAddr>,
    /// By TCP.
    pub tcp: Vec<SocketAddr>,
    /// By TLS.
    pub tls: Vec<SocketAddr>,
    /// For TLS; `None` without.
    pub certificate: Option<CertificateSource>,
    /// Threads for each UDP address.
    pub threads: u16,
    /// What a network may be told over UDP.
    pub rule: Rule,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
}

impl Dns {
    pub(super) fn check(&self, check: &mut Check, http_tls: bool) {
        check.require(
            !self.udp.is_empty(),
            "dns.udp",
            "is empty: every resolver asks by UDP first",
        );
        check.require(
            !self.tcp.is_empty(),
            "dns.tcp",
            "is empty: answers that are cut are asked for again by TCP (RFC 7766 §5)",
        );
        check.require(
            is_empty(&self.certificate) == is_empty(&self.key),
            "dns.key",
            "certificate and key go together: give both, or leave both empty for those of [http]",
        );
        check.require(
            self.tls.is_empty() || http_tls || !is_empty(&self.certificate),
            "dns.tls",
            "needs a certificate: set dns.certificate and dns.key, or acme.domains",
        );
        check.range("dns.threads", self.threads, 0..=super::MAX_WORKERS);
        check.range(
            "dns.responses_per_second",
            self.responses_per_second,
            0..=MAX_RESPONSES,
        );
        check.range("dns.slip", self.slip, 0..=10);
        check.range("dns.connections", self.connections, 16..=100_000);
        check.range(
            "dns.connections_per_source",
            self.connections_per_source,
            1..=self.connections.max(1),
        );
    }

    /// Whether the certificate of `[acme]` would serve some listener.
    pub(super) fn wants_acme(&self) -> bool {
        is_empty(&self.certificate) && !self.tls.is_empty()
    }

    /// Puts checked values in their final form; an empty certificate is that of
    /// `http`.
    pub(super) fn build(self, http: Option<&CertificateSource>) -> NameServer {
        let own = file(self.certificate).zip(file(self.key));
        let own = own.map(|(certificate, key)| TlsFiles { certificate, key });
        let own = own.map(CertificateSource::Files);
        NameServer {
            udp: self.udp,
            tcp: self.tcp,
            tls: self.tls,
            certificate: own.or_else(|| http.cloned()),
            threads: workers(self.threads),
            rule: Rule {
                per_second: self.responses_per_second,
                slip: self.slip,
            },
            connections: ConnectionLimits {
                connections: self.connections as usize,
                per_source: self.connections_per_source as usize,
            },
        }
    }
}
