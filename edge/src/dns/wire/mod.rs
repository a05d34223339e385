//! DNS on the wire: reading what strangers ask, writing what they are told.
//!
//! Nothing here knows of zones, clients or clocks; it imports nothing of ours.
//! What is read borrows the datagram it came in. Only queries are read: a server
//! that answers nothing but its own zones has no use for others' records, so they
//! are stepped over, and never followed.
//!
//! | file | holds |
//! |---|---|
//! | `name` | domain names in wire form, lower case (RFC 1035 §3.1) |
//! | `cursor` | stepping through a message without leaving it |
//! | `query` | a message as a query, or how to refuse it (RFC 1035 §4.1, RFC 6891) |
//! | `option` | EDNS options: client subnet, cookie, and what else is heeded |
//! | `record` | record types, and a record's data with its names |
//! | `encode` | building a response that keeps to its size |
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod cursor;
mod encode;
mod name;
mod option;
#[cfg(test)]
mod oracle;
mod query;
mod record;
#[cfg(test)]
mod tests;

pub use encode::{Encoder, Options, Owner, PAYLOAD, Section};
pub use name::{MAX_NAME, Name, NameBuf, NameError, suffixes};
pub use option::{ClientSubnet, Cookie, Edns, ExtendedError, Family, OptionCode};
pub use query::{HEADER, Head, Query, Question, Reject, parse};
pub use record::{Class, Kind, Rcode, Rdata};
