//! Layers as their packets come: switches, wraparound, reordering.

use inlet_common::{clock, video::Size};
use proptest::prelude::*;

use super::*;

const RATE: u32 = 90_000;
const FRAME: Duration = Duration::from_millis(40);
const TICKS: u32 = 3_600;

fn size(width: u32) -> Size {
    Size {
        width,
        height: width * 9 / 16,
    }
}

/// Three layers of one camera, small to large; each counts in its own way.
struct Camera {
    layers: Layers<(usize, u64)>,
    now: Instant,
    began: Instant,
    out: Vec<Placed<(usize, u64)>>,
    seqs: [u64; 3],
    clocks: [u32; 3],
    widths: [Option<u32>; 3],
}

impl Camera {
    fn new() -> Self {
        Self::with_expected([true; 3])
    }

    fn with_expected(expected: [bool; 3]) -> Self {
        let mut layers = Layers::new(RATE, expected.map(|is_expected| (None, is_expected)));
        for at in 0..3 {
            layers.bind(at, ssrc(at));
        }
        let now = clock::now();
        Self {
            layers,
            now,
            began: now,
            out: Vec::new(),
            // Each close to a wrap of its own.
            seqs: [65_530, 131_060, 10],
            clocks: [u32::MAX - 9_000, 77, 2_000_000_000],
            widths: [Some(320), Some(640), Some(1_280)],
        }
    }

    /// One packet of a layer.
    fn send(&mut self, at: usize, is_key: bool, marker: bool) {
        let seq = self.seqs[at];
        self.seqs[at] += 1;
        self.send_as(at, seq, is_key, marker);
    }

    fn send_as(&mut self, at: usize, seq: u64, is_key: bool, marker: bool) {
        let start = is_key.then(|| Start {
            size: self.widths[at].map(size),
        });
        let packet = Packet {
            seq,
            timestamp: self.timestamp(at),
            marker,
            len: 300 << at,
            start,
        };
        self.layers
            .handle_packet(self.now, ssrc(at), packet, (at, seq));
        self.drain();
    }

    fn drain(&mut self) {
        self.out
            .extend(std::iter::from_fn(|| self.layers.poll_output()));
    }

    fn timestamp(&self, at: usize) -> u32 {
        let frames = (self.now - self.began).as_millis() / FRAME.as_millis();
        self.clocks[at].wrapping_add(frames as u32 * TICKS)
    }

    /// A frame of two packets in each of the layers, then time passes.
    fn frame(&mut self, layers: &[usize], is_key: bool) {
        for &at in layers {
            self.send(at, is_key, false);
            self.send(at, false, true);
        }
        self.now += FRAME;
    }

    fn frames(&mut self, count: u32, layers: &[usize]) {
        for _ in 0..count {
            self.frame(layers, false);
        }
    }

    fn asked(&self) -> Option<usize> {
        let source = self.layers.keyframe_source(self.now)?;
        self.layers
            .wants_keyframe(self.now)
            .then(|| self.layers.position(source))?
    }

    /// Which layer the newest packet came from.
    fn shown(&self) -> usize {
        self.out.last().unwrap().body.0
    }

    fn assert_one_source(&self) {
        let mut seqs: Vec<u64> = self.out.iter().map(|placed| placed.seq).collect();
        seqs.sort_unstable();
        let first = seqs[0];
        let expected: Vec<u64> = (first..first + seqs.len() as u64).collect();
        assert_eq!(seqs, expected, "no number twice, none left out");
        assert!(self.out.iter().all(|out| out.ssrc == self.out[0].ssrc));
        let mut in_order: Vec<_> = self.out.iter().collect();
        in_order.sort_by_key(|placed| placed.seq);
        for pair in in_order.windows(2) {
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert!(step < RATE * 60, "time goes back: {step}");
            let is_same_frame = pair[0].body.0 == pair[1].body.0 && step == 0;
            assert!(is_same_frame || step > 0, "two frames at one time");
        }
    }
}

fn ssrc(at: usize) -> Ssrc {
    Ssrc(100 + at as u32)
}

#[test]
fn the_largest_is_first_in_whatever_order_they_come() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut camera = Camera::new();
        camera.frame(&order, true);
        camera.frames(10, &order);
        assert!(camera.out.iter().all(|out| out.body.0 == 2), "{order:?}");
        assert_eq!(camera.out.len(), 22);
        assert_eq!(camera.layers.dropped(), 44);
        assert_eq!((camera.layers.changes(), camera.asked()), (0, None));
        camera.assert_one_source();
    }
}

