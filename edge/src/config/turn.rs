//! `[turn]`: the STUN and TURN server, as written and as checked.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use inlet_common::config::{Bitrate, CertificateSource, Check, TlsFiles, duration};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{file, is_empty};
use crate::turn::{
    peer_policy::{MediaRange, Policy},
    quota::Limits,
};

/// Longest realm: a challenge names it, and may have only five times the size of
/// what it answers.
const MAX_REALM: usize = 48;

/// `[turn]` as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    /// Name that clients reach this machine by, in the URLs of credentials.
    /// Empty, the default, means its relay address. Reload.
    pub host: String,
    /// What passwords are for, at most 48 characters. Default `inlet`. Reload.
    pub realm: String,
    /// Addresses for STUN and TURN by UDP. Default port 3478 everywhere.
    pub udp: Vec<SocketAddr>,
    /// Addresses for TURN by TCP, and by TLS where there is a certificate.
    /// Default port 3478 everywhere.
    pub tcp: Vec<SocketAddr>,
    /// Addresses for TURN by TLS alone. Default none.
    pub tls: Vec<SocketAddr>,
    /// PEM chain for TLS. Empty, the default, means that of `[http]`, from files or
    /// by `[acme]`. Reload reads the same path anew.
    pub certificate: PathBuf,
    /// PEM key; empty exactly when `certificate` is.
    pub key: PathBuf,
    /// Where relayed sockets are bound, at most one per family. Empty, the
    /// default, means the machine's first reachable ones.
    pub relay_addresses: Vec<IpAddr>,
    /// What peers are told instead, behind 1:1 NAT; at most one per family.
    /// Empty, the default, means those of `media.public`.
    pub public: Vec<IpAddr>,
    /// First relayed port. Default 49152.
    pub first_port: u16,
    /// Last relayed port. Default 65535.
    pub last_port: u16,
    /// Who may be a peer: `appliance`, the default, or `open`. Reload.
    pub policy: Policy,
    /// Media of other points of presence, as `address:first-last`. Default
    /// none. Reload.
    pub fleet: Vec<String>,
    /// Networks whose addresses may be peers although they are in a denied
    /// range. Default none. Reload.
    pub allow_peers: Vec<IpNet>,
    /// Networks whose addresses may not be peers. Default none. Reload.
    pub deny_peers: Vec<IpNet>,
    /// Shared secrets of time-limited credentials, inline. Default none. Reload.
    pub secrets: Vec<String>,
    /// File with more of them, one per line. Empty, the default, is none. Reload.
    pub secret_file: PathBuf,
    /// Static users, `name:password`, inline. Default none. Reload.
    pub users: Vec<String>,
    /// File with more of them, one per line. Empty, the default, is none. Reload.
    pub user_file: PathBuf,
    /// Servers that clients are sent to who cannot be taken. Default none.
    /// Reload.
    pub alternate_servers: Vec<SocketAddr>,
    /// What an allocation gets that asks for no more, 1 min–1 h. Default 10 min.
    /// Reload.
    #[serde(with = "duration")]
    pub default_lifetime: Duration,
    /// The most that it gets, up to a day. Default 1 h. Reload.
    #[serde(with = "duration")]
    pub max_lifetime: Duration,
    /// Proxies whose PROXY header of version 2 is believed. Default none.
    pub proxy_protocol: Vec<IpNet>,
    /// File that keeps revocations. Empty, the default, forgets them at the end.
    pub revocations: PathBuf,
    /// How much may be held.
    pub limits: TurnLimits,
}

/// `[turn.limits]` as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnLimits {
    /// Allocations of all users, 1–1,000,000. Default 10,000. Reload.
    pub allocations: u32,
    /// Allocations of one user. Default 100. Reload.
    pub allocations_per_user: u32,
    /// Permissions of one user. Default 1000. Reload.
    pub permissions_per_user: u32,
    /// Channels of one user. Default 1000. Reload.
    pub channels_per_user: u32,
    /// What one user may relay, both directions together. 0, the default, is
    /// without limit. Reload.
    pub bitrate_per_user: Bitrate,
    /// Connections of clients to each listener, 16–1,000,000. Default 4096.
    pub connections: u32,
    /// Challenges per second that one source (an IPv4 address, an IPv6 /64) gets
    /// over UDP. 0 is without limit. Default 100. Reload.
    pub challenges_per_second: u32,
}

