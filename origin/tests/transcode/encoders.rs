//! Encoders: which work here, and what they keep to.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use inlet_origin::{
    timeline::FrameRate,
    transcode::{
        Device, Encoder, Preset, Spec, VideoCodec,
        ladder::{Resolution, Rung},
        supervisor::Program,
        trial,
    },
};

use crate::{
    media,
    rig::{POOL, Script, Stream},
};

pub(crate) fn an_encoder_is_tried_before_it_is_used() {
    let program = Program::current();
    for preset in [Preset::Ultrafast, Preset::Medium] {
        trial::run(&program, choice(Encoder::Libx264, preset)).unwrap();
    }
    for encoder in Encoder::ALL {
        let nodes = match encoder.device() {
            None => continue,
            Some(Device::Nvidia) => "/dev/nvidiactl",
            Some(Device::Render) => "/dev/dri",
        };
        if Path::new(nodes).exists() {
            println!(
                "{encoder:?}: {:?}",
                trial::run(&program, choice(encoder, Preset::default()))
            );
            continue;
        }
        let refused = trial::run(&program, choice(encoder, Preset::default())).unwrap_err();
        let text = refused.to_string();
        println!("{text}");
        if matches!(refused, trial::Error::NotBuiltIn(_)) {
            // Debian has Quick Sync on amd64 alone.
            continue;
        }
        for part in [encoder.as_str(), "does not work here", "there is no", nodes] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(checked(encoder).contains(&format!("media.encoder: {}", encoder.as_str())));
    }
    assert!(!checked(Encoder::Libx264).contains("media.encoder"));
}

fn choice(encoder: Encoder, preset: Preset) -> trial::Choice {
    trial::Choice {
        encoder,
        preset,
        memory_limit: 256 << 20,
    }
}

/// What `--check` tells of a configuration with this encoder, among other things.
fn checked(encoder: Encoder) -> String {
    let name = format!("inlet-{}-{}.toml", std::process::id(), encoder.as_str());
    let path = std::env::temp_dir().join(name);
    fs::write(
        &path,
        format!("[media]\nencoder = \"{}\"", encoder.as_str()),
    )
    .unwrap();
    let check = Command::new(env!("CARGO_BIN_EXE_inlet-origin"))
        .args(["--check", "--config"])
        .arg(&path)
        .output()
        .unwrap();
    fs::remove_file(path).unwrap();
    // There are no certificates, at least.
    assert_eq!(check.status.code(), Some(78));
    String::from_utf8(check.stderr).unwrap()
}

/// Noise that moves, and a cut to something else every half second, in a quality
/// that a rung has no room for.
const HARD: &str = "-f lavfi -i testsrc2=s=640x360:r=30:d=8,noise=alls=60:allf=t,\
                    negate=enable='lt(mod(n,30),15)' -pix_fmt yuv420p -c:v libx264 \
                    -profile:v baseline -preset ultrafast -tune zerolatency -g 30 -crf 12";

pub(crate) fn no_window_exceeds_rate_and_buffer() {
    let rung = Rung {
        resolution: Resolution {
            width: 640,
            height: 360,
        },
        bitrate: 450_000,
    };
    let mut stream = Stream::with_spec(&POOL, Spec::new(vec![rung.clone()], FrameRate::DEFAULT));
    let coded = media::packets(HARD, "h264");
    let script = Script::default().video(VideoCodec::H264, 0, 0, &coded);
    stream.play(script.ticks(240).inputs());
    stream.finish();
    let sizes: Vec<f64> = stream.frames[0]
        .iter()
        .map(|frame| 8.0 * frame.data.len() as f64)
        .collect();
    // One second of rate in the buffer, and what flows in meanwhile.
    let rate = f64::from(rung.bitrate);
    let mut fullest: f64 = 0.0;
    for begin in 0..sizes.len() {
        let mut sum = 0.0;
        for (frames, size) in (1_u32..).zip(&sizes[begin..]) {
            sum += size;
            let bound = rate + rate * f64::from(frames) / 30.0;
            assert!(
                sum <= bound,
                "{sum} of {bound} bits in {frames} frames from {begin} on"
            );
            fullest = fullest.max(sum / bound);
        }
    }
    let mean = sizes.iter().sum::<f64>() / (sizes.len() as f64 / 30.0);
    println!(
        "{mean:.0} bit/s, {:.0} % of what the buffer allows",
        100.0 * fullest
    );
    assert!(mean > 0.8 * rate, "the scene is not hard: {mean} bit/s");
}

pub(crate) fn each_rung_has_one_thread() {
    let mut stream = Stream::start(&POOL, 1280, 720);
    stream.play(Script::default().ticks(30).inputs());
    stream.finish();
    let pid = stream.pid();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names: Vec<String> = tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap())
        .map(|name| name.trim_end().to_owned())
        .collect();
    let rungs: BTreeSet<_> = names
        .iter()
        .filter(|name| name.starts_with("rung-"))
        .collect();
    assert_eq!(rungs.len(), 3, "{names:?}");
    // The reader, decoding and audio beside them: encoders start none.
    assert_eq!(names.len(), 3 + 3, "{names:?}");
}
