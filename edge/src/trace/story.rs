//! What happened to one session, in order.

use std::collections::{BTreeSet, VecDeque};

use inlet_common::{
    clock::UtcTime,
    ids::{SessionId, StreamId},
    roq::control::{CloseReason, Totals},
};

use super::{
    ending,
    notice::{Interval, Notice, Warning},
};
use crate::whip::session::Path;

/// Most entries of one story. When it is full the oldest interval goes, so that
/// beginning and end stay.
const MAX_ENTRIES: usize = 400;

/// Where a session stands, as its presenter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// ICE and DTLS are under way.
    Connecting,
    /// Both are up.
    Connected,
    /// Media go to the origin.
    Live,
    /// It is over.
    Ended,
}

impl State {
    /// Its name in events and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Live => "live",
            Self::Ended => "ended",
        }
    }
}

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: UtcTime,
    /// What.
    pub notice: Notice,
}

/// What is told to a presenter.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Where its session stands.
    Session {
        /// Its id, for support.
        session: SessionId,
        /// How far it is.
        state: State,
        /// How its media come, when that is known.
        path: Option<Path>,
    },
    /// A warning begins or is over.
    Warning {
        /// What.
        warning: Warning,
        /// It has passed.
        is_over: bool,
    },
    /// It shall go on at another point of presence.
    Move {
        /// Base URL of that one.
        base: String,
    },
    /// It is over.
    End(CloseReason),
}

/// The story of one session.
#[derive(Clone, Debug)]
pub struct Story {
    /// The session.
    pub session: SessionId,
    /// The stream that it publishes.
    pub stream: StreamId,
    /// When its offer came.
    pub began: UtcTime,
    /// What happened, oldest first.
    pub entries: VecDeque<Entry>,
    /// What was left out for lack of room.
    pub left_out: u64,
    /// How far it is.
    pub state: State,
    /// How its media come.
    pub path: Option<Path>,
    /// Warnings that hold.
    pub warnings: BTreeSet<Warning>,
    /// All intervals together.
    pub sum: Interval,
    /// When and why it ended, and what it carried.
    pub end: Option<(UtcTime, CloseReason, Totals)>,
}

impl Story {
    pub(super) const fn new(session: SessionId, stream: StreamId, began: UtcTime) -> Self {
        Self {
            session,
            stream,
            began,
            entries: VecDeque::new(),
            left_out: 0,
            state: State::Connecting,
            path: None,
            warnings: BTreeSet::new(),
            sum: Interval {
                span: std::time::Duration::ZERO,
                packets: 0,
                lost: 0,
                bytes: 0,
                nacks: 0,
                keyframe_requests: 0,
                rtt: None,
            },
            end: None,
        }
    }

    /// Takes in what happened; returns what the presenter is to be told of it.
    pub(super) fn note(&mut self, at: UtcTime, notice: Notice) -> Option<Told> {
        if self.end.is_some() {
            return None;
        }
        let told = self.apply(at, &notice);
        if self.entries.len() >= MAX_ENTRIES {
            self.left_out += 1;
            let is_interval = |entry: &Entry| matches!(entry.notice, Notice::Interval(_));
            match self.entries.iter().position(is_interval) {
                Some(oldest) => drop(self.entries.remove(oldest)),
                None if matches!(notice, Notice::Ended { .. }) => drop(self.entries.pop_back()),
                None => return told,
            }
        }
        self.entries.push_back(Entry { at, notice });
        told
    }

    fn apply(&mut self, at: UtcTime, notice: &Notice) -> Option<Told> {
        match notice {
            Notice::Connected => self.state = State::Connected,
            Notice::FirstRtp { .. } if self.state != State::Live => self.state = State::Live,
            Notice::Moved { path, .. } => self.path = Some(*path),
            Notice::Interval(interval) => {
                self.add(interval);
                return None;
            }
            Notice::Warned { warning, is_over } => {
                match is_over {
                    true => self.warnings.remove(warning),
                    false => self.warnings.insert(*warning),
                };
                return Some(Told::Warning {
                    warning: *warning,
                    is_over: *is_over,
                });
            }
            Notice::Ended { reason, totals } => {
                self.state = State::Ended;
                self.end = Some((at, *reason, *totals));
                return Some(Told::End(*reason));
            }
            _ => return None,
        }
        Some(self.standing())
    }

