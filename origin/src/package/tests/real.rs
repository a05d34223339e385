//! Real H.264, AAC and Opus from the installed `ffmpeg`, packaged and decoded again
//! by `ffprobe`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use inlet_common::ids::SessionId;

use super::EPOCH;
use crate::{
    package::{Beat, Output, Packager, Snapshot, Spec, ts},
    timeline::FrameRate,
    transcode::{
        self,
        ladder::{Resolution, Rung},
    },
};

const FRAMES: usize = 100;

#[test]
fn what_is_packaged_decodes_to_every_frame() {
    let folder = Folder::new();
    let mut packager = Packager::new(spec()).unwrap();
    let (video, audio) = (video(&folder.0), audio(&folder.0));
    assert_eq!(video.frames.len(), FRAMES);
    packager.handle_output(&transcode::Output::VideoConfig {
        rung: 0,
        sps: video.sps,
        pps: video.pps,
    });
    packager.handle_output(&transcode::Output::AudioConfig { asc: audio.asc });
    // Begins at frame 9,000, five minutes after the epoch.
    for (number, (idr, data)) in (9_000..).zip(video.frames) {
        packager.handle_output(&transcode::Output::Video {
            rung: 0,
            number,
            idr,
            data,
        });
    }
    for (number, data) in (14_063..).zip(audio.frames) {
        packager.handle_output(&transcode::Output::Audio { number, data });
    }
    // Half a second of it was lost with a worker, and is silence.
    for (number, data) in (15_000..).zip(opus(&folder.0)) {
        if !(15_030..15_055).contains(&number) {
            packager.handle_output(&transcode::Output::Opus { number, data });
        }
    }
    let [video, audio, opus] = end(&mut packager);
    assert_eq!(video.segments.len(), 4);
    let file = write(&folder.0, "video.mp4", &video);
    assert_eq!(probe(&file, "nb_read_frames"), "100");
    assert_eq!(probe(&file, "start_pts"), "27000000");
    assert_eq!(probe(&file, "width"), "320");
    let file = write(&folder.0, "audio.mp4", &audio);
    let frames: usize = probe(&file, "nb_read_frames").parse().unwrap();
    assert!(frames > 150, "{frames}");
    assert_eq!(probe(&file, "channels"), "2");
    let file = write(&folder.0, "opus.mp4", &opus);
    assert_eq!(
        probe(
            &file,
            "codec_name,sample_rate,channels,start_pts,nb_read_frames"
        ),
        format!("opus,48000,2,{},170", 15_000 * 960)
    );

    let file = write_transport(&folder.0, &video, &audio, &packager.layout().audio);
    let probed = probe(&file, "codec_name,start_pts,nb_read_frames");
    // Frame 9,000 is shown at 300 s, and 100 ms after its clock.
    assert_eq!(
        // Once as streams, and before that as those of a program.
        probed.rsplit("\n\n").next().unwrap(),
        format!("h264,27009000,100\naac,{},{frames}", 14_063 * 1920 + 9_000)
    );
}

fn end(packager: &mut Packager) -> [Arc<Snapshot>; 3] {
    let mut snapshots = [None, None, None];
    packager.end();
    while let Some(output) = packager.poll_output() {
        if let Output::Rendition {
            index, snapshot, ..
        } = output
        {
            snapshots[index] = Some(snapshot);
        }
    }
    snapshots.map(|snapshot| snapshot.expect("an output"))
}

fn spec() -> Spec {
    let rung = Rung {
        resolution: Resolution {
            width: 320,
            height: 180,
        },
        bitrate: 300_000,
    };
    Spec {
        opus_bitrate: Some(64_000),
        ..Spec::new(vec![rung], FrameRate::DEFAULT, EPOCH)
    }
}

fn write(folder: &Path, name: &str, snapshot: &Snapshot) -> PathBuf {
    let mut bytes = snapshot.segments[0].init.data.to_vec();
    for segment in &snapshot.segments {
        bytes.extend(segment.chunks.concat());
    }
    let file = folder.join(name);
    std::fs::write(&file, bytes).unwrap();
    file
}