impl Default for Turn {
    fn default() -> Self {
        let everywhere = vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 3478)),
        ];
        Self {
            host: String::new(),
            realm: "inlet".to_owned(),
            udp: everywhere.clone(),
            tcp: everywhere,
            tls: Vec::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            relay_addresses: Vec::new(),
            public: Vec::new(),
            first_port: 49_152,
            last_port: 65_535,
            policy: Policy::Appliance,
            fleet: Vec::new(),
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            secrets: Vec::new(),
            secret_file: PathBuf::new(),
            users: Vec::new(),
            user_file: PathBuf::new(),
            alternate_servers: Vec::new(),
            default_lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3600),
            proxy_protocol: Vec::new(),
            revocations: PathBuf::new(),
            limits: TurnLimits::default(),
        }
    }
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            allocations: 10_000,
            allocations_per_user: 100,
            permissions_per_user: 1000,
            channels_per_user: 1000,
            bitrate_per_user: Bitrate::from_bps(0),
            connections: 4096,
            challenges_per_second: 100,
        }
    }
}

/// A sound `[turn]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Appliance {
    /// Name in the URLs of credentials; `None` means the relay address.
    pub host: Option<String>,
    /// What passwords are for.
    pub realm: String,
    /// Where clients come.
    pub listen: Listen,
    /// Where relayed sockets are bound; empty means the machine's.
    pub relay_addresses: Vec<IpAddr>,
    /// What peers are told instead.
    pub public: Vec<IpAddr>,
    /// Relayed ports.
    pub ports: RangeInclusive<u16>,
    /// Who may be a peer.
    pub peers: Peers,
    /// Who may allocate.
    pub credentials: CredentialSources,
    /// Where clients are sent who cannot be taken.
    pub alternate_servers: Vec<SocketAddr>,
    /// What an allocation gets that asks for no more.
    pub default_lifetime: Duration,
    /// The most that it gets.
    pub max_lifetime: Duration,
    /// How much may be held.
    pub limits: Limits,
    /// Challenges per second and source; 0 is without limit.
    pub challenges_per_second: u32,
}

/// Where clients come; a change takes a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// By UDP.
    pub udp: Vec<SocketAddr>,
    /// By TCP, and by TLS where there is a certificate.
    pub tcp: Vec<SocketAddr>,
    /// By TLS alone.
    pub tls: Vec<SocketAddr>,
    /// For TLS; `None` without.
    pub certificate: Option<CertificateSource>,
    /// Proxies whose PROXY header is believed.
    pub proxy_protocol: Vec<IpNet>,
    /// Connections to each listener.
    pub connections: usize,
    /// File that keeps revocations.
    pub revocations: Option<PathBuf>,
}

/// Who may be a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// What the relay is for.
    pub policy: Policy,
    /// Media of other points of presence.
    pub fleet: Vec<MediaRange>,
    /// Permitted although in a denied range.
    pub allow: Vec<IpNet>,
    /// Denied although public.
    pub deny: Vec<IpNet>,
}

/// Where credentials come from.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialSources {
    /// Shared secrets.
    pub secrets: Vec<String>,
    /// File with more of them.
    pub secret_file: Option<PathBuf>,
    /// Static users, `name:password`.
    pub users: Vec<String>,
    /// File with more of them.
    pub user_file: Option<PathBuf>,
}

impl std::fmt::Debug for CredentialSources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialSources")
            .field("secret_file", &self.secret_file)
            .field("user_file", &self.user_file)
            .finish_non_exhaustive()
    }
}

impl Turn {
    pub(super) fn check(&self, check: &mut Check, http_tls: bool) {
        self.check_listeners(check, http_tls);
        self.check_addresses(check);
        check.require(
            self.realm.len() <= MAX_REALM && !self.realm.is_empty() && self.realm.is_ascii(),
            "turn.realm",
            "must be 1 to 48 letters, digits and signs",
        );
        let last = self.last_port;
        check.range("turn.first_port", self.first_port, 1024..=last.max(1024));
        for text in &self.fleet {
            let what = format!("{text:?} is no range: write it like \"203.0.113.7:40000-40015\"");
            check.require(media_range(text).is_some(), "turn.fleet", what);
        }
        for text in &self.users {
            let is_sound = text
                .split_once(':')
                .is_some_and(|(name, _)| !name.is_empty());
            let what = "has an entry that is not name:password";
            check.require(is_sound, "turn.users", what);
        }
        self.check_limits(check);
    }

    fn check_listeners(&self, check: &mut Check, http_tls: bool) {
        check.require(
            !self.udp.is_empty() || !self.tcp.is_empty() || !self.tls.is_empty(),
            "turn.udp",
            "is empty, and so are turn.tcp and turn.tls: nobody could come",
        );
        check.require(
            is_empty(&self.certificate) == is_empty(&self.key),
            "turn.key",
            "certificate and key go together: give both, or leave both empty for those of [http]",
        );
        check.require(
            self.tls.is_empty() || http_tls || !is_empty(&self.certificate),
            "turn.tls",
            "needs a certificate: set turn.certificate and turn.key, or acme.domains",
        );
        let mut tcp: Vec<&SocketAddr> = self.tcp.iter().chain(&self.tls).collect();
        tcp.retain(|address| address.port() != 0);
        let all = tcp.len();
        tcp.sort_unstable();
        tcp.dedup();
        check.require(
            tcp.len() == all,
            "turn.tls",
            "names an address that turn.tcp has, or one twice: a port can be bound once",
        );
    }

