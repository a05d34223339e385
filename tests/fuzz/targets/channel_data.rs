//! Decodes ChannelData.
#![no_main]

use inlet_edge::turn::wire::{CHANNEL_DATA_HEADER, ChannelData};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(message) = ChannelData::decode(bytes) {
        assert!((0x4000..=0x4FFF).contains(&message.number.get()));
        assert!(message.data.len() + CHANNEL_DATA_HEADER <= bytes.len());
    }
});
