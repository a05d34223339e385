//! A worker's loop: sockets and clock around its engines.
//!
//! One turn: read the clock once, take commands and datagrams, do what is due,
//! send. The trap is waking: a turn for each packet costs more than the packet
//! (at 50 presenters, turns of 1 ms cost 60 % more than those of 2), so after a turn that had work the
//! thread rests before it looks again, see [`super::pace`].

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver as CommandReceiver, TryRecvError},
    },
    time::{Duration, Instant},
};

use inlet_common::{clock, roq::control::CloseReason};
use metrics::Gauge;

use super::{
    Command, media,
    pace::{MEDIA_TURN, Pace, Work},
    token::Source,
};
use crate::{
    metrics::Media,
    turn::{plane as turn, relay::MediaHop},
    udp::Receiver,
};

/// A load of 1 in [`Live::load`].
pub(super) const LOAD_UNIT: f64 = 10_000.0;

/// Commands per turn.
const MAX_COMMANDS: usize = 64;

/// Events per turn; what is beyond them comes in the next.
pub(super) const MAX_EVENTS: usize = 1024;

/// How long a worker that stops waits for the origin to have heard of it.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Numbers that others may read at any time.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) turns: AtomicU64,
    pub(super) sessions: AtomicUsize,
    pub(super) is_link_up: AtomicBool,
    /// How busy it is, in [`LOAD_UNIT`].
    pub(super) load: AtomicU32,
}

/// A worker, ready to run.
pub(super) struct Driver {
    pub(super) poll: mio::Poll,
    pub(super) media: Option<media::Plane>,
    pub(super) turn: Option<turn::Plane>,
    pub(super) commands: CommandReceiver<Command>,
    pub(super) live: Arc<Live>,
    pub(super) metrics: Media,
    pub(super) receiver: Receiver,
    /// Sources that had more than their share in the last turn: the poll, being
    /// edge-triggered, does not tell of them again.
    pub(super) ready: BTreeSet<Source>,
    pub(super) pace: Pace,
    /// As in [`Live::load`], for whoever watches from outside.
    pub(super) load: Gauge,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Driver {
    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        let mut events = mio::Events::with_capacity(MAX_EVENTS);
        let mut now = clock::now();
        loop {
            let timeout = self.timeout(now);
            self.wait(&mut events, timeout);
            let start = clock::now();
            now = start;
            let (next, had_work) = self.turn(now);
            self.live.turns.fetch_add(1, Ordering::Relaxed);
            if next == Next::Stop {
                break;
            }
            let spent = clock::now().saturating_duration_since(start);
            self.metrics.turn.record(spent.as_secs_f64());
            let rest = self.pace.rest(now, spent, had_work);
            let load = (self.pace.load() * LOAD_UNIT) as u32;
            self.live.load.store(load, Ordering::Relaxed);
            self.load.set(self.pace.load());
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
        }
        self.stop(now);
    }

