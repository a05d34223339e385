//! The transcoder with real worker processes and real media.
//!
//! This program is its own worker: called with the worker's argument it runs
//! one, else it runs the checks named on the command line, all without one.
//! Media comes from the `ffmpeg` command line, and what the worker makes is
//! decoded again.

#![expect(clippy::print_stdout, reason = "a test runner")]
#![expect(clippy::unwrap_used, reason = "a test, though without `#[test]`")]

#[expect(
    unreachable_pub,
    reason = "the file is a public module of the tests' library too"
)]
#[path = "../../../tests/support/brake.rs"]
mod brake;
mod checks;
mod encoders;
mod media;
mod overload;
mod processes;
mod rig;

use std::process::ExitCode;

use inlet_origin::transcode::worker;

type Check = (&'static str, fn());

/// Run with no argument.
const CHECKS: &[Check] = &[
    (
        "h264_and_opus_become_two_aligned_rungs",
        checks::h264_and_opus_become_two_aligned_rungs,
    ),
    (
        "vp8_and_vp9_take_over_in_the_middle",
        checks::vp8_and_vp9_take_over_in_the_middle,
    ),
    (
        "rungs_keep_their_size_whatever_the_source",
        checks::rungs_keep_their_size,
    ),
    (
        "a_turned_source_stands_upright",
        checks::a_turned_source_stands_upright,
    ),
    (
        "junk_never_ends_the_worker",
        checks::junk_never_ends_the_worker,
    ),
    (
        "nothing_at_all_is_black_and_silent",
        checks::nothing_at_all_is_black_and_silent,
    ),
    (
        "beep_and_flash_stay_together",
        checks::beep_and_flash_stay_together,
    ),
    (
        "a_change_of_channels_is_not_heard",
        checks::a_change_of_channels_is_not_heard,
    ),
    (
        "a_slow_reader_loses_nothing",
        checks::a_slow_reader_loses_nothing,
    ),
    (
        "a_killed_worker_is_replaced_within_a_second",
        processes::a_killed_worker_is_replaced,
    ),
    (
        "a_hung_worker_is_replaced",
        processes::a_hung_worker_is_replaced,
    ),
    (
        "a_worker_that_keeps_dying_is_not_given_up",
        processes::a_dying_worker_is_not_given_up,
    ),
    (
        "no_worker_outlives_its_stream_or_parent",
        processes::no_worker_is_left_over,
    ),
    (
        "a_slow_worker_sheds_rungs_before_viewers_wait",
        overload::a_slow_worker_sheds_rungs,
    ),
    (
        "a_worker_that_keeps_up_sheds_nothing",
        overload::a_quick_worker_sheds_nothing,
    ),
    (
        "an_encoder_is_tried_before_it_is_used",
        encoders::an_encoder_is_tried_before_it_is_used,
    ),
    (
        "no_window_exceeds_rate_and_buffer",
        encoders::no_window_exceeds_rate_and_buffer,
    ),
    (
        "each_rung_has_one_thread",
        encoders::each_rung_has_one_thread,
    ),
    (
        "the_worker_is_locked_up",
        processes::the_worker_is_locked_up,
    ),
    (
        "an_attack_ends_the_worker",
        processes::an_attack_ends_the_worker,
    ),
];

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [worker::SUBCOMMAND] => return run_worker(),
        ["parent"] => processes::parent(),
        ["locked-up", what] => return processes::try_locked_up(what),
        _ => {}
    }
    run_checks(&arguments)
}

fn run_worker() -> ExitCode {
    let Err(error) = worker::run();
    tracing::error!(?error, "worker");
    ExitCode::FAILURE
}

/// As much of libtest's command line as cargo and nextest use.
fn run_checks(arguments: &[String]) -> ExitCode {
    let is_listing = arguments.iter().any(|argument| argument == "--list");
    let wants_ignored = arguments.iter().any(|argument| argument == "--ignored");
    let is_exact = arguments.iter().any(|argument| argument == "--exact");
    // What follows `--format` is no name: with it nextest would list nothing, and run that.
    let is_format = |at: usize| at > 0 && arguments[at - 1] == "--format";
    let names: Vec<&String> = arguments
        .iter()
        .enumerate()
        .filter(|(at, name)| !name.starts_with("--") && !is_format(*at))
        .map(|(_, name)| name)
        .collect();
    let is_named = |name: &str| {
        names.iter().any(|wanted| {
            if is_exact {
                *wanted == name
            } else {
                name.contains(*wanted)
            }
        })
    };
    let mut checks = if wants_ignored {
        vec![]
    } else {
        CHECKS.to_vec()
    };
    checks.retain(|(name, _)| names.is_empty() || is_named(name));
    for (name, check) in &checks {
        if is_listing {
            println!("{name}: test");
            continue;
        }
        let begin = inlet_common::clock::now();
        check();
        println!(
            "test {name} ... ok ({:.1} s)",
            begin.elapsed().as_secs_f64()
        );
    }
    ExitCode::SUCCESS
}
