//! The encoders against FFmpeg's decoders.

use ffmpeg_next::{codec, decoder, packet::Packet};

use super::*;
use crate::{publisher::picture::Picture, strip};

fn decoder(id: codec::Id) -> decoder::Video {
    let found = decoder::find(id).unwrap();
    codec::context::Context::new_with_codec(found)
        .decoder()
        .video()
        .unwrap()
}

fn decode(decoder: &mut decoder::Video, coded: &Coded) -> frame::Video {
    decoder.send_packet(&Packet::copy(&coded.data)).unwrap();
    let mut frame = frame::Video::empty();
    decoder.receive_frame(&mut frame).unwrap();
    frame
}

fn read(frame: &frame::Video) -> Option<strip::Reading> {
    strip::read(strip::Plane {
        data: frame.data(0),
        stride: frame.stride(0),
        width: frame.width() as usize,
        height: frame.height() as usize,
    })
}

fn frames_survive(codec: Codec, id: codec::Id) {
    let size = (854, 480);
    let picture = Picture::new(size.0, size.1);
    let mut encoder = Video::open(codec, size, 30, 1_000_000).unwrap();
    let mut decoder = decoder(id);
    let mut key_frames = Vec::new();
    for counter in 0..60 {
        let mut drawn = picture.draw(counter, 1_700_000_000_000 + counter * 33);
        let coded = encoder.encode(&mut drawn, counter, counter == 40).unwrap();
        if coded.is_key {
            key_frames.push(counter);
        }
        let decoded = decode(&mut decoder, &coded);
        let reading = read(&decoded).expect("the strip must be readable");
        assert_eq!(u64::from(reading.counter), counter);
        assert_eq!(u64::from(reading.time), 2_451_456 + counter * 33);
    }
    assert_eq!(key_frames, [0, 40], "key frames come on request alone");
}

#[test]
fn every_h264_frame_comes_out_at_once_and_readable() {
    frames_survive(Codec::H264, codec::Id::H264);
}

#[test]
fn every_vp8_frame_comes_out_at_once_and_readable() {
    frames_survive(Codec::Vp8, codec::Id::VP8);
}

#[test]
fn opus_keeps_the_beep() {
    let mut encoder = Audio::open().unwrap();
    let mut samples = [0; 2 * OPUS_FRAME];
    let mut sizes = Vec::new();
    for packet in 0..50 {
        let first = packet * OPUS_FRAME as u64;
        tone::fill(&mut samples, first, 30);
        if let Some(data) = encoder.encode(&samples, first).unwrap() {
            sizes.push(data.len());
        }
    }
    assert!(sizes.len() >= 49, "one packet in, one packet out");
    assert!(
        sizes[..4].iter().max() > sizes[20..].iter().max(),
        "{sizes:?}"
    );
}
