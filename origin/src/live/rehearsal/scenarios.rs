//! What presenters do, and what viewers see and hear of it.

use super::{
    judge::Programme,
    play,
    presenter::{LONG, MONO, STEREO, Script},
    second,
};

#[test]
fn a_steady_presenter_is_seen_and_heard_without_a_hole() {
    let programme = play(Script::default());
    let whole = second(1)..second(19);
    programme.assert_together(whole.clone(), 0.9);
    assert!(!programme.is_silent_in(whole.clone()));
    assert!(programme.longest_freeze(whole) < 70_000);
    programme.assert_segments();
}

#[test]
fn ten_minutes_of_clocks_that_are_fast_leave_sound_and_picture_together() {
    ten_minutes(200, 200, 200);
}

#[test]
fn ten_minutes_of_a_slow_sound_card_leave_sound_and_picture_together() {
    ten_minutes(0, -200, 0);
}

#[test]
fn ten_minutes_of_a_fast_camera_leave_sound_and_picture_together() {
    ten_minutes(0, 0, 200);
}

/// With all clocks this fast, sound and picture stay together and no sample is
/// missing.
fn ten_minutes(wall_ppm: i64, audio_ppm: i64, video_ppm: i64) {
    let programme = play(Script {
        length: second(600),
        wall_ppm,
        audio_ppm,
        video_ppm,
        ..Script::default()
    });
    let whole = second(1)..second(599);
    programme.assert_together(whole.clone(), 0.9);
    assert!(!programme.is_silent_in(whole.clone()));
    assert!(programme.longest_freeze(whole) < 70_000);
    programme.assert_segments();
}

#[test]
fn a_burst_of_loss_is_over_when_it_is_over() {
    let programme = play(Script {
        lost: second(8)..second(8) + 500_000,
        ..Script::default()
    });
    programme.assert_together(second(1)..second(19), 0.9);
    programme.assert_together(second(9)..second(13), 0.9);
    assert!(programme.is_silent_in(second(8)..second(9)));
    assert!(!programme.is_silent_in(second(9)..second(19)));
    let freeze = programme.longest_freeze(second(1)..second(19));
    assert!((500_000..900_000).contains(&freeze), "{freeze}");
    programme.assert_segments();
}

#[test]
fn sound_that_is_not_sent_is_silence_at_once() {
    let programme = play(Script {
        length: second(30),
        sound: |at| (!(second(8)..second(18)).contains(&at)).then_some(MONO),
        ..Script::default()
    });
    assert_silence(&programme, second(8)..second(18));
    programme.assert_together(second(1)..second(8), 0.9);
    programme.assert_together(second(19)..second(29), 0.9);
}

#[test]
fn comfort_noise_now_and_then_moves_nothing() {
    let programme = play(Script {
        length: second(30),
        // Every 400 ms within.
        sound: |at| {
            let is_quiet = (second(8)..second(18)).contains(&at);
            (!is_quiet || at % 400_000 < 20_000).then_some(MONO)
        },
        ..Script::default()
    });
    let (loud, quiet) = programme.loudness(second(9)..second(17));
    assert!(loud > 0 && quiet > 10 * loud, "{loud} and {quiet}");
    programme.assert_together(second(1)..second(8), 0.9);
    programme.assert_together(second(8)..second(18), 0.01);
    programme.assert_together(second(19)..second(29), 0.9);
    assert!(programme.longest_freeze(second(1)..second(29)) < 70_000);
    assert!(
        programme.longest_wait < 200_000,
        "{}",
        programme.longest_wait
    );
    programme.assert_segments();
}

#[test]
fn a_presenter_without_sound_is_silent_from_the_begin() {
    let programme = play(Script {
        sound: |_| None,
        ..Script::default()
    });
    assert_silence(&programme, 0..second(20));
}

/// All of it is silent, the sound's segments grow as ever, and the picture
/// does not wait.
fn assert_silence(programme: &Programme, when: std::ops::Range<i64>) {
    let (loud, quiet) = programme.loudness(when.start + 200_000..when.end - 200_000);
    assert!(loud == 0 && quiet > 0, "{loud} and {quiet}");
    assert!(programme.longest_freeze(when) < 70_000);
    assert!(
        programme.longest_wait < 200_000,
        "{}",
        programme.longest_wait
    );
    programme.assert_segments();
}

#[test]
fn a_change_of_channels_and_of_packet_length_moves_nothing() {
    let programme = play(Script {
        length: second(30),
        sound: |at| match at / second(1) {
            ..8 => Some(MONO),
            8..14 => Some(STEREO),
            14..20 => (at % 60_000 < 20_000).then_some(LONG),
            _ => Some(STEREO),
        },
        ..Script::default()
    });
    programme.assert_together(second(1)..second(29), 0.9);
    assert!(!programme.is_silent_in(second(1)..second(14) - 50_000));
    assert!(!programme.is_silent_in(second(15)..second(29)));
    programme.assert_segments();
}

#[test]
fn late_first_reports_move_nothing_apart() {
    for (audio, video) in [
        (second(5), second(5)),
        (second(5), 300_000),
        (700_000, second(5)),
    ] {
        let programme = play(Script {
            audio_reports: (audio, second(5)),
            video_reports: (video, second(1)),
            ..Script::default()
        });
        programme.assert_together(500_000..second(19), 0.9);
        assert!(programme.longest_freeze(second(1)..second(19)) < 110_000);
        programme.assert_segments();
    }
}

