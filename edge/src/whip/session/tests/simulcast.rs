//! Pictures in layers: what is answered, and that the origin sees one source.

use std::collections::BTreeMap;

use str0m::media::Rid;

use super::*;

/// 30 per second.
const FRAME: Duration = Duration::from_millis(33);
const TICKS: u32 = 3_000;

/// Chromium's offer with these lines in its video section, which is its last.
fn offer_with(lines: &[&str]) -> String {
    let plain = CHROMIUM.lines().filter(|line| !line.starts_with("a=ssrc"));
    let repaired = format!("a=extmap:11 {}", offer::REPAIRED_RID);
    let lines = plain
        .chain([repaired.as_str()])
        .chain(lines.iter().copied());
    lines.map(|line| format!("{line}\r\n")).collect()
}

/// The lines of an answer that are about layers.
fn answered(lines: &[&str]) -> Vec<String> {
    let (_, answer) = accept(&offer_with(lines)).unwrap();
    let lines = answer.sdp.lines();
    lines
        .filter(|line| line.starts_with("a=rid") || line.starts_with("a=simulcast"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn all_layers_are_taken_in_the_order_of_the_offer() {
    for (order, list) in [(["q", "h", "f"], "q;h;f"), (["f", "h", "q"], "f;h;q")] {
        let rids = order.map(|rid| format!("a=rid:{rid} send"));
        let list = format!("a=simulcast:send {list}");
        let found = answered(&[&rids[0], &rids[1], &rids[2], &list]);
        let mut expected: Vec<String> = order.map(|rid| format!("a=rid:{rid} recv")).into();
        expected.push(list.replace("send", "recv"));
        assert_eq!(found, expected);
    }
    let (session, answer) = accept(&offer_with(&["a=rid:q send", "a=simulcast:send q"])).unwrap();
    for uri in [offer::RID, offer::REPAIRED_RID, offer::MID] {
        assert!(answer.sdp.contains(uri), "{uri}");
    }
    assert_eq!(session.tracks().nth(1).unwrap().ssrc, None);
    // And without simulcast nothing of it.
    let (session, answer) = accept(&offer_with(&["a=rid:q send"])).unwrap();
    assert!(!answer.sdp.contains("a=rid") && !answer.sdp.contains(offer::RID));
    assert!(session.tracks.iter().all(|track| track.simulcast.is_none()));
}

#[test]
fn what_cannot_be_taken_of_a_list_is_left_out() {
    let rids = ["a=rid:q send", "a=rid:h send", "a=rid:f send"];
    let list = |list: &str| {
        let list = format!("a=simulcast:{list}");
        let found = answered(&[rids[0], rids[1], rids[2], &list]);
        let last = found.last().cloned().unwrap_or_default();
        last.trim_start_matches("a=simulcast:recv ").to_owned()
    };
    assert_eq!(list("send q;~h;f"), "q;h;f", "paused is taken, unpaused");
    assert_eq!(list("send q;x;f"), "q;f", "without a=rid");
    assert_eq!(list("send x,h;f,q"), "h;f", "alternatives");
    assert_eq!(list("send q;q;f"), "q;f", "twice");
    assert_eq!(list("recv a send h;f"), "h;f");
    assert_eq!(list("send rid=q;f"), "q;f", "as drafts had it");
    for nothing in ["send", "send ;;", "recv q;h", "", "send x;y", "rid=q"] {
        assert_eq!(list(nothing), "", "{nothing}");
    }
}

#[test]
fn layers_are_bounded_and_told_apart() {
    let mut lines: Vec<String> = (1..=9).map(|n| format!("a=rid:{n} send")).collect();
    lines.push("a=simulcast:send 1;2;3;4;5;6;7;8;9".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(answered(&lines).last().unwrap(), "a=simulcast:recv 1;2;3;4");
    // The engine knows a name by eight letters.
    let found = answered(&[
        "a=rid:picturehigh send",
        "a=rid:picturehi send",
        "a=rid:picturelow send",
        "a=rid:picture-2 send",
        "a=simulcast:send picturehigh;picturehi;picturelow;picture-2",
    ]);
    let last = found.last().unwrap();
    assert_eq!(last, "a=simulcast:recv picturehigh;picturelow");
}

#[test]
fn restrictions_are_kept_and_other_codecs_left_out() {
    // 103 is H.264 in this offer, 96 is VP8.
    let found = answered(&[
        "a=rid:1 send pt=103;max-width=1280;max-fps=30;depend=2",
        "a=rid:2 send max-br=500000",
        "a=rid:3 send pt=96",
        "a=simulcast:send 1;2;3",
    ]);
    let expected = [
        "a=rid:1 recv max-width=1280;max-fps=30",
        "a=rid:2 recv max-br=500000",
        "a=simulcast:recv 1;2",
    ];
    assert_eq!(found, expected);
}

#[test]
fn layers_without_names_in_their_packets_are_not_answered() {
    let offer = offer_with(&["a=rid:q send", "a=rid:f send", "a=simulcast:send q;f"]);
    for gone in [offer::RID, offer::MID] {
        let (_, answer) = accept(&offer.replace(gone, "urn:x")).unwrap();
        assert!(!answer.sdp.contains("a=simulcast"), "{gone}");
    }
}

#[test]
fn sources_of_a_group_are_layers() {
    let lines = [
        "a=ssrc-group:SIM 11 12 13",
        "a=ssrc-group:FID 11 21",
        "a=ssrc:11 cname:x",
        "a=ssrc:12 cname:x",
        "a=ssrc:13 cname:x",
        "a=ssrc:21 cname:x",
        "a=x-google-flag:conference",
    ];
    let (session, answer) = accept(&offer_with(&lines)).unwrap();
    assert!(!answer.sdp.contains("a=rid") && !answer.sdp.contains("a=simulcast"));
    let simulcast = session.tracks[1].simulcast.as_ref().unwrap();
    assert_eq!(simulcast.any_ssrc(), Some(Ssrc(11)));
    assert_eq!(session.tracks().nth(1).unwrap().ssrc, None);
}

/// Each layer begins close to a wrap of its own.
const FIRST: [(&str, u64); 3] = [("q", 65_520), ("h", 65_400), ("f", 65_480)];

/// A camera in three layers, and the session that it comes to.
struct Camera {
    pair: Pair,
    seqs: BTreeMap<&'static str, u64>,
    frames: u32,
}

impl Camera {
    fn new() -> Self {
        let now = clock::now();
        let rids = ["q", "h", "f"];
        let presenter = Presenter::with_layers(&rids, PRESENTER.parse().unwrap(), now);
        let config = Config::new().unwrap();
        let mut pair = Pair::of(presenter, &config, |offer| offer, now);
        pair.run_until(|pair| pair.session.is_connected() && pair.presenter.is_connected);
        Self {
            pair,
            seqs: FIRST.into(),
            frames: 0,
        }
    }

    /// A frame of two packets in each of these layers.
    fn frame(&mut self, rids: &[&'static str], is_key: bool) {
        for rid in rids {
            let (name, offset, width) = match *rid {
                "q" => (b'q', 1_000_000, 320_u16),
                "h" => (b'h', u32::MAX - 30_000, 640),
                _ => (b'f', 7, 1_280),
            };
            let [low, high] = width.to_le_bytes();
            let key = [0x10, 0x00, 0, 0, 0x9D, 0x01, 0x2A, low, high, 90, 0];
            let mut first = if is_key {
                key.to_vec()
            } else {
                vec![0x10, 0x01]
            };
            first.resize(500, name);
            let mut second = vec![0x00];
            second.resize(950, name);
            let seq = self.seqs.get_mut(rid).unwrap();
            let time = self.frames.wrapping_mul(TICKS).wrapping_add(offset);
            let (now, payloads) = (self.pair.now, vec![first, second]);
            self.pair
                .presenter
                .send_layer(now, rid, *seq, time, payloads);
            *seq += 2;
        }
        self.frames += 1;
        self.pair.deliver();
        self.pair.run_for(FRAME);
    }

    /// Frames, with a key frame wherever one is asked for.
    fn frames(&mut self, count: u32, rids: &[&'static str]) {
        for _ in 0..count {
            for asked in std::mem::take(&mut self.pair.presenter.asked) {
                let mut rids = rids.iter();
                let asked = rids.find(|rid| asked == Some(Rid::from(**rid)));
                if let Some(rid) = asked {
                    self.frame(&[*rid], true);
                }
            }
            self.frame(rids, false);
        }
    }

    /// Packets of a layer.
    fn sent(&self, rid: &str) -> usize {
        let first = FIRST.iter().find(|(name, _)| *name == rid).unwrap().1;
        (self.seqs[rid] - first) as usize
    }

    /// The layer of the newest packet.
    fn shown(&self) -> char {
        let last = self.pair.rtp.last().unwrap();
        char::from(*last.payload.last().unwrap())
    }

    fn assert_one_source(&self) {
        let rtp = &self.pair.rtp;
        assert!(rtp.iter().all(|p| p.header.ssrc == rtp[0].header.ssrc));
        for (at, pair) in rtp.windows(2).enumerate() {
            let [one, two] = pair else { unreachable!() };
            let expected = one.header.sequence.wrapping_add(1);
            assert_eq!(two.header.sequence, expected, "packet {at}");
            let step = two.header.timestamp.wrapping_sub(one.header.timestamp);
            assert!(step < 90_000 * 3, "packet {at}: {step}");
        }
    }
}

const ALL: [&str; 3] = ["q", "h", "f"];

#[test]
fn only_the_best_layer_comes_out_as_one_source() {
    let mut camera = Camera::new();
    camera.frame(&ALL, true);
    camera.frames(60, &ALL);
    assert_eq!(camera.pair.rtp.len(), camera.sent("f"));
    let is_best = |rtp: &Rtp| rtp.payload.ends_with(b"f");
    assert!(camera.pair.rtp.iter().all(is_best));
    camera.assert_one_source();
    let counters = camera.pair.session.counters();
    let others = (camera.sent("q") + camera.sent("h")) as u64;
    assert_eq!(
        (counters.layer_dropped, counters.layer_changes),
        (others, 0)
    );
    assert_eq!((counters.foreign, counters.malformed), (0, 0));
    let totals = camera.pair.session.totals();
    assert_eq!((totals.packets, totals.lost), (camera.sent("f") as u64, 0));
    assert_eq!(camera.pair.tracks_changed, 1, "its source became known");
    let ssrc = camera.pair.session.tracks().nth(1).unwrap().ssrc;
    assert_eq!(ssrc, Some(camera.pair.rtp[0].header.ssrc));
    // Reports of the one that is forwarded, and of no other.
    assert!(!camera.pair.reports.is_empty());
    assert!(camera.pair.reports.iter().all(|r| Some(r.ssrc) == ssrc));
}

#[test]
fn it_goes_down_when_the_best_stops_and_up_when_it_is_back() {
    let mut camera = Camera::new();
    camera.frame(&ALL, true);
    camera.frames(30, &ALL);
    camera.pair.presenter.asked.clear();
    camera.frames(60, &["q", "h"]);
    assert_eq!(camera.shown(), 'h');
    camera.frames(30, &ALL);
    assert_eq!(camera.shown(), 'h', "not before it is steady");
    camera.frames(60, &ALL);
    assert_eq!(camera.shown(), 'f');
    camera.assert_one_source();
    assert_eq!(camera.pair.session.counters().layer_changes, 2);
    assert_eq!(camera.pair.session.totals().lost, 0);
    assert_eq!(camera.pair.tracks_changed, 1);
}

#[test]
fn key_frames_are_asked_of_the_layer_that_is_shown() {
    let mut camera = Camera::new();
    camera.frame(&ALL, true);
    camera.frames(60, &ALL);
    camera.pair.presenter.asked.clear();
    camera.pair.session.request_keyframe(camera.pair.now);
    camera.pair.drain_session();
    camera.pair.run_for(FRAME);
    assert_eq!(camera.pair.presenter.asked, [Some(Rid::from("f"))]);
}

#[test]
fn lost_packets_of_each_layer_are_asked_for_and_come_again() {
    let mut camera = Camera::new();
    camera.frame(&ALL, true);
    camera.frames(10, &ALL);
    // 7 %, of no layer in particular.
    camera.pair.drops = Box::new(|sent, datagram| is_video(datagram) && sent * 7_919 % 29 < 2);
    camera.frames(60, &ALL);
    camera.pair.drops = Box::new(|_, _| false);
    camera.frames(10, &ALL);
    camera.pair.run_for(STATS_INTERVAL);
    assert!(camera.pair.session.counters().nacks > 0);
    assert_eq!(camera.pair.session.totals().lost, 0);
    let of_best = camera.pair.rtp.iter().filter(|p| p.payload.ends_with(b"f"));
    assert_eq!(of_best.count(), camera.sent("f"));
    let all: usize = ALL.iter().map(|rid| camera.sent(rid)).sum();
    let dropped = camera.pair.session.counters().layer_dropped;
    assert_eq!(
        camera.pair.rtp.len() as u64 + dropped,
        all as u64,
        "also of those that are not forwarded"
    );
}

#[test]
fn a_layer_that_never_comes_does_not_keep_the_picture_away() {
    let mut camera = Camera::new();
    camera.frame(&["q", "h"], true);
    camera.frames(20, &["q", "h"]);
    assert!(camera.pair.rtp.is_empty());
    camera.frames(12, &["q", "h"]);
    assert_eq!(camera.shown(), 'h');
    camera.frame(&ALL, true);
    camera.frames(2, &ALL);
    assert_eq!(camera.shown(), 'f', "at its first key frame");
    camera.assert_one_source();
}

#[test]
fn layers_go_on_after_an_ice_restart() {
    let mut camera = Camera::new();
    camera.frame(&ALL, true);
    camera.frames(10, &ALL);
    let fragment = camera.pair.restart();
    camera.pair.presenter.handle_fragment(&fragment);
    camera.frames(30, &ALL);
    assert_eq!(camera.pair.restarted, 1);
    assert_eq!(camera.pair.rtp.len(), camera.sent("f"));
    camera.assert_one_source();
}
