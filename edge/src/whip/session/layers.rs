//! Simulcast: which of a track's layers crosses the link, and as what.
//!
//! The origin knows one source per track. So exactly one layer is forwarded at
//! a time, and its packets are renumbered: SSRC, sequence numbers and RTP time
//! go on where those of the layer before ended. Pure; `T` is what travels with
//! a packet.
//!
//! The best layer is the one with the largest picture; among those of one size,
//! or of unknown size, the one with the highest rate. A change happens only
//! where a key frame begins, since no layer can be decoded from the middle:
//!
//! 1. [`Layers::wants_keyframe`] says that a layer should be gone to, and
//!    [`Layers::keyframe_source`] which one to ask.
//! 2. When its key frame begins, the packets are held for the moment that the
//!    frame under way still needs, so that no frame is cut in two.
//! 3. What comes late of the former layer still finds its number.
//!
//! The trap is the beginning: the origin sizes its ladder by the first picture
//! and keeps it, so the first layer is chosen when all have shown themselves or
//! [`FIRST_WAIT`] has passed, and not by who comes first.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use inlet_common::rtp::{Ssrc, rtcp::SenderReport};

use self::layer::Layer;
use super::picture::Start;

mod layer;
#[cfg(test)]
mod tests;

/// Most layers of one track that are answered; browsers send three.
pub(super) const MAX_LAYERS: usize = 4;

/// A layer of which nothing has come for this long has stopped.
pub(super) const STOPPED: Duration = Duration::from_secs(1);

/// How long the first choice waits for the layers that have not come yet.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How long a change waits for the rest of the frame under way. Layers are
/// sent interleaved, a frame within a few milliseconds.
const FRAME_WAIT: Duration = Duration::from_millis(50);

/// Most packets that are held for a change; then it happens. A second of
/// 2 Mbps, which is more than a layer has while the path is being measured.
const MAX_HELD: usize = 256;

/// Two clocks that are further apart than this by their sender reports are
/// not believed.
const MAX_DRIFT: Duration = Duration::from_secs(1);

/// What the choice needs to know of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// Extended.
    pub(super) seq: u64,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// Bytes of the payload.
    pub(super) len: usize,
    /// Whether a key frame begins with it.
    pub(super) start: Option<Start>,
}

/// A packet at its place in the one source that the origin sees.
#[derive(Debug)]
pub(super) struct Placed<T> {
    pub(super) ssrc: Ssrc,
    /// Extended.
    pub(super) seq: u64,
    pub(super) timestamp: u32,
    pub(super) body: T,
}

/// The layers of one track.
#[derive(Debug)]
pub(super) struct Layers<T> {
    clock_rate: u32,
    layers: Vec<Layer>,
    /// The origin's: that of the first layer that was forwarded.
    ssrc: Option<Ssrc>,
    /// The layer that is forwarded; `None` before the first, and after its
    /// source was exchanged.
    current: Option<usize>,
    stretch: Option<Stretch>,
    former: Option<Stretch>,
    change: Option<Change<T>>,
    newest: Option<Newest>,
    outputs: VecDeque<Placed<T>>,
    packets: u32,
    octets: u32,
    dropped: u64,
    changes: u64,
}

/// A run of packets of one layer, and where it lies in what the origin sees.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    layer: usize,
    first: u64,
    /// What the first became.
    first_out: u64,
    /// Above the highest forwarded.
    end: u64,
    /// Added to RTP time.
    shift: u32,
    /// RTP time of the newest, as it came.
    timestamp: u32,
}

/// A change that waits for the end of a frame.
#[derive(Debug)]
struct Change<T> {
    layer: usize,
    began: Instant,
    deadline: Instant,
    first: u64,
    held: VecDeque<(Packet, T)>,
}

/// The newest packet that was forwarded.
#[derive(Clone, Copy, Debug)]
struct Newest {
    /// When its frame began to arrive.
    at: Instant,
    timestamp: u32,
    /// Whether it ended its frame.
    ends_frame: bool,
}

