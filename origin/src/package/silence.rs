//! An AAC frame of silence, for frames that a dying worker took with it.
//!
//! A hole in the audio timeline stalls players; a quiet frame does not. The
//! frames hold digital silence in the plainest syntax (ISO/IEC 14496-3
//! §4.4.2.1): one element, no spectral data, ID_END.

use bytes::Bytes;

const MONO: &[u8] = &[0x01, 0x18, 0x20, 0x07];
const STEREO: &[u8] = &[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c];

/// The raw frame for a number of channels; `None` beyond stereo.
pub(super) fn frame(channels: u8) -> Option<Bytes> {
    match channels {
        1 => Some(Bytes::from_static(MONO)),
        2 => Some(Bytes::from_static(STEREO)),
        _ => None,
    }
}
