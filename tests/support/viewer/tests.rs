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
    assert!(watched((0..30).chain(41..60)).ensure_smooth().is_err());
    assert!(watched((0..30).chain(28..60)).ensure_smooth().is_err());
    assert!(watched([5; 60]).ensure_smooth().is_err());
}

#[test]
fn the_largest_gap_is_in_capture_time() {
    let gap = watched((0..30).chain(60..90)).largest_gap().unwrap();
    assert_eq!(gap, 31 * 33);
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
