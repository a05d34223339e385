//! All stories of this process, and who follows them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use inlet_common::{
    clock::UtcTime,
    ids::{SessionId, StreamId},
};
use metrics::{Counter, Unit, counter, describe_counter};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{
    notice::Notice,
    story::{Story, Told},
};
use crate::whip::resource::Secret;

/// How long a story is kept after its end.
const KEEP: Duration = Duration::from_secs(30 * 60);

/// How long the session's URL still tells how it ended.
const KEEP_URL: Duration = Duration::from_secs(60);

/// Most stories that have ended; the one that ended first goes.
const MAX_ENDED: usize = 1_000;

/// Who may follow one session at once.
const MAX_FOLLOWERS: usize = 4;

/// Events that one follower may have waiting; a slower one misses some.
const MAX_WAITING: usize = 32;

/// How long an allocation is remembered for a session that is to come: a browser
/// asks for relays before it makes its offer.
const KEEP_ALLOCATION: Duration = Duration::from_secs(60);

/// Most allocations that are remembered so; the oldest goes.
const MAX_ALLOCATIONS: usize = 1_000;

/// Counts notices that were left out, here and on their way here.
pub(crate) const LEFT_OUT: &str = "inlet_edge_trace_left_out_total";

/// All stories.
#[derive(Debug)]
pub struct Book {
    shelves: Mutex<Shelves>,
    left_out: Counter,
}

#[derive(Debug, Default)]
struct Shelves {
    stories: BTreeMap<Uuid, Shelf>,
    by_secret: HashMap<Secret, Uuid>,
    /// Those that have ended, the first first.
    ended: VecDeque<(UtcTime, Uuid)>,
    /// Allocations of the last minute, the first first.
    allocations: VecDeque<(UtcTime, StreamId, Notice)>,
    /// Where every session shall go on, once it shall.
    elsewhere: Option<String>,
}

#[derive(Debug)]
struct Shelf {
    story: Story,
    secret: Secret,
    followers: broadcast::Sender<Told>,
}

/// What a follower gets.
#[derive(Debug)]
pub struct Following {
    /// What is so already.
    pub so_far: Vec<Told>,
    /// What comes.
    pub coming: broadcast::Receiver<Told>,
}

/// Too many follow this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many listeners")]
pub struct Crowded;

impl Default for Book {
    fn default() -> Self {
        let count = Unit::Count;
        describe_counter!(
            LEFT_OUT,
            count,
            "Notices left out of traces for lack of room"
        );
        Self {
            shelves: Mutex::default(),
            left_out: counter!(LEFT_OUT),
        }
    }
}

impl Book {
    /// Begins the story of a session.
    pub fn begin(&self, at: UtcTime, session: SessionId, secret: Secret, stream: StreamId) {
        let mut shelves = self.lock();
        shelves.forget_old(at);
        let mut story = Story::new(session, stream, at);
        for (made, owner, notice) in &shelves.allocations {
            if *owner == stream && micros(at, *made) <= KEEP_ALLOCATION.as_micros() {
                story.note(*made, notice.clone());
            }
        }
        let shelf = Shelf {
            story,
            secret,
            followers: broadcast::Sender::new(MAX_WAITING),
        };
        shelves.by_secret.insert(secret, session.0);
        shelves.stories.insert(session.0, shelf);
    }

    /// Something happened to a session.
    pub fn note(&self, at: UtcTime, session: SessionId, notice: Notice) {
        let mut shelves = self.lock();
        let Some(shelf) = shelves.stories.get_mut(&session.0) else {
            return;
        };
        let before = shelf.story.left_out;
        let told = shelf.story.note(at, notice);
        self.left_out.increment(shelf.story.left_out - before);
        let is_over = matches!(told, Some(Told::End(_)));
        if let Some(told) = told {
            // Nobody may be listening.
            shelf.followers.send(told).ok();
        }
        if is_over {
            shelves.ended.push_back((at, session.0));
            shelves.forget_old(at);
        }
    }

    /// Something happened to an allocation of a stream: to each of its running
    /// sessions, and to one that begins within a minute.
    pub fn note_stream(&self, at: UtcTime, stream: StreamId, notice: Notice) {
        let mut shelves = self.lock();
        for shelf in shelves.stories.values_mut() {
            if shelf.story.stream == stream {
                let before = shelf.story.left_out;
                shelf.story.note(at, notice.clone());
                self.left_out.increment(shelf.story.left_out - before);
            }
        }
        if shelves.allocations.len() >= MAX_ALLOCATIONS {
            shelves.allocations.pop_front();
        }
        shelves.allocations.push_back((at, stream, notice));
    }

    /// A session that never began after all: its offer was refused.
    pub fn forget(&self, session: SessionId) {
        self.lock().remove(session.0);
    }

    /// Tells every session to go on at another point of presence: those that follow,
    /// and those that will.
    pub fn move_on(&self, base: &str) {
        let mut shelves = self.lock();
        shelves.elsewhere = Some(base.to_owned());
        for shelf in shelves.stories.values() {
            if shelf.story.end.is_none() {
                let base = base.to_owned();
                shelf.followers.send(Told::Move { base }).ok();
            }
        }
    }

    /// Follows the session of this URL; `None` when there is none, or when it has
    /// ended long ago.
    ///
    /// # Errors
    ///
    /// [`Crowded`] at the bound on followers.
    pub fn follow(&self, secret: &Secret, now: UtcTime) -> Option<Result<Following, Crowded>> {
        let shelves = self.lock();
        let session = shelves.by_secret.get(secret)?;
        let shelf = shelves.stories.get(session)?;
        if let Some((at, ..)) = shelf.story.end
            && micros(now, at) > KEEP_URL.as_micros()
        {
            return None;
        }
        if shelf.followers.receiver_count() >= MAX_FOLLOWERS {
            return Some(Err(Crowded));
        }
        let mut so_far = shelf.story.so_far();
        if let (Some(base), None) = (shelves.elsewhere.clone(), &shelf.story.end) {
            so_far.push(Told::Move { base });
        }
        Some(Ok(Following {
            so_far,
            coming: shelf.followers.subscribe(),
        }))
    }

