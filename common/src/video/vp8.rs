//! VP8 over RTP (RFC 7741).
//!
//! ```text
//!       0 1 2 3 4 5 6 7
//!      +-+-+-+-+-+-+-+-+
//!      |X|R|N|S|R| PID |   S: begins a partition; PID 0 with S: begins a frame
//! X:   |I|L|T|K| RSV   |
//! I:   |M| PictureID   |   two bytes when M
//! L:   |   TL0PICIDX   |
//! T/K: |TID|Y| KEYIDX  |
//! ```

use super::Size;

/// Takes the payload descriptor off; tells whether the packet begins a frame.
/// `None` when there is less than it says.
pub fn strip_descriptor(payload: &[u8]) -> Option<(&[u8], bool)> {
    let (&first, mut rest) = payload.split_first()?;
    let begins = first & 0x10 != 0 && first & 0x07 == 0;
    if first & 0x80 != 0 {
        let (&flags, after) = rest.split_first()?;
        rest = after;
        if flags & 0x80 != 0 {
            let (&id, _) = rest.split_first()?;
            rest = rest.get(if id & 0x80 != 0 { 2 } else { 1 }..)?;
        }
        let tail = usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0);
        rest = rest.get(tail..)?;
    }
    Some((rest, begins))
}

/// Whether the frame can be decoded by itself (RFC 6386 §9.1).
pub fn is_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & 1 == 0)
}

/// A key frame's size (RFC 6386 §9.1).
pub fn size(frame: &[u8]) -> Option<Size> {
    let &[tag, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] = frame else {
        return None;
    };
    let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    let size = Size {
        width: size(w0, w1),
        height: size(h0, h1),
    };
    (tag & 1 == 0 && size.width > 0 && size.height > 0).then_some(size)
}
