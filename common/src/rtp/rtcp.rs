//! The RTCP that travels between edge and origin.
//!
//! Receiver reports, NACK and congestion feedback are hop-local and never
//! cross the link; sender reports, PLI, FIR and BYE do.
//!
//! ```text
//! |V=2|P| count/fmt |     PT      |  length in words, less one    |
//! |                        sender's SSRC                          |
//! ```
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use bytes::BufMut;

use super::Ssrc;

const SENDER_REPORT: u8 = 200;
const BYE: u8 = 203;
const PAYLOAD_FEEDBACK: u8 = 206;
const FMT_PLI: u8 = 1;
const FMT_FIR: u8 = 4;

/// One RTCP packet that concerns the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtcp {
    /// Ties the RTP clock to the sender's wall clock (RFC 3550 §6.4.1).
    SenderReport(SenderReport),
    /// Picture loss indication: a key frame is wanted (RFC 4585 §6.3.1).
    Pli {
        /// Who asks.
        sender: Ssrc,
        /// Whose picture.
        media: Ssrc,
    },
    /// Full intra request (RFC 5104 §4.3.1); taken as a PLI.
    Fir {
        /// Who asks.
        sender: Ssrc,
    },
    /// The source leaves (RFC 3550 §6.6).
    Bye {
        /// Who leaves.
        ssrc: Ssrc,
    },
}

/// The sender information of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Who reports.
    pub ssrc: Ssrc,
    /// The sender's wall clock, NTP format: seconds since 1900 in the upper 32
    /// bits, fraction in the lower.
    pub ntp: u64,
    /// The same moment on the RTP clock.
    pub rtp: u32,
    /// Packets sent so far, wrapping.
    pub packets: u32,
    /// Payload bytes sent so far, wrapping.
    pub octets: u32,
}

impl Rtcp {
    /// Writes the packet. It stands alone: reduced-size RTCP (RFC 5506), which
    /// our own ALPN allows.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::SenderReport(report) => {
                put_head(out, 0, SENDER_REPORT, 6, report.ssrc);
                out.put_u64(report.ntp);
                out.put_u32(report.rtp);
                out.put_u32(report.packets);
                out.put_u32(report.octets);
            }
            Self::Pli { sender, media } => {
                put_head(out, FMT_PLI, PAYLOAD_FEEDBACK, 2, *sender);
                out.put_u32(media.0);
            }
            Self::Fir { sender } => {
                put_head(out, FMT_FIR, PAYLOAD_FEEDBACK, 4, *sender);
                out.put_bytes(0, 12);
            }
            Self::Bye { ssrc } => put_head(out, 1, BYE, 1, *ssrc),
        }
    }
}

fn put_head(out: &mut impl BufMut, count: u8, kind: u8, words: u16, ssrc: Ssrc) {
    out.put_u8(0x80 | count);
    out.put_u8(kind);
    out.put_u16(words);
    out.put_u32(ssrc.0);
}

/// Walks a compound packet and yields what concerns the link; other packets
/// are passed over, and the walk ends where the bytes make no sense.
pub fn decode(mut compound: &[u8]) -> impl Iterator<Item = Rtcp> + '_ {
    std::iter::from_fn(move || {
        loop {
            let &[first, kind, high, low, ..] = compound else {
                return None;
            };
            let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
            let (packet, rest) = compound.split_at_checked(len)?;
            if first >> 6 != 2 {
                return None;
            }
            compound = rest;
            if let Some(rtcp) = decode_one(first & 0x1F, kind, packet) {
                return Some(rtcp);
            }
        }
    })
}

fn decode_one(count: u8, kind: u8, packet: &[u8]) -> Option<Rtcp> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?))
    };
    let sender = Ssrc(word(4)?);
    match (kind, count) {
        (SENDER_REPORT, _) => Some(Rtcp::SenderReport(SenderReport {
            ssrc: sender,
            ntp: (u64::from(word(8)?) << 32) | u64::from(word(12)?),
            rtp: word(16)?,
            packets: word(20)?,
            octets: word(24)?,
        })),
        (PAYLOAD_FEEDBACK, FMT_PLI) => Some(Rtcp::Pli {
            sender,
            media: Ssrc(word(8)?),
        }),
        (PAYLOAD_FEEDBACK, FMT_FIR) => Some(Rtcp::Fir { sender }),
        (BYE, 1..) => Some(Rtcp::Bye { ssrc: sender }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_packet_survives_a_compound() {
        let sent = [
            Rtcp::SenderReport(SenderReport {
                ssrc: Ssrc(1),
                ntp: 0x0123_4567_89AB_CDEF,
                rtp: 7,
                packets: 8,
                octets: 9,
            }),
            Rtcp::Pli {
                sender: Ssrc(2),
                media: Ssrc(3),
            },
            Rtcp::Fir { sender: Ssrc(4) },
            Rtcp::Bye { ssrc: Ssrc(5) },
        ];
        let mut wire = Vec::new();
        // A receiver report in between is passed over.
        wire.extend_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 9]);
        for packet in &sent {
            packet.encode(&mut wire);
            assert!(super::super::is_rtcp(&wire));
        }
        assert_eq!(decode(&wire).collect::<Vec<_>>(), sent);
    }

    proptest! {
        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&junk).count();
        }
    }
}
