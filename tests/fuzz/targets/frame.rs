//! Cuts a TCP stream into messages.
#![no_main]

use inlet_edge::turn::wire::Framing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Framing::Whole(frame) = Framing::next(rest) {
        assert!(frame.len >= 4 && frame.message.len() <= frame.len);
        rest = &rest[frame.len..];
    }
});
