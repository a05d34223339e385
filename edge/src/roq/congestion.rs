//! How much may be in flight on the long haul.
//!
//! Media differ from files: they send what the encoder makes and no more, a
//! lost packet means little and a queue means latency. So the window follows
//! what is delivered: twice the delivered rate times the least round trip, at
//! least a key frame, which doubles each round trip while the window is what
//! limits; and it shrinks to less than that product when the round trip shows a
//! queue. Random loss up to [`Config::loss_tolerance`] changes nothing: CUBIC
//! collapses at 1 % of it, and BBR lets an application-limited window grow
//! without bound.
//!
//! Pure: [`Delivery`] is told what was acknowledged and lost, and when.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory, ControllerMetrics},
};

/// Settings of the controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Bytes in flight before anything is known. Default 128 KiB.
    pub initial_window: u64,
    /// Least window while there is no queue: a key frame must fit. Default
    /// 128 KiB.
    pub floor: u64,
    /// Most bytes in flight. Default 64 MiB, 5 Gbps at 100 ms.
    pub ceiling: u64,
    /// Share of bytes that may be lost without an answer. Default 0.15.
    pub loss_tolerance: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial_window: 128 * 1024,
            floor: 128 * 1024,
            ceiling: 64 << 20,
            loss_tolerance: 0.15,
        }
    }
}

impl ControllerFactory for Config {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Delivery::new(*self, now, current_mtu))
    }
}

/// Intervals over which the delivered rate's maximum is kept: long enough to
/// bridge the time between two key frames' bursts at common round trips.
const RATE_INTERVALS: usize = 16;

/// Least length of an interval: shorter ones measure how ACKs bunch up.
const MIN_INTERVAL: Duration = Duration::from_millis(25);

/// Longest interval, so that a bad round trip does not make the controller deaf.
const MAX_INTERVAL: Duration = Duration::from_millis(250);

/// How long the least round trip counts: after this a longer path is believed.
const MIN_RTT_HALF_LIFE: Duration = Duration::from_secs(5);

/// Round trips at the least window after which a long round trip is believed.
const DRAINED_ROUND_TRIPS: u32 = 2;

/// Window over rate × round trip without a queue.
const GAIN: f64 = 2.0;

/// The same with a queue of [`QUEUE_HIGH`] times the tolerated: under 1, or the
/// queue would stand.
const DRAIN_GAIN: f64 = 0.85;

/// Where, in tolerated queues, the gain has fallen to [`DRAIN_GAIN`].
const QUEUE_HIGH: f64 = 3.0;

/// Tolerated queueing delay, at least: ACKs are delayed up to 25 ms, and the
/// peer's timers are coarse.
const MIN_TOLERATED_QUEUE: Duration = Duration::from_millis(15);

/// The answer to more loss than is tolerated.
const LOSS_BACKOFF: f64 = 0.85;

/// Packets in the window when nothing gets through.
const MIN_PACKETS: u64 = 8;

/// A congestion controller that follows the delivered rate.
#[derive(Clone, Debug)]
pub struct Delivery {
    config: Config,
    mtu: u64,
    window: u64,
    min_rtt: MinRtt,
    interval: Interval,
    /// Since when the window has been at its least, for all the good it did.
    drained_since: Option<Instant>,
    /// Delivered rates of the latest intervals, bytes per second.
    rates: [f64; RATE_INTERVALS],
    next_rate: usize,
    /// Turns at the end of each interval, see [`Controller::window`] below.
    is_odd: bool,
}

#[derive(Clone, Copy, Debug)]
struct Interval {
    start: Instant,
    acked: u64,
    lost: u64,
    min_rtt: Option<Duration>,
    is_persistent: bool,
}

impl Interval {
    const fn new(start: Instant) -> Self {
        Self {
            start,
            acked: 0,
            lost: 0,
            min_rtt: None,
            is_persistent: false,
        }
    }
}

/// The least round trip of the last [`MIN_RTT_HALF_LIFE`] to twice that.
#[derive(Clone, Copy, Debug)]
struct MinRtt {
    older: Option<Duration>,
    newer: Option<Duration>,
    since: Instant,
}

impl MinRtt {
    fn note(&mut self, now: Instant, rtt: Duration) {
        if now.saturating_duration_since(self.since) >= MIN_RTT_HALF_LIFE {
            self.older = self.newer.take();
            self.since = now;
        }
        self.newer = Some(self.newer.map_or(rtt, |least| least.min(rtt)));
    }

    fn least(&self) -> Option<Duration> {
        match (self.older, self.newer) {
            (Some(older), Some(newer)) => Some(older.min(newer)),
            (older, newer) => older.or(newer),
        }
    }
}

impl Delivery {
    /// Starts with the initial window.
    pub fn new(config: Config, now: Instant, mtu: u16) -> Self {
        Self {
            config,
            mtu: u64::from(mtu),
            window: config.initial_window,
            min_rtt: MinRtt {
                older: None,
                newer: None,
                since: now,
            },
            interval: Interval::new(now),
            drained_since: None,
            rates: [0.0; RATE_INTERVALS],
            next_rate: 0,
            is_odd: false,
        }
    }