    fn add(&mut self, interval: &Interval) {
        let sum = &mut self.sum;
        sum.span += interval.span;
        sum.packets += interval.packets;
        sum.lost += interval.lost;
        sum.bytes += interval.bytes;
        sum.nacks += interval.nacks;
        sum.keyframe_requests += interval.keyframe_requests;
        sum.rtt = interval.rtt.or(sum.rtt);
    }

    /// Where it stands.
    pub(super) const fn standing(&self) -> Told {
        Told::Session {
            session: self.session,
            state: self.state,
            path: self.path,
        }
    }

    /// What somebody who comes now has to be told first.
    pub(super) fn so_far(&self) -> Vec<Told> {
        if let Some((_, reason, _)) = self.end {
            return vec![Told::End(reason)];
        }
        let warnings = self.warnings.iter().map(|warning| Told::Warning {
            warning: *warning,
            is_over: false,
        });
        std::iter::once(self.standing()).chain(warnings).collect()
    }
}

impl Told {
    /// The event's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Session { .. } => "session",
            Self::Warning { .. } => "warning",
            Self::Move { .. } => "move",
            Self::End(_) => "end",
        }
    }

    /// The event's data.
    pub fn data(&self) -> serde_json::Value {
        match self {
            Self::Session {
                session,
                state,
                path,
            } => serde_json::json!({
                "session": session.to_string(),
                "state": state.as_str(),
                "path": path.map(Path::as_str),
            }),
            Self::Warning { warning, is_over } => serde_json::json!({
                "kind": warning.as_str(),
                "message": warning.message(),
                "over": is_over,
            }),
            Self::Move { base } => serde_json::json!({ "base": base }),
            Self::End(reason) => {
                let ending = ending::of(*reason);
                serde_json::json!({
                    "reason": reason.as_str(),
                    "code": ending.code.map(|code| code.as_u16()),
                    "message": ending.message,
                    "retry": ending.may_retry,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcTime {
        UtcTime::from_unix_micros(1_800_000_000_000_000 + seconds * 1_000_000)
    }

    fn story() -> Story {
        Story::new(SessionId::random(), StreamId(17), at(0))
    }

    fn ended() -> Notice {
        Notice::Ended {
            reason: CloseReason::TokenReset,
            totals: Totals::default(),
        }
    }

    #[test]
    fn the_presenter_is_told_each_step_once() {
        let mut story = story();
        let state = |told: Option<Told>| told.map(|told| told.data()["state"].clone());
        assert_eq!(state(story.note(at(1), Notice::IceUp)), None);
        assert_eq!(
            state(story.note(at(2), Notice::Connected)),
            Some("connected".into())
        );
        let first = |ssrc| Notice::FirstRtp {
            kind: inlet_common::roq::control::Kind::Video,
            ssrc,
        };
        assert_eq!(state(story.note(at(3), first(1))), Some("live".into()));
        assert_eq!(story.note(at(3), first(2)), None, "it is live already");
        let end = story.note(at(4), ended()).unwrap();
        assert_eq!(
            (end.name(), end.data()["code"].clone()),
            ("end", 2002.into())
        );
        assert_eq!(end.data()["retry"], false);
        assert_eq!(story.note(at(5), Notice::Connected), None, "it is over");
        assert_eq!(story.so_far(), [Told::End(CloseReason::TokenReset)]);
    }

    #[test]
    fn a_long_story_keeps_its_beginning_and_its_end() {
        let mut story = story();
        story.note(at(0), Notice::IceUp);
        for second in 0..2 * MAX_ENTRIES as i64 {
            let interval = Interval {
                packets: 1,
                ..Interval::default()
            };
            story.note(at(second), Notice::Interval(interval));
        }
        story.note(at(9_999), ended());
        assert_eq!(story.entries.len(), MAX_ENTRIES);
        assert_eq!(story.entries.front().unwrap().notice, Notice::IceUp);
        assert_eq!(story.entries.back().unwrap().notice, ended());
        assert_eq!(story.left_out, MAX_ENTRIES as u64 + 2);
        assert_eq!(story.sum.packets, 2 * MAX_ENTRIES as u64);
    }

    #[test]
    fn who_comes_late_hears_of_warnings_that_hold() {
        let mut story = story();
        let warned = |warning, is_over| Notice::Warned { warning, is_over };
        story.note(at(1), warned(Warning::Loss, false));
        story.note(at(1), warned(Warning::NoAudio, false));
        story.note(at(2), warned(Warning::Loss, true));
        let names: Vec<_> = story.so_far().iter().map(Told::name).collect();
        assert_eq!(names, ["session", "warning"]);
    }
}
