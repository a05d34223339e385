//! Reads a trickled fragment, and what it holds stays within its bounds.
#![no_main]

use inlet_edge::whip::fragment::{Fragment, MAX_CANDIDATES, MAX_CREDENTIAL};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(fragment) = Fragment::parse(&text) {
        assert!(fragment.candidates.len() <= MAX_CANDIDATES);
        if let Some(credentials) = fragment.credentials() {
            assert!(credentials.ufrag.len() <= MAX_CREDENTIAL);
            assert!(credentials.pass.len() <= MAX_CREDENTIAL);
            assert!(!credentials.ufrag.contains(':'));
        }
    }
});
