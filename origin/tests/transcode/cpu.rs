//! What the ladder costs, against the `ffmpeg` command line doing the same.

use inlet_origin::{
    timeline::FrameRate,
    transcode::{
        Spec, VideoCodec,
        ladder::{Ladder, Resolution, Rung},
    },
};
use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    media,
    rig::{POOL, Script, Stream},
};

const SECONDS: u64 = 20;

/// Prints CPU seconds (user and system) per second of media for both.
pub(crate) fn measure() {
    for (width, height) in [(854, 480), (1280, 720), (1920, 1080)] {
        let source = format!(
            "-f lavfi -i testsrc2=s={width}x{height}:r=30:d={SECONDS} -vf noise=alls=6:allf=t \
             -pix_fmt yuv420p -c:v libx264 -profile:v baseline -preset veryfast \
             -tune zerolatency -g 60 -b:v 3M"
        );
        let video = media::ffmpeg(&source, "h264");
        let tone = format!("-f lavfi -i sine=f=440:r=48000:d={SECONDS} -c:a libopus -b:a 64k");
        let audio = media::ffmpeg(&tone, "ogg");
        let ladder = Ladder::default().for_source(Resolution { width, height });
        let (bicubic, bilinear) = ["bicubic", "bilinear"]
            .map(|flags| command_line(&video, &audio, &ladder, flags))
            .into();
        let worker = worker(&media::read(&video), &media::read(&audio), ladder.clone());
        println!(
            "{width}x{height}, {} rungs: worker {worker:.3}, ffmpeg {bicubic:.3} bicubic, \
             {bilinear:.3} bilinear; ratio {:.2}, {:.2}",
            ladder.len(),
            worker / bicubic,
            worker / bilinear,
        );
    }
}

fn worker(video: &[bytes::Bytes], audio: &[bytes::Bytes], ladder: Vec<Rung>) -> f64 {
    let mut stream = Stream::with_spec(&POOL, Spec::new(ladder, FrameRate::DEFAULT));
    let pid = stream.pid();
    let before = process_seconds(pid);
    let script = Script::default()
        .video(VideoCodec::H264, 0, 0, video)
        .audio(audio);
    stream.play(script.ticks(SECONDS * 30).inputs());
    stream.finish();
    assert_eq!((stream.restarts, stream.key_frames_needed), (0, 0));
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("worker's memory at most: {memory}");
    (process_seconds(pid) - before) / SECONDS as f64
}

/// User and system time of a process, proc(5).
fn process_seconds(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // utime and stime in hundredths of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn command_line(video: &media::File, audio: &media::File, ladder: &[Rung], flags: &str) -> f64 {
    let before = children_seconds();
    let mut filter = format!("[0:v]split={}", ladder.len());
    (0..ladder.len()).for_each(|rung| filter += &format!("[s{rung}]"));
    let mut outputs = String::new();
    for (index, rung) in ladder.iter().enumerate() {
        let Resolution { width, height } = rung.resolution;
        filter += &format!(";[s{index}]scale={width}:{height}:flags={flags}[v{index}]");
        let rate = rung.bitrate;
        outputs += &format!(
            " -map [v{index}] -c:v libx264 -preset superfast -tune zerolatency -threads 1 \
             -profile:v high -b:v {rate} -maxrate {rate} -bufsize {rate} -sc_threshold 0 -g 100000 \
             -force_key_frames expr:gte(t,n_forced) -f h264 /dev/null"
        );
    }
    let (video, audio) = (video.0.display(), audio.0.display());
    let sound = media::ffmpeg(
        &format!(
            "-threads 1 -filter_complex_threads 1 -r 30 -i {video} -c:a libopus -i {audio} \
             -filter_complex {filter} {outputs} -map 1:a -c:a aac -b:a 128k"
        ),
        "aac",
    );
    drop(sound);
    (children_seconds() - before) / SECONDS as f64
}

/// Time of all processes that were waited for.
fn children_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum()
}
