//! VP9 over RTP (RFC 9628).
//!
//! ```text
//!       0 1 2 3 4 5 6 7
//!      +-+-+-+-+-+-+-+-+
//!      |I|P|L|F|B|E|V|Z|   B: begins a layer frame, E: ends it
//! I:   |M| PictureID   |   two bytes when M
//! L:   | T |U| S |D|       layer; then TL0PICIDX when not F
//! F,P: | P_DIFF    |N|     up to three
//! V:   | N_S |Y|G|-|-|-|   scalability structure
//! ```
//!
//! All spatial layers of a picture share a timestamp and follow each other, so
//! their payloads in a row are the super frame that a decoder takes.

use super::{Bits, Size};

/// Takes the payload descriptor off; tells whether the packet begins a
/// picture. `None` when there is less than it says.
pub fn strip_descriptor(payload: &[u8]) -> Option<(&[u8], bool)> {
    let (&first, mut rest) = payload.split_first()?;
    let has = |bit: u8| first & bit != 0;
    let mut take = |count: usize| -> Option<u8> {
        let (taken, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(taken.first().copied().unwrap_or(0))
    };
    if has(0x80) && take(1)? & 0x80 != 0 {
        take(1)?;
    }
    let mut spatial_layer = 0;
    if has(0x20) {
        spatial_layer = (take(1)? >> 1) & 0x07;
        if !has(0x10) {
            take(1)?;
        }
    }
    if has(0x10) && has(0x40) {
        for _ in 0..3 {
            if take(1)? & 1 == 0 {
                break;
            }
        }
    }
    if has(0x02) {
        skip_scalability_structure(&mut take)?;
    }
    Some((rest, has(0x08) && spatial_layer == 0))
}

fn skip_scalability_structure(take: &mut impl FnMut(usize) -> Option<u8>) -> Option<()> {
    let head = take(1)?;
    let layers = usize::from(head >> 5) + 1;
    if head & 0x10 != 0 {
        take(4 * layers)?;
    }
    if head & 0x08 != 0 {
        for _ in 0..take(1)? {
            let references = (take(1)? >> 2) & 0b11;
            take(usize::from(references))?;
        }
    }
    Some(())
}

/// Whether the picture can be decoded by itself.
pub fn is_key(frame: &[u8]) -> bool {
    key_frame_header(frame).is_some()
}

/// A key frame's size: that of its first layer, as its header tells it.
pub fn size(frame: &[u8]) -> Option<Size> {
    let (mut bits, profile) = key_frame_header(frame)?;
    if profile >= 2 {
        bits.skip(1)?;
    }
    let is_rgb = bits.uint(3)? == 7;
    let odd_profile = profile == 1 || profile == 3;
    match (is_rgb, odd_profile) {
        (false, false) => bits.skip(1)?,
        (false, true) => bits.skip(4)?,
        (true, true) => bits.skip(1)?,
        (true, false) => return None,
    }
    let width = bits.uint(16)? + 1;
    let height = bits.uint(16)? + 1;
    Some(Size { width, height })
}

/// The uncompressed header up to behind the sync code, when it is a key frame's
/// (VP9 bitstream specification §6.2).
fn key_frame_header(frame: &[u8]) -> Option<(Bits<'_>, u32)> {
    let mut bits = Bits::new(frame);
    if bits.uint(2)? != 0b10 {
        return None;
    }
    let profile = bits.uint(1)? | bits.uint(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let shows_existing = bits.flag()?;
    let is_inter = bits.flag()?;
    bits.skip(2)?;
    let is_key = !shows_existing && !is_inter && bits.uint(24)? == 0x49_83_42;
    is_key.then_some((bits, profile))
}
