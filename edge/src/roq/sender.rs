//! One track's way onto the link.
//!
//! Audio goes as DATAGRAMs. Of video each frame has a stream of its own, opened
//! at its first packet and finished at its last, so that loss delays only the
//! frame it hits. A frame that cannot get through (no stream, no room, too old)
//! takes everything to the next key frame with it: what refers to it could not
//! be decoded anyway. The trap: a packet that comes late (retransmitted by the
//! presenter) must not end the frame that is being written; it gets a stream
//! of its own.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use inlet_common::{
    roq::{
        FlowId,
        control::{Codec, Kind},
        datagram, error_code, stream,
    },
    rtp::Header,
};
use quinn_proto::{Connection, Dir, SendDatagramError, StreamId, VarInt};

use super::keyframe;
use crate::whip::session::Rtp;

/// Frames of a track that may be under way at once: four seconds at 30 fps, far
/// more than any that is still of use.
const MAX_FRAMES_UNDER_WAY: usize = 128;

/// A frame is too old when it has not arrived after this many round trips …
const MAX_AGE_ROUND_TRIPS: u32 = 4;

/// … but not before this.
const MIN_MAX_AGE: Duration = Duration::from_millis(500);

/// Bytes that are taken from the allocator at once.
const ARENA_CHUNK: usize = 256 * 1024;

/// Memory in which packets are put together, shared by all tracks of a link.
#[derive(Debug, Default)]
pub(super) struct Arena(BytesMut);

impl Arena {
    /// Puts together what `write` writes, at most `len` bytes of it.
    fn make(&mut self, len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.0.capacity() < len {
            self.0.reserve(ARENA_CHUNK.max(len));
        }
        write(&mut self.0);
        self.0.split().freeze()
    }
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The link is not up, or the session not yet accepted on it.
    LinkDown,
    /// A frame was given up; the next key frame is awaited.
    AwaitingKeyframe,
    /// The origin allows no more streams.
    NoStream,
    /// The link's window is full.
    Blocked,
    /// Older frames have not arrived in time.
    TooOld,
    /// The origin has stopped the frame's stream.
    Stopped,
    /// The queue of DATAGRAMs was full: the oldest is dropped.
    DatagramQueue,
    /// The origin takes no DATAGRAMs, or not of this size.
    DatagramSize,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    /// Sent, and with it ended a frame.
    FrameEnded,
    Dropped(DropReason),
    /// Dropped with its frame: a key frame is wanted.
    FrameCancelled(DropReason),
}

/// One track's sender.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) flow: FlowId,
    codec: Codec,
    orientation: Option<u8>,
    frame: Option<Frame>,
    /// Streams whose data are not all acknowledged, oldest first.
    under_way: VecDeque<(StreamId, Instant)>,
    newest: Option<u32>,
    awaits_keyframe: bool,
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    stream: StreamId,
    timestamp: u32,
}

/// Whose a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The session's key.
    pub(super) key: usize,
    /// Index of the track.
    pub(super) track: usize,
}

/// Whose each unidirectional stream of a connection is.
///
/// Stream ids rise by one (RFC 9000 §2.1), so this is a ring and no map: it
/// reaches from the oldest stream under way to the newest.
#[derive(Debug, Default)]
pub(super) struct Owners {
    base: u64,
    slots: VecDeque<Option<Owner>>,
}

impl Owners {
    fn note(&mut self, owner: Owner) {
        self.slots.push_back(Some(owner));
    }

    /// Whose a stream is, when it is under way.
    pub(super) fn owner(&self, stream: StreamId) -> Option<Owner> {
        let at = stream.index().checked_sub(self.base)?;
        *self.slots.get(usize::try_from(at).ok()?)?
    }

    /// Forgets a stream that is over.
    pub(super) fn forget(&mut self, stream: StreamId) {
        let at = stream.index().checked_sub(self.base);
        if let Some(slot) = at
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.slots.get_mut(at))
        {
            *slot = None;
        }
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// Streams under way, gaps included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// What all tracks of a connection have in common.
pub(super) struct Channel<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) arena: &'a mut Arena,
    /// Whose each stream is.
    pub(super) owners: &'a mut Owners,
    /// Whose the streams are that are opened now.
    pub(super) owner: Owner,
    /// Since the connection came up.
    pub(super) age: Duration,
    pub(super) now: Instant,
}