#[test]
fn the_first_choice_waits_for_those_that_are_to_come_and_no_longer() {
    let mut camera = Camera::new();
    camera.frame(&[0], true);
    camera.frames(20, &[0]);
    assert!(camera.out.is_empty());
    assert!(camera.layers.next_timeout().is_some());
    camera.now = camera.began + FIRST_WAIT;
    camera.layers.handle_timeout(camera.now);
    camera.drain();
    assert_eq!(camera.out.len(), 42, "nothing is lost by waiting");
    assert_eq!(camera.layers.next_timeout(), None);

    // What is offered paused is not waited for.
    let mut camera = Camera::with_expected([true, true, false]);
    camera.frame(&[0, 1], true);
    assert_eq!(camera.shown(), 1);
}

#[test]
fn it_goes_up_at_a_key_frame_that_is_asked_for() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1], true);
    camera.frames(30, &[0, 1]);
    assert_eq!(camera.shown(), 1);
    // The large one comes up, its first packets lost: its rate tells it.
    camera.frames(20, &[0, 1, 2]);
    assert_eq!((camera.asked(), camera.shown()), (None, 1));
    camera.frames(10, &[0, 1, 2]);
    assert_eq!((camera.asked(), camera.shown()), (Some(2), 1));
    camera.layers.note_asked(camera.now, ssrc(2));
    assert_eq!(camera.asked(), None, "paced");
    camera.frame(&[2], true);
    assert_eq!((camera.shown(), camera.layers.changes()), (2, 1));
    camera.frames(5, &[0, 1, 2]);
    camera.assert_one_source();
}

#[test]
fn who_never_answers_is_asked_ever_more_rarely() {
    let mut camera = Camera::new();
    camera.frame(&[0], true);
    camera.frames(30, &[0]);
    let mut asked = 0;
    camera.frames(26, &[0, 1]);
    let began = camera.now;
    while camera.now < began + Duration::from_secs(32) {
        camera.frames(1, &[0, 1]);
        if camera.asked() == Some(1) {
            camera.layers.note_asked(camera.now, ssrc(1));
            asked += 1;
        }
        // What the origin wants in between is asked of what is shown.
        assert_eq!(camera.layers.keyframe_source(camera.now), Some(ssrc(0)));
    }
    assert_eq!(asked, 7, "at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s");
}

#[test]
fn it_goes_down_when_the_best_has_stopped_and_up_again_later() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1, 2], true);
    camera.frames(25, &[0, 1, 2]);
    let stopped = camera.now;
    while camera.asked().is_none() {
        camera.frames(1, &[0, 1]);
        assert!(camera.now < stopped + 2 * STOPPED);
    }
    assert!(camera.now >= stopped + STOPPED - FRAME);
    assert_eq!(camera.asked(), Some(1), "the best that is left");
    camera.frame(&[1], true);
    assert_eq!(camera.shown(), 1);
    // It flickers: not at once again.
    camera.frame(&[2, 0, 1], true);
    assert_eq!((camera.shown(), camera.asked()), (1, None));
    camera.frames(60, &[0, 1, 2]);
    assert_eq!(camera.asked(), Some(2));
    camera.frame(&[2], true);
    assert_eq!((camera.shown(), camera.layers.changes()), (2, 2));
    camera.assert_one_source();
}

#[test]
fn a_picture_that_stands_still_changes_nothing() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1, 2], true);
    for _ in 0..5 {
        camera.now += 2 * STOPPED;
        camera.frame(&[0, 1, 2], true);
        assert_eq!((camera.shown(), camera.asked()), (2, None));
    }
    assert_eq!(camera.layers.changes(), 0);
}

#[test]
fn no_frame_is_cut_by_a_change() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1], true);
    camera.frames(30, &[0, 1]);
    // Interleaved, as a pacer sends them.
    camera.send(1, false, false);
    camera.send(2, true, false);
    camera.send(1, false, false);
    camera.send(2, false, false);
    assert_eq!(camera.shown(), 1);
    camera.send(1, false, true);
    camera.send(2, false, true);
    let last: Vec<usize> = camera.out.iter().rev().take(6).map(|o| o.body.0).collect();
    assert_eq!(last, [2, 2, 2, 1, 1, 1]);
    camera.assert_one_source();
}

