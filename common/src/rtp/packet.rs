//! One RTP packet on the wire.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |       CSRC × CC, then if X: profile(16) length(16) words      |
//! ```
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use bytes::{BufMut, Bytes};

use super::Ssrc;

/// The fixed part of a header (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// For video the last packet of a frame, for audio the first after silence.
    pub marker: bool,
    /// Seven bits.
    pub payload_type: u8,
    /// As on the wire, wrapping.
    pub sequence: u16,
    /// In units of the track's clock rate, wrapping.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: Ssrc,
}

impl Header {
    /// Length of what [`Header::encode`] writes without an extension.
    pub const LEN: usize = 12;

    /// Writes the header, with one-byte extension elements (RFC 8285 §4.2) when
    /// there are any: pairs of id (1–14) and up to 16 bytes.
    pub fn encode(&self, extensions: &[(u8, &[u8])], out: &mut impl BufMut) {
        let has_extension = u8::from(!extensions.is_empty());
        out.put_u8(0x80 | (has_extension << 4));
        out.put_u8((u8::from(self.marker) << 7) | (self.payload_type & 0x7F));
        out.put_u16(self.sequence);
        out.put_u32(self.timestamp);
        out.put_u32(self.ssrc.0);
        if !extensions.is_empty() {
            encode_extensions(extensions, out);
        }
    }
}

fn encode_extensions(extensions: &[(u8, &[u8])], out: &mut impl BufMut) {
    let len: usize = extensions
        .iter()
        .map(|(_, value)| 1 + value.len().clamp(1, 16))
        .sum();
    let words = u16::try_from(len.div_ceil(4)).unwrap_or(0);
    out.put_u16(0xBEDE);
    out.put_u16(words);
    for (id, value) in extensions {
        let value = value.get(..16).unwrap_or(value);
        let coded_len = u8::try_from(value.len().max(1) - 1).unwrap_or(0);
        out.put_u8(((id & 0x0F) << 4) | coded_len);
        if value.is_empty() {
            out.put_u8(0);
        }
        out.put_slice(value);
    }
    out.put_bytes(0, usize::from(words) * 4 - len);
}

/// A parsed packet. Its payload shares the datagram's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The fixed part of the header.
    pub header: Header,
    /// The extension's elements as they stand in the packet, `None` when there
    /// are none; read them with [`Packet::extension`].
    extension: Option<(u16, Bytes)>,
    /// What follows the header, padding taken off.
    pub payload: Bytes,
}

impl Packet {
    /// Parses a packet, `None` when it is none of RTP version 2.
    pub fn decode(packet: &Bytes) -> Option<Self> {
        let first = *packet.first()?;
        if first >> 6 != 2 {
            return None;
        }
        let word = |at: usize| -> Option<u32> {
            let bytes = packet.get(at..at.checked_add(4)?)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        let start = word(0)?;
        let [_, second, high, low] = start.to_be_bytes();
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7F,
            sequence: u16::from_be_bytes([high, low]),
            timestamp: word(4)?,
            ssrc: Ssrc(word(8)?),
        };
        let mut at = Header::LEN + 4 * usize::from(first & 0x0F);
        let mut extension = None;
        if first & 0x10 != 0 {
            let [p1, p2, l1, l2] = word(at)?.to_be_bytes();
            let end = at + 4 + 4 * usize::from(u16::from_be_bytes([l1, l2]));
            packet.get(at + 4..end)?;
            extension = Some((u16::from_be_bytes([p1, p2]), packet.slice(at + 4..end)));
            at = end;
        }
        let padding = if first & 0x20 != 0 {
            usize::from(*packet.last()?)
        } else {
            0
        };
        let end = packet.len().checked_sub(padding)?;
        packet.get(at..end)?;
        Some(Self {
            header,
            extension,
            payload: packet.slice(at..end),
        })
    }

    /// The value of the extension element with this id, in the one-byte or the
    /// two-byte form (RFC 8285 §4.2, §4.3).
    pub fn extension(&self, id: u8) -> Option<&[u8]> {
        let (profile, elements) = self.extension.as_ref()?;
        let two_byte = profile & 0xFFF0 == 0x1000;
        if !two_byte && *profile != 0xBEDE {
            return None;
        }
        let mut rest: &[u8] = elements;
        while let Some((&first, after)) = rest.split_first() {
            if first == 0 {
                rest = after;
                continue;
            }
            let (found, len, after) = if two_byte {
                let (&len, after) = after.split_first()?;
                (first, usize::from(len), after)
            } else if first >> 4 == 15 {
                return None;
            } else {
                (first >> 4, usize::from(first & 0x0F) + 1, after)
            };
            let value = after.get(..len)?;
            if found == id {
                return Some(value);
            }
            rest = after.get(len..)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        (
            any::<bool>(),
            0_u8..128,
            any::<u16>(),
            any::<u32>(),
            any::<u32>(),
        )
            .prop_map(|(marker, payload_type, sequence, timestamp, ssrc)| Header {
                marker,
                payload_type,
                sequence,
                timestamp,
                ssrc: Ssrc(ssrc),
            })
    }

    proptest! {
        #[test]
        fn a_packet_survives_the_wire(
            header in header(),
            value in proptest::collection::vec(any::<u8>(), 1..16),
            payload in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut wire = BytesMut::new();
            header.encode(&[(3, &[7]), (5, &value)], &mut wire);
            wire.extend_from_slice(&payload);
            let packet = Packet::decode(&wire.freeze()).unwrap();
            prop_assert_eq!(packet.header, header);
            prop_assert_eq!(packet.extension(3), Some(&[7][..]));
            prop_assert_eq!(packet.extension(5), Some(&value[..]));
            prop_assert_eq!(packet.extension(4), None);
            prop_assert_eq!(&packet.payload[..], &payload[..]);
        }

        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Packet::decode(&junk.into()) {
                for id in 0..=255 {
                    let _ = packet.extension(id);
                }
            }
        }
    }

    #[test]
    fn padding_is_taken_off() {
        let mut wire = vec![0xA0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 0, 0, 3];
        let packet = Packet::decode(&wire.clone().into()).unwrap();
        assert_eq!(&packet.payload[..], &[9, 9]);
        *wire.last_mut().unwrap() = 200;
        assert_eq!(Packet::decode(&wire.into()), None);
    }
}