    /// A packet of `bytes` that was sent at `sent` has been acknowledged.
    pub fn note_acked(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.interval.acked += bytes;
        let rtt = now.saturating_duration_since(sent);
        self.min_rtt.note(now, rtt);
        let least = self.interval.min_rtt.map_or(rtt, |least| least.min(rtt));
        self.interval.min_rtt = Some(least);
    }

    /// Packets of `bytes` are lost; `is_persistent` when for long nothing at
    /// all came through.
    pub const fn note_lost(&mut self, bytes: u64, is_persistent: bool) {
        self.interval.lost += bytes;
        self.interval.is_persistent |= is_persistent;
    }

    /// Closes the interval when it is over, and moves the window.
    pub fn update(&mut self, now: Instant) {
        let Some(least) = self.min_rtt.least() else {
            return;
        };
        // A whole round trip: ACKs of a small window come in clusters, and what
        // lies between two of them says nothing.
        let current = self.interval.min_rtt.unwrap_or(least);
        let length = current.clamp(MIN_INTERVAL, MAX_INTERVAL);
        let elapsed = now.saturating_duration_since(self.interval.start);
        let is_empty = self.interval.acked + self.interval.lost == 0;
        if (elapsed < length || is_empty) && !self.interval.is_persistent {
            return;
        }
        let interval = std::mem::replace(&mut self.interval, Interval::new(now));
        self.is_odd = !self.is_odd;
        let rate = interval.acked as f64 / elapsed.max(MIN_INTERVAL).as_secs_f64();
        self.close_interval(interval, rate, least);
        self.believe_longer_path(now, interval.min_rtt);
    }

    /// A round trip that stays long while next to nothing is in flight is no
    /// queue of ours: the path has changed, or others fill it. Without this a
    /// rerouted link would starve until the old least round trip is forgotten.
    fn believe_longer_path(&mut self, now: Instant, current: Option<Duration>) {
        let Some(current) = current.filter(|_| self.window <= MIN_PACKETS * self.mtu) else {
            self.drained_since = None;
            return;
        };
        let since = *self.drained_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= current * DRAINED_ROUND_TRIPS {
            self.min_rtt = MinRtt {
                older: None,
                newer: Some(current),
                since: now,
            };
            self.drained_since = None;
        }
    }

    fn close_interval(&mut self, interval: Interval, rate: f64, least: Duration) {
        if interval.is_persistent {
            self.rates = [0.0; RATE_INTERVALS];
            self.window = MIN_PACKETS * self.mtu;
            return;
        }
        let all = interval.acked + interval.lost;
        let is_lossy =
            all > 16 * self.mtu && interval.lost as f64 > self.config.loss_tolerance * all as f64;
        if is_lossy {
            self.rates = [rate * LOSS_BACKOFF; RATE_INTERVALS];
        } else {
            self.rates[self.next_rate] = rate;
            self.next_rate = (self.next_rate + 1) % RATE_INTERVALS;
        }
        let queue = self.queue_share(interval.min_rtt.unwrap_or(least), least);
        let best = self.rates.iter().copied().fold(0.0, f64::max);
        // With a queue the past says nothing: the link may have shrunk.
        let (base, gain, floor) = if queue <= 1.0 {
            (best, GAIN, self.config.floor)
        } else {
            let excess = ((queue - 1.0) / (QUEUE_HIGH - 1.0)).min(1.0);
            let gain = GAIN - (GAIN - DRAIN_GAIN) * excess;
            (rate, gain, MIN_PACKETS * self.mtu)
        };
        let (gain, floor) = if is_lossy {
            (gain.min(1.0), MIN_PACKETS * self.mtu)
        } else {
            (gain, floor)
        };
        let window = base * least.max(Duration::from_millis(1)).as_secs_f64() * gain;
        self.window = (window as u64).clamp(floor.min(self.config.ceiling), self.config.ceiling);
    }

    /// The queueing delay in units of what is tolerated.
    fn queue_share(&self, current: Duration, least: Duration) -> f64 {
        let queue = current.saturating_sub(least);
        let tolerated = (least / 4).max(MIN_TOLERATED_QUEUE);
        queue.as_secs_f64() / tolerated.as_secs_f64()
    }

    /// The most that was delivered lately, in bits per second.
    pub fn delivered_rate(&self) -> u64 {
        (self.rates.iter().copied().fold(0.0, f64::max) * 8.0) as u64
    }
}

impl Controller for Delivery {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        _rtt: &RttEstimator,
    ) {
        self.note_acked(now, sent, bytes);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        _in_flight: u64,
        _app_limited: bool,
        _largest: Option<u64>,
    ) {
        self.update(now);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        _sent: Instant,
        is_persistent: bool,
        lost_bytes: u64,
    ) {
        // ECN marks come with no lost bytes: the queue that set them shows in
        // the round trip too.
        self.note_lost(lost_bytes, is_persistent);
        self.update(now);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.window = self.window.max(MIN_PACKETS * self.mtu);
    }

    /// A byte more in every other interval: quinn-proto's pacer asks for the round
    /// trip only when the window changes. On a short way ours rests on its floor,
    /// and the pacer would go by the round trip that it assumed before the first
    /// packet, 333 ms: ten packets a turn, some 90 Mbps, whatever the link can do.
    fn window(&self) -> u64 {
        self.window + u64::from(self.is_odd)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window;
        metrics.pacing_rate = Some(self.delivered_rate());
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.config.initial_window
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests;
