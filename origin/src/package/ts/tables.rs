//! The tables that say which packets carry what (ISO/IEC 13818-1 §2.4.4).
//!
//! ```text
//!  PAT (PID 0)     program 1 → PMT (PID 0x1000)
//!  PMT (PID 4096)  PCR in the video · 0x100 H.264 · 0x101 AAC in ADTS
//! ```
//!
//! They are the same in every segment of every stream, without audio too: a
//! player that saw a stream appear in the middle would begin anew.

use super::packet::Packetizer;

/// Packets of the pictures.
pub(super) const VIDEO_PID: u16 = 0x100;

/// Packets of the sound.
pub(super) const AUDIO_PID: u16 = 0x101;

const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
const PROGRAM: u16 = 1;

/// `stream_type` of H.264 (Table 2-34).
const H264: u8 = 0x1b;

/// `stream_type` of AAC with ADTS.
const ADTS: u8 = 0x0f;

/// Writes both, one packet each, which count the segments.
pub(super) fn write(out: &mut Packetizer, segment: u64) {
    out.write_section(PAT_PID, segment, &association());
    out.write_section(PMT_PID, segment, &map());
}

/// Program association section (§2.4.4.3).
fn association() -> Vec<u8> {
    let [program_high, program_low] = PROGRAM.to_be_bytes();
    let [pid_high, pid_low] = PMT_PID.to_be_bytes();
    section(0, &[program_high, program_low, 0xe0 | pid_high, pid_low])
}

/// Program map section (§2.4.4.8).
fn map() -> Vec<u8> {
    let [pcr_high, pcr_low] = VIDEO_PID.to_be_bytes();
    let mut body = vec![0xe0 | pcr_high, pcr_low, 0xf0, 0];
    for (kind, pid) in [(H264, VIDEO_PID), (ADTS, AUDIO_PID)] {
        let [high, low] = pid.to_be_bytes();
        body.extend([kind, 0xe0 | high, low, 0xf0, 0]);
    }
    section(2, &body)
}

/// A section of one table with the identifier 1, version 0, current.
fn section(table: u8, body: &[u8]) -> Vec<u8> {
    // What follows the length: 5 bytes of header, the body, 4 of CRC.
    let length = u8::try_from(body.len() + 9).expect("both tables are short");
    let mut section = vec![table, 0xb0, length, 0, 1, 0xc1, 0, 0];
    section.extend_from_slice(body);
    let check = crc32(&section);
    section.extend(check.to_be_bytes());
    section
}

/// The CRC of Annex A: polynomial 0x04C11DB7, nothing reflected.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            let carry = crc >> 31;
            crc = (crc << 1) ^ (carry * 0x04c1_1db7);
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_with_its_crc_leaves_no_remainder() {
        assert_eq!(crc32(&association()), 0);
        assert_eq!(crc32(&map()), 0);
        // The check value of CRC-32/MPEG-2.
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7);
    }
}
