//! Two presenters of one stream: who may stay, and who may come.

use std::{sync::LazyLock, time::Duration};

use inlet_common::clock;

use super::*;

const NOW: UtcTime = UtcTime::from_unix_micros(1_800_000_000_000_000);

/// So many microseconds after a moment that is the same in all of a test.
fn later(micros: i64) -> Instant {
    static BASE: LazyLock<Instant> = LazyLock::new(clock::now);
    let micros = 1_000_000 + micros;
    *BASE + Duration::from_micros(micros.unsigned_abs())
}

/// A presenter whose URL holds `secret`, heard last at `later(0)`.
fn presenter(secret: &[u8], region: &str) -> Running {
    let last_media = LastMedia::new(later(0));
    last_media.set(later(0));
    Running {
        session: SessionId::random(),
        key: Some(SessionKey::of(secret)),
        epoch: 0,
        last_media,
        status: Status::new(NOW, region.to_owned()),
    }
}

fn entry(running: Running) -> Entry {
    Entry {
        client: ClientId(1),
        commands: mpsc::unbounded_channel().0,
        media: mpsc::channel(1).0,
        running: Some(running),
        successor: None,
    }
}

fn judge(entry: &Entry, newcomer: &Running, replaces: Option<&[u8]>, asked: i64) -> Claim {
    let replaces = replaces.map(SessionKey::of);
    entry.judge(newcomer, replaces, later(asked), later(asked))
}

#[test]
fn only_who_shows_the_secret_follows_the_living() {
    let entry = entry(presenter(b"a", "fra"));
    let other = presenter(b"b", "ams");
    assert_eq!(judge(&entry, &other, Some(b"a"), -1), Claim::Follows);
    assert_eq!(judge(&entry, &other, Some(b"x"), -1), Claim::Taken);
    assert_eq!(judge(&entry, &other, None, -1), Claim::Taken);
    assert_eq!(judge(&entry, &other, None, 1), Claim::PerhapsGhost);
    assert_eq!(judge(&entry, &other, None, DEAD_AFTER_MICROS), Claim::Free);
}

#[test]
fn who_never_sent_a_packet_may_be_a_ghost() {
    let mut opened = presenter(b"a", "fra");
    opened.last_media = LastMedia::new(later(0));
    let entry = entry(opened);
    let other = presenter(b"b", "ams");
    assert_eq!(judge(&entry, &other, None, -1), Claim::PerhapsGhost);
    assert_eq!(judge(&entry, &other, None, DEAD_AFTER_MICROS), Claim::Free);
}

#[test]
fn who_has_no_key_is_followed_by_nobody() {
    let mut running = presenter(b"a", "fra");
    running.key = None;
    let entry = entry(running);
    assert_eq!(
        judge(&entry, &presenter(b"b", "ams"), None, -1),
        Claim::Taken
    );
}

#[test]
fn a_living_successor_keeps_others_out_and_may_be_followed_too() {
    let mut entry = entry(presenter(b"a", "fra"));
    let successor = presenter(b"b", "ams");
    successor.last_media.set(later(DEAD_AFTER_MICROS));
    entry.admit(Claim::Follows, successor);
    let other = presenter(b"c", "ams");
    let asked = DEAD_AFTER_MICROS;
    assert_eq!(judge(&entry, &other, None, asked - 1), Claim::Taken);
    assert_eq!(judge(&entry, &other, None, asked + 1), Claim::PerhapsGhost);
    assert_eq!(judge(&entry, &other, Some(b"b"), asked - 1), Claim::Follows);
    assert_eq!(judge(&entry, &other, None, 2 * asked), Claim::Free);
    entry.admit(Claim::Free, other);
    assert!(entry.successor.is_none());
}

#[test]
fn a_move_counts_up_and_one_overtaken_is_outdated() {
    let mut entry = entry(presenter(b"a", "fra"));
    let session = entry.running.as_ref().unwrap().session;
    let open = |epoch| Running {
        session,
        epoch,
        ..presenter(b"a", "fra")
    };
    assert_eq!(judge(&entry, &open(2), None, 1), Claim::Moves);
    entry.admit(Claim::Moves, open(2));
    assert_eq!(judge(&entry, &open(1), None, 1), Claim::Outdated);
    assert_eq!(judge(&entry, &open(2), None, 1), Claim::Moves);
}

#[test]
fn the_successor_runs_when_the_running_one_is_over() {
    const STREAM: StreamId = StreamId(7);
    let directory = Directory::default();
    let (first, second) = (presenter(b"a", "fra"), presenter(b"b", "ams"));
    let (former, successor) = (first.session, second.session);
    let mut both = entry(first);
    both.admit(Claim::Follows, second);
    directory.lock().insert(STREAM, both);

    let region = || directory.status(STREAM).map(|status| status.region);
    directory.finish(STREAM, SessionId::random());
    assert_eq!(region().as_deref(), Some("fra"));
    directory.finish(STREAM, former);
    assert_eq!(region().as_deref(), Some("ams"));
    assert!(!directory.retire(STREAM));
    directory.finish(STREAM, successor);
    assert_eq!(region(), None);
}

#[test]
fn two_ladders_that_grow_do_not_take_the_same_room() {
    let room = Room::new(1, 100);
    let directory = Directory::default();
    let sessions = [1, 2].map(|id| {
        let running = presenter(b"a", "fra");
        let of = (StreamId(id), running.session);
        directory.lock().insert(of.0, entry(running));
        directory.update(of.0, of.1, |status| status.cores = 0.25);
        of
    });
    let [one, two] = sessions;
    assert_eq!(directory.reserve(one, &room, 0.7), Ok(()));
    assert_eq!(directory.reserve(two, &room, 0.7), Err(Full::Estimated));
    assert_eq!(directory.status(two.0).unwrap().cores, 0.25);
    // What was taken is there again when it is given up.
    directory.update(one.0, one.1, |status| status.cores = 0.25);
    assert_eq!(directory.reserve(two, &room, 0.7), Ok(()));
}

#[test]
fn who_is_gone_takes_no_room() {
    let room = Room::new(1, 100);
    let directory = Directory::default();
    let running = presenter(b"a", "fra");
    let gone = (StreamId(1), SessionId::random());
    let other = (StreamId(2), running.session);
    directory
        .lock()
        .insert(gone.0, entry(presenter(b"b", "fra")));
    directory.lock().insert(other.0, entry(running));
    assert_eq!(directory.reserve(gone, &room, 0.7), Ok(()));
    assert_eq!(directory.reserve(other, &room, 0.7), Ok(()));
}
