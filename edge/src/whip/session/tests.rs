//! A whole session under virtual time, with another WebRTC stack opposite.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use inlet_common::{
    clock,
    ids::SessionId,
    reason::ReasonCode,
    roq::control::{CloseReason, Codec},
};
use str0m::RtcConfig;

use super::{presenter::Presenter, *};
use crate::demux;

mod answers;
mod ice;
mod restart;
mod simulcast;

pub(super) const EDGE: &str = "203.0.113.1:40000";
pub(super) const PRESENTER: &str = "198.51.100.7:50000";
const STEP: Duration = Duration::from_millis(5);

/// Decides whether a datagram of the presenter is lost.
pub(super) type Drops = Box<dyn Fn(usize, &[u8]) -> bool>;

pub(super) fn by_udp(remote: SocketAddr, local: SocketAddr, contents: &[u8]) -> Datagram<'_> {
    Datagram {
        way: Way {
            path: Path::HostUdp,
            remote,
            local,
        },
        contents,
    }
}

pub(super) struct Pair {
    pub(super) session: Session,
    pub(super) presenter: Presenter,
    pub(super) now: Instant,
    start: Instant,
    sent: usize,
    pub(super) drops: Drops,
    /// Decides the same of what the session sends.
    pub(super) drops_back: Drops,
    sent_back: usize,
    is_cut: bool,
    /// An address that the presenter has just left: what goes there is lost.
    former: Option<SocketAddr>,
    rtp: Vec<Rtp>,
    reports: Vec<SenderReport>,
    pub(super) handshakes: Vec<dtls::Outcome>,
    pub(super) ended: Option<CloseReason>,
    tracks_changed: usize,
    restarted: usize,
    ice: Ice,
}

impl Pair {
    fn new() -> Self {
        Self::with(RtcConfig::new(), |offer| offer)
    }

    fn with(config: RtcConfig, edit: impl FnOnce(String) -> String) -> Self {
        let now = clock::now();
        let presenter = Presenter::with_config(config, PRESENTER.parse().unwrap(), now);
        Self::of(presenter, &Config::new().unwrap(), edit, now)
    }

    /// A presenter with its offer, and a session that is made from `config`.
    pub(super) fn of(
        (mut presenter, offer): (Presenter, String),
        config: &Config,
        edit: impl FnOnce(String) -> String,
        now: Instant,
    ) -> Self {
        let media = Addresses {
            udp: vec![EDGE.parse().unwrap()],
            ..Addresses::default()
        };
        let id = SessionId::random();
        let offer = edit(offer);
        let (session, answer) =
            Session::accept(&offer, id, &media, config, now, &mut rand::rng()).unwrap();
        presenter.answer(&answer.sdp);
        Self {
            session,
            presenter,
            now,
            start: now,
            sent: 0,
            drops: Box::new(|_, _| false),
            drops_back: Box::new(|_, _| false),
            sent_back: 0,
            is_cut: false,
            former: None,
            rtp: Vec::new(),
            reports: Vec::new(),
            handshakes: Vec::new(),
            ended: None,
            tracks_changed: 0,
            restarted: 0,
            ice: answer.ice,
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.run_until(|pair| pair.session.is_connected() && pair.presenter.is_connected);
        pair
    }

    pub(super) fn drain_session(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) if Some(transmit.destination) == self.former => {}
                Output::Transmit(transmit) if !self.is_cut => {
                    self.sent_back += 1;
                    if (self.drops_back)(self.sent_back, &transmit.contents) {
                        continue;
                    }
                    assert_eq!(transmit.destination, self.presenter.address);
                    self.presenter
                        .handle_datagram(self.now, transmit.source, &transmit.contents);
                }
                Output::Rtp(rtp) => self.rtp.push(rtp),
                Output::SenderReport { report, .. } => self.reports.push(report),
                Output::Handshake(outcome) => self.handshakes.push(outcome),
                Output::Ended(reason) => self.ended = Some(reason),
                Output::TracksChanged => self.tracks_changed += 1,
                Output::Restarted => self.restarted += 1,
                Output::Transmit(_) | Output::Moved(_) | Output::IceUp | Output::Connected => {}
            }
        }
    }

    pub(super) fn deliver(&mut self) {
        while !self.presenter.outbox.is_empty() {
            for (destination, datagram) in std::mem::take(&mut self.presenter.outbox) {
                self.sent += 1;
                if self.is_cut || (self.drops)(self.sent, &datagram) {
                    continue;
                }
                let source = self.presenter.address;
                self.session
                    .handle_datagram(self.now, &by_udp(source, destination, &datagram));
                self.drain_session();
            }
        }
    }

    pub(super) fn step(&mut self) {
        self.presenter.handle_timeout(self.now);
        self.deliver();
        self.session.handle_timeout(self.now);
        self.drain_session();
        self.deliver();
        self.now += STEP;
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step();
        }
    }

    pub(super) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(10);
        while !done(self) {
            assert!(self.now < end, "did not happen");
            self.step();
        }
    }

    /// 30 frames per second of four packets each, and audio, for a while.
    pub(super) fn present(&mut self, frames: u32) {
        for frame in 0..frames {
            let at = frame * 3_000;
            self.presenter.send_video(self.now, at, 4, frame == 0);
            self.presenter.send_audio(self.now, frame * 1_600);
            self.deliver();
            self.run_for(Duration::from_millis(33));
        }
    }

    pub(super) fn video(&self) -> impl Iterator<Item = &Rtp> {
        self.rtp.iter().filter(|rtp| rtp.track == 1)
    }
}

