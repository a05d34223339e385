//! Frames as transport streams carry them: Annex B and ADTS.

use bytes::Bytes;

/// NAL unit types that a sample may carry and an access unit gets anew.
const SPS: u8 = 7;
const PPS: u8 = 8;
const AUD: u8 = 9;

/// Access unit delimiter that allows every slice type (ITU-T H.264 §7.3.2.4);
/// ISO/IEC 13818-1 §2.14.1 wants one before each picture.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, AUD, 0xf0];

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A coded picture as CMAF has it: NAL units after lengths of four bytes.
#[derive(Debug)]
pub(super) struct Picture<'a> {
    pub(super) sample: &'a Bytes,
    /// Sequence and picture parameter sets, where decoding can begin.
    pub(super) parameter_sets: &'a [&'a Bytes],
}

impl Picture<'_> {
    /// The access unit with start codes. What follows a broken length is
    /// left out; our encoder writes none.
    pub(super) fn annex_b(&self) -> Vec<u8> {
        let sets = self.parameter_sets.iter();
        let extra: usize = sets.clone().map(|set| set.len() + START_CODE.len()).sum();
        let mut out = Vec::with_capacity(self.sample.len() + extra + DELIMITER.len() + 16);
        out.extend(DELIMITER);
        for set in sets {
            out.extend(START_CODE);
            out.extend_from_slice(set);
        }
        let mut rest = &self.sample[..];
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let Some((unit, next)) = tail.split_at_checked(length) else {
                break;
            };
            rest = next;
            let kind = unit.first().map(|first| first & 0x1f);
            if kind.is_some_and(|kind| !matches!(kind, SPS | PPS | AUD)) {
                out.extend(START_CODE);
                out.extend_from_slice(unit);
            }
        }
        out
    }
}

/// What each ADTS header says of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct AudioFrames {
    pub(super) object_type: u8,
    pub(super) channels: u8,
}

impl AudioFrames {
    const HEADER: usize = 7;

    /// 48 kHz.
    const FREQUENCY_INDEX: u8 = 3;

    /// Whether the header's 13 bits can tell a frame's length: 8 KiB are twelve
    /// times what two channels of AAC-LC may take.
    pub(super) fn fits(self, frame: &Bytes) -> bool {
        frame.len() + Self::HEADER < 1 << 13
    }

    /// Appends a frame that fits with its ADTS header (ISO/IEC 13818-7 §6.2).
    pub(super) fn append_adts(self, frame: &Bytes, out: &mut Vec<u8>) {
        let length = u16::try_from(frame.len() + Self::HEADER).unwrap_or(u16::MAX);
        let profile = self.object_type.saturating_sub(1) & 3;
        let channels = self.channels & 7;
        let [high, low] = (length << 3).to_be_bytes();
        out.extend([
            0xff,
            // MPEG-4, layer 0, no CRC.
            0xf1,
            profile << 6 | Self::FREQUENCY_INDEX << 2 | channels >> 2,
            channels << 6 | high >> 6,
            high << 2 | low >> 6,
            // Buffer fullness all ones: the rate varies.
            low << 2 & 0xe0 | 0x1f,
            0xfc,
        ]);
        out.extend_from_slice(frame);
    }
}
