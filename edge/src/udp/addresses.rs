//! Which addresses a media socket goes by.
//!
//! Presenters are told *advertised* addresses. Three cases: the socket is bound
//! to one address and goes by it; it is bound to the wildcard and goes by every
//! address of the machine; or the machine stands behind 1:1 NAT and goes by
//! public addresses that it does not have itself.

use std::net::{IpAddr, SocketAddr};

/// The addresses that one media socket goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    bound: SocketAddr,
    /// Of the bound family; empty without NAT.
    public: Vec<IpAddr>,
    /// The machine's, of the bound family.
    local: Vec<IpAddr>,
}

impl Advertised {
    /// Chooses what a socket bound to `bound` goes by, given the machine's
    /// addresses and the public ones of the configuration.
    pub fn new(bound: SocketAddr, machine: &[IpAddr], public: &[IpAddr]) -> Self {
        let is_same_family = |ip: &&IpAddr| ip.is_ipv4() == bound.is_ipv4();
        let mut local: Vec<IpAddr> = machine
            .iter()
            .filter(is_same_family)
            .filter(|ip| is_reachable(**ip))
            .copied()
            .collect();
        if local.is_empty() {
            local = machine
                .iter()
                .filter(is_same_family)
                .filter(|ip| ip.is_loopback())
                .copied()
                .collect();
        }
        Self {
            bound,
            public: public.iter().filter(is_same_family).copied().collect(),
            local,
        }
    }

    /// What presenters are told.
    pub fn candidates(&self) -> Vec<SocketAddr> {
        let ips = if !self.public.is_empty() {
            &self.public[..]
        } else if self.bound.ip().is_unspecified() {
            &self.local[..]
        } else {
            return vec![self.bound];
        };
        ips.iter()
            .map(|ip| SocketAddr::new(*ip, self.bound.port()))
            .collect()
    }

    /// The advertised address that a datagram was sent to, given the address
    /// that the kernel says.
    pub fn destination(&self, kernel: Option<IpAddr>) -> SocketAddr {
        let ip = match (self.public.first(), kernel) {
            (Some(public), _) => *public,
            (None, Some(kernel)) if self.bound.ip().is_unspecified() => kernel,
            (None, _) => self.bound.ip(),
        };
        SocketAddr::new(ip, self.bound.port())
    }

    /// The address that an answer from the advertised address `source` must
    /// leave by; `None` leaves it to the kernel.
    pub fn source(&self, source: IpAddr) -> Option<IpAddr> {
        (self.public.is_empty() && self.bound.ip().is_unspecified()).then_some(source)
    }
}

/// Whether another host could reach this address.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}

/// The machine's own addresses, of all interfaces that are up.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn machine() -> std::io::Result<Vec<IpAddr>> {
    use nix::net::if_::InterfaceFlags;
    let mut found: Vec<IpAddr> = nix::ifaddrs::getifaddrs()?
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let address = interface.address?;
            let four = address
                .as_sockaddr_in()
                .map(|address| IpAddr::V4(address.ip()));
            four.or_else(|| {
                address
                    .as_sockaddr_in6()
                    .map(|address| IpAddr::V6(address.ip()))
            })
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const MACHINE: [&str; 5] = [
        "127.0.0.1",
        "10.0.0.5",
        "192.0.2.9",
        "fe80::1",
        "2001:db8::5",
    ];

    #[test]
    fn a_wildcard_goes_by_every_reachable_address_of_its_family() {
        let advertised = Advertised::new("0.0.0.0:7".parse().unwrap(), &ips(&MACHINE), &[]);
        assert_eq!(
            advertised.candidates(),
            [
                "10.0.0.5:7".parse().unwrap(),
                "192.0.2.9:7".parse().unwrap()
            ]
        );
        let asked_at: IpAddr = "192.0.2.9".parse().unwrap();
        assert_eq!(advertised.destination(Some(asked_at)).ip(), asked_at);
        assert_eq!(advertised.source(asked_at), Some(asked_at));
        let six = Advertised::new("[::]:7".parse().unwrap(), &ips(&MACHINE), &[]);
        assert_eq!(six.candidates(), ["[2001:db8::5]:7".parse().unwrap()]);
    }

    #[test]
    fn behind_nat_only_the_public_address_is_known() {
        let public = ips(&["203.0.113.1"]);
        let advertised = Advertised::new("10.0.0.5:7".parse().unwrap(), &ips(&MACHINE), &public);
        assert_eq!(advertised.candidates(), ["203.0.113.1:7".parse().unwrap()]);
        assert_eq!(
            advertised
                .destination(Some("10.0.0.5".parse().unwrap()))
                .ip(),
            public[0]
        );
        assert_eq!(advertised.source(public[0]), None);
    }

    #[test]
    fn a_machine_of_its_own_goes_by_loopback() {
        let advertised = Advertised::new("0.0.0.0:7".parse().unwrap(), &ips(&["127.0.0.1"]), &[]);
        assert_eq!(advertised.candidates(), ["127.0.0.1:7".parse().unwrap()]);
        let bound = Advertised::new("127.0.0.1:7".parse().unwrap(), &ips(&MACHINE), &[]);
        assert_eq!(bound.candidates(), ["127.0.0.1:7".parse().unwrap()]);
    }

    #[test]
    fn the_machine_has_an_address() {
        assert!(!machine().unwrap().is_empty());
    }
}
