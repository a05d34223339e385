//! The controller on an emulated bottleneck, under virtual time.

use std::collections::VecDeque;

use inlet_common::clock;

use super::*;

const PACKET: u64 = 1_200;
const TICK: Duration = Duration::from_millis(1);

/// A link with a rate, a delay, a queue and random loss, and a sender that has
/// so much to send.
struct Path {
    controller: Delivery,
    now: Instant,
    start: Instant,
    /// Bits per second.
    capacity: u64,
    base_rtt: Duration,
    /// One in so many packets is lost.
    one_in: Option<u32>,
    random: u32,
    /// When the bottleneck has sent all that it holds.
    busy_until: Instant,
    /// Arrival of the ACK (or of the news of the loss), time sent, is lost.
    in_flight: VecDeque<(Instant, Instant, bool)>,
    backlog: u64,
    delivered: u64,
    worst_queue: Duration,
    largest_window: u64,
}

impl Path {
    fn new(capacity: u64, base_rtt: Duration) -> Self {
        let now = clock::now();
        Self {
            controller: Delivery::new(Config::default(), now, 1_200),
            now,
            start: now,
            capacity,
            base_rtt,
            one_in: None,
            random: 7,
            busy_until: now,
            in_flight: VecDeque::new(),
            backlog: 0,
            delivered: 0,
            worst_queue: Duration::ZERO,
            largest_window: 0,
        }
    }

    fn is_lost(&mut self) -> bool {
        // A linear congruential generator: the test must repeat itself.
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        self.one_in
            .is_some_and(|one_in| (self.random >> 8).is_multiple_of(one_in))
    }

    fn tick(&mut self, offered: u64) {
        self.now += TICK;
        self.backlog += offered / 8 / 1_000;
        while let Some(&(at, sent, is_lost)) = self.in_flight.front()
            && at <= self.now
        {
            self.in_flight.pop_front();
            if is_lost {
                self.controller.note_lost(PACKET, false);
            } else {
                self.delivered += PACKET;
                self.controller.note_acked(self.now, sent, PACKET);
            }
        }
        self.controller.update(self.now);
        self.largest_window = self.largest_window.max(self.controller.window());
        while self.backlog >= PACKET
            && (self.in_flight.len() as u64 + 1) * PACKET <= self.controller.window()
        {
            self.backlog -= PACKET;
            let serialise = Duration::from_nanos(PACKET * 8 * 1_000_000_000 / self.capacity);
            self.busy_until = self.busy_until.max(self.now) + serialise;
            let queue = self.busy_until - self.now;
            self.worst_queue = self.worst_queue.max(queue);
            let is_lost = self.is_lost();
            self.in_flight
                .push_back((self.busy_until + self.base_rtt, self.now, is_lost));
        }
    }

    fn run(&mut self, seconds: u64, offered: u64) {
        self.delivered = 0;
        self.worst_queue = Duration::ZERO;
        self.largest_window = 0;
        self.start = self.now;
        for _ in 0..seconds * 1_000 {
            self.tick(offered);
        }
    }

    fn rate(&self) -> u64 {
        self.delivered * 8 * 1_000 / (self.now - self.start).as_millis() as u64
    }
}

const MBPS: u64 = 1_000_000;

#[test]
fn a_window_of_twice_the_media_rate_is_enough() {
    let mut path = Path::new(1_000 * MBPS, Duration::from_millis(100));
    path.run(10, 60 * MBPS);
    assert!(path.rate() > 58 * MBPS, "{}", path.rate());
    path.run(5, 60 * MBPS);
    let product = 60 * MBPS / 8 / 10;
    assert!(
        path.largest_window < 4 * product,
        "{} of {product}",
        path.largest_window
    );
    assert!(path.backlog < 4 * PACKET);
}

#[test]
fn random_loss_changes_nothing() {
    for one_in in [100, 20, 10] {
        let mut path = Path::new(1_000 * MBPS, Duration::from_millis(100));
        path.one_in = Some(one_in);
        path.run(10, 60 * MBPS);
        let sendable = 60 * MBPS - 60 * MBPS / u64::from(one_in);
        assert!(
            path.rate() > sendable * 9 / 10,
            "1 in {one_in}: {}",
            path.rate()
        );
        assert!(
            path.backlog < 100 * PACKET,
            "1 in {one_in}: {}",
            path.backlog
        );
    }
}

#[test]
fn much_loss_is_answered() {
    let mut path = Path::new(1_000 * MBPS, Duration::from_millis(50));
    path.run(5, 60 * MBPS);
    let before = path.controller.window();
    path.one_in = Some(3);
    path.run(3, 60 * MBPS);
    assert!(
        path.controller.window() < before / 3,
        "{} of {before}",
        path.controller.window()
    );
    path.one_in = None;
    path.backlog = 0;
    path.run(5, 60 * MBPS);
    assert!(path.rate() > 50 * MBPS, "{}", path.rate());
}

#[test]
fn a_link_that_shrinks_keeps_its_queue_short() {
    let mut path = Path::new(19 * MBPS, Duration::from_millis(40));
    path.run(10, 15 * MBPS);
    assert!(path.rate() > 14 * MBPS);
    path.capacity = 12 * MBPS;
    path.run(3, 15 * MBPS);
    path.run(10, 15 * MBPS);
    assert!(path.rate() > 9 * MBPS, "{}", path.rate());
    assert!(
        path.worst_queue < Duration::from_millis(150),
        "{:?}",
        path.worst_queue
    );
}

#[test]
fn a_link_that_widens_is_found_within_seconds() {
    let mut path = Path::new(5 * MBPS, Duration::from_millis(80));
    path.run(10, 30 * MBPS);
    assert!(path.rate() > 4 * MBPS, "{}", path.rate());
    path.capacity = 100 * MBPS;
    path.backlog = 0;
    path.run(6, 30 * MBPS);
    path.run(4, 30 * MBPS);
    assert!(path.rate() > 28 * MBPS, "{}", path.rate());
}

#[test]
fn a_longer_path_is_believed_within_a_second() {
    let mut path = Path::new(1_000 * MBPS, Duration::from_millis(20));
    path.run(8, 40 * MBPS);
    path.base_rtt = Duration::from_millis(140);
    path.run(1, 40 * MBPS);
    path.backlog = 0;
    path.run(4, 40 * MBPS);
    assert!(path.rate() > 36 * MBPS, "{}", path.rate());
}

#[test]
fn an_idle_link_keeps_room_for_a_key_frame() {
    let mut path = Path::new(100 * MBPS, Duration::from_millis(100));
    path.run(20, MBPS / 2);
    assert_eq!(path.controller.window, Config::default().floor);
}

#[test]
fn persistent_congestion_starts_over() {
    let mut path = Path::new(1_000 * MBPS, Duration::from_millis(50));
    path.run(5, 60 * MBPS);
    path.controller.note_lost(PACKET, true);
    path.controller.update(path.now);
    assert_eq!(path.controller.window, MIN_PACKETS * 1_200);
    path.backlog = 0;
    path.run(3, 60 * MBPS);
    path.run(3, 60 * MBPS);
    assert!(path.rate() > 55 * MBPS, "{}", path.rate());
}