#[test]
fn media_come_out_as_they_went_in() {
    let mut pair = Pair::connected();
    pair.present(30);
    assert_eq!(pair.video().count(), 120);
    assert_eq!(pair.rtp.len(), 150);
    // In order, across the sequence number's wrap.
    let sequences: Vec<u16> = pair.video().map(|rtp| rtp.header.sequence).collect();
    assert_eq!(sequences[0], 65_500);
    assert!(
        sequences
            .windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(1))
    );
    assert_eq!(pair.video().filter(|rtp| rtp.header.marker).count(), 30);
    assert_eq!(&pair.rtp[0].payload[..2], &[0x7C, 0x85]);
    let totals = pair.session.totals();
    assert_eq!((totals.packets, totals.lost), (150, 0));
    assert_eq!(totals.bytes, 120 * 1_000 + 30 * 160);
    assert_eq!(pair.session.counters().malformed, 0);
}

#[test]
fn sender_reports_come_out() {
    let mut pair = Pair::connected();
    pair.present(60);
    assert!(!pair.reports.is_empty());
}

#[test]
fn a_key_frame_is_requested_once_dtls_is_up() {
    let mut pair = Pair::connected();
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.presenter.keyframe_requests, 1);
}

#[test]
fn who_offers_no_pli_is_asked_by_fir() {
    for (offered, firs) in [("nack pli", 0), ("ccm fir", 1)] {
        let keep = |line: &str| {
            let is_request = line.ends_with("nack pli") || line.ends_with("ccm fir");
            !is_request || line.ends_with(offered)
        };
        let edit = |offer: String| -> String {
            let kept = offer.lines().filter(|line| keep(line));
            kept.map(|line| format!("{line}\r\n")).collect()
        };
        let mut pair = Pair::with(RtcConfig::new(), edit);
        pair.run_until(|pair| pair.session.is_connected() && pair.presenter.is_connected);
        pair.run_for(Duration::from_millis(100));
        let asked = (pair.presenter.keyframe_requests, pair.presenter.firs);
        assert_eq!(asked, (1, firs), "{offered}");
    }
}

#[test]
fn key_frame_requests_are_coalesced() {
    let mut pair = Pair::connected();
    pair.present(2);
    // What the first packets asked for is over.
    pair.run_for(Duration::from_millis(1_200));
    let settled = pair.presenter.keyframe_requests;
    for _ in 0..10 {
        pair.session.request_keyframe(pair.now);
        pair.drain_session();
        pair.run_for(Duration::from_millis(10));
    }
    assert_eq!(pair.presenter.keyframe_requests, settled + 1);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.presenter.keyframe_requests, settled + 2);
}