#[test]
fn a_frame_that_does_not_end_is_not_waited_for() {
    for by_next_frame in [true, false] {
        let mut camera = Camera::new();
        camera.frame(&[0, 1], true);
        camera.frames(30, &[0, 1]);
        camera.send(1, false, false);
        camera.send(2, true, false);
        assert_eq!(camera.shown(), 1);
        camera.now += FRAME;
        if by_next_frame {
            camera.send(1, false, false);
        } else {
            camera.now += FRAME_WAIT;
            camera.layers.handle_timeout(camera.now);
            camera.drain();
        }
        assert_eq!(camera.shown(), 2);
        camera.assert_one_source();
    }
}

#[test]
fn what_comes_late_of_the_former_layer_still_finds_its_number() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1], true);
    camera.frames(30, &[0, 1]);
    let late = camera.seqs[1];
    camera.seqs[1] += 1;
    camera.send(1, false, true);
    camera.send(2, true, false);
    assert_eq!(camera.shown(), 2);
    let highest = camera.out.iter().map(|out| out.seq).max().unwrap();
    camera.send_as(1, late, false, false);
    let placed = camera.out.last().unwrap();
    assert_eq!((placed.body, placed.seq), ((1, late), highest - 2));
    // But nothing that follows, nor what was in front of the key frame.
    camera.send(1, false, true);
    camera.send_as(2, 9, false, false);
    assert_eq!(camera.out.last().unwrap().body, (1, late));
    camera.send(2, false, true);
    camera.assert_one_source();
}

#[test]
fn a_key_frame_out_of_order_is_not_gone_to() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1], true);
    camera.frames(30, &[0, 1]);
    camera.frames(30, &[0, 1, 2]);
    let first = camera.seqs[2];
    camera.seqs[2] += 1;
    camera.send(2, false, false);
    camera.send_as(2, first, true, false);
    assert_eq!((camera.shown(), camera.asked()), (1, Some(2)));
}

#[test]
fn a_key_frame_without_its_parameter_sets_is_not_gone_to() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1], true);
    camera.frames(30, &[0, 1]);
    camera.widths[2] = None;
    camera.frame(&[2], true);
    assert_eq!(camera.shown(), 1);
}

#[test]
fn without_sizes_the_rate_decides() {
    let mut camera = Camera::new();
    camera.widths = [None; 3];
    camera.frame(&[0, 1, 2], true);
    assert_eq!(
        camera.shown(),
        0,
        "the offer's order, while nothing is known"
    );
    camera.frames(60, &[0, 1, 2]);
    assert_eq!(camera.asked(), Some(2), "three times the rate");
    camera.frame(&[2], true);
    assert_eq!(camera.shown(), 2);
    camera.frames(60, &[0, 1, 2]);
    assert_eq!(camera.asked(), None);
}

#[test]
fn sender_reports_tie_the_layers_clocks() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1], true);
    camera.frames(30, &[0, 1]);
    let report = |camera: &Camera, at: usize, ntp_offset: u64| SenderReport {
        ssrc: ssrc(at),
        ntp: (3_900_000_000 << 32) + ntp_offset,
        rtp: camera.timestamp(at),
        packets: 1,
        octets: 1,
    };
    // The layer's clock runs 20 ms behind what arrival would make of it.
    let one = report(&camera, 1, 0);
    let told = camera.layers.handle_report(&one).unwrap();
    assert_eq!((told.ssrc, told.ntp, told.rtp), (ssrc(1), one.ntp, one.rtp));
    assert_eq!((told.packets, told.octets), (62, 62 * 600));
    let two = report(&camera, 2, (1 << 32) / 50);
    assert_eq!(camera.layers.handle_report(&two), None, "not forwarded");
    let before = camera.out.last().unwrap().timestamp;
    camera.send(2, true, false);
    let after = camera.out.last().unwrap().timestamp;
    assert_eq!(after.wrapping_sub(before), TICKS + RATE / 50);
    let told = camera.layers.handle_report(&two).unwrap();
    assert_eq!((told.ssrc, told.rtp), (ssrc(1), after));
}

#[test]
fn clocks_that_cannot_be_are_not_believed() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1], true);
    camera.frames(30, &[0, 1]);
    for at in [1, 2] {
        let report = SenderReport {
            ssrc: ssrc(at),
            ntp: (at as u64) << 36,
            rtp: camera.timestamp(at),
            packets: 1,
            octets: 1,
        };
        let _ = camera.layers.handle_report(&report);
    }
    let before = camera.out.last().unwrap().timestamp;
    camera.send(2, true, false);
    let step = camera.out.last().unwrap().timestamp.wrapping_sub(before);
    assert_eq!(step, TICKS, "by arrival instead");
}

