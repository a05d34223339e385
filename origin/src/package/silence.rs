//! A frame of silence, for frames that a dying worker took with it.
//!
//! A hole in the audio timeline stalls players; a quiet frame does not. The
//! AAC frames hold digital silence in the plainest syntax (ISO/IEC 14496-3
//! §4.4.2.1): one element, no spectral data, ID_END. The Opus packet (RFC 6716 §3.1) is
//! one frame of 20 ms of CELT in full band and stereo, whose first symbol is the flag
//! for silence.

use bytes::Bytes;

use super::AudioCodec;

const MONO: &[u8] = &[0x01, 0x18, 0x20, 0x07];
const STEREO: &[u8] = &[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c];

const OPUS: &[u8] = &[0xfc, 0xff, 0xfe];

/// The raw frame for a number of channels; `None` beyond stereo.
pub(super) fn frame(codec: AudioCodec, channels: u8) -> Option<Bytes> {
    match (codec, channels) {
        (AudioCodec::Aac, 1) => Some(Bytes::from_static(MONO)),
        (AudioCodec::Aac, 2) => Some(Bytes::from_static(STEREO)),
        (AudioCodec::Opus, 1 | 2) => Some(Bytes::from_static(OPUS)),
        _ => None,
    }
}