fn is_video(datagram: &[u8]) -> bool {
    datagram.len() > 900
}

#[test]
fn lost_packets_are_asked_for_and_come_again() {
    let mut pair = Pair::connected();
    pair.drops = Box::new(|sent, datagram| is_video(datagram) && sent.is_multiple_of(13));
    pair.present(60);
    pair.drops = Box::new(|_, _| false);
    // The last packets may be among the lost: only a later one tells.
    pair.present(1);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.video().count(), 244);
    assert_eq!(pair.session.totals().lost, 0);
    pair.run_for(STATS_INTERVAL);
    assert!(pair.session.counters().nacks > 0);
}

#[test]
fn losses_are_asked_for_also_without_rtx() {
    // As OBS offers: sources, but no retransmission format.
    let mut pair = Pair::with(RtcConfig::new(), |offer| {
        let lines = offer.lines().filter(|line| {
            !line.contains("ssrc-group") && !line.contains(" rtx/") && !line.contains("apt=")
        });
        lines.map(|line| format!("{line}\r\n")).collect()
    });
    pair.run_until(|pair| pair.session.is_connected() && pair.presenter.is_connected);
    pair.drops = Box::new(|sent, datagram| is_video(datagram) && sent.is_multiple_of(13));
    pair.present(40);
    pair.run_for(STATS_INTERVAL);
    assert!(pair.session.counters().nacks > 0);
    assert!(pair.session.totals().lost > 0);
}

#[test]
fn sources_that_nobody_announced_are_known_by_their_payload_type() {
    let mut pair = Pair::with(RtcConfig::new(), |offer| {
        let lines = offer
            .lines()
            .filter(|line| !line.contains("a=ssrc") && !line.contains("sdes:mid"));
        lines.map(|line| format!("{line}\r\n")).collect()
    });
    pair.run_until(|pair| pair.session.is_connected() && pair.presenter.is_connected);
    pair.present(10);
    assert_eq!((pair.video().count(), pair.rtp.len()), (40, 50));
    assert_eq!(pair.tracks_changed, 2);
    assert!(pair.session.tracks().all(|track| track.ssrc.is_some()));
    // And still asked for key frames, since the first packet told the source.
    assert!(pair.presenter.keyframe_requests > 0);
}

#[test]
fn forged_sources_do_not_pile_up() {
    let mut pair = Pair::with(RtcConfig::new(), |offer| {
        offer.replace("sdes:mid", "sdes:none")
    });
    pair.run_until(|pair| pair.session.is_connected() && pair.presenter.is_connected);
    let payload_type = pair.session.tracks[1].described.payload_types[0];
    for ssrc in 1..200_u32 {
        let mut packet = vec![0x80, payload_type, 0, 1, 0, 0, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0; 40]);
        let (source, now) = (pair.presenter.address, pair.now);
        pair.session
            .handle_datagram(now, &by_udp(source, EDGE.parse().unwrap(), &packet));
        pair.drain_session();
    }
    assert!(pair.session.unannounced <= 1);
    pair.present(10);
    assert_eq!(pair.video().count(), 40);
}

#[test]
fn a_presenter_of_too_many_sources_is_sent_away() {
    let mut pair = Pair::connected();
    let payload_type = pair.session.tracks[1].described.payload_types[0];
    for ssrc in 1..=65 {
        assert!(pair.session.heard.len() <= MAX_SOURCES);
        pair.session.note_source(ssrc, payload_type);
    }
    let ended = pair
        .session
        .outputs
        .iter()
        .any(|output| matches!(output, Output::Ended(CloseReason::Other)));
    assert!(ended);
}

