//! The search tree of a MaxMind DB, made into a [`Trie`] of facts.
//!
//! The tree is not walked by `maxminddb`: a file whose nodes have two parents can have
//! 2^128 paths in its few nodes. The crate's iterator walks them all as long as they meet
//! no network, and its `verify()` counts the networks that it meets, but not the paths
//! that it skips as aliases of IPv4. Here each node is visited once, and one that would be
//! visited again is the end of it. This must come before `verify()`.
//!
//! The exception is the root of the IPv4 tree, at `::/96`. MaxMind's writers put it at
//! `::ffff:0:0/96`, `2001::/32` and `2002::/16` again; none of these is IPv6, and
//! [`super::embedded`] cares for them.
//!
//! Source: MaxMind DB File Format Specification 2.0, "Binary Search Tree Section".

#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::collections::HashMap;

use super::{
    facts::Facts,
    record::{RecordError, Records},
    trie::{Entry, Family, Full, MAX_VALUE, Trie},
};

/// Zeros between the tree and the data.
const SEPARATOR: usize = 16;

/// Why a search tree is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The file ends before the tree does.
    #[error("the search tree is cut off")]
    CutOff,
    /// A node has two parents, or is its own ancestor.
    #[error("node {0} of the search tree has two parents")]
    NotATree(u32),
    /// A path is longer than an address.
    #[error("the search tree is deeper than an address is long")]
    TooDeep,
    /// A leaf points between the tree and the data.
    #[error("the search tree points into no record")]
    NoRecord,
    /// There are more nodes than we hold.
    #[error(transparent)]
    Full(#[from] Full),
    /// There are more different networks than we hold.
    #[error("more than {MAX_VALUE} different places")]
    TooManyFacts,
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The shape of a tree, as the file's metadata tell it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Nodes.
    pub(super) nodes: u32,
    /// Bits of each of a node's two records: 24, 28 or 32.
    pub(super) record_bits: u16,
    /// Whether addresses have 128 bits.
    pub(super) v6: bool,
}

impl Shape {
    /// Bytes of the tree.
    fn bytes(self) -> Option<usize> {
        let nodes = usize::try_from(self.nodes).ok()?;
        nodes.checked_mul(usize::from(self.record_bits) / 4)
    }
}

/// The facts about each network of a file whose data end at the length of `file`.
/// The values of the trie are places in the facts; the first is that nothing is known.
pub(super) fn read(file: &[u8], shape: Shape) -> Result<(Trie, Vec<Facts>), TreeError> {
    let bytes = shape.bytes().ok_or(TreeError::CutOff)?;
    let (tree, data) = file.split_at_checked(bytes).ok_or(TreeError::CutOff)?;
    let data = data.get(SEPARATOR..).ok_or(TreeError::CutOff)?;
    let nodes = usize::try_from(shape.nodes).unwrap_or(usize::MAX);
    let mut reader = Reader {
        tree,
        shape,
        v4: None,
        visited: vec![false; nodes],
        trie: Trie::of(0),
        records: Records::new(data),
        pointers: HashMap::new(),
        known: HashMap::from([(Facts::default(), 0)]),
        facts: vec![Facts::default()],
    };
    reader.read()?;
    reader.trie.shrink();
    reader.facts.shrink_to_fit();
    Ok((reader.trie, reader.facts))
}

struct Reader<'a> {
    tree: &'a [u8],
    shape: Shape,
    /// The root of the IPv4 tree inside an IPv6 one.
    v4: Option<u32>,
    visited: Vec<bool>,
    trie: Trie,
    records: Records<'a>,
    /// Places in the facts, by the tree's pointers.
    pointers: HashMap<u32, u32>,
    /// Places in the facts, by the facts.
    known: HashMap<Facts, u32>,
    facts: Vec<Facts>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), TreeError> {
        let (v4, depth) = self.v4_root()?;
        let root = self.entry(v4, depth)?;
        self.trie.set_root(Family::V4, root);
        if self.shape.v6 {
            self.v4 = (v4 < self.shape.nodes).then_some(v4);
            let root = self.entry(0, 0)?;
            self.trie.set_root(Family::V6, root);
        }
        Ok(())
    }

    /// Where IPv4 begins, and how deep that is. A tree that ends above `::/96` says
    /// the same of every IPv4 address.
    fn v4_root(&self) -> Result<(u32, u8), TreeError> {
        let mut node = 0;
        if self.shape.v6 {
            for _ in 0..96 {
                if node >= self.shape.nodes {
                    break;
                }
                [node, _] = self.children(node)?;
            }
        }
        Ok((node, 96))
    }

    fn entry(&mut self, record: u32, depth: u8) -> Result<Entry, TreeError> {
        if self.v4 == Some(record) {
            return Ok(Entry::leaf(0));
        }
        if record >= self.shape.nodes {
            return self.leaf(record);
        }
        if depth == 128 {
            return Err(TreeError::TooDeep);
        }
        let index = usize::try_from(record).unwrap_or(usize::MAX);
        match self.visited.get_mut(index) {
            Some(visited) if !*visited => *visited = true,
            _ => return Err(TreeError::NotATree(record)),
        }
        let [left, right] = self.children(record)?;
        let left = self.entry(left, depth + 1)?;
        let right = self.entry(right, depth + 1)?;
        Ok(self.trie.join(left, right)?)
    }

    fn leaf(&mut self, record: u32) -> Result<Entry, TreeError> {
        if record == self.shape.nodes {
            return Ok(Entry::leaf(0));
        }
        if let Some(&place) = self.pointers.get(&record) {
            return Ok(Entry::leaf(place));
        }
        let offset = usize::try_from(record - self.shape.nodes).unwrap_or(usize::MAX);
        let offset = offset.checked_sub(SEPARATOR).ok_or(TreeError::NoRecord)?;
        let facts = self.records.facts(offset)?;
        let place = self.place(facts)?;
        self.pointers.insert(record, place);
        Ok(Entry::leaf(place))
    }

    fn place(&mut self, facts: Facts) -> Result<u32, TreeError> {
        if let Some(&place) = self.known.get(&facts) {
            return Ok(place);
        }
        let place = u32::try_from(self.facts.len()).unwrap_or(u32::MAX);
        if place > MAX_VALUE {
            return Err(TreeError::TooManyFacts);
        }
        self.facts.push(facts);
        self.known.insert(facts, place);
        Ok(place)
    }

    fn children(&self, node: u32) -> Result<[u32; 2], TreeError> {
        let size = usize::from(self.shape.record_bits) / 4;
        let at = usize::try_from(node)
            .unwrap_or(usize::MAX)
            .checked_mul(size);
        let bytes = at.and_then(|at| self.tree.get(at..)?.get(..size));
        match *bytes.ok_or(TreeError::CutOff)? {
            [a, b, c, d, e, f] => Ok([[0, a, b, c], [0, d, e, f]]),
            // The middle byte has the highest four bits of both.
            [a, b, c, both, d, e, f] => Ok([[both >> 4, a, b, c], [both & 15, d, e, f]]),
            [a, b, c, d, e, f, g, h] => Ok([[a, b, c, d], [e, f, g, h]]),
            _ => Err(TreeError::CutOff),
        }
        .map(|children| children.map(u32::from_be_bytes))
    }
}

#[cfg(test)]
mod tests;
