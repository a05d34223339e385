//! The link against an origin in memory, under virtual time.

mod fleet;
mod origin;

use bytes::Bytes;
use inlet_common::{
    ids::{PublishPath, PushToken, StreamId},
    reason::ReasonCode,
    roq::{
        control::{
            self, Codec, HeaderExtension, Reject, TargetRate, Totals, Track, VIDEO_ORIENTATION,
        },
        datagram, error_code,
    },
    rtp::{self, Header, Ssrc, rtcp},
};

use self::origin::Net;
use super::*;
use crate::worker::OpenRequest;

const VIDEO: usize = 0;
const AUDIO: usize = 1;

fn request() -> OpenRequest {
    OpenRequest {
        path: PublishPath {
            stream: StreamId(1),
            token: PushToken::new("t"),
        },
        announced: None,
        user_agent: None,
        key: None,
        replaces: None,
    }
}

fn track(codec: Codec, clock_rate: u32) -> Track {
    Track {
        flow: FlowId(0),
        codec,
        payload_types: vec![96],
        clock_rate,
        fmtp: None,
        ssrc: None,
        extensions: vec![HeaderExtension {
            id: 4,
            uri: VIDEO_ORIENTATION.into(),
        }],
    }
}

fn tracks() -> Vec<Track> {
    vec![track(Codec::H264, 90_000), track(Codec::Opus, 48_000)]
}

/// A presenter's packets, made up.
struct Media {
    key: Key,
    id: SessionId,
    sequence: u16,
    frames: u32,
}

impl Media {
    fn open(net: &mut Net) -> Self {
        let id = SessionId::random();
        let key = net.link.open(net.now, id, request(), tracks()).unwrap();
        net.run_until(|net| net.outputs.contains(&Output::Opened(id)));
        Self {
            key,
            id,
            sequence: 65_530,
            frames: 0,
        }
    }

    fn packet(&mut self, track: usize, timestamp: u32, marker: bool, payload: Vec<u8>) -> Rtp {
        self.sequence = self.sequence.wrapping_add(1);
        Rtp {
            track,
            header: Header {
                marker,
                payload_type: 96,
                sequence: self.sequence,
                timestamp,
                ssrc: Ssrc(7),
            },
            orientation: Some(3),
            payload: payload.into(),
        }
    }

    fn frame(&mut self, net: &mut Net, packets: usize, is_key: bool) {
        self.frames += 1;
        let timestamp = self.frames * 3_000;
        for at in 0..packets {
            let kind = if is_key { 5 } else { 1 };
            let mut payload = vec![0x7C, (u8::from(at == 0) << 7) | kind];
            payload.resize(1_100, 9);
            let rtp = self.packet(VIDEO, timestamp, at + 1 == packets, payload);
            net.link.rtp(net.now, self.key, &rtp);
        }
    }

    fn audio(&mut self, net: &mut Net) {
        let rtp = self.packet(AUDIO, self.frames * 960, false, vec![1; 160]);
        net.link.rtp(net.now, self.key, &rtp);
    }

    /// 30 frames per second of `packets` packets, a key frame each second.
    fn play(&mut self, net: &mut Net, frames: u32, packets: usize) {
        for _ in 0..frames {
            let is_key = self.frames.is_multiple_of(30);
            self.frame(net, packets, is_key);
            self.audio(net);
            net.run_for(Duration::from_millis(33));
        }
    }
}

fn video(net: &Net) -> &[rtp::Packet] {
    net.origin
        .packets
        .get(&FlowId(1))
        .map_or(&[], Vec::as_slice)
}

#[test]
fn hello_and_open_are_answered() {
    let mut net = Net::up();
    assert_eq!(net.outputs, [Output::Up]);
    let media = Media::open(&mut net);
    let Message::Hello(hello) = &net.origin.messages[0] else {
        panic!("{:?}", net.origin.messages);
    };
    assert_eq!(
        (hello.version, hello.name.as_str()),
        (control::VERSION, "pop")
    );
    let open = net
        .origin
        .messages
        .iter()
        .find_map(|message| match message {
            Message::Open(open) => Some(open),
            _ => None,
        });
    let open = open.unwrap();
    assert_eq!((open.session, open.epoch), (media.id, 0));
    let flows: Vec<u64> = open.tracks.iter().map(|track| track.flow.0).collect();
    assert_eq!(flows, [1, 2]);
}

#[test]
fn a_frame_is_a_stream_and_audio_a_datagram() {
    let mut net = Net::up();
    let mut media = Media::open(&mut net);
    media.play(&mut net, 30, 4);
    net.run_for(Duration::from_millis(100));
    assert_eq!(net.origin.frames, vec![4; 30]);
    assert_eq!(video(&net).len(), 120);
    assert_eq!(net.origin.packets[&FlowId(2)].len(), 30);
    let first = &video(&net)[0];
    assert_eq!(
        (first.header.sequence, first.header.marker),
        (65_531, false)
    );
    assert_eq!(first.extension(4), Some(&[3][..]));
    assert_eq!(net.link.counters().frames_sent, 30);
    assert!(net.link.counters().dropped.is_empty());
    assert_eq!(net.link.gauges().unwrap().frames_under_way, 0);
}

