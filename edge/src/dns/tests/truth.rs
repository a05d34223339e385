//! What a resolver may keep an answer for: the scope is true, whoever is asked and
//! however the fleet does.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::dns::{
    fleet::{Family, Service},
    steer::Standing,
};

const HTTPS: u16 = 65;

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        4 => (0.0..1.2).prop_map(|load| Standing::Open { load }),
        1 => Just(Standing::Draining),
        1 => Just(Standing::Down),
        1 => Just(Standing::Unknown),
    ]
}

/// Of three points of presence, by service and family.
fn boards() -> impl Strategy<Value = Vec<Standing>> {
    prop::collection::vec(standing(), 3 * 2 * 2)
}

fn board(world: &World, standings: &[Standing]) -> Board {
    let mut board = Board::open(world.fleet.pops().len());
    let mut standings = standings.iter();
    for pop in world.fleet.ids() {
        for service in Service::ALL {
            for family in Family::ALL {
                board.set(pop, service, family, *standings.next().unwrap());
            }
        }
    }
    board
}

/// Addresses in and beside the networks that the fleet's overrides name: by their first
/// bits, and anything behind them.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let ipv4 = (
        prop::sample::select(vec![[10, 1], [10, 2], [10, 3], [20, 9]]),
        any::<u16>(),
    );
    let ipv4 = ipv4.prop_map(|([a, b], rest)| {
        let [c, d] = rest.to_be_bytes();
        Ipv4Addr::new(a, b, c, d).into()
    });
    let ipv6 = (
        prop::sample::select(vec![0x0a00_u16, 0x0a80, 0x0b00, 0]),
        any::<u128>(),
    );
    let ipv6 = ipv6.prop_map(|(third, rest)| {
        let head = 0x2001_0db8_u128 << 96 | u128::from(third) << 80;
        Ipv6Addr::from_bits(head | rest >> 40).into()
    });
    prop_oneof![ipv4, ipv6]
}

/// Another address with the same first bits.
fn another(address: IpAddr, same: u8, noise: u128) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let rest = u32::MAX.checked_shr(same.into()).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & !rest | noise as u32 & rest).into()
        }
        IpAddr::V6(ip) => {
            let rest = u128::MAX.checked_shr(same.into()).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & !rest | noise & rest).into()
        }
    }
}

/// The query of a resolver that tells so many bits of its client.
fn told(name: &'static str, kind: u16, address: IpAddr, source: u8) -> Ask {
    let network = another(address, source, 0);
    ask(name, kind).subnet(&format!("{network}/{source}"))
}

fn scope(response: &Response) -> u8 {
    response.option(SUBNET).expect("a network")[3]
}

proptest! {
    /// RFC 7871 §7.3.1: what has the same first bits, as many as the scope has or as were
    /// told, may be given this answer from a cache.
    #[test]
    fn every_client_in_the_scope_gets_the_same_answer(
        standings in boards(), address in addresses(), noise: u128, bits in 1..=128_u8,
        name in prop::sample::select(vec!["whip.inlet.example", "turn.inlet.example"]),
        kind in prop::sample::select(vec![A, AAAA, HTTPS]),
    ) {
        let mut client = Client::new();
        client.board = board(&client.world, &standings);
        let source = bits.min(if address.is_ipv4() { 32 } else { 128 });
        let first = client.ask(&told(name, kind, address, source));
        let scope = scope(&first);
        let neighbour = another(address, scope.min(source), noise);
        let second = client.ask(&told(name, kind, neighbour, source));
        prop_assert_eq!(second.answers(), first.answers());
        prop_assert_eq!(self::scope(&second), scope);
        // Nor does it matter who asks, or how much more is told.
        if source >= scope {
            let longer = client.ask(&told(name, kind, neighbour, scope.max(1)));
            prop_assert_eq!(longer.answers(), first.answers());
            client.source = neighbour;
            let itself = client.ask(&ask(name, kind));
            prop_assert_eq!(itself.answers(), first.answers());
        }
    }
}
