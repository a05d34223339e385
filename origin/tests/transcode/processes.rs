//! What becomes of worker processes.

use std::{
    io::{BufRead, BufReader},
    os::unix::{
        net::UnixStream,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use inlet_common::clock;
use inlet_origin::transcode::{
    Device, Input, VideoCodec,
    supervisor::{HANG_LIMIT, Pool, Program},
    worker,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    media,
    rig::{FIRST_FRAME, POOL, Script, Stream},
};

pub(crate) fn a_killed_worker_is_replaced() {
    let coded = media::video(VideoCodec::H264, "color=white:s=854x480:r=30:d=4");
    let sound = media::opus("sine=f=440:r=48000:d=4");
    let script = || {
        Script::default()
            .video(VideoCodec::H264, 0, 0, &coded)
            .audio(&sound)
            .ticks(120)
            .inputs()
    };
    let (mut killed, mut bystander) = (
        Stream::start(&POOL, 854, 480),
        Stream::start(&POOL, 854, 480),
    );
    let bystander_pid = bystander.pid();
    let mut outage = None;
    for (mine, other) in script().into_iter().zip(script()) {
        // In the middle of a second of media, between key frames.
        let is_moment =
            matches!(mine, Input::VideoTick { number, .. } if number == FIRST_FRAME + 45);
        bystander.send(other);
        if is_moment {
            outage = Some(kill_and_wait(&mut killed, mine));
        } else {
            killed.send(mine);
        }
    }
    killed.finish();
    bystander.finish();
    let (outage, seen_before) = outage.unwrap();
    println!("outage {:.0} ms", outage.as_secs_f64() * 1e3);
    // Aimed at is a second; a busy machine gets three.
    assert!(outage < Duration::from_secs(3), "{outage:?}");
    assert_eq!((killed.restarts, bystander.restarts), (1, 0));
    assert_eq!(bystander.pid(), bystander_pid);
    for (rung, before) in seen_before.into_iter().enumerate() {
        let frames = &killed.frames[rung];
        assert!(frames[before].idr, "rung {rung} begins anew with an IDR");
        let (sps, pps) = killed.configs[rung].as_ref().unwrap();
        let mut decoder = media::Decoder::new(sps, pps);
        for frame in &frames[before..] {
            // White all along: the seed first, then from the next key frame on.
            let mean = decoder.decode(&frame.data).mean();
            assert!(mean > 225.0, "rung {rung} frame {}: {mean}", frame.number);
        }
    }
}

/// Kills the stream's worker in front of a tick. Returns how long it took until every rung had a
/// new frame, and how many each had before the restart.
fn kill_and_wait(stream: &mut Stream, tick: Input) -> (Duration, Vec<usize>) {
    let pid = Pid::from_raw(stream.pid());
    // Stopped first, so that this tick at least is left to the next worker.
    kill(pid, Signal::SIGSTOP).unwrap();
    stream.send_now(tick);
    let begin = clock::now();
    kill(pid, Signal::SIGKILL).unwrap();
    while stream.restarts == 0 {
        stream.receive();
    }
    let before: Vec<usize> = stream.frames.iter().map(Vec::len).collect();
    while stream
        .frames
        .iter()
        .zip(&before)
        .any(|(frames, before)| frames.len() <= *before)
    {
        stream.receive();
    }
    (begin.elapsed(), before)
}

pub(crate) fn a_hung_worker_is_replaced() {
    let mut stream = Stream::start(&POOL, 320, 180);
    let mut inputs = Script::default().ticks(60).inputs();
    for input in inputs.drain(..40) {
        stream.send(input);
    }
    let pid = stream.pid();
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    let begin = clock::now();
    for input in inputs {
        stream.send_now(input);
    }
    stream.finish();
    assert_eq!(stream.restarts, 1);
    // What it had left undone before it was stopped has waited for longer.
    let took = begin.elapsed();
    assert!(took > HANG_LIMIT / 2 && took < HANG_LIMIT * 3, "{took:?}");
    assert!(is_gone_within(pid, Duration::from_secs(1)));
}

pub(crate) fn a_dying_worker_is_not_given_up() {
    // Ends at once, so every start is a death; after a while it is replaced by
    // nothing better, but a stream must go on trying.
    let pool = Pool::start(Program::new("/bin/false", [""; 0])).unwrap();
    let mut stream = Stream::start(&pool, 320, 180);
    let begin = clock::now();
    while stream.restarts < 7 {
        stream.receive();
    }
    // Five at once, then after one second, then after two.
    let took = begin.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(6)).contains(&took),
        "{took:?}"
    );
}