    /// Sleeps until something comes, and notes where it came.
    fn wait(&mut self, events: &mut mio::Events, timeout: Duration) {
        if let Err(error) = self.poll.poll(events, Some(timeout))
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "poll failed");
            self.metrics.socket_errors.increment(1);
        }
        let sources = events.iter().map(|event| Source::of(event.token()));
        self.ready.extend(sources);
    }

    fn timeout(&mut self, now: Instant) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let media = self.media.as_mut().map(|media| match media.unsent {
            Some(_) => now + MEDIA_TURN,
            None => media.next_timeout(),
        });
        let turn = self.turn.as_ref().map(turn::Plane::next_timeout);
        let next = media.into_iter().chain(turn).min();
        next.map_or(MEDIA_TURN, |at| at.saturating_duration_since(now))
    }

    fn turn(&mut self, now: Instant) -> (Next, Work) {
        let (next, had_command) = self.take_commands(now);
        let received = self.receive(now);
        let utc = clock::utc();
        if let Some(media) = &mut self.media {
            media.engine.handle_timeout(now, utc);
            media.expire_streams(now, self.poll.registry());
        }
        if let Some(turn) = &mut self.turn {
            turn.handle_timeout(now, utc, self.poll.registry());
        }
        self.send(now);
        self.tell(now);
        let work = match had_command {
            true => Work::Media,
            false => received,
        };
        (next, work)
    }

    fn take_commands(&mut self, now: Instant) -> (Next, bool) {
        let mut had_command = false;
        for _ in 0..MAX_COMMANDS {
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return (Next::Stop, true),
                Ok(Command::Turn(command)) => {
                    if let Some(turn) = &mut self.turn {
                        let registry = self.poll.registry();
                        turn.handle_command(now, registry, command);
                    }
                }
                Ok(Command::Stream { connection, first }) => {
                    if let Some(media) = &mut self.media {
                        let registry = self.poll.registry();
                        self.ready
                            .extend(media.adopt(now, *connection, &first, registry));
                    }
                }
                Ok(command) => {
                    if let Some(media) = &mut self.media {
                        media.engine.handle_command(now, command);
                    }
                }
                Err(TryRecvError::Empty) => return (Next::GoOn, had_command),
            }
            had_command = true;
        }
        // The waker's event is spent, and there may be more.
        self.ready.insert(Source::Waker);
        (Next::GoOn, had_command)
    }

    /// Reads each source that has something, up to its share.
    fn receive(&mut self, now: Instant) -> Work {
        let ready = std::mem::take(&mut self.ready);
        let work = match ready.is_empty() {
            true => Work::None,
            false if ready.iter().any(|source| source.is_media()) => Work::Media,
            false => Work::Relay,
        };
        for source in ready {
            let (registry, receiver) = (self.poll.registry(), &mut self.receiver);
            let has_more = match source.is_media() {
                true => (self.media.as_mut())
                    .is_some_and(|media| media.receive(now, source, registry, receiver)),
                false => {
                    let mut to_media = hand_to(now, &mut self.media);
                    self.turn.as_mut().is_some_and(|turn| {
                        turn.receive(now, source, registry, receiver, &mut to_media)
                    })
                }
            };
            if has_more {
                self.ready.insert(source);
            }
        }
        work
    }

    fn send(&mut self, now: Instant) {
        if let Some(media) = &mut self.media {
            let turn = &mut self.turn;
            media.send(now, |transmit| {
                turn.as_mut().is_some_and(|turn| {
                    let (from, to) = (transmit.source, transmit.destination);
                    turn.relay_media(now, from, to, &transmit.contents)
                })
            });
        }
        if let Some(turn) = &mut self.turn {
            turn.send(now, self.poll.registry());
            self.ready.extend(turn.take_again());
        }
    }

    fn tell(&mut self, now: Instant) {
        let allotted = self.turn.as_mut().map(turn::Plane::take_allotted);
        let Some(media) = &self.media else {
            return;
        };
        for allotted in allotted.into_iter().flatten() {
            media.engine.note_allotted(now, allotted);
        }
        let sessions = media.engine.sessions();
        self.live.sessions.store(sessions, Ordering::Relaxed);
        let is_up = media.engine.link.is_up();
        self.live.is_link_up.store(is_up, Ordering::Relaxed);
    }

    /// Ends every session and the link, and waits a moment for the origin to
    /// have heard of it.
    fn stop(mut self, mut now: Instant) {
        let mut events = mio::Events::with_capacity(MAX_EVENTS);
        if let Some(media) = &mut self.media {
            media.engine.end_all(now, CloseReason::Draining);
        }
        self.send(now);
        let deadline = now + STOP_TIMEOUT;
        while now < deadline && self.media.as_ref().is_some_and(is_unheard) {
            let timeout = self.timeout(now).min(deadline - now);
            self.wait(&mut events, timeout);
            now = clock::now();
            self.ready.retain(|source| *source == Source::Link);
            self.receive(now);
            if let Some(media) = &mut self.media {
                media.engine.handle_timeout(now, clock::utc());
            }
            self.send(now);
        }
        if let Some(media) = &mut self.media {
            media.engine.link.stop(now);
            media.send_link(now);
        }
        self.live.is_link_up.store(false, Ordering::Relaxed);
        self.live.sessions.store(0, Ordering::Relaxed);
    }
}

/// Whether the origin has yet to acknowledge something.
fn is_unheard(media: &media::Plane) -> bool {
    !media.engine.link.is_flushed()
}

/// Takes what relayed clients send to media of this worker.
fn hand_to(
    now: Instant,
    media: &mut Option<media::Plane>,
) -> impl FnMut(MediaHop<'_>) -> bool + use<'_> {
    move |hop| {
        media
            .as_mut()
            .is_some_and(|media| media.engine.handle_relayed(now, &hop))
    }
}
