//! From the payloads of packets in order to whole coded frames; pure.
//!
//! | file | holds |
//! |---|---|
//! | `h264` | RFC 6184: single NAL units, STAP-A, FU-A; parameter sets |
//!
//! VP8's and VP9's descriptors are read by [`inlet_common::video`].
//!
//! Opus needs no file: each packet is a frame (RFC 7587 §4.2).

pub(super) mod h264;

use bytes::{Bytes, BytesMut};
use inlet_common::{
    roq::control::Codec,
    rtp::Packet,
    video::{vp8, vp9},
};

use crate::transcode::ladder::Resolution;

/// Largest coded frame put together, in bytes; a 1080p key frame at ten times
/// the advised rate stays under it.
const MAX_FRAME: usize = 4 << 20;

/// A whole coded frame, not yet on the common clock.
#[derive(Debug, PartialEq)]
pub(super) struct Unit {
    /// RTP time.
    pub(super) timestamp: u32,
    /// Whether decoding can begin here.
    pub(super) is_key: bool,
    /// The picture's size, where the frame tells it.
    pub(super) resolution: Option<Resolution>,
    /// The coded bytes.
    pub(super) data: Bytes,
}

/// The payload does not follow its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed payload")]
pub(super) struct Malformed;

/// Puts frames together; one per track.
#[derive(Debug)]
pub(super) struct Depacketizer {
    codec: Codec,
    parameter_sets: h264::ParameterSets,
    /// The frame being put together.
    partial: Option<Partial>,
    fragment: Option<u8>,
    /// Nothing is kept until a packet that begins a frame.
    awaits_start: bool,
}

#[derive(Debug)]
struct Partial {
    timestamp: u32,
    data: BytesMut,
}

impl Depacketizer {
    pub(super) fn new(codec: Codec, fmtp: Option<&str>) -> Self {
        let mut parameter_sets = h264::ParameterSets::default();
        if codec == Codec::H264 {
            parameter_sets.take_fmtp(fmtp.unwrap_or_default());
        }
        Self {
            codec,
            parameter_sets,
            partial: None,
            fragment: None,
            awaits_start: false,
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Drops the frame being put together: a packet of it is missing.
    pub(super) fn reset(&mut self) {
        self.partial = None;
        self.fragment = None;
        self.awaits_start = true;
    }

    /// Takes the next packet in order; up to two frames become whole by it: the
    /// one before, if its marker was missing, and its own.
    pub(super) fn handle_packet(
        &mut self,
        packet: &Packet,
    ) -> Result<[Option<Unit>; 2], Malformed> {
        let timestamp = packet.header.timestamp;
        if packet.payload.is_empty() {
            // Padding to probe the bandwidth; it belongs to no frame.
            return Ok([None, None]);
        }
        if self.codec == Codec::Opus {
            let data = packet.payload.clone();
            return Ok([
                Some(Unit {
                    timestamp,
                    is_key: true,
                    resolution: None,
                    data,
                }),
                None,
            ]);
        }
        let before = match &self.partial {
            Some(partial) if partial.timestamp != timestamp => self.finish(),
            _ => None,
        };
        if self.append(packet).is_err() {
            self.reset();
            return Err(Malformed);
        }
        let own = if packet.header.marker {
            self.finish()
        } else {
            None
        };
        if packet.header.marker {
            self.awaits_start = false;
        }
        Ok([before, own])
    }

    fn append(&mut self, packet: &Packet) -> Result<(), Malformed> {
        let timestamp = packet.header.timestamp;
        let partial = self.partial.get_or_insert_with(|| Partial {
            timestamp,
            data: BytesMut::with_capacity(4096),
        });
        if partial.data.len() + packet.payload.len() > MAX_FRAME {
            return Err(Malformed);
        }
        match self.codec {
            Codec::H264 => {
                h264::append(&packet.payload, &mut self.fragment, &mut partial.data)?;
            }
            Codec::Vp8 => {
                let (payload, begins) = vp8::strip_descriptor(&packet.payload).ok_or(Malformed)?;
                if partial.data.is_empty() && !begins {
                    return Err(Malformed);
                }
                partial.data.extend_from_slice(payload);
            }
            Codec::Vp9 => {
                let (payload, begins) = vp9::strip_descriptor(&packet.payload).ok_or(Malformed)?;
                if partial.data.is_empty() && !begins {
                    return Err(Malformed);
                }
                partial.data.extend_from_slice(payload);
            }
            Codec::Opus => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Option<Unit> {
        let partial = self.partial.take()?;
        let cut_short = self.fragment.take().is_some();
        // After a hole nobody knows whether the frame's first packets were in
        // it; for VP8 and VP9 the descriptor has told, for H.264 it cannot.
        let maybe_headless = self.awaits_start && self.codec == Codec::H264;
        if cut_short || partial.data.is_empty() {
            return None;
        }
        let Partial { timestamp, data } = partial;
        let (is_key, resolution, data) = match self.codec {
            Codec::H264 => self.parameter_sets.finish(data),
            Codec::Vp8 => {
                let size = vp8::size(&data).map(Into::into);
                (vp8::is_key(&data), size, data.freeze())
            }
            Codec::Vp9 => {
                let size = vp9::size(&data).map(Into::into);
                (vp9::is_key(&data), size, data.freeze())
            }
            Codec::Opus => (true, None, data.freeze()),
        };
        if maybe_headless && !h264::begins_access_unit(&data) {
            return None;
        }
        Some(Unit {
            timestamp,
            is_key,
            resolution,
            data,
        })
    }
}

#[cfg(test)]
mod tests;
