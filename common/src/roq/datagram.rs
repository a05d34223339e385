//! One RTP or RTCP packet in a QUIC DATAGRAM: `flow_id packet` (§5.3).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use bytes::{BufMut, Bytes};

use super::{FlowId, varint};

/// Writes what stands in front of the packet.
pub fn encode_flow(flow: FlowId, out: &mut impl BufMut) {
    varint::encode(flow.0, out);
}

/// Splits a DATAGRAM into its flow and its packet; `None` when there is no
/// whole flow id.
pub fn decode(datagram: &Bytes) -> Option<(FlowId, Bytes)> {
    let (flow, len) = varint::decode(datagram)?;
    Some((FlowId(flow), datagram.slice(len..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_and_packet_survive_the_wire() {
        let mut wire = Vec::new();
        encode_flow(FlowId(70), &mut wire);
        wire.extend_from_slice(b"rtp");
        let (flow, packet) = decode(&wire.into()).unwrap();
        assert_eq!((flow, &packet[..]), (FlowId(70), &b"rtp"[..]));
        assert_eq!(decode(&Bytes::from_static(&[0x40])), None);
    }
}
