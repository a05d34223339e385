//! What happens to each session, for whoever has to know: the presenter at once
//! (its event stream), and whoever looks for what went wrong (its trace).
//!
//! ```text
//!  HTTP: offer, answer ──┐
//!  worker: ICE, DTLS,    ├─▶ Notice ─▶ Book ─┬─▶ Told ─▶ GET {session}/events
//!   RTP, loss, the end ──┘   (bounded)       └─▶ Story ─▶ GET /sessions/{id}/trace
//! ```
//!
//! Nothing here is per packet, and nobody in the packet path waits for it: what
//! does not fit is counted and left out. The trap: a trace is handed around, so no
//! secret may get in. Offers and answers are masked on their way here, addresses
//! lose their last octet.
//!
//! | file | holds |
//! |---|---|
//! | [`notice`] | what can happen |
//! | [`mask`] | taking out what nobody may see |
//! | [`story`] | what happened to one session |
//! | [`book`] | all stories, and who follows them |
//! | [`ending`] | why a session ended, in words for its presenter |
//! | [`verdict`] | which hop was guilty, by which numbers |
//! | [`render`] | a trace as JSON and as RTCStatsDump |

pub mod book;
pub mod ending;
pub mod mask;
pub mod notice;
pub mod render;
pub mod story;
pub mod verdict;

pub use book::Book;
pub use notice::{Interval, Notice, Warning};
pub use story::Story;