impl Sender {
    pub(super) const fn new(flow: FlowId, codec: Codec, orientation: Option<u8>) -> Self {
        Self {
            flow,
            codec,
            orientation,
            frame: None,
            under_way: VecDeque::new(),
            newest: None,
            awaits_keyframe: false,
            bytes: 0,
        }
    }

    /// Forgets a connection that is gone: what was under way is lost.
    pub(super) fn reset(&mut self) {
        self.frame = None;
        self.under_way.clear();
        self.newest = None;
        self.awaits_keyframe = self.codec.kind() == Kind::Video;
    }

    pub(super) const fn awaits_keyframe(&self) -> bool {
        self.awaits_keyframe
    }

    /// Sends a packet.
    pub(super) fn packet(&mut self, channel: &mut Channel<'_>, rtp: &Rtp) -> Fate {
        self.bytes += rtp.payload.len() as u64;
        match self.codec.kind() {
            Kind::Audio => self.audio(channel, rtp),
            Kind::Video => self.video(channel, rtp),
        }
    }

    /// Sends an RTCP packet on the track's flow.
    pub(super) fn rtcp(&self, channel: &mut Channel<'_>, rtcp: &[u8]) -> Fate {
        let flow = self.flow;
        let datagram = channel.arena.make(8 + rtcp.len(), |out| {
            datagram::encode_flow(flow, out);
            out.extend_from_slice(rtcp);
        });
        send_datagram(channel.connection, datagram)
    }

    fn audio(&mut self, channel: &mut Channel<'_>, rtp: &Rtp) -> Fate {
        let flow = self.flow;
        let (len, orientation) = (wire_len(rtp), self.orientation);
        let fits = channel.connection.datagrams().max_size();
        if fits.is_some_and(|max| 8 + len > max) {
            return self.alone(channel, rtp);
        }
        let datagram = channel.arena.make(8 + len, |out| {
            datagram::encode_flow(flow, out);
            encode_rtp(rtp, orientation, out);
        });
        send_datagram(channel.connection, datagram)
    }

    fn video(&mut self, channel: &mut Channel<'_>, rtp: &Rtp) -> Fate {
        if let Some(reason) = self.stale(channel) {
            self.cancel(channel);
            return Fate::FrameCancelled(reason);
        }
        if self.awaits_keyframe {
            if !keyframe::begins(self.codec, &rtp.payload) {
                return Fate::Dropped(DropReason::AwaitingKeyframe);
            }
            self.awaits_keyframe = false;
            self.newest = None;
        }
        let timestamp = rtp.header.timestamp;
        let written = match self.frame {
            Some(frame) if frame.timestamp == timestamp => {
                write(channel, frame.stream, None, rtp, self.orientation)
            }
            _ if self.is_late(timestamp) => return self.alone(channel, rtp),
            _ => {
                self.finish(channel.connection);
                self.open(channel, timestamp).and_then(|stream| {
                    write(channel, stream, Some(self.flow), rtp, self.orientation)
                })
            }
        };
        match written {
            Ok(()) if rtp.header.marker => {
                self.finish(channel.connection);
                Fate::FrameEnded
            }
            Ok(()) => Fate::Sent,
            Err(reason) => {
                self.cancel(channel);
                Fate::FrameCancelled(reason)
            }
        }
    }

    /// Whether a packet belongs to a frame that has been finished already.
    fn is_late(&self, timestamp: u32) -> bool {
        self.newest
            .is_some_and(|newest| newest.wrapping_sub(timestamp) < u32::MAX / 2)
    }

