//! How much of the world another table would move, before it is put in place.
//!
//! Both tables are walked together, and nothing is sampled: the counts are exact.
//!
//! IPv4 is counted in addresses, of all 2^32. IPv6 is counted in addresses too, but not
//! of all 2^128: most of them are nobody's, and any share of them would be 0. What both
//! tables give their default list, in the same order, is left out, and so are the networks that
//! have an IPv4 address inside, which are counted as IPv4.

use super::{
    ranking::{PopId, Ranked},
    table::{Table, embedded},
    trie::{Entry, Family},
};

/// What a table gives to clients that another gave otherwise, in one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Addresses that were counted.
    pub total: u128,
    /// Addresses whose list is another one.
    pub list: u128,
    /// Addresses whose list begins with another point of presence.
    pub first: u128,
    /// For each point of presence that gains or loses, in the order of their ids.
    pub pops: Vec<PopMoves>,
}

/// What a point of presence gains and loses as the first of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopMoves {
    /// Which one.
    pub pop: PopId,
    /// Addresses whose list begins with it now.
    pub gained: u128,
    /// Addresses whose list began with it before.
    pub lost: u128,
}

impl Moves {
    /// The part that `addresses` are of all that were counted, from 0 to 1.
    pub fn share(&self, addresses: u128) -> f64 {
        match self.total {
            0 => 0.0,
            total => addresses as f64 / total as f64,
        }
    }

    fn count(&mut self, old: Ranked, new: Ranked, addresses: u128) {
        self.total += addresses;
        if old == new {
            return;
        }
        self.list += addresses;
        if old.first() == new.first() {
            return;
        }
        self.first += addresses;
        if let Some(pop) = new.first() {
            self.pop(pop).gained += addresses;
        }
        if let Some(pop) = old.first() {
            self.pop(pop).lost += addresses;
        }
    }

    fn pop(&mut self, pop: PopId) -> &mut PopMoves {
        let place = self.pops.binary_search_by_key(&pop, |moves| moves.pop);
        let place = place.unwrap_or_else(|place| {
            self.pops.insert(
                place,
                PopMoves {
                    pop,
                    gained: 0,
                    lost: 0,
                },
            );
            place
        });
        &mut self.pops[place]
    }
}

/// How two tables differ. Both must mean the same points of presence by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Of all IPv4 addresses.
    pub v4: Moves,
    /// Of the IPv6 addresses that either table knows something of.
    pub v6: Moves,
}

impl Diff {
    /// What changes when `new` takes the place of `old`.
    pub fn between(old: &Table, new: &Table) -> Self {
        let [v4, v6] = Family::BOTH.map(|family| {
            let mut walk = Walk {
                old,
                new,
                family,
                moves: Moves::default(),
            };
            walk.entry(old.trie().root(family), new.trie().root(family), 0);
            walk.moves
        });
        Self { v4, v6 }
    }
}

struct Walk<'a> {
    old: &'a Table,
    new: &'a Table,
    family: Family,
    moves: Moves,
}

impl Walk<'_> {
    fn entry(&mut self, old: Entry, new: Entry, depth: u8) {
        if let (Some(old), Some(new)) = (old.value(), new.value()) {
            self.leaf(old, new, depth);
            return;
        }
        let old = self.old.trie().halves(old);
        let new = self.new.trie().halves(new);
        for (old, new) in old.into_iter().zip(new) {
            self.entry(old, new, depth + 1);
        }
    }

    fn leaf(&mut self, old: u32, new: u32, depth: u8) {
        // In both tables or in neither: the networks are the same ones.
        if embedded(old).is_some() || embedded(new).is_some() {
            return;
        }
        let unknown = old == self.old.default_list() && new == self.new.default_list();
        let (old, new) = (self.old.list(old), self.new.list(new));
        if self.family == Family::V6 && unknown && old == new {
            return;
        }
        // Not 2^128: the networks above lie deeper than the root of IPv6.
        let addresses = 1 << (self.family.len() - depth);
        self.moves.count(old, new, addresses);
    }
}

#[cfg(test)]
mod tests;
