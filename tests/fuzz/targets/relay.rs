//! Feeds datagrams, of the client and of its peer in turn, to an engine with one
//! allocation.
#![no_main]

use fuzz::relay::Rig;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rig = Rig::new();
    let mut rest = bytes;
    while let Some((&len, behind)) = rest.split_first() {
        let (datagram, behind) = behind.split_at(usize::from(len).min(behind.len()));
        rig.feed(datagram);
        rest = behind;
    }
    assert!(rig.allocations() <= 1);
});
