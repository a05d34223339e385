//! From databases and the operator's plan to a table.
//!
//! All tries are walked together, once for the middles of autonomous systems and once
//! for the lists. A node of the table is made when both its halves are known, so that
//! equal ones never become two; nothing is kept per network. The walk stops where
//! everything that it walks has become a leaf.

use std::{collections::HashMap, sync::Arc};

use super::{
    database::Database,
    embedded::Embedded,
    facts::Facts,
    place::Place,
    plan::{ListId, Plan},
    ranking::Ranked,
    table::{EMBEDDED, Table},
    trie::{Entry, Family, Full, Trie},
    whereabouts::{Centres, CentresBuilder},
};

/// Databases that may be asked together.
pub const MAX_DATABASES: usize = 4;

/// Why there is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// There are too many databases.
    #[error("there are more than {MAX_DATABASES} databases")]
    TooManyDatabases,
    /// The table would have too many nodes.
    #[error(transparent)]
    Full(#[from] Full),
    /// There would be too many different lists.
    #[error("there are more than {EMBEDDED} different lists of points of presence")]
    TooManyLists,
}

/// Where a walk is in each of the databases; what is unused says nothing.
type Heads = [Entry; MAX_DATABASES];

/// Databases, of which the first that knows something counts.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a>(&'a [Arc<Database>]);

impl<'a> Sources<'a> {
    pub(super) fn new(databases: &'a [Arc<Database>]) -> Result<Self, CompileError> {
        if databases.len() > MAX_DATABASES {
            return Err(CompileError::TooManyDatabases);
        }
        Ok(Self(databases))
    }

    fn roots(self, family: Family) -> Heads {
        self.each([Entry::leaf(0); MAX_DATABASES], |trie, _| trie.root(family))
    }

    fn halves(self, heads: Heads) -> [Heads; 2] {
        [0, 1].map(|half| self.each(heads, |trie, head| trie.halves(head)[half]))
    }

    fn each(self, mut heads: Heads, step: impl Fn(&Trie, Entry) -> Entry) -> Heads {
        for (head, database) in heads.iter_mut().zip(self.0) {
            *head = step(database.trie(), *head);
        }
        heads
    }

    /// What is known, if every database has come to a leaf.
    fn facts(self, heads: Heads) -> Option<Facts> {
        let mut facts = Facts::default();
        for (head, database) in heads.iter().zip(self.0) {
            facts = facts.or(&database.facts(head.value()?));
        }
        Some(facts)
    }

    /// The middles of autonomous systems.
    fn centres(self) -> Centres {
        let has = |of: fn(&Database) -> u64| self.0.iter().any(|database| of(database) > 0);
        let mut builder = CentresBuilder::default();
        if has(|database| database.contents().places) && has(|database| database.contents().asns) {
            for family in Family::BOTH {
                self.collect(self.roots(family), family, 0, &mut builder);
            }
        }
        builder.build()
    }

    fn collect(self, heads: Heads, family: Family, depth: u8, builder: &mut CentresBuilder) {
        match self.facts(heads) {
            Some(facts) => builder.add(&facts, weight(family, depth)),
            None => {
                for heads in self.halves(heads) {
                    self.collect(heads, family, depth + 1, builder);
                }
            }
        }
    }
}

/// What a network weighs: an IPv4 address as much as a /48 of IPv6, since a site that
/// has the one has the other.
fn weight(family: Family, depth: u8) -> f64 {
    let whole = match family {
        Family::V4 => 32,
        Family::V6 => 48,
    };
    f64::from(whole - i32::from(depth)).exp2()
}

/// Compiles a table. This takes seconds: not for a thread that has packets to send.
pub(super) fn compile(plan: &Plan, databases: &[Arc<Database>]) -> Result<Table, CompileError> {
    let sources = Sources::new(databases)?;
    let mut compiler = Compiler {
        plan,
        sources,
        centres: sources.centres(),
        embedded: Embedded::trie()?,
        trie: Trie::of(0),
        lists: Vec::new(),
        known: HashMap::new(),
        ranked: HashMap::new(),
        unclear: [0; Embedded::ALL.len()],
    };
    for family in Family::BOTH {
        let root = compiler.entry(Walk {
            embedded: compiler.embedded.root(family),
            network: plan.network_lists().root(family),
            heads: sources.roots(family),
        })?;
        compiler.trie.set_root(family, root);
    }
    let default = compiler.list(ListId::NONE, None)?;
    Ok(Table::new(
        compiler.trie,
        compiler.lists,
        default,
        compiler.unclear,
        compiler.centres,
    ))
}

/// Where the walk is in each of the tries.
#[derive(Clone, Copy)]
struct Walk {
    embedded: Entry,
    network: Entry,
    heads: Heads,
}

struct Compiler<'a> {
    plan: &'a Plan,
    sources: Sources<'a>,
    centres: Centres,
    embedded: Trie,
    trie: Trie,
    lists: Vec<Ranked>,
    /// Places in the lists, by the list.
    known: HashMap<Ranked, u32>,
    /// Places in the lists, by what they were made of.
    ranked: HashMap<(ListId, Option<Place>), u32>,
    /// Lists of clients of whose IPv4 address inside too little is known.
    unclear: [u32; Embedded::ALL.len()],
}

impl Compiler<'_> {
    fn entry(&mut self, walk: Walk) -> Result<Entry, CompileError> {
        if let Some(leaf) = self.leaf(walk)? {
            return Ok(leaf);
        }
        let embedded = self.embedded.halves(walk.embedded);
        let network = self.plan.network_lists().halves(walk.network);
        let heads = self.sources.halves(walk.heads);
        let [left, right] = [0, 1].map(|half| Walk {
            embedded: embedded[half],
            network: network[half],
            heads: heads[half],
        });
        let left = self.entry(left)?;
        let right = self.entry(right)?;
        Ok(self.trie.join(left, right)?)
    }

    fn leaf(&mut self, walk: Walk) -> Result<Option<Entry>, CompileError> {
        let Some(kind) = walk.embedded.value() else {
            return Ok(None);
        };
        // No override ends inside such a network, so that of the network is a leaf.
        let Some(network) = walk.network.value().map(ListId) else {
            return Ok(None);
        };
        if let Some(place) = kind.checked_sub(1) {
            // What databases have here is IPv4, and this is for whom that is unclear.
            let (_, front) = self.plan.rule(network, &Facts::default());
            self.unclear[place as usize] = self.list(front, None)?;
            return Ok(Some(Entry::leaf(EMBEDDED + place)));
        }
        let Some(facts) = self.sources.facts(walk.heads) else {
            return Ok(None);
        };
        let (_, front) = self.plan.rule(network, &facts);
        let place = self.centres.whereabouts(&facts).place();
        Ok(Some(Entry::leaf(self.list(front, place)?)))
    }

    fn list(&mut self, front: ListId, place: Option<Place>) -> Result<u32, CompileError> {
        if let Some(&list) = self.ranked.get(&(front, place)) {
            return Ok(list);
        }
        let ranked = self.plan.rank(front, place);
        let next = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        let list = *self.known.entry(ranked).or_insert(next);
        if list == next {
            if list >= EMBEDDED {
                return Err(CompileError::TooManyLists);
            }
            self.lists.push(ranked);
        }
        self.ranked.insert((front, place), list);
        Ok(list)
    }
}

#[cfg(test)]
mod tests;
