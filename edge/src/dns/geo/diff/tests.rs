use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::dns::geo::{
    embedded::Embedded,
    plan::{Overrides, Plan},
    testing::{self, FLEET, plan, pops, sites},
};

fn table(overrides: &[(&str, &[u8])], default: &[u8]) -> Table {
    let networks = overrides.iter();
    let networks = networks.map(|(network, list)| (network.parse().unwrap(), pops(list)));
    let overrides = Overrides {
        networks: networks.collect(),
        ..Overrides::default()
    };
    let plan = Plan::new(&sites(&FLEET), &overrides, &pops(default)).unwrap();
    Table::compile(&plan, &[]).unwrap()
}

#[test]
fn equal_tables_move_nobody() {
    let table = table(&[("192.0.2.0/24", &[3]), ("2a00::/16", &[2])], &[]);
    let diff = Diff::between(&table, &table);
    assert_eq!(
        (diff.v4.total, diff.v4.list, diff.v4.first),
        (1 << 32, 0, 0)
    );
    assert_eq!(
        (diff.v6.total, diff.v6.list, diff.v6.first),
        (1 << 112, 0, 0)
    );
    assert!(diff.v4.pops.is_empty());
}

#[test]
fn what_moves_is_counted_exactly() {
    let old = table(&[("192.0.2.0/24", &[3])], &[]);
    let new = table(&[("192.0.2.0/25", &[4]), ("10.0.0.0/8", &[0, 2])], &[]);
    let v4 = Diff::between(&old, &new).v4;
    // Half of the /24 moves from 3 to 4 and the other half to the default, which begins
    // with 0. 10.0.0.0/8 begins with 0 before and after.
    assert_eq!(v4.first, 256);
    assert_eq!(v4.list, 256 + (1 << 24));
    assert_eq!(
        v4.pops,
        [
            PopMoves {
                pop: PopId(0),
                gained: 128,
                lost: 0
            },
            PopMoves {
                pop: PopId(3),
                gained: 0,
                lost: 256
            },
            PopMoves {
                pop: PopId(4),
                gained: 128,
                lost: 0
            },
        ]
    );
    assert_eq!(v4.share(1 << 31), 0.5);
    assert_eq!(Moves::default().share(1), 0.0);
}

#[test]
fn ipv6_of_which_nothing_is_known_counts_only_if_it_moves() {
    let same = Diff::between(&table(&[], &[]), &table(&[], &[])).v6;
    assert_eq!(same.total, 0);
    let one = table(&[("2a00::/16", &[1])], &[]);
    let diff = Diff::between(&table(&[], &[]), &one).v6;
    assert_eq!((diff.total, diff.first), (1 << 112, 1 << 112));
    assert_eq!(diff.share(diff.first), 1.0);
    let moved = Diff::between(&table(&[], &[0]), &table(&[], &[1])).v6;
    let inside = Embedded::ALL.map(|kind| 1 << (128 - kind.network().1));
    assert_eq!(moved.total, u128::MAX - inside.iter().sum::<u128>() + 1);
    assert_eq!(moved.first, moved.total);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Both tables are asked for an address of every piece that any of their networks
    /// cuts the space into.
    #[test]
    fn a_diff_is_that_of_asking_for_every_piece(
        databases in [testing::database(), testing::database()],
        overrides in [testing::overrides(), testing::overrides()],
    ) {
        let compile = |index: usize| {
            let databases = [testing::written(&databases[index])];
            Table::compile(&plan(&overrides[index]), &databases).unwrap()
        };
        let (old, new) = (compile(0), compile(1));
        let diff = Diff::between(&old, &new);
        prop_assert_eq!(&diff.v4, &asked(&old, &new, "0.0.0.0/0", Family::V4));
        prop_assert_eq!(&diff.v6, &asked(&old, &new, "::/0", Family::V6));
        let gained: u128 = diff.v4.pops.iter().map(|moves| moves.gained).sum();
        prop_assert_eq!(gained, diff.v4.first);
    }
}

/// The same, by looking up address after address: behind the network that holds for one
/// begins the next.
fn asked(old: &Table, new: &Table, whole: &str, family: Family) -> Moves {
    let mut moves = Moves::default();
    let whole: IpNet = whole.parse().unwrap();
    let mut address = Some(whole.network());
    while let Some(at) = address {
        let (before, after) = (old.find(at), new.find(at));
        let (_, bits) = Family::bits(at);
        let kind = Some(bits)
            .filter(|_| family == Family::V6)
            .and_then(Embedded::of);
        let depth = match kind {
            Some(kind) => kind.network().1,
            None => before.depth.max(after.depth),
        };
        let piece = IpNet::new(at, depth).unwrap();
        let default = |table: &Table| table.list(table.default_list());
        let unknown = [(old, before), (new, after)]
            .into_iter()
            .all(|(table, found)| found.ranked == default(table));
        let left_out = family == Family::V6 && unknown && before.ranked == after.ranked;
        if kind.is_none() && !left_out {
            moves.count(before.ranked, after.ranked, 1 << (family.len() - depth));
        }
        address = next(piece.broadcast());
    }
    moves
}

fn next(last: IpAddr) -> Option<IpAddr> {
    match last {
        IpAddr::V4(v4) => v4
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V6(bits.into())),
    }
}
