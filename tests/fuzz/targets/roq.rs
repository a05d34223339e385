//! Reads what an edge sends: datagrams, streams of packets, and the control stream.
#![no_main]

use bytes::Bytes;
use inlet_common::{
    roq::{control, datagram, stream},
    rtp::{self, Packet, rtcp},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((step, bytes)) = bytes.split_first() else {
        return;
    };
    let step = usize::from(*step).max(1);
    if let Some((_, packet)) = datagram::decode(&Bytes::copy_from_slice(bytes)) {
        read(&packet);
    }
    let mut packets = stream::Decoder::default();
    let mut messages = control::Decoder::default();
    let mut is_broken = false;
    for chunk in bytes.chunks(step) {
        packets.push(chunk);
        while let Ok(Some(packet)) = packets.poll_packet() {
            assert!(packet.len() <= stream::MAX_PACKET);
            read(&packet);
        }
        messages.push(chunk);
        while !is_broken {
            match messages.poll_message() {
                Ok(Some(message)) => again(&message),
                Ok(None) => break,
                Err(_) => is_broken = true,
            }
        }
    }
});

fn read(packet: &Bytes) {
    if rtp::is_rtcp(packet) {
        assert!(rtcp::decode(packet).count() <= packet.len() / 4);
    } else if let Some(read) = Packet::decode(packet) {
        assert!(read.payload.len() + 12 <= packet.len());
        assert!(
            read.extension(1)
                .is_none_or(|value| value.len() < packet.len())
        );
    }
}

/// What was read means the same when it is written.
fn again(message: &control::Message) {
    let mut wire = Vec::new();
    control::encode(message, &mut wire);
    let mut decoder = control::Decoder::default();
    decoder.push(&wire);
    let read = decoder.poll_message().expect("our own").expect("whole");
    assert_eq!(read, *message);
}
