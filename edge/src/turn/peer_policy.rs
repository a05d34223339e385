//! Who may be a peer: the guard against a relay into our own network.
//!
//! The trap is that an address has many spellings. Each check is made on the
//! address that a packet would really reach, so an IPv4 address inside an IPv6
//! one is taken out first; and an address that is denied in one spelling is
//! denied in all.
//!
//! An address is judged in this order: what the operator denies, refused; media and
//! relayed addresses of this process, permitted; our own listeners, refused; the
//! fleet's media, permitted; what the operator permits; the ranges that no stranger
//! has a peer in, refused; everything else by the policy. The unspecified address is
//! never a peer: Linux takes it for this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What the relay is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Only the fleet's media, and our own relayed addresses.
    #[default]
    Appliance,
    /// These, and every public address.
    Open,
}

/// Media addresses of a point of presence: one address, and its range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaRange {
    /// The address that presenters are told.
    pub ip: IpAddr,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl MediaRange {
    fn has(&self, address: &SocketAddr) -> bool {
        self.ip == address.ip() && (self.first..=self.last).contains(&address.port())
    }
}

/// Settings of the guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    /// What the relay is for.
    pub policy: Policy,
    /// Permitted although in a denied range.
    pub allow: Vec<IpNet>,
    /// Denied although public.
    pub deny: Vec<IpNet>,
    /// Media of the fleet's other points of presence.
    pub fleet: Vec<MediaRange>,
    /// Where this process listens, media and relayed ports apart. A wildcard
    /// stands for every address of the machine.
    pub listeners: Vec<SocketAddr>,
    /// Every address of this machine, and what it is known by behind 1:1 NAT.
    pub machine: Vec<IpAddr>,
}

/// What a peer address stands for, when it is judged whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Media of this process, or a relayed address of its.
    Reachable,
    /// Neither.
    Stranger,
}

impl PeerPolicy {
    /// Judges an address without its port, as CreatePermission must (RFC 8656
    /// §10.2): permitted when some port there is. `is_ours` tells whether media
    /// or relayed addresses of ours are at this address.
    pub fn permits_ip(&self, ip: IpAddr, is_ours: bool) -> bool {
        let ip = real(ip);
        if contains(&self.deny, ip) {
            return false;
        }
        let is_fleet = self.fleet.iter().any(|range| range.ip == ip);
        is_ours || is_fleet || self.permits_stranger(ip)
    }

    /// Judges an address with its port.
    pub fn permits(&self, address: SocketAddr, own: Own) -> bool {
        let address = SocketAddr::new(real(address.ip()), address.port());
        let is_none = address.port() == 0 || address.ip().is_unspecified();
        if is_none || contains(&self.deny, address.ip()) {
            return false;
        }
        if own == Own::Reachable {
            return true;
        }
        let is_fleet = || self.fleet.iter().any(|range| range.has(&address));
        !self.is_listener(&address) && (is_fleet() || self.permits_stranger(address.ip()))
    }

    /// Judges an address, without its port, for a credential that was made for a
    /// stream: such a one reaches media and nothing else.
    pub fn permits_media_ip(&self, ip: IpAddr, is_media: bool) -> bool {
        let ip = real(ip);
        let is_fleet = self.fleet.iter().any(|range| range.ip == ip);
        (is_media || is_fleet) && !contains(&self.deny, ip)
    }

    /// The same with its port.
    pub fn permits_media(&self, address: SocketAddr, is_media: bool) -> bool {
        let address = SocketAddr::new(real(address.ip()), address.port());
        let is_fleet = self.fleet.iter().any(|range| range.has(&address));
        let is_fleet = is_fleet && !self.is_listener(&address);
        (is_media || is_fleet) && !contains(&self.deny, address.ip())
    }

    /// Whether data may leave for an address that is none of ours.
    pub fn reaches(&self, address: SocketAddr, is_bound_to_stream: bool) -> bool {
        match is_bound_to_stream {
            true => self.permits_media(address, false),
            false => self.permits(address, Own::Stranger),
        }
    }

