//! Decodes a STUN message, and looks at all of it.
#![no_main]

use inlet_edge::turn::wire::{IntegrityKey, Message};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = Message::decode(bytes) {
        assert!(message.peers().count() <= bytes.len() / 4);
        assert!(!message.is_signed_with(&IntegrityKey::md5([7; 16])));
        assert_eq!(message.wire_len(), bytes.len());
    }
});
