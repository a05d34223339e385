//! Coded media from the `ffmpeg` command line, and decoding of what came out.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use ffmpeg_next::{Dictionary, Packet, codec, decoder, format, frame};
use inlet_origin::transcode::VideoCodec;

/// Packets of a file that the `ffmpeg` command line makes.
pub(crate) fn packets(arguments: &str, suffix: &str) -> Vec<Bytes> {
    read(&ffmpeg(arguments, suffix))
}

/// Packets of a file.
pub(crate) fn read(file: &File) -> Vec<Bytes> {
    let mut input = format::input(&file.0).unwrap();
    let data = |packet: Packet| Bytes::copy_from_slice(packet.data().unwrap());
    input.packets().map(|(_, packet)| data(packet)).collect()
}

/// Coded pictures of a lavfi source.
pub(crate) fn video(codec: VideoCodec, source: &str) -> Vec<Bytes> {
    let (coder, suffix) = match codec {
        VideoCodec::H264 => (
            "-c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -g 30 -b:v 1M",
            "h264",
        ),
        VideoCodec::Vp8 => (
            "-c:v libvpx -deadline realtime -cpu-used 8 -g 30 -b:v 1M",
            "ivf",
        ),
        VideoCodec::Vp9 => (
            "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -b:v 1M",
            "ivf",
        ),
    };
    packets(
        &format!("-f lavfi -i {source} -pix_fmt yuv420p {coder}"),
        suffix,
    )
}

/// Opus packets of 20 ms of an lavfi source. A packet's samples begin as many
/// times 20 ms after the first one's as there are packets between.
pub(crate) fn opus(source: &str) -> Vec<Bytes> {
    packets(
        &format!("-f lavfi -i {source} -c:a libopus -b:a 64k -frame_duration 20"),
        "ogg",
    )
}

/// A file that is removed with it.
pub(crate) struct File(pub(crate) PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// Runs `ffmpeg` with an output file of its own.
pub(crate) fn ffmpeg(arguments: &str, suffix: &str) -> File {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("inlet-{}-{number}.{suffix}", std::process::id());
    let file = File(std::env::temp_dir().join(name));
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .arg::<&Path>(&file.0)
        .status()
        .unwrap();
    assert!(status.success(), "{status}: ffmpeg {arguments}");
    file
}

/// A decoded picture: what the tests look at.
pub(crate) struct Shown {
    pub(crate) width: u32,
    pub(crate) height: u32,
    luma: Vec<u8>,
}

impl Shown {
    pub(crate) fn luma(&self, x: u32, y: u32) -> u8 {
        self.luma[(y * self.width + x) as usize]
    }

    pub(crate) fn mean(&self) -> f64 {
        self.luma.iter().map(|luma| f64::from(*luma)).sum::<f64>() / self.luma.len() as f64
    }
}

/// Decodes H.264 in avcC form, frame by frame.
pub(crate) struct Decoder {
    decoder: decoder::Video,
    header: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(sps: &[u8], pps: &[u8]) -> Self {
        let codec = decoder::find(codec::Id::H264).unwrap();
        let mut context = codec::Context::new_with_codec(codec);
        context.set_flags(codec::Flags::LOW_DELAY);
        let mut header = Vec::new();
        for set in [sps, pps] {
            header.extend([0, 0, 0, 1]);
            header.extend(set);
        }
        Self {
            decoder: context.decoder().video().unwrap(),
            header,
        }
    }

    /// Panics unless the frame decodes to one picture without any error.
    pub(crate) fn decode(&mut self, data: &[u8]) -> Shown {
        let mut unit = std::mem::take(&mut self.header);
        let mut rest = data;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (slice, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            assert!([1, 5].contains(&(slice[0] & 0x1f)), "only slices");
            unit.extend([0, 0, 0, 1]);
            unit.extend(slice);
            rest = after;
        }
        self.decoder.send_packet(&Packet::copy(&unit)).unwrap();
        shown(&mut self.decoder)
    }
}

/// Decodes a JPEG.
pub(crate) fn jpeg(data: &[u8]) -> Shown {
    let codec = decoder::find(codec::Id::MJPEG).unwrap();
    let context = codec::Context::new_with_codec(codec);
    let mut decoder = context.decoder().video().unwrap();
    decoder.send_packet(&Packet::copy(data)).unwrap();
    shown(&mut decoder)
}

fn shown(decoder: &mut decoder::Video) -> Shown {
    let mut frame = frame::Video::empty();
    decoder.receive_frame(&mut frame).unwrap();
    assert!(!frame.is_corrupt() && !frame.has_decode_errors());
    let (width, height) = (frame.width(), frame.height());
    let rows = frame.data(0).chunks(frame.stride(0)).take(height as usize);
    let luma = rows
        .flat_map(|row| &row[..width as usize])
        .copied()
        .collect();
    Shown {
        width,
        height,
        luma,
    }
}

/// Decodes Opus packets of 20 ms that follow each other to samples of the left channel,
/// leaving nothing out.
pub(crate) fn decode_opus<'a>(packets: impl IntoIterator<Item = &'a Bytes>) -> Vec<f32> {
    let codec = decoder::find_by_name("libopus").unwrap();
    let options: Dictionary<'_> = [("request_sample_fmt", "flt"), ("ac", "2")]
        .iter()
        .collect();
    let context = codec::Context::new_with_codec(codec).decoder();
    let mut decoder = context
        .open_as_with(codec, options)
        .unwrap()
        .audio()
        .unwrap();
    let mut samples = Vec::new();
    for data in packets {
        decoder.send_packet(&Packet::copy(data)).unwrap();
        let mut frame = frame::Audio::empty();
        decoder.receive_frame(&mut frame).unwrap();
        assert_eq!((frame.samples(), frame.channels()), (960, 2));
        samples.extend(frame.plane::<f32>(0).iter().step_by(2));
    }
    samples
}

/// Decodes AAC frames that follow each other to samples of the left channel.
/// The first frame's lack their overlap.
pub(crate) fn decode_aac<'a>(frames: impl IntoIterator<Item = &'a Bytes>) -> Vec<f32> {
    let codec = decoder::find(codec::Id::AAC).unwrap();
    let context = codec::Context::new_with_codec(codec);
    let mut decoder = context.decoder().open_as(codec).unwrap().audio().unwrap();
    let mut samples = Vec::new();
    for data in frames {
        // ADTS header (ISO/IEC 13818-7 §6.2): AAC-LC, 48 kHz, two channels.
        let length = data.len() as u32 + 7;
        let fields = 0xfff1_4c80_0000_fc00u64 >> 8 | u64::from(length) << 13 | 0x1f_fc;
        let mut unit = fields.to_be_bytes()[1..].to_vec();
        unit.extend_from_slice(data);
        decoder.send_packet(&Packet::copy(&unit)).unwrap();
        let mut frame = frame::Audio::empty();
        decoder.receive_frame(&mut frame).unwrap();
        assert_eq!(frame.channels(), 2);
        samples.extend_from_slice(frame.plane::<f32>(0));
    }
    samples
}
