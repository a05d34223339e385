//! How a session does, looked at every few seconds: its first packets, how the last
//! seconds went, and what its presenter should know.
//!
//! A warning begins at once and is over only when things have been well for a while,
//! so that a presenter is not told this and that by turns.

use std::time::Instant;

use inlet_common::roq::control::Kind;

use crate::{
    trace::{Interval, Notice, Warning},
    whip::session::{Rtp, Session},
};

/// Loss in one look above which the presenter is warned.
const WARN_LOSS: f64 = 0.03;

/// Loss in one look below which things are well.
const FINE_LOSS: f64 = 0.01;

/// Looks that must be well until a warning of loss is over.
const CALM_LOOKS: u32 = 3;

/// Packets below which a look says nothing of loss.
const MIN_PACKETS: u64 = 50;

/// Looks without a packet after which a track counts as silent: Opus in silence
/// sends one packet in 400 ms.
const SILENT_LOOKS: u32 = 2;

/// Looks that one interval of a trace holds.
const INTERVAL_LOOKS: u32 = 5;

/// What was seen of a session.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Option<Instant>,
    seen: Seen,
    pending: Interval,
    looks: u32,
    calm: u32,
    is_lossy: bool,
    video: Silence,
    audio: Silence,
}

/// Sums at the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    packets: u64,
    lost: u64,
    bytes: u64,
    nacks: u64,
    keyframe_requests: u64,
}

/// Whether a track is heard of.
#[derive(Debug, Default)]
struct Silence {
    has_begun: bool,
    packets: u64,
    looks: u32,
    is_warned: bool,
}

impl Watch {
    /// The notice of a track's first packet.
    pub(super) fn first_of(&mut self, session: &Session, rtp: &Rtp) -> Option<Notice> {
        let track = match session.kind_of(rtp.track)? {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        };
        if std::mem::replace(&mut track.has_begun, true) {
            return None;
        }
        Some(Notice::FirstRtp {
            kind: session.kind_of(rtp.track)?,
            ssrc: rtp.header.ssrc.0,
        })
    }

    /// Looks at a session; what is worth telling.
    pub(super) fn look(
        &mut self,
        now: Instant,
        session: &Session,
    ) -> impl Iterator<Item = Notice> + use<> {
        let mut notices = Vec::new();
        let since = self
            .last
            .replace(now)
            .unwrap_or_else(|| session.accepted_at());
        let interval = self.advance(session, now.saturating_duration_since(since));
        if session.is_connected() {
            notices.extend(self.judge_loss(&interval));
            let video = session.packets_of(Kind::Video);
            let audio = session.packets_of(Kind::Audio);
            notices.extend(self.video.judge(Warning::NoVideo, video));
            notices.extend(self.audio.judge(Warning::NoAudio, audio));
        }
        self.looks += 1;
        if self.looks >= INTERVAL_LOOKS || (self.is_lossy && interval.loss() > FINE_LOSS) {
            self.looks = 0;
            let interval = std::mem::take(&mut self.pending);
            notices.push(Notice::Interval(interval));
        }
        notices.into_iter()
    }

    /// What came since the last look.
    fn advance(&mut self, session: &Session, span: std::time::Duration) -> Interval {
        let (totals, counters) = (session.totals(), session.counters());
        let now = Seen {
            packets: totals.packets,
            // A packet that was missing may have come since.
            lost: totals.lost,
            bytes: totals.bytes,
            nacks: counters.nacks,
            keyframe_requests: counters.keyframe_requests,
        };
        let before = std::mem::replace(&mut self.seen, now);
        let interval = Interval {
            span,
            packets: now.packets - before.packets,
            lost: now.lost.saturating_sub(before.lost),
            bytes: now.bytes - before.bytes,
            nacks: now.nacks - before.nacks,
            keyframe_requests: now.keyframe_requests - before.keyframe_requests,
            rtt: session.rtt(),
        };
        let pending = &mut self.pending;
        pending.span += interval.span;
        pending.packets += interval.packets;
        pending.lost += interval.lost;
        pending.bytes += interval.bytes;
        pending.nacks += interval.nacks;
        pending.keyframe_requests += interval.keyframe_requests;
        pending.rtt = interval.rtt;
        interval
    }

    fn judge_loss(&mut self, interval: &Interval) -> Option<Notice> {
        if interval.packets + interval.lost < MIN_PACKETS {
            return None;
        }
        let loss = interval.loss();
        self.calm = match loss < FINE_LOSS {
            true => self.calm + 1,
            false => 0,
        };
        let is_over = match self.is_lossy {
            false if loss > WARN_LOSS => false,
            true if self.calm >= CALM_LOOKS => true,
            _ => return None,
        };
        self.is_lossy = !is_over;
        Some(Notice::Warned {
            warning: Warning::Loss,
            is_over,
        })
    }
}

impl Silence {
    /// `packets` is the sum so far; `None` for a track that was not offered.
    fn judge(&mut self, warning: Warning, packets: Option<u64>) -> Option<Notice> {
        let is_silent = packets.is_none_or(|packets| packets == self.packets);
        self.packets = packets.unwrap_or_default();
        self.looks = match is_silent {
            true => self.looks + 1,
            false => 0,
        };
        let is_over = match self.is_warned {
            false if self.looks >= SILENT_LOOKS => false,
            true if !is_silent => true,
            _ => return None,
        };
        self.is_warned = !is_over;
        Some(Notice::Warned { warning, is_over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(notice: Option<Notice>) -> Option<bool> {
        notice.map(|notice| match notice {
            Notice::Warned { is_over, .. } => is_over,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn loss_is_warned_of_at_once_and_over_after_a_calm_while() {
        let mut watch = Watch::default();
        let mut look = |lost| {
            let interval = Interval {
                packets: 1_000 - lost,
                lost,
                ..Interval::default()
            };
            told(watch.judge_loss(&interval))
        };
        assert_eq!([look(0), look(20), look(31)], [None, None, Some(false)]);
        assert_eq!([look(50), look(0), look(0), look(11)], [None; 4]);
        assert_eq!([look(0), look(0), look(0)], [None, None, Some(true)]);
    }

    #[test]
    fn a_few_packets_say_nothing() {
        let mut watch = Watch::default();
        let interval = Interval {
            packets: 20,
            lost: 20,
            ..Interval::default()
        };
        assert_eq!(told(watch.judge_loss(&interval)), None);
    }

    #[test]
    fn a_silent_track_is_told_and_so_is_its_return() {
        let mut track = Silence::default();
        let mut look = |packets| told(track.judge(Warning::NoVideo, Some(packets)));
        assert_eq!([look(10), look(20), look(20)], [None; 3]);
        assert_eq!(
            [look(20), look(20), look(21)],
            [Some(false), None, Some(true)]
        );
        let mut missing = Silence::default();
        let mut look = || told(missing.judge(Warning::NoAudio, None));
        assert_eq!([look(), look(), look()], [None, Some(false), None]);
    }
}
