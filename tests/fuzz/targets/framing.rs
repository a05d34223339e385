//! Takes an ICE-TCP stream apart, and puts it together again.
#![no_main]

use inlet_edge::framing::{self, Framing, HEADER, MAX_MESSAGE};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut again = Vec::with_capacity(bytes.len());
    let mut left = bytes;
    while let Framing::Whole { message, rest } = Framing::next(left) {
        assert!(message.len() <= MAX_MESSAGE);
        again.extend(framing::header(message).expect("shorter than a frame may be"));
        again.extend(message);
        left = rest;
    }
    assert!(Framing::next(left) == Framing::TooLong || left.len() < HEADER + MAX_MESSAGE);
    again.extend(left);
    assert!(again == bytes);
});
