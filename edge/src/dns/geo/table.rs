//! The table that queries are answered from.
//!
//! One array of nodes for both families; the first 16 bits of an address are an index
//! into an array of their own, and the rest is walked bit by bit. Nothing is decoded or
//! allocated, and a table is never changed: a new one takes its place.
//!
//! # What it promises
//!
//! [`Found::depth`] is the length of a prefix of the address that was asked. Every
//! address with the same prefix, asked with the same source prefix length, gets the same
//! list. It also does with any other source prefix length, except where an IPv4 address
//! is inside and one of the two lengths reaches its end and the other does not. So the
//! depth is what EDNS Client Subnet calls the scope.
//!
//! # What it costs
//!
//! Measured by `make bench BENCH=geo_table`, a synthetic database (43 MB) of
//! a million networks scattered over the whole space, neighbours far apart so that hardly
//! any collapse, on a busy machine: opening it 1.8 s and 46 MB, which stay for as long as
//! it is in use; compiling 2 to 2.5 s and 45 MB. A lookup of a random address was 125 to
//! 146 ns where nothing is in the cache, 33 ns where paths are short.
//!
//! A node is 8 bytes. Where networks lie side by side, as in GeoLite2 City with its 5
//! million, there is about one node for each: by that an estimate of 40 to 60 MB for the
//! database, beside as much for the file while it is read, and no more for the table,
//! which is far smaller where neighbours have the same list. While one is exchanged, old
//! and new are both there.

use std::{net::IpAddr, sync::Arc};

use super::{
    compile::{self, CompileError},
    database::Database,
    embedded::Embedded,
    plan::Plan,
    ranking::Ranked,
    trie::{Entry, Family, MAX_VALUE, Trie},
    whereabouts::Centres,
};

/// Values of leaves from here on are a place in [`Embedded::ALL`], not a list.
pub(super) const EMBEDDED: u32 = MAX_VALUE - 15;

/// Bits of an address that are an index.
const INDEX_BITS: u8 = 16;

/// The list of a client, and for whom else it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where to send it.
    pub ranked: Ranked,
    /// Length of the prefix that this holds for, in bits of the family that was asked.
    pub depth: u8,
}

/// Client networks and their lists.
#[derive(Debug)]
pub struct Table {
    trie: Trie,
    /// By family: what is below the first 16 bits, and how deep that is.
    index: [Vec<(Entry, u8)>; 2],
    lists: Vec<Ranked>,
    default: u32,
    unclear: [u32; Embedded::ALL.len()],
    centres: Centres,
}

impl Table {
    /// Compiles what databases and operator say. Of the databases the first that knows
    /// something counts; without any, the overrides by network and the default list are
    /// all there is. This takes seconds with a large database.
    pub fn compile(plan: &Plan, databases: &[Arc<Database>]) -> Result<Self, CompileError> {
        compile::compile(plan, databases)
    }

    pub(super) fn new(
        mut trie: Trie,
        lists: Vec<Ranked>,
        default: u32,
        unclear: [u32; Embedded::ALL.len()],
        centres: Centres,
    ) -> Self {
        trie.shrink();
        let index = Family::BOTH.map(|family| index(&trie, trie.root(family)));
        Self {
            trie,
            index,
            lists,
            default,
            unclear,
            centres,
        }
    }

    /// The list of a client whose whole address is known.
    #[inline]
    pub fn find(&self, address: IpAddr) -> Found {
        self.find_prefix(address, u8::MAX)
    }

    /// The list of a client of whose address the first `source` bits are known, as EDNS
    /// Client Subnet tells it; the others should be zero.
    ///
    /// IPv4-mapped, NAT64, 6to4 and Teredo addresses are looked up as the IPv4 address
    /// inside if it is known as a whole. Otherwise the list is that of an address of
    /// which nothing is known, and the depth asks for as many bits as it takes.
    pub fn find_prefix(&self, address: IpAddr, source: u8) -> Found {
        let (family, bits) = Family::bits(address);
        let (value, depth) = self.leaf(family, bits);
        match embedded(value) {
            None => self.found(value, depth),
            Some(kind) if source >= kind.reach() => {
                let (value, depth) = self.leaf(Family::V4, kind.take_out(bits));
                self.found(value, kind.offset() + depth)
            }
            Some(kind) => self.found(self.unclear[kind as usize], kind.reach()),
        }
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let index: usize = self
            .index
            .iter()
            .map(|index| size_of_val(index.as_slice()))
            .sum();
        self.trie.bytes() + index + size_of_val(self.lists.as_slice())
    }

    /// Different lists that it has.
    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    #[inline]
    fn leaf(&self, family: Family, bits: u128) -> (u32, u8) {
        let index = (bits >> (128 - u32::from(INDEX_BITS))) as usize;
        let (entry, depth) = self.index[family as usize][index];
        self.trie.descend(entry, bits, depth)
    }

    #[inline]
    fn found(&self, list: u32, depth: u8) -> Found {
        Found {
            ranked: self.list(list),
            depth,
        }
    }

    pub(super) fn trie(&self) -> &Trie {
        &self.trie
    }

    pub(super) fn list(&self, list: u32) -> Ranked {
        self.lists[list as usize]
    }

    /// The place of the list that clients get of whom nothing is known.
    pub(super) fn default_list(&self) -> u32 {
        self.default
    }

    pub(super) fn centres(&self) -> &Centres {
        &self.centres
    }
}

/// Which way an IPv4 address is inside, if the leaf stands for that.
pub(super) fn embedded(value: u32) -> Option<Embedded> {
    let place = value.checked_sub(EMBEDDED)?;
    Embedded::ALL.get(place as usize).copied()
}

fn index(trie: &Trie, root: Entry) -> Vec<(Entry, u8)> {
    let mut index = Vec::with_capacity(1 << INDEX_BITS);
    fill(trie, root, 0, &mut index);
    index
}

fn fill(trie: &Trie, entry: Entry, depth: u8, index: &mut Vec<(Entry, u8)>) {
    if entry.value().is_some() || depth == INDEX_BITS {
        let below = 1 << (INDEX_BITS - depth);
        index.extend(std::iter::repeat_n((entry, depth), below));
        return;
    }
    for half in trie.halves(entry) {
        fill(trie, half, depth + 1, index);
    }
}

#[cfg(test)]
mod tests;