/// All segments muxed and joined, as a player of transport streams reads them.
fn write_transport(folder: &Path, video: &Snapshot, audio: &Snapshot, beat: &Beat) -> PathBuf {
    let mut bytes = Vec::new();
    for segment in &video.segments {
        let sound = audio.segment(segment.number).map(|it| (it.as_ref(), beat));
        bytes.extend(ts::segment(segment, sound).unwrap());
    }
    let file = folder.join("both.ts");
    std::fs::write(&file, bytes).unwrap();
    file
}

/// Decodes the whole file; any complaint of the decoder fails the test.
fn probe(file: &Path, entry: &str) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "warning",
            "-count_frames",
            "-of",
            "csv=p=0",
            "-show_entries",
        ])
        .arg(format!("stream={entry}"))
        .arg(file)
        .output()
        .expect("ffprobe is installed");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Video {
    sps: Bytes,
    pps: Bytes,
    frames: Vec<(bool, Bytes)>,
}

fn video(folder: &Path) -> Video {
    let file = folder.join("source.h264");
    let encode = "-f lavfi -i testsrc2=size=320x180:rate=30 -frames:v 100 -c:v libx264 \
                  -preset ultrafast -tune zerolatency -threads 1 -g 30 -keyint_min 30 \
                  -sc_threshold 0 -pix_fmt yuv420p -f h264";
    ffmpeg(encode, &file);
    let stream = std::fs::read(&file).unwrap();
    let mut video = Video {
        sps: Bytes::new(),
        pps: Bytes::new(),
        frames: Vec::new(),
    };
    for unit in nal_units(&stream) {
        match unit[0] & 0x1f {
            7 => video.sps = Bytes::copy_from_slice(unit),
            8 => video.pps = Bytes::copy_from_slice(unit),
            kind @ (1 | 5) => {
                let mut sample = u32::try_from(unit.len()).unwrap().to_be_bytes().to_vec();
                sample.extend_from_slice(unit);
                video.frames.push((kind == 5, sample.into()));
            }
            _ => {}
        }
    }
    video
}

/// The units between Annex B start codes.
fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let codes: Vec<_> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, w)| *w == [0, 0, 1])
        .collect();
    let begins = codes.iter().map(|(at, _)| at + 3);
    let ends = codes
        .iter()
        .skip(1)
        .map(|(at, _)| *at)
        .chain([stream.len()]);
    let unit = |(begin, end): (usize, usize)| {
        let unit = &stream[begin..end];
        // A four-byte start code's first zero belongs to nobody.
        unit.strip_suffix(&[0]).unwrap_or(unit)
    };
    begins.zip(ends).map(unit).collect()
}

struct Audio {
    asc: Bytes,
    frames: Vec<Bytes>,
}

fn audio(folder: &Path) -> Audio {
    let file = folder.join("source.aac");
    let encode = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=3.4 -ac 2 \
                  -c:a aac -b:a 128k -f adts";
    ffmpeg(encode, &file);
    let stream = std::fs::read(&file).unwrap();
    let mut rest = &stream[..];
    let mut frames = Vec::new();
    // ISO/IEC 13818-7 §6.2: a header of 7 bytes, the frame's length in bits 30–42.
    while let &[_, _, _, third, fourth, fifth, ..] = rest {
        let length =
            usize::from(third & 3) << 11 | usize::from(fourth) << 3 | usize::from(fifth >> 5);
        frames.push(Bytes::copy_from_slice(&rest[7..length]));
        rest = &rest[length..];
    }
    Audio {
        asc: Bytes::from_static(super::ASC),
        frames,
    }
}

/// 170 packets of 20 ms.
fn opus(folder: &Path) -> Vec<Bytes> {
    let file = folder.join("source.ogg");
    let encode = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=3.39 -ac 2 \
                  -c:a libopus -b:a 64k -frame_duration 20";
    ffmpeg(encode, &file);
    let mut input = ffmpeg_next::format::input(&file).unwrap();
    let data = |packet: ffmpeg_next::Packet| Bytes::copy_from_slice(packet.data().unwrap());
    input.packets().map(|(_, packet)| data(packet)).collect()
}

fn ffmpeg(arguments: &str, file: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(file)
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success());
}

/// A folder of the test's own, gone after it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("inlet-package-{}", SessionId::random()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
