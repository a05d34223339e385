//! What targets need that a few bytes do not make.
//!
//! | file | holds |
//! |---|---|
//! | [`dns`] | a name server's engine, and another parser |
//! | [`relay`] | a TURN engine with one allocation |
//! | [`origin`] | a stream with some media, and those who watch it |

pub mod dns;
pub mod origin;
pub mod relay;
