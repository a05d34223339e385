//! Whom a probe goes to, and as whom.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use inlet_common::clock::UtcTime;

use super::whip::Endpoint;
use crate::turn::auth::time_limited_password;

/// How long a credential is good for: longer than a run, and than two clocks differ
/// that are looked after.
const CREDENTIAL_TTL: Duration = Duration::from_secs(60);

/// Any port: nothing is sent there.
const DISCARD: u16 = 9;

/// A point of presence as a probe sees it, by one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name, for metrics and reports.
    pub pop: String,
    /// Its own host name, which the certificate of TURN by TLS is for.
    pub host: String,
    /// Where it is reached: each run goes to all of them, and is as good as the worst.
    /// Names are not looked up: they may lead elsewhere.
    pub addresses: Vec<IpAddr>,
    /// Its WHIP endpoints. Default none.
    pub whip: Option<Endpoint>,
    /// Port of STUN by UDP. Default none.
    pub stun: Option<u16>,
    /// Port of TURN by UDP. Default none.
    pub turn_udp: Option<u16>,
    /// Port of TURN by TCP. Default none.
    pub turn_tcp: Option<u16>,
    /// Port of TURN by TLS. Default none.
    pub turn_tls: Option<u16>,
}

impl Target {
    /// The addresses that there is a way to from here.
    pub(super) fn reachable(&self) -> impl Iterator<Item = IpAddr> {
        let addresses = self.addresses.iter().copied();
        addresses.filter(|ip| has_route(*ip))
    }

    /// Its family in metrics.
    pub(super) fn family(&self) -> &'static str {
        match self.addresses.first().is_some_and(IpAddr::is_ipv6) {
            true => "ipv6",
            false => "ipv4",
        }
    }
}

/// Whether the kernel knows a way: connecting a UDP socket asks it, and sends nothing.
fn has_route(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((ip, DISCARD)))
        .is_ok()
}

/// As whom TURN is asked.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// As somebody with a time-limited credential, made with the fleet's shared secret
    /// (`turn.secrets`) for a minute from now.
    Secret(String),
    /// As a stranger: a server that asks who it is counts as well, and whether it
    /// relays stays open.
    None,
}

impl Credentials {
    /// A username and its password at `utc`, for whoever calls himself `id`. That is no
    /// number, which would be a stream, and bind the credential to its media.
    pub(super) fn at(&self, utc: UtcTime, id: &str) -> Option<Credential> {
        let Self::Secret(secret) = self else {
            return None;
        };
        let ttl = i64::try_from(CREDENTIAL_TTL.as_secs()).unwrap_or(0);
        let expiry = utc.as_unix_seconds().saturating_add(ttl);
        let username = format!("{expiry}:{id}");
        let password = time_limited_password(secret, username.as_bytes());
        Some(Credential { username, password })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(…)",
            Self::None => "None",
        })
    }
}

/// A username and its password.
#[derive(Clone)]
pub(super) struct Credential {
    pub(super) username: String,
    pub(super) password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::auth::Credentials as Server;

    fn at(addresses: &[&str]) -> Target {
        Target {
            pop: "a".to_owned(),
            host: "a.example".to_owned(),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            whip: None,
            stun: None,
            turn_udp: None,
            turn_tcp: None,
            turn_tls: None,
        }
    }

    #[test]
    fn what_there_is_no_way_to_is_passed_over() {
        // Nobody has a route to the broadcast address without asking for it.
        let target = at(&["255.255.255.255", "127.0.0.1", "127.0.0.2"]);
        let reachable: Vec<String> = target.reachable().map(|ip| ip.to_string()).collect();
        assert_eq!(reachable, ["127.0.0.1", "127.0.0.2"]);
        assert_eq!(at(&["255.255.255.255"]).reachable().next(), None);
    }

    #[test]
    fn a_credential_is_good_for_a_minute_and_for_no_stream() {
        let utc = UtcTime::from_unix_micros(1_000_000_000);
        let secret = "a secret of the fleet".to_owned();
        let made = Credentials::Secret(secret.clone())
            .at(utc, "probe")
            .unwrap();
        let server = Server::new("realm", vec![secret], []);
        let issued = server.issue(utc.plus_micros(60_000_000), "probe");
        assert_eq!((made.username, made.password), issued.unwrap());
        assert!(Credentials::None.at(utc, "probe").is_none());
        let shown = format!("{:?}", Credentials::Secret("geheim".to_owned()));
        assert!(!shown.contains("geheim"));
    }
}
