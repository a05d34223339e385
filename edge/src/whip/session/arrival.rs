//! How evenly a track's packets come: interarrival jitter (RFC 3550 §6.4.1), and
//! freezes of a picture as W3C's webrtc-stats defines them.
//!
//! Pure arithmetic, done for each packet. The trap: after a pause that is nobody's
//! fault, a muted camera say, the first gap counts as a freeze once and does not
//! stretch the average.

use std::time::{Duration, Instant};

/// A gap is no freeze below the average and this (webrtc-stats, `freezeCount`).
const MIN_FREEZE: Duration = Duration::from_millis(150);

/// Share of a new interval in the average.
const WEIGHT: f64 = 0.1;

/// What the packets of one track tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    clock_rate: f64,
    /// Time of the last packet, and its timestamp.
    last: Option<(Instant, u32)>,
    /// Smoothed, in seconds.
    jitter: f64,
    /// When the last frame began.
    frame: Option<Instant>,
    /// Average time between two frames, in seconds; 0 before the second.
    interval: f64,
    pub(super) freezes: u64,
    pub(super) frozen: Duration,
}

impl Arrival {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: f64::from(clock_rate.max(1)),
            last: None,
            jitter: 0.0,
            frame: None,
            interval: 0.0,
            freezes: 0,
            frozen: Duration::ZERO,
        }
    }

    /// A packet with this timestamp has come.
    pub(super) fn note(&mut self, now: Instant, timestamp: u32, is_video: bool) {
        let Some((then, before)) = self.last else {
            self.last = Some((now, timestamp));
            self.frame = Some(now);
            return;
        };
        let ticks = timestamp.wrapping_sub(before).cast_signed();
        // What is sent again late says nothing of the path, nor begins a frame.
        if ticks < 0 {
            return;
        }
        let sent = f64::from(ticks) / self.clock_rate;
        let received = now.saturating_duration_since(then).as_secs_f64();
        self.jitter += ((received - sent).abs() - self.jitter) / 16.0;
        self.last = Some((now, timestamp));
        if is_video && ticks > 0 {
            self.note_frame(now);
        }
    }

    fn note_frame(&mut self, now: Instant) {
        let since = self.frame.replace(now);
        let gap = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let seconds = gap.as_secs_f64();
        let limit = (3.0 * self.interval).max(self.interval + MIN_FREEZE.as_secs_f64());
        if self.interval > 0.0 && seconds > limit {
            self.freezes += 1;
            self.frozen += gap.saturating_sub(Duration::from_secs_f64(self.interval));
        } else if self.interval > 0.0 {
            self.interval += WEIGHT * (seconds - self.interval);
        } else {
            self.interval = seconds;
        }
    }

    /// Smoothed interarrival jitter; zero before the second packet.
    pub(super) fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter)
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::clock;

    use super::*;

    const FRAME: Duration = Duration::from_millis(33);

    /// `frames` frames of three packets each, one every 33 ms.
    fn play(arrival: &mut Arrival, now: &mut Instant, timestamp: &mut u32, frames: u32) {
        for _ in 0..frames {
            for _ in 0..3 {
                arrival.note(*now, *timestamp, true);
            }
            *now += FRAME;
            *timestamp = timestamp.wrapping_add(2_970);
        }
    }

    #[test]
    fn an_even_picture_does_not_freeze_and_a_gap_does_once() {
        let mut arrival = Arrival::new(90_000);
        // The timestamp wraps on the way.
        let (mut now, mut timestamp) = (clock::now(), u32::MAX - 9_000);
        play(&mut arrival, &mut now, &mut timestamp, 60);
        assert_eq!((arrival.freezes, arrival.frozen), (0, Duration::ZERO));
        assert!(arrival.jitter() < Duration::from_millis(1));
        now += Duration::from_millis(150);
        play(&mut arrival, &mut now, &mut timestamp, 10);
        assert_eq!(arrival.freezes, 0, "not yet a freeze");
        now += Duration::from_secs(1);
        play(&mut arrival, &mut now, &mut timestamp, 60);
        assert_eq!(arrival.freezes, 1);
        let frozen = arrival.frozen.as_millis();
        assert!((980..=1_020).contains(&frozen), "{frozen} ms");
    }

    #[test]
    fn packets_that_come_again_late_begin_no_frame() {
        let mut arrival = Arrival::new(90_000);
        let (mut now, mut timestamp) = (clock::now(), 0);
        play(&mut arrival, &mut now, &mut timestamp, 30);
        let before = arrival.jitter();
        arrival.note(now + Duration::from_millis(300), timestamp - 9_000, true);
        assert_eq!((arrival.jitter(), arrival.freezes), (before, 0));
    }

    #[test]
    fn jitter_is_what_the_path_adds() {
        let mut arrival = Arrival::new(90_000);
        let (mut now, mut timestamp) = (clock::now(), 0_u32);
        for at in 0..600_u32 {
            let late = Duration::from_millis(if at.is_multiple_of(2) { 20 } else { 0 });
            arrival.note(now + late, timestamp, false);
            now += FRAME;
            timestamp += 2_970;
        }
        let jitter = arrival.jitter().as_millis();
        assert!((18..=21).contains(&jitter), "{jitter} ms");
    }
}