pub(crate) fn no_worker_is_left_over() {
    let mut stream = Stream::start(&POOL, 320, 180);
    let pid = stream.pid();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(stream);
    assert!(
        is_gone_within(pid, Duration::from_secs(2)),
        "outlived its stream"
    );
    // A parent that is killed has no time to clean up.
    let mut parent = Command::new("/proc/self/exe")
        .arg("parent")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let pids: Vec<i32> = line
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 2, "a worker and a spare");
    assert!(
        pids.iter()
            .all(|pid| Path::new(&format!("/proc/{pid}")).exists())
    );
    // Stopped, they cannot see the end of their socket; only the kernel helps.
    kill(Pid::from_raw(pids[0]), Signal::SIGSTOP).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    for pid in pids {
        assert!(
            is_gone_within(pid, Duration::from_secs(2)),
            "outlived its parent"
        );
    }
}

/// The parent of the check above: a live stream and a spare, until killed.
pub(crate) fn parent() {
    let mut stream = Stream::start(&POOL, 320, 180);
    stream.play(Script::default().ticks(10).inputs());
    stream.finish();
    let own = std::process::id();
    let children = loop {
        let children = children_of(own);
        if children.len() >= 2 {
            break children;
        }
        std::thread::yield_now();
    };
    println!("{}", children.join(" "));
    loop {
        std::thread::park();
    }
}

fn children_of(parent: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let lists = tasks.map(|task| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
    });
    lists
        .collect::<Vec<_>>()
        .join(" ")
        .split_whitespace()
        .map(ToOwned::to_owned)
        .collect()
}

pub(crate) fn the_worker_is_locked_up() {
    let mut stream = Stream::start(&POOL, 320, 180);
    stream.play(Script::default().ticks(10).inputs());
    stream.finish();
    let pid = stream.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t3"] {
        assert!(status.contains(line), "{line} not in\n{status}");
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let nice = stat
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(16)
        .unwrap();
    assert_eq!(nice, "5");
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    assert!(descriptors <= 6, "{descriptors} descriptors");
    // What it may not do, it fails to do or dies of.
    for what in ["thread", "driver"] {
        assert!(locked_up(what).success(), "{what} was impossible");
    }
    for what in [
        "read",
        "write",
        "memory",
        "signal",
        "process",
        "ioctl",
        "descriptor",
        "early",
        "driver-read",
        "driver-memory",
        "driver-ioctl",
        "nvidia-driver",
        "nvidia-read",
        "nvidia-ioctl",
    ] {
        assert!(locked_up(what).success(), "{what} was possible");
    }
}

/// How a process ends that locks itself up and tries something.
fn locked_up(what: &str) -> ExitStatus {
    Command::new("/proc/self/exe")
        .args(["locked-up", what])
        .status()
        .unwrap()
}

/// What ends a worker at once, being an attack.
pub(crate) fn an_attack_ends_the_worker() {
    for what in [
        "socket",
        "program",
        "driver-socket",
        "driver-program",
        "nvidia-socket",
    ] {
        assert_eq!(
            locked_up(what).signal(),
            Some(Signal::SIGSYS as i32),
            "{what}"
        );
    }
}

/// Locks this process up and tries something, as one with a device if it begins
/// with `driver` or `nvidia`; success means it went as it has to.
pub(crate) fn try_locked_up(what: &str) -> ExitCode {
    let parent = nix::unistd::getppid();
    let (open, _other) = UnixStream::pair().unwrap();
    // What a driver does that has a thread of its own.
    let (locked, is_locked) = std::sync::mpsc::channel();
    let early = std::thread::spawn(move || {
        is_locked.recv().unwrap();
        std::fs::read("/etc/passwd").is_err()
    });
    let (device, what) = match what.split_once('-') {
        Some(("driver", what)) => (Some(Device::Render), what),
        Some(("nvidia", what)) => (Some(Device::Nvidia), what),
        _ if what == "driver" => (Some(Device::Render), what),
        _ => (None, what),
    };
    worker::lock_up(256 << 20, device).unwrap();
    locked.send(()).unwrap();
    let is_early_locked = early.join().unwrap();
    let went_well = match what {
        "early" => is_early_locked,
        "driver" => nix::unistd::dup(&open).is_ok(),
        "descriptor" => nix::unistd::dup(&open).is_err(),
        // FIONBIO, which is a terminal's by its number.
        "ioctl" => open.set_nonblocking(true).is_err(),
        "thread" => std::thread::spawn(|| 7).join().unwrap() == 7,
        "read" => std::fs::read("/etc/passwd").is_err(),
        "write" => std::fs::write("/tmp/inlet-locked-up", "x").is_err(),
        "memory" => Vec::<u8>::new().try_reserve(300 << 20).is_err(),
        "signal" => kill(parent, None).is_err(),
        "socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "process" => Command::new("/bin/true").status().is_err(),
        "program" => {
            println!("{}", Command::new("/bin/true").exec());
            false
        }
        _ => false,
    };
    if went_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn is_gone_within(pid: i32, limit: Duration) -> bool {
    let begin: Instant = clock::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        if begin.elapsed() > limit {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