    fn permits_stranger(&self, ip: IpAddr) -> bool {
        if ip.is_unspecified() {
            return false;
        }
        if contains(&self.allow, ip) {
            return true;
        }
        // Whatever else runs on this machine is no peer: it may trust what
        // comes from here.
        self.policy == Policy::Open && is_public(ip) && !self.machine.contains(&ip)
    }

    /// Whether this process listens there itself.
    fn is_listener(&self, address: &SocketAddr) -> bool {
        self.listeners.iter().any(|listener| {
            listener.port() == address.port()
                && (listener.ip() == address.ip()
                    || (listener.ip().is_unspecified()
                        && (address.ip().is_loopback() || self.machine.contains(&address.ip()))))
        })
    }
}

fn contains(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// The address that a packet to `ip` would really reach: an IPv4 address out of
/// its IPv6 spellings.
pub fn real(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => embedded(six).map_or(ip, IpAddr::V4),
    }
}

/// The IPv4 address inside an IPv6 one: mapped (RFC 4291 §2.5.5.2), compatible
/// (§2.5.5.1), NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056 §2).
fn embedded(six: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match six.segments() {
        [0, 0, 0, 0, 0, 0xFFFF, high, low] => Some(last(high, low)),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, high, low] => Some(last(high, low)),
        [0x0064, 0xFF9B, 0, 0, 0, 0, high, low] => Some(last(high, low)),
        [0x2002, high, low, ..] => Some(last(high, low)),
        _ => None,
    }
}

/// Whether an address is one that peers on the Internet have: in no range that
/// IANA's special-purpose registries (RFC 6890) keep for something else.
pub fn is_public(ip: IpAddr) -> bool {
    match real(ip) {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => is_public_v6(six),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        // "This network", private, loopback, link-local.
        (0 | 10 | 127, ..) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _)
        // Shared by carriers (RFC 6598), protocol assignments, 6to4 anycast.
        | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99)
        // Benchmarks (RFC 2544), documentation.
        | (198, 18..=19, _) | (192, 0, 2) | (198, 51, 100) | (203, 0, 113)
        // Multicast, reserved, broadcast.
        | (224..=255, ..)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // Global unicast alone (RFC 4291 §2.4): outside of 2000::/3 lie unspecified,
    // loopback, link-local, site-local, unique-local and multicast.
    let [first, second, ..] = ip.segments();
    let is_global = first & 0xE000 == 0x2000;
    // Protocol assignments with Teredo and ORCHID (RFC 2928), documentation
    // (RFC 3849, RFC 9637).
    let is_special = matches!(
        (first, second),
        (0x2001, 0..=0x01FF | 0x0DB8) | (0x3FFF, 0..=0x0FFF)
    );
    is_global && !is_special
}

