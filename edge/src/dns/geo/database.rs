//! A database of networks: read, judged, and kept as a trie.
//!
//! The file is read into memory, never mapped: a writer that truncates a mapped file
//! kills the process. It stays there until its networks are in a [`Trie`]; then it goes.
//! A city's name is not kept, so what stays is smaller than the file was: for the
//! synthetic million of networks in the tests see [`super::table`].
//!
//! What fits: GeoLite2 and GeoIP2 City, Country, ASN and ISP; DB-IP Lite, of the same
//! layout; and IPinfo Lite, whose flat fields have no coordinates. Of other databases
//! whatever has these fields.

use std::{
    fs::File,
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use inlet_common::clock::UtcTime;
use ipnet::IpNet;

use super::{
    facts::Facts,
    tree::{self, Shape, TreeError},
    trie::{Entry, Family, Trie, masked},
};

/// The largest file that is read: 1 GiB. GeoIP2 Enterprise has a third of it.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// How far a database's build may lie in the future: clocks differ.
const MAX_AHEAD_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;

/// Why a database is refused.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file cannot be read.
    #[error("cannot be read; give the service's user read access")]
    Io(#[from] io::Error),
    /// The file is too large.
    #[error("is larger than {MAX_FILE_BYTES} bytes; use a City, Country or ASN database")]
    TooLarge,
    /// The file is no MaxMind DB, or a broken one.
    #[error("is no intact MaxMind DB; fetch it again, and put it in place by renaming")]
    Broken(#[from] maxminddb::MaxMindDbError),
    /// Its search tree is broken.
    #[error("is no intact MaxMind DB; fetch it again, and put it in place by renaming")]
    Tree(#[from] TreeError),
    /// It was built in the future.
    #[error("was built more than a week after now; set this machine's clock, or fetch it again")]
    FromTheFuture,
    /// It says nothing that helps.
    #[error(
        "is of type {0:?} and has neither coordinates, countries nor autonomous systems; \
         use a City, Country or ASN database"
    )]
    Useless(String),
    /// It is a database of cities and has no coordinates.
    #[error("is of type {0:?} and has no coordinates; fetch it again")]
    NoPlaces(String),
}

/// How many networks have what, in both families together. Neighbours that say the same
/// are one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Networks with anything.
    pub networks: u64,
    /// Networks with coordinates.
    pub places: u64,
    /// Networks with a country.
    pub countries: u64,
    /// Networks with the number of an autonomous system.
    pub asns: u64,
}

/// A database that is fit for use.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    kind: String,
    built: UtcTime,
    contents: Contents,
    trie: Trie,
    facts: Vec<Facts>,
}

impl Database {
    /// Reads and judges a file. This takes seconds and, for as long, the file's size
    /// and as much again: not for a thread that has packets to send.
    pub fn open(path: &Path, now: UtcTime) -> Result<Self, DatabaseError> {
        Self::from_file(&File::open(path)?, path, now)
    }

    pub(super) fn from_file(file: &File, path: &Path, now: UtcTime) -> Result<Self, DatabaseError> {
        let large = |bytes: u64| bytes > MAX_FILE_BYTES;
        if large(file.metadata()?.len()) {
            return Err(DatabaseError::TooLarge);
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if large(bytes.len() as u64) {
            return Err(DatabaseError::TooLarge);
        }
        Self::from_bytes(bytes, path, now)
    }

    pub(super) fn from_bytes(
        bytes: Vec<u8>,
        path: &Path,
        now: UtcTime,
    ) -> Result<Self, DatabaseError> {
        let reader = maxminddb::Reader::from_source(bytes.as_slice())?;
        let metadata = reader.metadata();
        let shape = Shape {
            nodes: metadata.node_count,
            record_bits: metadata.record_size,
            v6: metadata.ip_version == 6,
        };
        let kind = metadata.database_type.clone();
        let built = UtcTime::from_unix_micros(
            i64::try_from(metadata.build_epoch)
                .ok()
                .and_then(|seconds| seconds.checked_mul(1_000_000))
                .ok_or(DatabaseError::FromTheFuture)?,
        );
        if built.micros_since(now) > MAX_AHEAD_MICROS {
            return Err(DatabaseError::FromTheFuture);
        }
        // Before verify(), which walks each path of a tree that is none.
        let (trie, facts) = tree::read(data_of(&bytes), shape)?;
        reader.verify()?;
        let mut database = Self {
            path: path.to_owned(),
            kind,
            built,
            contents: Contents::default(),
            trie,
            facts,
        };
        database.contents = database.count();
        database.judge()?;
        Ok(database)
    }

    fn judge(&self) -> Result<(), DatabaseError> {
        let Contents {
            places,
            countries,
            asns,
            ..
        } = self.contents;
        if places + countries + asns == 0 {
            return Err(DatabaseError::Useless(self.kind.clone()));
        }
        if places == 0 && self.kind.contains("City") {
            return Err(DatabaseError::NoPlaces(self.kind.clone()));
        }
        Ok(())
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its type, as its maker writes it: `GeoLite2-City`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// When it was built.
    pub fn built(&self) -> UtcTime {
        self.built
    }

    /// How many networks have what.
    pub fn contents(&self) -> Contents {
        self.contents
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.trie.bytes() + size_of_val(self.facts.as_slice())
    }

    /// What is said about an address, and about which network. IPv4 inside of IPv6 is
    /// for the caller to take out.
    pub fn find(&self, address: IpAddr) -> (IpNet, Facts) {
        let (family, bits) = Family::bits(address);
        let (value, depth) = self.trie.find(family, bits);
        (network(family, bits, depth), self.facts(value))
    }

    pub(super) fn trie(&self) -> &Trie {
        &self.trie
    }

    /// The facts that a leaf stands for.
    pub(super) fn facts(&self, value: u32) -> Facts {
        let facts = self.facts.get(value as usize);
        facts.copied().unwrap_or_default()
    }

    fn count(&self) -> Contents {
        let mut contents = Contents::default();
        for family in Family::BOTH {
            self.count_below(self.trie.root(family), &mut contents);
        }
        contents
    }

    fn count_below(&self, entry: Entry, contents: &mut Contents) {
        let Some(value) = entry.value() else {
            for half in self.trie.halves(entry) {
                self.count_below(half, contents);
            }
            return;
        };
        let facts = self.facts(value);
        contents.networks += u64::from(value != 0);
        contents.places += u64::from(facts.place.is_some());
        contents.countries += u64::from(facts.country.is_some());
        contents.asns += u64::from(facts.asn.is_some());
    }
}

/// What stands before the metadata: the tree and the data.
fn data_of(bytes: &[u8]) -> &[u8] {
    const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
    // The last one counts, as for `maxminddb`, which has found it.
    let marker = bytes
        .windows(MARKER.len())
        .rposition(|window| window == MARKER);
    bytes.get(..marker.unwrap_or_default()).unwrap_or_default()
}

/// The network of the first `len` bits.
pub(super) fn network(family: Family, bits: u128, len: u8) -> IpNet {
    let bits = masked(bits, len);
    let address = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(
            u32::try_from(bits >> 96).unwrap_or_default(),
        )),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    };
    IpNet::new_assert(address, len.min(family.len()))
}

#[cfg(test)]
mod tests;