#[test]
fn a_longer_way_and_a_shorter_one_take_sound_and_picture_along() {
    let programme = play(Script {
        length: second(40),
        delay: |at| match at / second(1) {
            8..16 => 90_000,
            16..24 => 240_000,
            24..30 => 25_000,
            _ => 60_000,
        },
        ..Script::default()
    });
    programme.assert_together(second(1)..second(39), 0.8);
    programme.assert_segments();
}

#[test]
fn a_picture_that_stands_still_for_a_while_comes_back_in_step() {
    let programme = play(Script {
        has_picture: |at| !(second(8)..second(11)).contains(&at),
        ..Script::default()
    });
    programme.assert_together(second(1)..second(8), 0.9);
    programme.assert_together(second(11)..second(19), 0.9);
    assert!(!programme.is_silent_in(second(1)..second(19)));
    let freeze = programme.longest_freeze(second(1)..second(19));
    assert!((3_000_000..3_200_000).contains(&freeze), "{freeze}");
    programme.assert_segments();
}

#[test]
fn any_frame_rate_becomes_the_programmes() {
    let programme = play(Script {
        length: second(40),
        // 7, 60, 24, 15 and 50 frames per second, and what a phone makes of dusk.
        picture_interval: |at| match at / second(5) {
            0 => 142_857,
            1 => 16_667,
            2 => 41_667,
            3 => 66_667,
            4 => 20_000,
            _ => 16_667 + at * 31 % 126_000,
        },
        ..Script::default()
    });
    programme.assert_together(second(1)..second(39), 0.2);
    assert!(!programme.is_silent_in(second(1)..second(39)));
    assert!(programme.longest_freeze(second(1)..second(39)) < 200_000);
    programme.assert_segments();
}

#[test]
fn a_presenter_that_announced_nothing_loses_no_second() {
    let programme = play(Script {
        announced: None,
        ..Script::default()
    });
    programme.assert_together(100_000..second(19), 0.9);
    assert!(!programme.is_silent_in(200_000..second(19)));
    programme.assert_segments();
}

#[test]
fn a_wall_clock_that_is_set_is_neither_seen_nor_heard() {
    for by in [-2_000_000, 300_000, second(7_200)] {
        let programme = play(Script {
            length: second(30),
            wall_steps: vec![(second(8) + 100_000, by)],
            audio_reports: (700_000, second(5) + 130_000),
            ..Script::default()
        });
        let whole = second(1)..second(29);
        programme.assert_together(whole.clone(), 0.9);
        assert!(!programme.is_silent_in(whole.clone()), "{by}");
        assert!(programme.longest_freeze(whole) < 70_000, "{by}");
        programme.assert_segments();
    }
}

#[test]
fn the_origins_clock_that_is_set_back_is_neither_seen_nor_heard() {
    for by in [-second(60), -150_000] {
        let programme = play(Script {
            length: second(30),
            own_steps: vec![(second(8) + 100_000, by)],
            ..Script::default()
        });
        let whole = second(1)..second(29);
        programme.assert_together(whole.clone(), 0.9);
        assert!(!programme.is_silent_in(whole.clone()), "{by}");
        let freeze = programme.longest_freeze(whole);
        assert!(freeze < 70_000, "{by}: {freeze}");
        programme.assert_segments();
    }
}

#[test]
fn the_origins_clock_that_is_set_forward_is_followed_behind_a_short_hole() {
    let programme = play(Script {
        length: second(30),
        own_steps: vec![(second(8) + 100_000, second(60))],
        ..Script::default()
    });
    // It is believed two seconds later.
    programme.assert_together(second(1)..second(10), 0.9);
    programme.assert_together(second(12)..second(29), 0.9);
    assert!(!programme.is_silent_in(second(12)..second(29)));
    let freeze = programme.longest_freeze(second(1)..second(29));
    assert!(freeze < 500_000, "{freeze}");
    programme.assert_segments();
}

/// When and to which short side the ladder grows, of a picture with these.
fn growth(announced: Option<(u32, u32)>, size: fn(i64) -> (u16, u16)) -> Vec<(i64, u32)> {
    let programme = play(Script {
        announced,
        size,
        ..Script::default()
    });
    programme.assert_together(second(1)..second(19), 0.9);
    programme.assert_segments();
    let grown = programme.grown.iter();
    grown
        .map(|(at, size)| (at / 100_000, size.short_side()))
        .collect()
}

#[test]
fn a_picture_that_grows_in_steps_grows_the_ladder_once() {
    let steps = |at| match at / second(1) {
        ..2 => (480, 270),
        2..5 => (640, 360),
        5..9 => (960, 540),
        _ => (1280, 720),
    };
    assert_eq!(growth(None, steps), [(80, 540)]);
}

#[test]
fn a_ladder_that_has_all_rungs_is_not_waited_for() {
    let jump = |at| {
        if at < second(3) {
            (640, 360)
        } else {
            (1920, 1080)
        }
    };
    assert_eq!(growth(None, jump), [(30, 1080)]);
}

#[test]
fn a_ladder_stays_where_the_picture_does_not_grow_in_time() {
    let late = |at| {
        if at < second(9) {
            (640, 360)
        } else {
            (1280, 720)
        }
    };
    assert_eq!(growth(None, late), []);
    let shrinks = |at| {
        if at < second(3) {
            (1280, 720)
        } else {
            (640, 360)
        }
    };
    assert_eq!(growth(None, shrinks), []);
    let grows = |at| {
        if at < second(3) {
            (640, 360)
        } else {
            (1280, 720)
        }
    };
    assert_eq!(growth(Some((640, 360)), grows), [], "announced");
}
