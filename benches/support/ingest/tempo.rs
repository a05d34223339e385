//! When a presenter sends, and how much: 2 Mbps of H.264 at 30 frames per second
//! (eight packets a frame, a frame in one burst) and Opus in packets of 20 ms.

use std::time::{Duration, Instant};

/// Bytes of payload in a video packet, as browsers fill them.
pub const VIDEO_PAYLOAD: usize = 1_040;
/// 64 kbps in packets of 20 ms.
pub const AUDIO_PAYLOAD: usize = 160;
/// Packets in a frame: 8 × 1,040 bytes × 30 is 2 Mbps.
const FRAME_PACKETS: u32 = 8;
/// Packets in a key frame.
const KEY_FRAME_PACKETS: u32 = 32;
const FRAME: Duration = Duration::from_nanos(33_333_333);
const AUDIO: Duration = Duration::from_millis(20);
/// Between the beginnings of two presenters: they do not march in step.
const PHASE: Duration = Duration::from_micros(661);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A picture in so many packets.
    Frame {
        /// How many.
        packets: u32,
        /// Whether it stands on its own.
        is_key: bool,
    },
    /// One packet of sound.
    Audio,
}

/// One presenter's beat.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    phase: Duration,
    frame: Option<Instant>,
    audio: Option<Instant>,
    /// The next frame stands on its own.
    pub needs_key: bool,
}

impl Tempo {
    /// The beat of one presenter of many.
    pub fn new(number: usize) -> Self {
        Self {
            phase: PHASE * u32::try_from(number).unwrap_or_default(),
            frame: None,
            audio: None,
            needs_key: true,
        }
    }

    /// The next unit that is due, and how late it is; to be asked until `None`.
    pub fn due(&mut self, now: Instant) -> Option<(Unit, Duration)> {
        let first = now + self.phase;
        if let Some(late) = take(&mut self.frame, first, now, FRAME) {
            let is_key = std::mem::take(&mut self.needs_key);
            let packets = if is_key {
                KEY_FRAME_PACKETS
            } else {
                FRAME_PACKETS
            };
            return Some((Unit::Frame { packets, is_key }, late));
        }
        let late = take(&mut self.audio, first, now, AUDIO)?;
        Some((Unit::Audio, late))
    }
}

fn take(
    next: &mut Option<Instant>,
    first: Instant,
    now: Instant,
    period: Duration,
) -> Option<Duration> {
    let due = *next.get_or_insert(first);
    let late = now.checked_duration_since(due)?;
    *next = Some(due + period);
    Some(late)
}