impl<T> Layers<T> {
    /// Layers in the order of the offer: the source where it is announced, and
    /// whether it will be sent from the start.
    pub(super) fn new(
        clock_rate: u32,
        layers: impl IntoIterator<Item = (Option<Ssrc>, bool)>,
    ) -> Self {
        Self {
            clock_rate,
            layers: layers
                .into_iter()
                .take(MAX_LAYERS)
                .map(|(ssrc, is_expected)| Layer::new(ssrc, is_expected))
                .collect(),
            ssrc: None,
            current: None,
            stretch: None,
            former: None,
            change: None,
            newest: None,
            outputs: VecDeque::new(),
            packets: 0,
            octets: 0,
            dropped: 0,
            changes: 0,
        }
    }

    /// Which layer a source is.
    pub(super) fn position(&self, ssrc: Ssrc) -> Option<usize> {
        let mut layers = self.layers.iter();
        layers.position(|layer| layer.ssrc == Some(ssrc))
    }

    /// A layer comes from this source from now on.
    pub(super) fn bind(&mut self, at: usize, ssrc: Ssrc) {
        let Some(layer) = self.layers.get_mut(at) else {
            return;
        };
        if layer.ssrc == Some(ssrc) {
            return;
        }
        // Numbers and clock are others now.
        *layer = Layer::new(Some(ssrc), layer.is_expected);
        self.former = self.former.filter(|former| former.layer != at);
        self.current = self.current.filter(|current| *current != at);
        if let Some(change) = self.change.take_if(|change| change.layer == at) {
            self.dropped += change.held.len() as u64;
        }
    }

    /// Takes an authenticated packet of a source; what is to be forwarded by it
    /// comes out of [`Layers::poll_output`].
    pub(super) fn handle_packet(&mut self, now: Instant, ssrc: Ssrc, packet: Packet, body: T) {
        self.handle_timeout(now);
        let Some(at) = self.position(ssrc) else {
            self.dropped += 1;
            return;
        };
        let is_newest = self
            .layers
            .get_mut(at)
            .is_some_and(|layer| layer.note(now, &packet));
        // A key frame that comes out of order is not gone to: what stood behind
        // its beginning is dropped already.
        if let Some(start) = packet.start.filter(|_| is_newest) {
            self.consider(now, at, packet.seq, start);
        }
        self.end_frame_by(now, at, &packet);
        match &mut self.change {
            Some(change) if change.layer == at && packet.seq >= change.first => {
                change.held.push_back((packet, body));
            }
            _ => self.place(now, at, &packet, body),
        }
        if self.is_ripe(now) {
            self.carry_out(now);
        }
    }