#[test]
fn loss_delays_frames_and_loses_none() {
    let mut net = Net::new();
    net.delay = Duration::from_millis(50);
    net.run_until(|net| net.link.is_up());
    let mut media = Media::open(&mut net);
    net.lose_one_in = Some(50);
    media.play(&mut net, 150, 12);
    net.run_for(Duration::from_secs(1));
    let cancelled = net.link.counters().frames_cancelled;
    assert_eq!(
        (net.origin.frames.len(), cancelled),
        (150, 0),
        "{:?}",
        net.link.counters()
    );
    assert_eq!(video(&net).len(), 150 * 12);
}

#[test]
fn a_longer_way_costs_a_second_at_most() {
    let mut net = Net::up();
    let mut media = Media::open(&mut net);
    media.play(&mut net, 60, 12);
    net.delay = Duration::from_millis(70);
    media.play(&mut net, 60, 12);
    let before = net.origin.frames.len();
    media.play(&mut net, 60, 12);
    net.run_for(Duration::from_millis(200));
    assert!(
        net.origin.frames.len() >= before + 58,
        "{:?}",
        net.link.counters()
    );
}

#[test]
fn a_short_way_carries_what_a_worker_takes_in() {
    let mut net = Net::new();
    net.delay = Duration::from_millis(1);
    net.run_until(|net| net.link.is_up());
    let mut media = Media::open(&mut net);
    // 220 Mbps: a hundred presenters.
    for at in 0..1_000 {
        media.frame(&mut net, 25, at == 0);
        net.tick();
    }
    net.run_for(Duration::from_millis(50));
    assert_eq!(video(&net).len(), 25_000);
    assert!(net.link.counters().dropped.is_empty());
}

#[test]
fn a_late_packet_has_a_stream_of_its_own() {
    let mut net = Net::up();
    let mut media = Media::open(&mut net);
    media.frame(&mut net, 3, true);
    let mut late = media.packet(VIDEO, 3_000, false, vec![0x7C, 5, 1]);
    media.frame(&mut net, 1, false);
    late.header.sequence = 65_500;
    net.link.rtp(net.now, media.key, &late);
    media.frame(&mut net, 2, false);
    net.run_for(Duration::from_millis(100));
    let mut frames = net.origin.frames.clone();
    frames.sort_unstable();
    assert_eq!((frames, net.origin.resets), (vec![1, 1, 2, 3], 0));
}

#[test]
fn a_packet_too_large_for_a_datagram_goes_on_a_stream() {
    let mut net = Net::up();
    let mut media = Media::open(&mut net);
    let rtp = media.packet(AUDIO, 960, false, vec![1; 3_000]);
    net.link.rtp(net.now, media.key, &rtp);
    net.run_for(Duration::from_millis(100));
    assert_eq!(net.origin.packets[&FlowId(2)][0].payload.len(), 3_000);
    assert_eq!(net.origin.frames, [1]);
}

#[test]
fn without_streams_everything_to_the_next_key_frame_is_given_up() {
    let mut net = Net::with_streams(8);
    net.origin.is_lazy = true;
    net.run_until(|net| net.link.is_up());
    let mut media = Media::open(&mut net);
    net.outputs.clear();
    for _ in 0..20 {
        media.frame(&mut net, 2, media.frames == 0);
    }
    net.flush();
    let counters = net.link.counters().clone();
    assert_eq!(counters.frames_sent, 8);
    assert_eq!(counters.frames_cancelled, 1);
    assert_eq!(counters.dropped[&DropReason::NoStream], 1);
    assert_eq!(
        counters.dropped[&DropReason::AwaitingKeyframe],
        2 * 20 - 2 * 8 - 1
    );
    assert!(net.outputs.contains(&Output::KeyframeWanted(media.id)));
    let limited = net
        .outputs
        .iter()
        .any(|output| matches!(output, Output::Limit(_, Some(_))));
    assert!(limited, "{:?}", net.outputs);
}

