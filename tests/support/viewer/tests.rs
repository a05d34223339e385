//! What a viewer concludes from what it saw.

use super::*;

fn seen(counter: u32, time: f64) -> Seen {
    let reading = Reading {
        counter,
        time: counter * 33,
    };
    Seen {
        size: (640, 360),
        time,
        reading: Some(reading),
        is_pillarboxed: false,
    }
}

fn watched(counters: impl IntoIterator<Item = u32>) -> Watched {
    let frames = counters
        .into_iter()
        .enumerate()
        .map(|(index, counter)| seen(counter, index as f64 / 30.0))
        .collect();
    Watched {
        frames,
        beeps: Vec::new(),
    }
}

#[test]
fn a_repeated_and_a_dropped_frame_are_still_smooth() {
    let counters = (100..140).chain([139]).chain(142..160);
    assert!(watched(counters).ensure_smooth().is_ok());
}

#[test]
fn a_jump_or_a_step_back_is_not_smooth() {
    assert!(watched((0..30).chain(41..60)).ensure_smooth().is_ok());
    assert!(watched((0..30).chain(61..90)).ensure_smooth().is_err());
    assert!(watched((0..30).chain(28..60)).ensure_smooth().is_err());
    assert!(watched([5; 60]).ensure_smooth().is_err());
}

#[test]
fn the_largest_gap_is_in_capture_time() {
    let mut watched = watched((0..30).chain(60..90));
    assert_eq!(watched.largest_gap().unwrap(), 31 * 33);
    watched.frames[40].reading = None;
    assert!(watched.largest_gap().is_err());
    assert_eq!(watched.largest_readable_gap().unwrap(), 31 * 33);
}

/// Beeps that are late by so many milliseconds, one after the other.
fn late(millis: &[u32]) -> Watched {
    let frames = 30 * (millis.len() as u32 + 1);
    let mut watched = watched(1..frames);
    let beeps = (1_u32..).zip(millis);
    let beeps = beeps.map(|(at, late)| f64::from(30 * at - 1) / 30.0 + f64::from(*late) / 1e3);
    watched.beeps = beeps.collect();
    watched
}

#[test]
fn sound_and_picture_are_together_but_for_a_moment() {
    for (millis, is_together) in [
        (&[0, 10, 30][..], true),
        (&[0, 10, 300, 0], true),
        (&[0, 110, 300, 0, 10], true),
        (&[0, 200, 300, 0, 10], false),
        (&[50, 50, 50, 50], false),
        (&[0, 10], false),
    ] {
        let outcome = late(millis).ensure_together();
        assert_eq!(outcome.is_ok(), is_together, "{millis:?}: {outcome:?}");
    }
}

#[test]
fn a_beep_whose_frame_came_behind_a_hole_tells_nothing() {
    let mut watched = watched((1..20).chain(30..70));
    watched.beeps = vec![19.0 / 30.0 - 0.3, 49.0 / 30.0];
    assert_eq!(watched.skews().len(), 1);
}

#[test]
fn a_viewer_has_seen_enough_some_frames_after_the_script() {
    let is_done = Arc::new(AtomicBool::new(false));
    let mut goal = Goal::new(Arc::clone(&is_done), 10, Duration::from_secs(60));
    assert!(!goal.is_reached(500).unwrap());
    is_done.store(true, Relaxed);
    assert!(!goal.is_reached(501).unwrap());
    assert!(!goal.is_reached(510).unwrap());
    assert!(goal.is_reached(511).unwrap());
    let mut late = Goal::new(is_done, 10, Duration::ZERO);
    assert!(late.is_reached(9).is_err());
}

#[test]
fn a_beep_belongs_to_the_first_showing_of_its_frame() {
    let mut watched = watched((20..30).chain([30, 30]).chain(31..70));
    let shown = 10.0 / 30.0;
    let second = 41.0 / 30.0;
    watched.beeps = vec![shown + 0.02, second - 0.01];
    let skews = watched.skews();
    assert_eq!(skews.len(), 2);
    assert!(
        (skews[0] - 0.02).abs() < 1e-9 && (skews[1] + 0.01).abs() < 1e-9,
        "{skews:?}"
    );
}