#[cfg(test)]
pub(crate) use self::tests::REFUSED;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every address that is refused under both policies, in all its spellings.
    pub(crate) const REFUSED: &[&str] = &[
        "0.0.0.0",
        "127.0.0.1",
        "127.255.255.254",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "10.0.0.1",
        "10.255.255.255",
        "::ffff:10.1.2.3",
        "64:ff9b::a01:203",
        "172.16.0.1",
        "172.31.255.255",
        "::ffff:172.16.0.1",
        "192.168.0.1",
        "::ffff:192.168.1.1",
        "2002:c0a8:101::1",
        "100.64.0.1",
        "100.127.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "::ffff:255.255.255.255",
        "240.0.0.1",
        "ff02::1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "192.0.0.1",
        "2001:db8::1",
        "2001::1",
        "3fff::1",
        "100::1",
    ];

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "172.32.0.1",
        "172.15.255.255",
        "100.128.0.1",
        "100.63.255.255",
        "9.255.255.255",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn policy(policy: Policy) -> PeerPolicy {
        PeerPolicy {
            policy,
            ..PeerPolicy::default()
        }
    }

    #[test]
    fn what_no_stranger_may_reach_is_refused_under_both_policies() {
        for text in REFUSED {
            for kind in [Policy::Appliance, Policy::Open] {
                let policy = policy(kind);
                let address = SocketAddr::new(ip(text), 9);
                assert!(!policy.permits_ip(ip(text), false), "{text} {kind:?}");
                assert!(!policy.permits(address, Own::Stranger), "{text} {kind:?}");
            }
        }
    }

    #[test]
    fn a_public_address_is_a_peer_of_an_open_relay_alone() {
        for text in PUBLIC {
            let address = SocketAddr::new(ip(text), 9);
            assert!(
                policy(Policy::Open).permits(address, Own::Stranger),
                "{text}"
            );
            assert!(
                !policy(Policy::Appliance).permits(address, Own::Stranger),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_ours_comes_before_every_range() {
        let policy = policy(Policy::Appliance);
        let address = SocketAddr::new(ip("127.0.0.1"), 40_000);
        assert!(policy.permits(address, Own::Reachable));
        assert!(policy.permits_ip(ip("127.0.0.1"), true));
    }

    #[test]
    fn a_listed_range_is_permitted_in_every_spelling_but_for_our_listeners() {
        let mut policy = policy(Policy::Open);
        policy.allow = vec!["127.0.0.0/8".parse().unwrap()];
        policy.listeners = vec![
            "0.0.0.0:3478".parse().unwrap(),
            "127.0.0.1:9091".parse().unwrap(),
        ];
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            let at = |port| SocketAddr::new(ip(text), port);
            assert!(policy.permits(at(9), Own::Stranger), "{text}");
            assert!(!policy.permits(at(3478), Own::Stranger), "{text}");
            assert!(!policy.permits(at(9091), Own::Stranger), "{text}");
            assert!(!policy.permits(at(0), Own::Stranger), "{text}");
        }
    }

    #[test]
    fn the_unspecified_address_is_never_a_peer() {
        let mut policy = policy(Policy::Open);
        policy.allow = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        for text in ["0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::"] {
            assert!(!policy.permits(SocketAddr::new(ip(text), 9), Own::Stranger));
            assert!(!policy.permits_ip(ip(text), false), "{text}");
        }
    }

    #[test]
    fn a_fleet_range_does_not_open_our_own_listeners() {
        let mut policy = policy(Policy::Appliance);
        policy.fleet = vec![MediaRange {
            ip: ip("1.2.3.4"),
            first: 1,
            last: 65_535,
        }];
        policy.listeners = vec!["1.2.3.4:9091".parse().unwrap()];
        let at = |port| SocketAddr::new(ip("1.2.3.4"), port);
        assert!(policy.permits(at(40_000), Own::Stranger));
        assert!(!policy.permits(at(9091), Own::Stranger));
        assert!(!policy.permits_media(at(9091), false));
    }

    #[test]
    fn this_machine_is_no_peer_of_an_open_relay() {
        let mut policy = policy(Policy::Open);
        policy.machine = vec![ip("1.2.3.4")];
        let address = SocketAddr::new(ip("1.2.3.4"), 22);
        assert!(!policy.permits(address, Own::Stranger));
        assert!(policy.permits(address, Own::Reachable));
    }

    #[test]
    fn the_fleets_media_are_peers_by_their_ports_alone() {
        let mut policy = policy(Policy::Appliance);
        policy.fleet = vec![MediaRange {
            ip: ip("1.2.3.4"),
            first: 40_000,
            last: 40_015,
        }];
        let at = |port| SocketAddr::new(ip("1.2.3.4"), port);
        assert!(policy.permits(at(40_015), Own::Stranger));
        assert!(!policy.permits(at(40_016), Own::Stranger));
        assert!(policy.permits_ip(ip("1.2.3.4"), false));
    }

    #[test]
    fn what_the_operator_denies_is_refused_even_if_ours() {
        let mut policy = policy(Policy::Open);
        policy.deny = vec!["1.1.1.0/24".parse().unwrap()];
        assert!(!policy.permits(SocketAddr::new(ip("1.1.1.1"), 9), Own::Reachable));
        assert!(!policy.permits_ip(ip("::ffff:1.1.1.1"), false));
    }
}
