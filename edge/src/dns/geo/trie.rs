//! A binary trie over IPv4 and IPv6 whose leaves are small numbers.
//!
//! Everything that says something about networks is one of these: a database, the
//! operator's overrides, and what is compiled of them. A leaf stands for its whole
//! prefix. Two equal leaves under one node are one leaf in its place, so no network is
//! cut finer than what is said about it.
//!
//! The trap: addresses are walked from the left, as 128 bits; an IPv4 address has its
//! 32 bits in front ([`Family::bits`]).

use std::net::IpAddr;

/// Nodes of a trie: 256 MiB of them. GeoLite2 City has some 5 million.
pub const MAX_NODES: usize = 1 << 25;

/// The largest value of a leaf.
pub(super) const MAX_VALUE: u32 = (1 << 24) - 1;

/// Which of the two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address, and its bits from the left.
    pub(super) fn bits(address: IpAddr) -> (Self, u128) {
        match address {
            IpAddr::V4(v4) => (Self::V4, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (Self::V6, v6.to_bits()),
        }
    }

    /// Bits of an address.
    pub(super) fn len(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// A prefix, and what is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    /// From the left; zero behind `len`.
    pub(super) bits: u128,
    pub(super) len: u8,
    pub(super) value: u32,
}

/// There is no room for another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_NODES} nodes")]
pub struct Full;

/// A leaf with its value, or the index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

const LEAF: u32 = 1 << 31;

impl Entry {
    /// A leaf of `value`, at most [`MAX_VALUE`].
    pub(super) const fn leaf(value: u32) -> Self {
        Self(LEAF | value)
    }

    /// The value, if it is a leaf.
    pub(super) const fn value(self) -> Option<u32> {
        if self.0 & LEAF == 0 {
            None
        } else {
            Some(self.0 & !LEAF)
        }
    }
}

/// The trie.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Vec<[Entry; 2]>,
    roots: [Entry; 2],
}

impl Trie {
    /// One that says `value` about every address.
    pub(super) const fn of(value: u32) -> Self {
        Self {
            nodes: Vec::new(),
            roots: [Entry::leaf(value); 2],
        }
    }

    /// One that says the value of the longest prefix, or 0 where there is none.
    /// Of two equal prefixes the one with the greater value counts.
    pub(super) fn of_prefixes(v4: Vec<Prefix>, v6: Vec<Prefix>) -> Result<Self, Full> {
        let mut trie = Self::of(0);
        for (family, mut prefixes) in Family::BOTH.into_iter().zip([v4, v6]) {
            prefixes.sort_unstable();
            let root = trie.grow(&prefixes, 0, 0)?;
            trie.set_root(family, root);
        }
        Ok(trie)
    }

    fn grow(&mut self, prefixes: &[Prefix], depth: u8, inherited: u32) -> Result<Entry, Full> {
        let here = prefixes.iter().take_while(|prefix| prefix.len == depth);
        let inherited = here.clone().last().map_or(inherited, |prefix| prefix.value);
        let longer = prefixes.get(here.count()..).unwrap_or_default();
        if longer.is_empty() {
            return Ok(Entry::leaf(inherited));
        }
        let right = longer.partition_point(|prefix| !bit(prefix.bits, depth));
        let (left, right) = longer.split_at(right);
        let left = self.grow(left, depth + 1, inherited)?;
        let right = self.grow(right, depth + 1, inherited)?;
        self.join(left, right)
    }

    /// A node of two entries, or the leaf that both are.
    pub(super) fn join(&mut self, left: Entry, right: Entry) -> Result<Entry, Full> {
        if left == right && left.value().is_some() {
            return Ok(left);
        }
        if self.nodes.len() == MAX_NODES {
            return Err(Full);
        }
        // Below 2^31 as MAX_NODES is.
        let index = u32::try_from(self.nodes.len()).map_err(|_| Full)?;
        self.nodes.push([left, right]);
        Ok(Entry(index))
    }