    /// When [`Layers::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.change.as_ref().map(|change| change.deadline)
    }

    /// Carries out a change that has waited long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_some_and(|deadline| now >= deadline) {
            self.carry_out(now);
        }
    }

    /// The next packet to forward.
    pub(super) fn poll_output(&mut self) -> Option<Placed<T>> {
        self.outputs.pop_front()
    }

    /// A layer's sender report, as the origin is to see it; `None` for those of
    /// layers that are not forwarded.
    pub(super) fn handle_report(&mut self, report: &SenderReport) -> Option<SenderReport> {
        let at = self.position(report.ssrc)?;
        self.layers.get_mut(at)?.report = Some((report.ntp, report.rtp));
        let stretch = self.stretch.filter(|_| self.current == Some(at))?;
        Some(SenderReport {
            ssrc: self.ssrc?,
            ntp: report.ntp,
            rtp: report.rtp.wrapping_add(stretch.shift),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Whether a key frame is wanted to change layers.
    pub(super) fn wants_keyframe(&self, now: Instant) -> bool {
        self.change.is_none() && self.wanted(now).is_some()
    }

    /// Who is to be asked for a key frame, whatever it is wanted for.
    pub(super) fn keyframe_source(&self, now: Instant) -> Option<Ssrc> {
        let of = |at: usize| self.layers.get(at)?.ssrc;
        self.wanted(now)
            .filter(|_| self.change.is_none())
            .or(self.current)
            .and_then(of)
            .or_else(|| self.any_ssrc())
    }

    /// A source was asked for a key frame.
    pub(super) fn note_asked(&mut self, now: Instant, ssrc: Ssrc) {
        let mut layers = self.layers.iter_mut();
        if let Some(layer) = layers.find(|layer| layer.ssrc == Some(ssrc)) {
            layer.note_asked(now);
        }
    }

    /// A source that is known, the current layer's before others.
    pub(super) fn any_ssrc(&self) -> Option<Ssrc> {
        let current = self.current.and_then(|at| self.layers.get(at));
        current
            .into_iter()
            .chain(&self.layers)
            .find_map(|layer| layer.ssrc)
    }

    /// Packets that were not forwarded.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How often another layer was gone to.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// The layer that should be gone to and may be asked for a key frame.
    fn wanted(&self, now: Instant) -> Option<usize> {
        let current = self.current.and_then(|at| self.layers.get(at));
        let candidates = (0..self.layers.len()).filter(|at| Some(*at) != self.current);
        let is_candidate = |at: &usize| {
            self.layers.get(*at).is_some_and(|layer| match current {
                None => layer.is_alive(now),
                Some(current) if !current.is_alive(now) => layer.is_settled(now),
                Some(_) => layer.may_be_asked(now) && self.is_upgrade(now, *at),
            })
        };
        candidates
            .filter(is_candidate)
            .reduce(|best, at| if self.is_better(at, best) { at } else { best })
    }

    /// Whether a layer is better than the current one, and steady.
    fn is_upgrade(&self, now: Instant, at: usize) -> bool {
        let is_steady = self
            .layers
            .get(at)
            .is_some_and(|layer| layer.is_steady(now));
        is_steady
            && self
                .current
                .is_none_or(|current| self.is_better(at, current))
    }

    fn is_better(&self, at: usize, other: usize) -> bool {
        let pair = self.layers.get(at).zip(self.layers.get(other));
        pair.is_some_and(|(one, two)| one.is_better(two, at < other))
    }

    /// A key frame of a layer begins: goes there if that is better than what is.
    fn consider(&mut self, now: Instant, at: usize, seq: u64, start: Start) {
        // Parameter sets that went missing: their picture would be shown by
        // those of another layer.
        if start.size.is_none() && self.layers.iter().any(|layer| layer.size.is_some()) {
            return;
        }
        let Some(layer) = self.layers.get_mut(at) else {
            return;
        };
        layer.note_start(start.size);
        let (is_settled, deadline) = (layer.is_settled(now), self.deadline(now));
        let takes = match (&self.change, self.current) {
            (Some(change), _) => change.layer != at && self.is_better(at, change.layer),
            (None, None) => true,
            (None, Some(current)) if current == at => false,
            (None, Some(current)) => {
                let has_stopped = self.layers.get(current).is_some_and(|c| !c.is_alive(now));
                (has_stopped && is_settled) || self.is_upgrade(now, at)
            }
        };
        if takes {
            let replaced = self.change.replace(Change {
                layer: at,
                began: now,
                deadline,
                first: seq,
                held: VecDeque::new(),
            });
            self.dropped += replaced.map_or(0, |change| change.held.len() as u64);
        }
    }

    /// Until when a change that begins now may wait. A better layer that joins
    /// one that waits already waits no longer than that.
    fn deadline(&self, now: Instant) -> Instant {
        let wait = match self.stretch {
            None => FIRST_WAIT,
            Some(_) => FRAME_WAIT,
        };
        let waiting = self.change.as_ref().map(|change| change.deadline);
        waiting.unwrap_or(now + wait)
    }

    /// The current layer's next frame ends the one that a change waits for,
    /// though its last packet has not come.
    fn end_frame_by(&mut self, now: Instant, at: usize, packet: &Packet) {
        let is_next = self.stretch.is_some_and(|stretch| {
            self.current == Some(at)
                && packet.seq >= stretch.end
                && packet.timestamp != stretch.timestamp
        });
        if is_next && self.change.is_some() {
            self.carry_out(now);
        }
    }

    fn is_ripe(&self, now: Instant) -> bool {
        let Some(change) = &self.change else {
            return false;
        };
        if change.held.len() >= MAX_HELD || now >= change.deadline {
            return true;
        }
        if self.stretch.is_none() {
            let mut layers = self.layers.iter();
            return layers.all(|layer| layer.has_begun || !layer.is_expected);
        }
        let current = self.current.and_then(|at| self.layers.get(at));
        current.is_none_or(|layer| !layer.is_alive(now))
            || self.newest.is_some_and(|newest| newest.ends_frame)
    }

    /// Goes to the layer that waits, and forwards what was held of it.
    fn carry_out(&mut self, now: Instant) {
        let Some(change) = self.change.take() else {
            return;
        };
        let Some(&(first, _)) = change.held.front() else {
            return;
        };
        let before = self.stretch.take();
        let shift = self.shift(before.as_ref(), &change, first.timestamp);
        self.changes += u64::from(before.is_some());
        self.stretch = Some(Stretch {
            layer: change.layer,
            first: first.seq,
            first_out: before.map_or(first.seq, |before| before.end_out()),
            end: first.seq,
            shift,
            timestamp: first.timestamp,
        });
        // What was exchanged with its source has no numbers any more.
        self.former = before.filter(|_| self.current.is_some());
        self.current = Some(change.layer);
        let source = self.layers.get(change.layer).and_then(|layer| layer.ssrc);
        self.ssrc = self.ssrc.or(source);
        for (packet, body) in change.held {
            self.place(now, change.layer, &packet, body);
        }
    }

    /// What is added to the RTP time of a layer that is gone to, so that it goes
    /// on where the former ended: by both layers' sender reports, else by how
    /// long ago the former's newest frame came. Never back, nor the same again.
    fn shift(&self, before: Option<&Stretch>, change: &Change<T>, timestamp: u32) -> u32 {
        let (Some(newest), Some(before)) = (self.newest, before) else {
            return 0;
        };
        let ahead = |other: u32| other.wrapping_sub(newest.timestamp).cast_signed();
        let elapsed = self.ticks(change.began.saturating_duration_since(newest.at));
        let exact = self.by_reports(before, change.layer, timestamp).map(ahead);
        let drift = self.ticks(MAX_DRIFT);
        let step = exact
            .filter(|exact| exact.abs_diff(elapsed) <= drift.unsigned_abs())
            .unwrap_or(elapsed)
            .max(1);
        newest
            .timestamp
            .wrapping_add_signed(step)
            .wrapping_sub(timestamp)
    }

    /// RTP time of the layer's in the clock that the origin sees.
    fn by_reports(&self, before: &Stretch, layer: usize, timestamp: u32) -> Option<u32> {
        let (ntp_before, rtp_before) = self.layers.get(before.layer)?.report?;
        let (ntp, rtp) = self.layers.get(layer)?.report?;
        let apart = i128::from(ntp.wrapping_sub(ntp_before).cast_signed());
        let ticks = apart * i128::from(self.clock_rate);
        // Rounded from NTP's 32 bits of fraction; the wire's 32 bits wrap as RTP
        // time does.
        let apart = ((ticks + (1 << 31)) >> 32) as u32;
        let since = timestamp.wrapping_sub(rtp);
        Some(
            rtp_before
                .wrapping_add(apart)
                .wrapping_add(since)
                .wrapping_add(before.shift),
        )
    }

    fn ticks(&self, span: Duration) -> i32 {
        let ticks = span.as_micros() * u128::from(self.clock_rate) / 1_000_000;
        i32::try_from(ticks).unwrap_or(i32::MAX)
    }

    /// Forwards a packet when it lies in what is forwarded, or was.
    fn place(&mut self, now: Instant, at: usize, packet: &Packet, body: T) {
        let current = self.stretch.as_mut().filter(|_| self.current == Some(at));
        let placed = match current {
            Some(stretch) if packet.seq >= stretch.first => {
                let timestamp = packet.timestamp.wrapping_add(stretch.shift);
                if packet.seq >= stretch.end {
                    stretch.end = packet.seq + 1;
                    stretch.timestamp = packet.timestamp;
                    let before = self.newest.filter(|newest| newest.timestamp == timestamp);
                    self.newest = Some(Newest {
                        at: before.map_or(now, |before| before.at),
                        timestamp,
                        ends_frame: packet.marker,
                    });
                }
                Some(*stretch)
            }
            _ => self
                .former
                .filter(|former| former.layer == at && former.holds(packet.seq)),
        };
        let (Some(stretch), Some(ssrc)) = (placed, self.ssrc) else {
            self.dropped += 1;
            return;
        };
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.len as u32);
        self.outputs.push_back(Placed {
            ssrc,
            seq: stretch.first_out + (packet.seq - stretch.first),
            timestamp: packet.timestamp.wrapping_add(stretch.shift),
            body,
        });
    }
}

impl Stretch {
    /// The number that follows the stretch.
    const fn end_out(&self) -> u64 {
        self.first_out + (self.end - self.first)
    }

    fn holds(&self, seq: u64) -> bool {
        (self.first..self.end).contains(&seq)
    }
}