#[test]
fn a_layer_with_a_new_source_begins_anew() {
    let mut camera = Camera::new();
    camera.frame(&[0, 1, 2], true);
    camera.frames(10, &[0, 1, 2]);
    let first = camera.out[0].ssrc;
    camera.layers.bind(2, Ssrc(900));
    camera.send(2, false, true);
    assert_eq!(camera.layers.position(ssrc(2)), None);
    let packet = Packet {
        seq: 5,
        timestamp: 123,
        marker: true,
        len: 10,
        start: Some(Start {
            size: Some(size(1_280)),
        }),
    };
    camera
        .layers
        .handle_packet(camera.now, Ssrc(900), packet, (2, 5));
    camera.drain();
    let last = camera.out.last().unwrap();
    assert_eq!((last.body, last.ssrc), ((2, 5), first));
    camera.assert_one_source();
}

#[test]
fn what_is_held_is_bounded() {
    let mut camera = Camera::new();
    camera.send(2, true, false);
    for _ in 0..2 * MAX_HELD {
        camera.send(2, false, false);
        let held = camera.layers.change.as_ref().map_or(0, |c| c.held.len());
        assert!(held < MAX_HELD);
    }
    assert_eq!(camera.out.len(), 2 * MAX_HELD + 1);
    let many = Layers::<()>::new(RATE, [(None, true); 9]);
    assert_eq!(many.layers.len(), MAX_LAYERS);
}

proptest! {
    /// Layers come and go, and packets change places; none is lost on the way.
    #[test]
    fn the_origin_sees_one_continuous_source(
        script in proptest::collection::vec((1_u8..8, any::<bool>(), 1_u32..20), 1..40),
        swaps in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let mut camera = Camera::new();
        let mut swaps = swaps.into_iter().cycle();
        for (mask, is_key, frames) in script {
            let alive: Vec<usize> = (0..3).filter(|at| mask & (1 << at) != 0).collect();
            for frame in 0..frames {
                // Three packets each, of which the later two may change places.
                for round in 0..2 {
                    for &at in &alive {
                        if round == 0 {
                            camera.send(at, is_key && frame == 0, false);
                        } else if swaps.next() == Some(true) {
                            let seq = camera.seqs[at];
                            camera.seqs[at] += 2;
                            camera.send_as(at, seq + 1, false, true);
                            camera.send_as(at, seq, false, false);
                        } else {
                            camera.send(at, false, false);
                            camera.send(at, false, true);
                        }
                    }
                }
                camera.now += FRAME;
            }
        }
        camera.now += FIRST_WAIT;
        camera.layers.handle_timeout(camera.now);
        camera.drain();
        if !camera.out.is_empty() {
            camera.assert_one_source();
        }
        let held = camera.out.len() as u64 + camera.layers.dropped();
        let sent = camera.seqs[0] - 65_530 + camera.seqs[1] - 131_060 + camera.seqs[2] - 10;
        prop_assert_eq!(held, sent, "each packet is forwarded or counted");
    }

    #[test]
    fn junk_never_panics(
        packets in proptest::collection::vec(
            (0_u32..4, any::<u64>(), any::<u32>(), any::<bool>(), any::<u8>(), 0_u64..3_000),
            0..80,
        ),
    ) {
        let mut layers = Layers::new(RATE, [(None, true), (Some(Ssrc(1)), false)]);
        let mut now = clock::now();
        for (source, seq, timestamp, marker, kind, millis) in packets {
            now += Duration::from_millis(millis);
            let start = (kind & 1 == 0).then(|| Start {
                size: (kind & 2 == 0).then(|| size(u32::from(kind))),
            });
            if kind > 200 {
                layers.bind(usize::from(kind & 3), Ssrc(source));
            }
            let report = SenderReport {
                ssrc: Ssrc(source),
                ntp: seq,
                rtp: timestamp,
                packets: 0,
                octets: 0,
            };
            let _ = (layers.handle_report(&report), layers.wants_keyframe(now));
            // Extended numbers of the engine's never come near the end.
            let packet = Packet { seq: seq >> 16, timestamp, marker, len: 9, start };
            layers.handle_packet(now, Ssrc(source), packet, ());
            while layers.poll_output().is_some() {}
        }
    }
}