    /// What an entry says about the two halves of its prefix.
    #[inline]
    pub(super) fn halves(&self, entry: Entry) -> [Entry; 2] {
        match entry.value() {
            Some(_) => [entry; 2],
            None => self.nodes[entry.0 as usize],
        }
    }

    pub(super) fn root(&self, family: Family) -> Entry {
        self.roots[family as usize]
    }

    pub(super) fn set_root(&mut self, family: Family, root: Entry) {
        self.roots[family as usize] = root;
    }

    /// Gives back what was kept for nodes to come.
    pub(super) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// Bytes of memory of the nodes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.nodes.as_slice())
    }

    /// Walks on from `entry`, `depth` bits below the root: the value of the leaf, and
    /// its depth.
    #[inline]
    pub(super) fn descend(&self, mut entry: Entry, bits: u128, mut depth: u8) -> (u32, u8) {
        let mut rest = bits << (depth & 127);
        loop {
            if let Some(value) = entry.value() {
                return (value, depth);
            }
            entry = self.nodes[entry.0 as usize][usize::from(rest >> 127 == 1)];
            rest <<= 1;
            depth += 1;
        }
    }

    /// The value for an address, and the length of the prefix that it holds for.
    pub(super) fn find(&self, family: Family, bits: u128) -> (u32, u8) {
        self.descend(self.root(family), bits, 0)
    }
}

/// The bit of an address at `depth`, counted from the left.
pub(super) const fn bit(bits: u128, depth: u8) -> bool {
    bits << depth >> 127 == 1
}

/// The bits without those behind `len`.
pub(super) const fn masked(bits: u128, len: u8) -> u128 {
    match len {
        0 => 0,
        len => bits & (u128::MAX << (128 - len as u32)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn prefix()(bits: u8, len in 0..=8_u8, value in 1..4_u32) -> Prefix {
            Prefix { bits: masked(u128::from(bits) << 120, len), len, value }
        }
    }

    fn longest(prefixes: &[Prefix], bits: u128) -> u32 {
        let covers = |prefix: &&Prefix| masked(bits, prefix.len) == prefix.bits;
        let best = prefixes.iter().filter(covers);
        best.max_by_key(|prefix| (prefix.len, prefix.value))
            .map_or(0, |prefix| prefix.value)
    }

    proptest! {
        #[test]
        fn the_longest_prefix_counts_and_its_leaf_is_as_wide_as_can_be(
            prefixes in prop::collection::vec(prefix(), 0..20),
        ) {
            let trie = Trie::of_prefixes(prefixes.clone(), Vec::new()).unwrap();
            for address in 0..=u8::MAX {
                let bits = u128::from(address) << 120;
                let (value, depth) = trie.find(Family::V4, bits);
                prop_assert_eq!(value, longest(&prefixes, bits));
                let sames = |depth: u8| (0..=u8::MAX)
                    .map(|other| u128::from(other) << 120)
                    .filter(|&other| masked(other, depth) == masked(bits, depth))
                    .all(|other| longest(&prefixes, other) == value);
                prop_assert!(sames(depth));
                prop_assert!(depth == 0 || !sames(depth - 1), "equal leaves collapse");
            }
            prop_assert_eq!(trie.find(Family::V6, 0), (0, 0));
        }
    }

    #[test]
    fn a_host_is_a_leaf_at_the_full_length() {
        let host = |value| Prefix {
            bits: 1,
            len: 128,
            value,
        };
        let trie = Trie::of_prefixes(Vec::new(), vec![host(7)]).unwrap();
        assert_eq!(trie.find(Family::V6, 1), (7, 128));
        assert_eq!(trie.find(Family::V6, 0), (0, 128));
        assert_eq!(trie.find(Family::V6, 2), (0, 127));
        assert_eq!(trie.find(Family::V6, 1 << 127), (0, 1));
    }
}