    /// Sends a packet on a stream of its own. What is lost with it is not worth
    /// a key frame: its frame may do without.
    fn alone(&mut self, channel: &mut Channel<'_>, rtp: &Rtp) -> Fate {
        let Some(stream) = open_stream(channel) else {
            return Fate::Dropped(DropReason::NoStream);
        };
        self.under_way.push_back((stream, channel.now));
        match write(channel, stream, Some(self.flow), rtp, self.orientation) {
            Ok(()) => {
                let _finished = channel.connection.send_stream(stream).finish();
                Fate::Sent
            }
            Err(reason) => {
                self.under_way.pop_back();
                reset(channel, stream);
                Fate::Dropped(reason)
            }
        }
    }

    fn open(&mut self, channel: &mut Channel<'_>, timestamp: u32) -> Result<StreamId, DropReason> {
        let stream = open_stream(channel).ok_or(DropReason::NoStream)?;
        self.under_way.push_back((stream, channel.now));
        self.frame = Some(Frame { stream, timestamp });
        self.newest = Some(timestamp);
        Ok(stream)
    }

    /// Whether what is under way has become useless.
    fn stale(&self, channel: &Channel<'_>) -> Option<DropReason> {
        let (_, opened) = self.under_way.front()?;
        let max_age = (channel.connection.rtt() * MAX_AGE_ROUND_TRIPS).max(MIN_MAX_AGE);
        let is_old = channel.now.saturating_duration_since(*opened) > max_age;
        (is_old || self.under_way.len() >= MAX_FRAMES_UNDER_WAY).then_some(DropReason::TooOld)
    }

    /// Ends the frame that is being written.
    pub(super) fn finish(&mut self, connection: &mut Connection) {
        if let Some(frame) = self.frame.take() {
            // Fails only when the origin has stopped the stream; the event says so.
            let _finished = connection.send_stream(frame.stream).finish();
        }
    }

    /// Gives up everything that is under way, to the next key frame.
    pub(super) fn cancel(&mut self, channel: &mut Channel<'_>) {
        self.frame = None;
        for (stream, _) in self.under_way.drain(..) {
            reset(channel, stream);
        }
        self.awaits_keyframe = true;
    }

    /// All of a stream's data have arrived.
    pub(super) fn handle_finished(&mut self, stream: StreamId) {
        self.under_way.retain(|(under_way, _)| *under_way != stream);
    }

    /// The origin wants no more of a stream. Returns whether a frame was given
    /// up for it.
    pub(super) fn handle_stopped(&mut self, channel: &mut Channel<'_>, stream: StreamId) -> bool {
        // Without a reset the stream's state would leak.
        reset(channel, stream);
        self.under_way.retain(|(under_way, _)| *under_way != stream);
        let is_current = self.frame.is_some_and(|frame| frame.stream == stream);
        if is_current {
            self.cancel(channel);
        }
        is_current
    }
}

fn open_stream(channel: &mut Channel<'_>) -> Option<StreamId> {
    let stream = channel.connection.streams().open(Dir::Uni)?;
    // Older frames first: the priority falls by one in 8 ms, which lasts for
    // half a year of one connection.
    let slot = i32::try_from(channel.age.as_millis() / 8).unwrap_or(i32::MAX);
    let _set = channel.connection.send_stream(stream).set_priority(-slot);
    channel.owners.note(channel.owner);
    Some(stream)
}

fn reset(channel: &mut Channel<'_>, stream: StreamId) {
    let code = VarInt::from_u32(error_code::FRAME_CANCELLED);
    // Fails only when the stream has been closed already.
    let _closed = channel.connection.send_stream(stream).reset(code);
    channel.owners.forget(stream);
}

/// Writes a packet to a stream, the flow in front when it is the first.
fn write(
    channel: &mut Channel<'_>,
    id: StreamId,
    flow: Option<FlowId>,
    rtp: &Rtp,
    orientation: Option<u8>,
) -> Result<(), DropReason> {
    let len = wire_len(rtp);
    let bytes = channel.arena.make(16 + len, |out| {
        if let Some(flow) = flow {
            stream::encode_flow(flow, out);
        }
        stream::encode_length(exact_len(rtp, orientation), out);
        encode_rtp(rtp, orientation, out);
    });
    let whole = bytes.len();
    match channel
        .connection
        .send_stream(id)
        .write_chunks(&mut [bytes])
    {
        Ok(written) if written.bytes == whole => Ok(()),
        // A packet cut in two breaks the stream's framing for good.
        Ok(_) | Err(quinn_proto::WriteError::Blocked) => Err(DropReason::Blocked),
        Err(_) => Err(DropReason::Stopped),
    }
}

