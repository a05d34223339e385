//! What the points of presence know of each other: each reports how it does, and is
//! told how all of them do.
//!
//! ```text
//!  REPORT of any edge ─▶ Table ─▶ FLEET to each link that reports
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `table` | the latest report of each, pure |
//! | `exchange` | the table between the links, and when each of them is told |
//! | `metrics` | what is counted of it |
//!
//! Nothing of it is kept: after a restart the table is full again within the
//! interval of reports.

mod exchange;
mod metrics;
mod table;

pub use exchange::{Exchange, Subscription};
pub use table::{Outcome, Table};
