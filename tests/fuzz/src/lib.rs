//! What targets need that a few bytes do not make.
//!
//! | file | holds |
//! |---|---|
//! | [`relay`] | a TURN engine with one allocation |
//! | [`origin`] | a stream with some media, and those who watch it |

pub mod origin;
pub mod relay;