fn send_datagram(connection: &mut Connection, datagram: Bytes) -> Fate {
    let mut datagrams = connection.datagrams();
    let overflows = datagrams.send_buffer_space() < datagram.len();
    match datagrams.send(datagram, true) {
        Ok(()) if overflows => Fate::Dropped(DropReason::DatagramQueue),
        Ok(()) => Fate::Sent,
        Err(SendDatagramError::Blocked(_)) => Fate::Dropped(DropReason::DatagramQueue),
        Err(_) => Fate::Dropped(DropReason::DatagramSize),
    }
}

/// Extension header of one element of one byte: profile and length, id and
/// value, two of padding.
const ORIENTATION_LEN: usize = 8;

/// At most so many bytes on the wire.
fn wire_len(rtp: &Rtp) -> usize {
    Header::LEN + ORIENTATION_LEN + rtp.payload.len()
}

fn exact_len(rtp: &Rtp, orientation: Option<u8>) -> usize {
    let extension = if orientation.is_some() && rtp.orientation.is_some() {
        ORIENTATION_LEN
    } else {
        0
    };
    Header::LEN + extension + rtp.payload.len()
}

fn encode_rtp(rtp: &Rtp, orientation: Option<u8>, out: &mut BytesMut) {
    match (orientation, rtp.orientation) {
        (Some(id), Some(value)) => rtp.header.encode(&[(id, &[value])], out),
        _ => rtp.header.encode(&[], out),
    }
    out.extend_from_slice(&rtp.payload);
}

#[cfg(test)]
mod tests {
    use inlet_common::rtp::{Packet, Ssrc};

    use super::*;

    #[test]
    fn a_packet_is_as_long_as_it_says() {
        for (id, value) in [
            (None, None),
            (Some(4), None),
            (None, Some(2)),
            (Some(4), Some(2)),
        ] {
            let rtp = Rtp {
                track: 0,
                header: Header {
                    marker: true,
                    payload_type: 96,
                    sequence: 1,
                    timestamp: 2,
                    ssrc: Ssrc(3),
                },
                orientation: value,
                payload: vec![9; 33].into(),
            };
            let mut out = BytesMut::new();
            encode_rtp(&rtp, id, &mut out);
            assert_eq!(out.len(), exact_len(&rtp, id));
            assert!(out.len() <= wire_len(&rtp));
            let packet = Packet::decode(&out.freeze()).unwrap();
            let expected = id.and(value);
            assert_eq!(packet.extension(4).map(|value| value[0]), expected);
            assert_eq!(packet.payload.len(), 33);
        }
    }

    #[test]
    fn owners_are_kept_from_the_oldest_stream_under_way() {
        let stream = |index| StreamId::new(quinn_proto::Side::Client, Dir::Uni, index);
        let mut owners = Owners::default();
        for key in 0..4 {
            owners.note(Owner { key, track: 1 });
        }
        owners.forget(stream(1));
        assert_eq!((owners.len(), owners.owner(stream(1))), (4, None));
        owners.forget(stream(0));
        assert_eq!(
            (owners.len(), owners.owner(stream(3))),
            (2, Some(Owner { key: 3, track: 1 }))
        );
        owners.forget(stream(0));
        owners.forget(stream(9));
        owners.note(Owner { key: 4, track: 0 });
        assert_eq!(owners.owner(stream(4)), Some(Owner { key: 4, track: 0 }));
    }

    #[test]
    fn the_arena_hands_out_what_was_written() {
        let mut arena = Arena::default();
        let first = arena.make(4, |out| out.extend_from_slice(b"abcd"));
        let second = arena.make(2, |out| out.extend_from_slice(b"ef"));
        assert_eq!((&first[..], &second[..]), (&b"abcd"[..], &b"ef"[..]));
    }
}
