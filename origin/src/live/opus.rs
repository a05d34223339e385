//! How long an Opus packet sounds, from its first bytes.
//!
//! ```text
//!  0 1 2 3 4 5 6 7
//! | config  |s| c |      config: mode and frame length, c: how many frames
//! ```

/// The packet's length in samples at 48 kHz (RFC 6716 §3.1); `None` when it is
/// no Opus packet. At most 120 ms, as §3.2.5 has it.
pub(super) fn samples(packet: &[u8]) -> Option<u32> {
    let &toc = packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        config @ 12..=15 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let count = match toc & 0b11 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    let samples = frame * count;
    (1..=5760).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_length() {
        // CELT full band 20 ms, one frame: what browsers send.
        assert_eq!(samples(&[0xF8, 0]), Some(960));
        // Two frames of 10 ms; three of 60 ms are too long; none is nothing.
        assert_eq!(samples(&[0xF1, 0]), Some(960));
        assert_eq!(samples(&[0x1B, 3]), None);
        assert_eq!(samples(&[0xFB, 0]), None);
        assert_eq!(samples(&[]), None);
    }
}