    /// One story as it stands.
    pub fn story(&self, session: Uuid) -> Option<Story> {
        let shelves = self.lock();
        shelves
            .stories
            .get(&session)
            .map(|shelf| shelf.story.clone())
    }

    /// All stories, without their entries' order changed: by session id.
    pub fn stories<T>(&self, each: impl Fn(&Story) -> T) -> Vec<T> {
        let shelves = self.lock();
        shelves.stories.values().map(|it| each(&it.story)).collect()
    }

    /// Nothing in here leaves the shelves half done.
    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn forget_old(&mut self, now: UtcTime) {
        while let Some(&(at, session)) = self.ended.front() {
            if self.ended.len() <= MAX_ENDED && micros(now, at) <= KEEP.as_micros() {
                return;
            }
            self.ended.pop_front();
            self.remove(session);
        }
    }

    fn remove(&mut self, session: Uuid) {
        if let Some(shelf) = self.stories.remove(&session) {
            self.by_secret.remove(&shelf.secret);
        }
    }
}

fn micros(now: UtcTime, at: UtcTime) -> u128 {
    u128::try_from(now.micros_since(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use inlet_common::roq::control::{CloseReason, Totals};

    use super::*;

    fn at(seconds: i64) -> UtcTime {
        UtcTime::from_unix_micros(1_800_000_000_000_000 + seconds * 1_000_000)
    }

    fn end(book: &Book, seconds: i64, session: SessionId) {
        let notice = Notice::Ended {
            reason: CloseReason::Deactivated,
            totals: Totals::default(),
        };
        book.note(at(seconds), session, notice);
    }

    fn begun(book: &Book, seconds: i64) -> (SessionId, Secret) {
        let (session, secret) = (SessionId::random(), Secret::random());
        book.begin(at(seconds), session, secret, StreamId(1));
        (session, secret)
    }

    #[test]
    fn an_allocation_belongs_to_the_sessions_of_its_stream_before_and_after_the_offer() {
        let book = Book::default();
        let allocated = |transport| Notice::Allocated { transport };
        let note = |seconds, stream, transport| {
            book.note_stream(at(seconds), StreamId(stream), allocated(transport));
        };
        note(0, 1, "tcp");
        note(30, 1, "udp");
        note(30, 2, "udp");
        let (session, _) = begun(&book, 61);
        note(62, 1, "tls");
        note(62, 2, "tls");
        let entries = book.story(session.0).unwrap().entries;
        let found: Vec<_> = entries.into_iter().map(|it| (it.at, it.notice)).collect();
        let expected = [(at(30), allocated("udp")), (at(62), allocated("tls"))];
        assert_eq!(found, expected);
        for second in 0..2 * MAX_ALLOCATIONS as i64 {
            note(second, 3, "udp");
        }
        assert_eq!(book.lock().allocations.len(), MAX_ALLOCATIONS);
    }

    #[test]
    fn a_follower_hears_everything_to_the_end_and_a_minute_after() {
        let book = Book::default();
        let (session, secret) = begun(&book, 0);
        let mut following = book.follow(&secret, at(1)).unwrap().unwrap();
        assert_eq!(following.so_far.len(), 1);
        book.note(at(2), session, Notice::Connected);
        end(&book, 3, session);
        assert_eq!(following.coming.try_recv().unwrap().name(), "session");
        let last = following.coming.try_recv().unwrap();
        assert_eq!(last, Told::End(CloseReason::Deactivated));
        let late = book.follow(&secret, at(60)).unwrap().unwrap();
        assert_eq!(late.so_far, [Told::End(CloseReason::Deactivated)]);
        assert!(book.follow(&secret, at(64)).is_none());
        assert!(book.story(session.0).is_some(), "the trace is kept longer");
    }

    #[test]
    fn who_begins_to_follow_late_is_told_to_move_too() {
        let book = Book::default();
        let (_, early) = begun(&book, 0);
        let mut following = book.follow(&early, at(0)).unwrap().unwrap();
        book.move_on("https://b.example");
        let (_, late) = begun(&book, 1);
        let expected = Told::Move {
            base: "https://b.example".to_owned(),
        };
        assert_eq!(following.coming.try_recv().unwrap(), expected);
        for secret in [early, late] {
            let following = book.follow(&secret, at(1)).unwrap().unwrap();
            assert_eq!(following.so_far.last(), Some(&expected));
        }
    }

    #[test]
    fn followers_and_stories_are_bounded() {
        let book = Book::default();
        let (session, secret) = begun(&book, 0);
        let all: Vec<_> = (0..MAX_FOLLOWERS)
            .map(|_| book.follow(&secret, at(0)).unwrap().unwrap())
            .collect();
        assert_eq!(book.follow(&secret, at(0)).unwrap().unwrap_err(), Crowded);
        drop(all);
        assert!(book.follow(&secret, at(0)).unwrap().is_ok());
        for _ in 0..MAX_ENDED + 5 {
            let (session, _) = begun(&book, 1);
            end(&book, 1, session);
        }
        assert_eq!(book.stories(|_| ()).len(), MAX_ENDED + 1);
        assert!(book.story(session.0).is_some(), "it still runs");
        begun(&book, 1 + KEEP.as_secs() as i64 + 1);
        assert_eq!(book.stories(|_| ()).len(), 2);
    }
}
