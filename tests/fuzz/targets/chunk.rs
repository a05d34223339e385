//! Reads chunks back, and makes transport streams of them: of a picture, or of sound
//! beside one.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use fuzz::origin::{Live, mux};

static LIVE: LazyLock<Live> = LazyLock::new(|| Live::with_frames(40));
const PACKET: usize = 188;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, chunk)) = bytes.split_first() else {
        return;
    };
    let chunk = Bytes::copy_from_slice(chunk);
    let muxed = if kind % 2 == 0 {
        mux(&LIVE.segment("720p", chunk).0, None)
    } else {
        let (sound, beat) = LIVE.segment("audio", chunk);
        let (silent, _) = LIVE.segment("720p", Bytes::new());
        let picture = inlet_origin::package::Segment {
            chunks: Vec::new(),
            ..silent
        };
        mux(&picture, Some((&sound, &beat)))
    };
    if let Some(muxed) = muxed {
        assert!(muxed.len().is_multiple_of(PACKET));
        assert!(muxed.chunks(PACKET).all(|packet| packet[0] == 0x47));
    }
});
