//! Which points of presence are near a client.
//!
//! ```text
//!  GeoLite2 City, ASN, …            database.rs    read, verified, judged
//!    │  tree.rs, record.rs                         each node once, each record once
//!    ▼
//!  trie of facts                    trie.rs        network → place, country, continent, ASN
//!    │        the operator's plan   plan.rs        sites, overrides, default list
//!    ▼        ▼
//!  Table::compile                   compile.rs     all tries walked together
//!    │  plan.rs                                    which list goes in front
//!    │  whereabouts.rs                             coordinates, else ASN, else country
//!    │  ranking.rs, place.rs                       then the nearest
//!    ▼
//!  Table::find_prefix               table.rs       at each query: no decoding, no lock
//!       embedded.rs                                IPv4 inside of IPv6
//! ```
//!
//! Beside the path: `explain.rs` says why a client is sent where it is sent, `diff.rs`
//! what another table would move, and `watch.rs` is the driver that exchanges databases
//! under a running server.
//!
//! What a reader would get wrong: the depth that is found with a list is a promise to
//! resolvers, which keep the answer for every client in that prefix (`table.rs`).

mod compile;
mod database;
mod diff;
mod embedded;
mod explain;
mod facts;
mod place;
mod plan;
mod ranking;
mod record;
mod table;
mod tree;
mod trie;
mod watch;
mod whereabouts;

#[cfg(test)]
#[expect(
    unreachable_pub,
    reason = "the file is a public module of the tests' library too"
)]
#[path = "../../../../tests/support/mmdb.rs"]
mod mmdb;
#[cfg(test)]
mod testing;

pub use compile::{CompileError, MAX_DATABASES};
pub use database::{Contents, Database, DatabaseError, MAX_FILE_BYTES};
pub use diff::{Diff, Moves, PopMoves};
pub use embedded::Embedded;
pub use explain::{Choice, Explanation, Said};
pub use facts::{Code, Facts};
pub(crate) use place::Direction;
pub use place::Place;
pub use plan::{MAX_BIAS_KM, MAX_OVERRIDES, Overrides, Plan, PlanError, Rule};
pub use ranking::{MAX_POPS, MAX_RANKED, PopId, Ranked, Site};
pub use record::RecordError;
pub use table::{Found, Table};
pub use tree::TreeError;
pub use trie::{Full, MAX_NODES};
pub use watch::{Loaded, Refusal, Seen, Watch, Watched};
pub use whereabouts::{MAX_SPREAD_KM, Whereabouts, country_centre};
