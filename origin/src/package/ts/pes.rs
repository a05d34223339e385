//! Packetized elementary stream: a frame, or some, with the time of the first
//! (ISO/IEC 13818-1 §2.4.3.6).
//!
//! ```text
//!  00 00 01 · stream_id · length (2) · '10' flags · '10' PTS only · 5 · PTS (5) · payload
//! ```

/// `stream_id` of the first video stream.
pub(super) const VIDEO: u8 = 0xe0;

/// `stream_id` of the first audio stream.
pub(super) const AUDIO: u8 = 0xc0;

/// Bytes before the payload.
const HEADER: usize = 14;

/// One PES packet.
#[derive(Debug)]
pub(super) struct Pes {
    pub(super) pid: u16,
    pub(super) stream_id: u8,
    /// When the first frame is shown, 90 kHz; wraps at 33 bits on the wire.
    /// Nothing is reordered, so it is the decoding time as well.
    pub(super) pts: u64,
    /// Whether decoding can begin here.
    pub(super) sync: bool,
    pub(super) payload: Vec<u8>,
}

impl Pes {
    /// Header and payload.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + self.payload.len());
        packet.extend([0, 0, 1, self.stream_id]);
        packet.extend(self.length().to_be_bytes());
        // data_alignment_indicator: the payload begins with a frame.
        packet.extend([0x84, 0x80, 5]);
        packet.extend(timestamp(self.pts));
        packet.extend_from_slice(&self.payload);
        packet
    }

    /// `PES_packet_length` counts what follows it; 0, which video may use,
    /// leaves it open (§2.4.3.7).
    fn length(&self) -> u16 {
        if self.stream_id == VIDEO {
            return 0;
        }
        u16::try_from(self.payload.len() + HEADER - 6).unwrap_or(0)
    }
}

/// 33 bits in five bytes with marker bits between.
fn timestamp(pts: u64) -> [u8; 5] {
    let byte = |shift: u32, mask: u64| u8::try_from(pts >> shift & mask).unwrap_or(0);
    [
        0x21 | byte(30, 7) << 1,
        byte(22, 0xff),
        1 | byte(15, 0x7f) << 1,
        byte(7, 0xff),
        1 | byte(0, 0x7f) << 1,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_its_33_bits() {
        let read = |bytes: [u8; 5]| {
            let [a, b, c, d, e] = bytes.map(u64::from);
            (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
        };
        for pts in [0, 1, 0x7f, 0x80, 0x1_2345_6789, (1 << 33) - 1] {
            let bytes = timestamp(pts);
            assert_eq!(read(bytes), pts);
            assert_eq!((bytes[0] & 0xf1, bytes[2] & 1, bytes[4] & 1), (0x21, 1, 1));
        }
        assert_eq!(read(timestamp(1 << 33)), 0, "wraps");
    }
}
