//! Where the next point of presence would help most: which presenters are served within
//! their region, who is relayed and how far away, and what would bring more of them near.
//!
//! ```text
//!  POST of WHIP: the client's address ─▶ Atlas ─▶ Spot (the address is forgotten)
//!  worker: path, round trip, end ─▶ Notice ──┐      │
//!                                            ▼      ▼
//!                                            Tally (bounded) ─▶ Seen, one of each edge
//!                                                                 │  files, admin API
//!                                                                 ▼
//!                                       Report: shares, relayed, the next places
//! ```
//!
//! Nothing here is per packet, and no worker waits for it: what it knows of a session
//! comes with the notices that make its trace.
//!
//! The trap: a share is only as honest as what it leaves out. Whoever cannot be located,
//! or found no row any more, is counted apart and is in no share; and a presenter who is
//! out of region although another point of presence is near needs better steering, not
//! one more point of presence. In no count at all is a session of which a worker could not
//! tell, because too much waited to be told (`worker/telling.rs`).
//!
//! | file | holds |
//! |---|---|
//! | [`tally`] | what was seen at this edge, in a bounded table |
//! | [`rtt`] | round trips in a few numbers |
//! | [`seen`] | what one edge has seen, as it travels |
//! | [`report`] | shares and lists of one edge or several |
//! | [`advice`] | the next points of presence, pure |
//! | `text` | the report for people |

pub mod advice;
pub mod report;
pub mod rtt;
pub mod seen;
pub mod tally;
#[cfg(test)]
mod tests;
mod text;

pub use advice::Next;
pub use report::Report;
pub use seen::Seen;
pub use tally::{Atlas, Counts, Spot, Tally};

/// Share of the located presenters that shall be served within their region.
pub const AIM: f64 = 0.9;

/// How far a presenter's region reaches unless somebody says otherwise, in km: some 15 ms
/// of light in glass there and back.
pub const REGION_KM: f64 = 1_500.0;

/// Smallest and largest region, in km. Places are known to 79 km, and nothing on earth is
/// farther than 20,016 km.
const REGIONS_KM: std::ops::RangeInclusive<f64> = 100.0..=20_000.0;