    /// Whether the certificate of `[acme]` would serve some listener.
    pub(super) fn wants_acme(&self) -> bool {
        is_empty(&self.certificate) && !(self.tcp.is_empty() && self.tls.is_empty())
    }

    fn check_addresses(&self, check: &mut Check) {
        for (key, addresses) in [
            ("turn.relay_addresses", &self.relay_addresses),
            ("turn.public", &self.public),
        ] {
            for is_ipv4 in [true, false] {
                let of_family = addresses.iter().filter(|ip| ip.is_ipv4() == is_ipv4);
                check.require(
                    of_family.count() <= 1,
                    key,
                    "has more than one address of a family",
                );
            }
            check.require(
                !addresses.iter().any(IpAddr::is_unspecified),
                key,
                "must be an address that peers can reach, not a wildcard",
            );
        }
    }

    fn check_limits(&self, check: &mut Check) {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let default = self.default_lifetime;
        check.span("turn.default_lifetime", default, minute..=hour);
        let longest = default.max(24 * hour);
        check.span("turn.max_lifetime", self.max_lifetime, default..=longest);
        let limits = &self.limits;
        for (key, value) in [
            ("turn.limits.allocations", limits.allocations),
            (
                "turn.limits.allocations_per_user",
                limits.allocations_per_user,
            ),
            (
                "turn.limits.permissions_per_user",
                limits.permissions_per_user,
            ),
            ("turn.limits.channels_per_user", limits.channels_per_user),
        ] {
            check.range(key, value, 1..=1_000_000);
        }
        check.range(
            "turn.limits.connections",
            limits.connections,
            16..=1_000_000,
        );
    }

    /// Puts checked values in their final form. What is left empty falls back
    /// to `http` and `media_public`.
    pub(super) fn build(
        self,
        http: Option<&CertificateSource>,
        media_public: &[IpAddr],
        own_name: Option<&str>,
    ) -> Appliance {
        let own = file(self.certificate).zip(file(self.key));
        let own = own.map(|(certificate, key)| TlsFiles { certificate, key });
        let own = own.map(CertificateSource::Files);
        let public = match self.public.is_empty() {
            true => media_public.to_vec(),
            false => self.public,
        };
        let limits = self.limits;
        let bitrate = limits.bitrate_per_user.as_bps();
        Appliance {
            host: Some(self.host)
                .filter(|host| !host.is_empty())
                .or_else(|| own_name.map(str::to_owned)),
            realm: self.realm,
            listen: Listen {
                udp: self.udp,
                tcp: self.tcp,
                tls: self.tls,
                certificate: own.or_else(|| http.cloned()),
                proxy_protocol: self.proxy_protocol,
                connections: limits.connections as usize,
                revocations: file(self.revocations),
            },
            relay_addresses: self.relay_addresses,
            public,
            ports: self.first_port..=self.last_port,
            peers: Peers {
                policy: self.policy,
                fleet: self
                    .fleet
                    .iter()
                    .filter_map(|text| media_range(text))
                    .collect(),
                allow: self.allow_peers,
                deny: self.deny_peers,
            },
            credentials: CredentialSources {
                secrets: self.secrets,
                secret_file: file(self.secret_file),
                users: self.users,
                user_file: file(self.user_file),
            },
            alternate_servers: self.alternate_servers,
            default_lifetime: self.default_lifetime,
            max_lifetime: self.max_lifetime,
            limits: Limits {
                allocations: limits.allocations,
                allocations_per_user: limits.allocations_per_user,
                permissions_per_user: limits.permissions_per_user,
                channels_per_user: limits.channels_per_user,
                bitrate_per_user: (bitrate > 0).then_some(bitrate),
            },
            challenges_per_second: limits.challenges_per_second,
        }
    }
}

/// Reads `address:first-last`, or `address:port`; an IPv6 address stands in
/// brackets.
fn media_range(text: &str) -> Option<MediaRange> {
    let (ip, ports) = text.rsplit_once(':')?;
    let ip = ip
        .strip_prefix('[')
        .map_or(Some(ip), |rest| rest.strip_suffix(']'))?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let ip: IpAddr = ip.parse().ok()?;
    (0 < first && first <= last && !ip.is_unspecified()).then_some(MediaRange { ip, first, last })
}