#[test]
fn a_limit_reaches_the_presenter_and_is_repeated() {
    let mut pair = Pair::connected();
    pair.present(3);
    pair.run_for(REMB_INTERVAL + STEP);
    let seen = pair.presenter.remb.take().unwrap();
    assert!(seen.abs_diff(8_000_000) < 40_000, "the most at all: {seen}");
    pair.session.set_target_bitrate(Some(1_500_000), pair.now);
    pair.drain_session();
    pair.run_for(STEP);
    let seen = pair.presenter.remb.take().unwrap();
    assert!(seen.abs_diff(1_500_000) < 10_000, "{seen}");
    pair.run_for(REMB_INTERVAL + STEP);
    assert!(pair.presenter.remb.is_some());
    pair.session.set_target_bitrate(None, pair.now);
    pair.drain_session();
    pair.run_for(STEP);
    let seen = pair.presenter.remb.take().unwrap();
    assert!(seen.abs_diff(8_000_000) < 40_000, "{seen}");
}

#[test]
fn closing_ends_both_sides_at_once() {
    let mut pair = Pair::connected();
    pair.present(3);
    pair.presenter.close();
    pair.deliver();
    assert_eq!(pair.ended, Some(CloseReason::DtlsClosed));

    let mut pair = Pair::connected();
    pair.session.close();
    pair.drain_session();
    assert!(pair.presenter.is_closed);
    assert_eq!(pair.ended, None);
}

#[test]
fn silence_ends_the_session() {
    let mut pair = Pair::connected();
    pair.present(3);
    pair.run_for(Duration::from_secs(30));
    assert_eq!(pair.ended, None, "consent checks go on");
    pair.is_cut = true;
    let cut = pair.now;
    while pair.ended.is_none() && pair.now < cut + Duration::from_secs(30) {
        pair.step();
    }
    assert_eq!(pair.ended, Some(CloseReason::Timeout));
    let silent = pair.now - cut;
    assert!(
        (Duration::from_secs(10)..Duration::from_secs(16)).contains(&silent),
        "{silent:?}"
    );
}

#[test]
fn who_never_comes_is_given_up() {
    let mut pair = Pair::new();
    pair.is_cut = true;
    pair.run_for(Duration::from_secs(16));
    assert_eq!(pair.ended, Some(CloseReason::NeverConnected));
    assert!(pair.now - pair.start >= Duration::from_secs(15));
}

#[test]
fn junk_changes_nothing() {
    let mut pair = Pair::connected();
    let (source, edge) = (pair.presenter.address, EDGE.parse().unwrap());
    for first in 0..=255_u8 {
        for len in [1_usize, 4, 13, 20, 60, 1_300] {
            let mut junk = vec![first; len];
            junk[len / 2] = !first;
            pair.session
                .handle_datagram(pair.now, &by_udp(source, edge, &junk));
            pair.drain_session();
        }
    }
    assert!(pair.session.counters().malformed > 0);
    pair.present(10);
    assert_eq!((pair.ended, pair.video().count()), (None, 40));
}

#[test]
fn strangers_are_not_accepted() {
    let mut pair = Pair::new();
    while pair.presenter.outbox.is_empty() {
        pair.now += STEP;
        pair.presenter.handle_timeout(pair.now);
    }
    let stranger: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let edge = EDGE.parse().unwrap();
    for (destination, datagram) in &pair.presenter.outbox {
        assert!(
            pair.session
                .accepts(pair.now, &by_udp(stranger, *destination, datagram))
        );
        let mut forged = datagram.clone();
        let last = forged.len() - 30;
        forged[last] ^= 1;
        assert!(
            !pair
                .session
                .accepts(pair.now, &by_udp(stranger, edge, &forged))
        );
        let ufrag = demux::stun_local_ufrag(datagram);
        assert_eq!(ufrag, Some(pair.session.local_ufrag()));
    }
    assert!(!pair.presenter.outbox.is_empty());
}

fn accept(offer: &str) -> Result<(Session, Answer), AcceptError> {
    let config = Config::new().unwrap();
    let media = Addresses {
        udp: vec![
            EDGE.parse().unwrap(),
            "[2001:db8::1]:40000".parse().unwrap(),
        ],
        ..Addresses::default()
    };
    let id = SessionId::random();
    Session::accept(offer, id, &media, &config, clock::now(), &mut rand::rng())
}

const CHROMIUM: &str = include_str!("../offers/chromium.sdp");