#[test]
fn frames_that_do_not_arrive_become_too_old() {
    let mut net = Net::up();
    let mut media = Media::open(&mut net);
    media.play(&mut net, 3, 4);
    net.is_cut = true;
    net.outputs.clear();
    media.play(&mut net, 25, 4);
    let counters = net.link.counters();
    assert_eq!(
        counters.dropped.get(&DropReason::TooOld),
        Some(&1),
        "{counters:?}"
    );
    assert!(net.outputs.contains(&Output::KeyframeWanted(media.id)));
    net.is_cut = false;
    net.run_for(Duration::from_millis(1_500));
    // Only a key frame goes on.
    let before = net.origin.frames.len();
    media.frame(&mut net, 2, false);
    media.frame(&mut net, 3, true);
    media.frame(&mut net, 2, false);
    net.run_for(Duration::from_millis(200));
    assert_eq!(&net.origin.frames[before..], &[3, 2]);
    assert!(net.origin.resets > 0);
}

#[test]
fn the_origins_wishes_reach_the_presenter() {
    let mut net = Net::up();
    let media = Media::open(&mut net);
    net.outputs.clear();
    let pli = Rtcp::Pli {
        sender: Ssrc(1),
        media: Ssrc(7),
    };
    let mut wire = Vec::new();
    datagram::encode_flow(FlowId(1), &mut wire);
    pli.encode(&mut wire);
    net.origin.send_datagram(wire.into());
    net.origin.tell(&Message::TargetRate(TargetRate {
        session: media.id,
        bitrate: 1_000_000,
    }));
    net.run_for(Duration::from_millis(100));
    assert!(net.outputs.contains(&Output::KeyframeWanted(media.id)));
    assert!(
        net.outputs
            .contains(&Output::Limit(media.id, Some(1_000_000)))
    );
    net.origin.tell(&Message::Close(control::Close {
        session: media.id,
        reason: CloseReason::Deactivated,
        totals: None,
    }));
    net.run_for(Duration::from_millis(100));
    assert!(
        net.outputs
            .contains(&Output::Ended(media.id, CloseReason::Deactivated))
    );
}

#[test]
fn sender_reports_travel_on_the_tracks_flow() {
    let mut net = Net::up();
    let media = Media::open(&mut net);
    let report = SenderReport {
        ssrc: Ssrc(7),
        ntp: 1 << 33,
        rtp: 5,
        packets: 6,
        octets: 7,
    };
    net.link.sender_report(net.now, media.key, AUDIO, report);
    net.run_for(Duration::from_millis(50));
    let (flow, packet) = &net.origin.rtcp[0];
    assert_eq!(*flow, FlowId(2));
    assert_eq!(
        rtcp::decode(packet).next(),
        Some(Rtcp::SenderReport(report))
    );
}

#[test]
fn a_refusal_is_passed_on_and_silence_is_one() {
    let mut net = Net::up();
    net.origin.answer = |open| {
        Some(Message::Reject(Reject {
            session: open.session,
            code: ReasonCode::WrongToken,
            message: "no".into(),
            retry_after: None,
        }))
    };
    let id = SessionId::random();
    net.link.open(net.now, id, request(), tracks()).unwrap();
    net.run_for(Duration::from_millis(100));
    let refused = |net: &Net, id| {
        net.outputs.iter().find_map(|output| match output {
            Output::Refused(found, refusal) if *found == id => Some(refusal.code),
            _ => None,
        })
    };
    assert_eq!(refused(&net, id), Some(ReasonCode::WrongToken));

    net.origin.answer = |_| None;
    let id = SessionId::random();
    let asked = net.now;
    net.link.open(net.now, id, request(), tracks()).unwrap();
    net.run_until(|net| refused(net, id).is_some());
    assert_eq!(refused(&net, id), Some(ReasonCode::NoOrigin));
    assert!((net.now - asked).abs_diff(Duration::from_secs(5)) < Duration::from_millis(100));
    // And the origin is told, should it have taken the session after all.
    net.run_for(Duration::from_millis(100));
    assert!(
        matches!(net.origin.messages.last(), Some(Message::Close(close)) if close.session == id)
    );
}

#[test]
fn without_a_link_nobody_is_asked() {
    let mut net = Net::new();
    net.is_cut = true;
    net.run_for(Duration::from_millis(200));
    let refused = net
        .link
        .open(net.now, SessionId::random(), request(), tracks())
        .unwrap_err();
    assert_eq!(refused.code, ReasonCode::NoOrigin);
    assert!(refused.retry_after.is_some());
}

#[test]
fn a_session_outlives_its_connection() {
    let mut net = Net::up();
    let mut media = Media::open(&mut net);
    media.play(&mut net, 10, 4);
    net.origin.kill(&net.pki);
    net.outputs.clear();
    net.run_until(|net| net.outputs.contains(&Output::Down));
    media.frame(&mut net, 2, true);
    assert!(
        net.link
            .counters()
            .dropped
            .contains_key(&DropReason::LinkDown)
    );
    net.run_until(|net| net.outputs.contains(&Output::KeyframeWanted(media.id)));
    let epochs: Vec<u32> = net
        .origin
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Open(open) => Some(open.epoch),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [0, 1]);
    // The first frame on the new connection is a key frame.
    let before = net.origin.frames.len();
    media.frame(&mut net, 2, false);
    media.frame(&mut net, 5, true);
    net.run_for(Duration::from_millis(100));
    assert_eq!(&net.origin.frames[before..], &[5]);
    assert!(
        !net.outputs
            .iter()
            .any(|output| matches!(output, Output::Ended(..)))
    );
}

