//! What the headers of coded pictures tell, without decoding them.
//!
//! | file | holds |
//! |---|---|
//! | `bits` | reading single bits and Exp-Golomb codes |
//! | `h264` | sequence parameter sets |
//! | `vp8` | RFC 7741's descriptor, a key frame's size |
//! | `vp9` | RFC 9628's descriptor, a key frame's size |
//!
//! Pure, and on strangers' bytes: nothing here panics or copies a payload.

mod bits;
pub mod h264;
pub mod vp8;
pub mod vp9;

pub use bits::Bits;

/// A picture's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// Pixels in all.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}
