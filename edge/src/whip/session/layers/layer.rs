//! One layer: what came of it, and whether it is worth going to.

use std::time::{Duration, Instant};

use inlet_common::{rtp::Ssrc, video::Size};

use super::{Packet, STOPPED};
use crate::whip::session::keyframes::MIN_INTERVAL;

/// Over how long a layer's rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// How long a layer that had stopped must have gone on before it is gone to:
/// presenters near their limit switch their largest layer on and off, and each
/// time it stops is a freeze of [`STOPPED`].
const RETURN: Duration = Duration::from_secs(2);

/// How long a layer must have gone on to take the place of one that stopped:
/// of a picture that stands still, all layers are silent, and begin anew one
/// after the other.
const SETTLE: Duration = Duration::from_millis(500);

/// Most doublings of the time between two requests: 0.5 s to 32 s.
const MAX_DOUBLINGS: u32 = 6;

/// One encoding of the picture.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) ssrc: Option<Ssrc>,
    /// Whether it is to come: `false` for one that is offered paused.
    pub(super) is_expected: bool,
    /// The latest key frame's.
    pub(super) size: Option<Size>,
    pub(super) has_begun: bool,
    /// The latest sender report: NTP time and RTP time.
    pub(super) report: Option<(u64, u32)>,
    highest: Option<u64>,
    last_packet: Option<Instant>,
    /// Since when it goes on without a gap of [`STOPPED`].
    since: Option<Instant>,
    has_returned: bool,
    /// Bytes in the window that began then.
    window: Option<(Instant, u64)>,
    /// Bytes per [`RATE_WINDOW`]; 0 until it is known.
    rate: u64,
    asks: u32,
    asked: Option<Instant>,
}

impl Layer {
    pub(super) const fn new(ssrc: Option<Ssrc>, is_expected: bool) -> Self {
        Self {
            ssrc,
            is_expected,
            size: None,
            has_begun: false,
            report: None,
            highest: None,
            last_packet: None,
            since: None,
            has_returned: false,
            window: None,
            rate: 0,
            asks: 0,
            asked: None,
        }
    }

    /// Counts a packet; tells whether it is the newest of the layer.
    pub(super) fn note(&mut self, now: Instant, packet: &Packet) -> bool {
        if !self.is_alive(now) {
            self.has_returned = self.last_packet.is_some();
            self.since = Some(now);
            self.window = None;
        }
        self.last_packet = Some(now);
        let (began, bytes) = self.window.get_or_insert((now, 0));
        *bytes += packet.len as u64;
        let span = now.saturating_duration_since(*began);
        if span >= RATE_WINDOW {
            self.rate = (u128::from(*bytes) * RATE_WINDOW.as_micros() / span.as_micros()) as u64;
            self.window = Some((now, 0));
        }
        let is_newest = self.highest.is_none_or(|highest| packet.seq > highest);
        self.highest = self.highest.max(Some(packet.seq));
        is_newest
    }

    /// A key frame has begun.
    pub(super) fn note_start(&mut self, size: Option<Size>) {
        self.size = size.or(self.size);
        self.has_begun = true;
        (self.asks, self.asked) = (0, None);
    }

    /// It was asked for a key frame.
    pub(super) fn note_asked(&mut self, now: Instant) {
        self.asks = self.asks.saturating_add(1);
        self.asked = Some(now);
    }

    /// Whether it may be asked for a key frame only to be gone to: rarely when it
    /// does not answer, or what is wanted of the current one would never go out.
    pub(super) fn may_be_asked(&self, now: Instant) -> bool {
        let doublings = self.asks.saturating_sub(1).min(MAX_DOUBLINGS);
        self.asked
            .is_none_or(|asked| now >= asked + MIN_INTERVAL * 2_u32.pow(doublings))
    }

    /// Whether packets of it come.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|last| now < last + STOPPED)
    }

    /// Whether it is steady enough to be gone to from a layer that is alive.
    pub(super) fn is_steady(&self, now: Instant) -> bool {
        self.is_alive(now) && (!self.has_returned || self.goes_on_for(now, RETURN))
    }

    /// Whether it can take the place of a layer that has stopped.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.is_alive(now) && self.goes_on_for(now, SETTLE)
    }

    fn goes_on_for(&self, now: Instant, span: Duration) -> bool {
        self.since.is_some_and(|since| now >= since + span)
    }

    /// Whether this layer shows more than the other, which stands in front of
    /// it in the offer or behind it. Rates must differ by half, or two layers
    /// that are alike would be changed for each other for ever.
    pub(super) fn is_better(&self, other: &Self, is_in_front: bool) -> bool {
        let areas = self.size.map(Size::area).zip(other.size.map(Size::area));
        match areas {
            Some((own, others)) if own != others => own > others,
            // RFC 8853 §5.2: the order of the list is one of preference.
            _ if self.rate == 0 || other.rate == 0 => is_in_front && areas.is_none(),
            _ => self.rate / 3 > other.rate / 2,
        }
    }
}