#[test]
fn a_link_that_stays_away_ends_its_sessions() {
    let mut net = Net::up();
    let media = Media::open(&mut net);
    net.is_cut = true;
    let cut = net.now;
    net.run_until(|net| {
        net.outputs
            .contains(&Output::Ended(media.id, CloseReason::LinkLost))
    });
    let gone = net.now - cut;
    assert!(
        (Duration::from_secs(37)..Duration::from_secs(40)).contains(&gone),
        "{gone:?}"
    );
    assert!(
        net.link.entries.is_empty() && net.link.by_flow.is_empty() && net.link.by_id.is_empty()
    );
}

#[test]
fn the_origins_clock_is_known() {
    let mut net = Net::up();
    net.run_for(Duration::from_millis(100));
    let offset = net.link.gauges().unwrap().clock_offset.unwrap();
    // Half a second ahead, less half the round trip that the test's origin
    // does not count.
    assert!((0.48..0.51).contains(&offset), "{offset}");
}

#[test]
fn a_stop_is_heard_at_once() {
    let mut net = Net::up();
    let media = Media::open(&mut net);
    let totals = Totals {
        packets: 3,
        ..Totals::default()
    };
    net.link
        .close(net.now, media.key, CloseReason::Draining, totals);
    while !net.link.is_flushed() {
        net.tick();
    }
    net.run_for(Duration::from_millis(30));
    net.link.stop(net.now);
    net.run_for(Duration::from_millis(50));
    let closed =
        net.origin.messages.iter().any(
            |message| matches!(message, Message::Close(close) if close.totals == Some(totals)),
        );
    assert!(closed, "{:?}", net.origin.messages);
    assert_eq!(net.origin.connections(), 0, "the origin knows at once");
}

#[test]
fn junk_is_counted_and_harmless() {
    let mut net = Net::up();
    let mut media = Media::open(&mut net);
    let from = origin::ORIGIN_ADDRESS.parse().unwrap();
    for first in 0..=255_u8 {
        for len in [1_usize, 5, 21, 60, 1_200] {
            net.link
                .handle_datagram(net.now, from, None, &vec![first; len]);
        }
    }
    net.origin.send_datagram(Bytes::from_static(&[0x40]));
    net.origin.send_datagram(Bytes::from_static(&[0x3F, 1, 2]));
    net.origin
        .send_datagram(Bytes::from_static(&[1, 0xFF, 0xFF]));
    net.run_for(Duration::from_millis(50));
    assert_eq!(net.link.counters().unreadable, 2);
    media.play(&mut net, 5, 2);
    net.run_for(Duration::from_millis(100));
    assert_eq!(net.origin.frames.len(), 5);
}

#[test]
fn an_origin_that_stops_is_left_in_order_and_at_once() {
    let mut net = Net::up();
    let media = Media::open(&mut net);
    net.origin.tell(&Message::Drain);
    net.origin.finish();
    let before = net.now;
    net.run_until(|net| !net.origin.lost.is_empty());
    assert!(
        net.now < before + 4 * net.delay,
        "no timeout was waited for"
    );
    assert_eq!(net.origin.finished, 1, "the end was acknowledged");
    let [quinn_proto::ConnectionError::ApplicationClosed(close)] = net.origin.lost.as_slice()
    else {
        panic!("{:?}", net.origin.lost);
    };
    assert_eq!(close.error_code, error_code::NO_ERROR.into());
    assert!(!net.link.is_up() && net.outputs.contains(&Output::Down));
    let counters = net.link.counters();
    assert_eq!((counters.unreadable, counters.broken), (0, 0));

    net.run_until(|net| net.link.is_up());
    net.run_until(|net| {
        let messages = net.origin.messages.iter();
        let epochs = messages.filter_map(|message| match message {
            Message::Open(open) if open.session == media.id => Some(open.epoch),
            _ => None,
        });
        epochs.max() == Some(1)
    });
}

#[test]
fn an_origin_that_comes_back_is_told_of_the_drain() {
    let drains = |net: &Net| {
        let messages = net.origin.messages.iter();
        messages
            .filter(|message| **message == Message::Drain)
            .count()
    };
    let mut net = Net::new();
    net.link.drain(net.now);
    net.run_until(|net| drains(net) == 1);
    net.origin.kill(&net.pki);
    net.run_until(|net| !net.link.is_up());
    net.run_until(|net| drains(net) == 2);
    net.run_for(Duration::from_secs(1));
    assert_eq!(drains(&net), 2);
}
