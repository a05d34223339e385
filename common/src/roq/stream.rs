//! Packets in a row on a unidirectional stream: `flow_id { length packet }*`
//! (§5.2).
//!
//! The decoder is fed what QUIC delivers, in chunks of any size, and hands out
//! whole packets that share the chunks' memory where they can.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{FlowId, varint};

/// Longest packet taken from a stream, in bytes; packets on streams may exceed
/// the path's MTU, but not by any amount.
pub const MAX_PACKET: usize = 1 << 20;

/// Writes what stands at the beginning of a stream.
pub fn encode_flow(flow: FlowId, out: &mut impl BufMut) {
    varint::encode(flow.0, out);
}

/// Writes what stands in front of each packet of `len` bytes.
pub fn encode_length(len: usize, out: &mut impl BufMut) {
    varint::encode(len as u64, out);
}

/// Cuts a stream into packets.
#[derive(Debug, Default)]
pub struct Decoder {
    flow: Option<FlowId>,
    buffered: BytesMut,
}

/// The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A packet announces more than [`MAX_PACKET`] bytes.
    #[error("packet of {0} bytes on a stream")]
    TooLong(u64),
}

impl Decoder {
    /// The stream's flow, once its first bytes have come.
    pub fn flow(&self) -> Option<FlowId> {
        self.flow
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffered.extend_from_slice(chunk);
        if self.flow.is_none()
            && let Some((flow, len)) = varint::decode(&self.buffered)
        {
            self.flow = Some(FlowId(flow));
            self.buffered.advance(len);
        }
    }

    /// The next whole packet, `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`] when the sender announces an impossible packet.
    pub fn poll_packet(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if self.flow.is_none() {
            return Ok(None);
        }
        let Some((len, head)) = varint::decode(&self.buffered) else {
            return Ok(None);
        };
        let Ok(body) = usize::try_from(len) else {
            return Err(DecodeError::TooLong(len));
        };
        if body > MAX_PACKET {
            return Err(DecodeError::TooLong(len));
        }
        if self.buffered.len() < head + body {
            return Ok(None);
        }
        self.buffered.advance(head);
        Ok(Some(self.buffered.split_to(body).freeze()))
    }

    /// Whether the stream may end here: no part of a packet is left over.
    pub fn is_at_boundary(&self) -> bool {
        self.buffered.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_survive_any_chunking(
            packets in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 0..6),
            chunk in 1_usize..50,
        ) {
            let mut wire = Vec::new();
            encode_flow(FlowId(300), &mut wire);
            for packet in &packets {
                encode_length(packet.len(), &mut wire);
                wire.extend_from_slice(packet);
            }
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in wire.chunks(chunk) {
                decoder.push(piece);
                while let Some(packet) = decoder.poll_packet().unwrap() {
                    seen.push(packet.to_vec());
                }
            }
            prop_assert_eq!(decoder.flow(), Some(FlowId(300)));
            prop_assert!(decoder.is_at_boundary());
            prop_assert_eq!(seen, packets);
        }
    }

    #[test]
    fn an_impossible_length_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(&[1, 0xC0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(decoder.poll_packet(), Err(DecodeError::TooLong(1 << 32)));
    }
}
