//! QUIC's variable-length integers (RFC 9000 §16).
//!
//! ```text
//! 00xxxxxx                     6 bits      10xxxxxx × 4        30 bits
//! 01xxxxxx xxxxxxxx           14 bits      11xxxxxx × 8        62 bits
//! ```
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use bytes::BufMut;

/// The largest value that fits, 2^62 − 1.
pub const MAX: u64 = (1 << 62) - 1;

/// Bytes that `value` takes; values over [`MAX`] are written as [`MAX`].
pub const fn len(value: u64) -> usize {
    match value {
        0..=0x3F => 1,
        0x40..=0x3FFF => 2,
        0x4000..=0x3FFF_FFFF => 4,
        _ => 8,
    }
}

/// Writes `value` in its shortest form.
pub fn encode(value: u64, out: &mut impl BufMut) {
    let value = value.min(MAX);
    match len(value) {
        1 => out.put_uint(value, 1),
        2 => out.put_uint(value | (0b01 << 14), 2),
        4 => out.put_uint(value | (0b10 << 30), 4),
        _ => out.put_uint(value | (0b11 << 62), 8),
    }
}

/// Reads a value and how many bytes it took; `None` when bytes are missing.
pub fn decode(wire: &[u8]) -> Option<(u64, usize)> {
    let first = *wire.first()?;
    let len = 1_usize << (first >> 6);
    let bytes = wire.get(..len)?;
    let value = bytes
        .iter()
        .fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    let mask = u64::MAX >> (64 - 8 * len + 2);
    Some((value & mask, len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vectors_of_rfc_9000_a1() {
        let vectors: [(&[u8], u64); 5] = [
            (
                &[0xC2, 0x19, 0x7C, 0x5E, 0xFF, 0x14, 0xE8, 0x8C],
                151_288_809_941_952_652,
            ),
            (&[0x9D, 0x7F, 0x3E, 0x7D], 494_878_333),
            (&[0x7B, 0xBD], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (wire, value) in vectors {
            assert_eq!(decode(wire), Some((value, wire.len())));
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_the_wire(value in 0..=MAX) {
            let mut wire = Vec::new();
            encode(value, &mut wire);
            prop_assert_eq!(wire.len(), len(value));
            prop_assert_eq!(decode(&wire), Some((value, wire.len())));
            prop_assert_eq!(decode(&wire[..wire.len() - 1]), None);
        }
    }
}
