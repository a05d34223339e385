//! Messages cut out of a TCP stream, however it was split.

use proptest::prelude::*;

use crate::turn::wire::{
    CHANNEL_DATA_HEADER, ChannelNumber, Class, Encoder, Framing, MAX_FRAME, Method, TransactionId,
};

/// A STUN message, or ChannelData with its padding.
fn message(len: usize, is_channel_data: bool) -> Vec<u8> {
    if !is_channel_data {
        return Encoder::new(Class::Indication, Method::Send, TransactionId([3; 12]))
            .data(&vec![0x5A; len])
            .finish();
    }
    let header = ChannelNumber::new(0x4ABC)
        .unwrap()
        .header(u16::try_from(len).unwrap());
    let mut bytes = [header.as_slice(), &vec![0x5A; len]].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Cuts every message out of reads of these sizes.
fn cut(stream: &[u8], mut sizes: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    let (mut buffer, mut rest, mut cut) = (Vec::new(), stream, Vec::new());
    loop {
        match Framing::next(&buffer) {
            Framing::Whole(frame) => {
                cut.push(frame.message.to_vec());
                let len = frame.len;
                buffer.drain(..len);
            }
            Framing::More if rest.is_empty() => return cut,
            Framing::More => {
                let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
                let (read, left) = rest.split_at(size);
                buffer.extend(read);
                rest = left;
            }
            Framing::Broken => panic!("broken: {buffer:?}"),
        }
    }
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in_however_they_were_split(
        messages in prop::collection::vec((0_usize..600, any::<bool>()), 1..8),
        sizes in prop::collection::vec(1_usize..700, 0..40),
    ) {
        let whole = messages.iter().map(|(len, is_channel_data)| message(*len, *is_channel_data));
        let stream = whole.collect::<Vec<_>>().concat();
        let found = cut(&stream, sizes.into_iter());
        prop_assert_eq!(found.len(), messages.len());
        for (found, (len, is_channel_data)) in found.iter().zip(messages) {
            let mut expected = message(len, is_channel_data);
            if is_channel_data {
                expected.truncate(CHANNEL_DATA_HEADER + len);
            }
            prop_assert_eq!(found, &expected);
        }
    }

    #[test]
    fn junk_never_panics_and_a_frame_is_within_its_stream(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Framing::Whole(frame) = Framing::next(&bytes) {
            prop_assert!(frame.len <= bytes.len() && frame.len <= MAX_FRAME);
            prop_assert!(frame.message.len() <= frame.len && frame.len >= CHANNEL_DATA_HEADER);
        }
    }
}

#[test]
fn channel_data_wait_for_their_padding() {
    let bytes = message(5, true);
    for len in 0..bytes.len() {
        assert_eq!(Framing::next(&bytes[..len]), Framing::More, "{len}");
    }
    assert!(matches!(Framing::next(&bytes), Framing::Whole(frame) if frame.message.len() == 9));
}

#[test]
fn the_longest_messages_fit() {
    for is_channel_data in [false, true] {
        let bytes = message(65_000, is_channel_data);
        assert!(bytes.len() <= MAX_FRAME);
        assert!(matches!(Framing::next(&bytes), Framing::Whole(_)));
    }
    let whole = [[0x40, 0, 0xFF, 0xFF].as_slice(), &[0; 0x10000]].concat();
    let Framing::Whole(frame) = Framing::next(&whole) else {
        panic!("not whole");
    };
    assert!(frame.len <= MAX_FRAME);
}

#[test]
fn another_protocol_breaks_the_stream() {
    for bytes in [
        b"PUT / HTTP/1.1\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00",
        b"\x80",
        b"\x04",
        b"\x50\0\0\0",
        b"SSH-2.0",
        // A length of no multiple of four.
        b"\0\x01\0\x05",
    ] {
        assert_eq!(Framing::next(bytes), Framing::Broken, "{bytes:?}");
    }
}

#[test]
fn a_stun_header_without_the_cookie_breaks_the_stream() {
    let good = message(4, false);
    for len in 0..8 {
        assert_eq!(Framing::next(&good[..len]), Framing::More, "{len}");
    }
    for at in 4..8 {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_eq!(Framing::next(&bytes), Framing::Broken, "{at}");
        // As soon as it is seen, not when all has come that it promises.
        assert_eq!(Framing::next(&bytes[..8]), Framing::Broken, "{at}");
    }
}

#[test]
fn what_begins_like_channel_data_is_bounded() {
    // `G` is 0x47, so that a GET looks like the beginning of ChannelData; it is
    // for the driver to bound the time that a client without allocation has.
    let request = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
    assert_eq!(Framing::next(request), Framing::More);
    let endless = [request.as_slice(), &[b'x'; MAX_FRAME]].concat();
    assert!(matches!(Framing::next(&endless), Framing::Whole(frame) if frame.len <= MAX_FRAME));
}
