//! Answers a DNS message, and compares what it read with another parser.
#![no_main]

use std::sync::{LazyLock, Mutex};

use fuzz::dns::Rig;

static RIG: LazyLock<Mutex<Rig>> = LazyLock::new(Mutex::default);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    RIG.lock().expect("one thread").take(bytes);
});
