//! What is no query, and what it is told.

use proptest::prelude::*;

use super::*;

fn rcode(message: &[u8]) -> Option<u16> {
    Client::new().send(message).map(|response| response.rcode())
}

const FORMERR: Option<u16> = Some(1);
const NOTIMP: Option<u16> = Some(4);

/// A query with other counts in its header.
fn counts(questions: u16, answers: u16, authority: u16, additional: u16) -> Vec<u8> {
    let mut message = ask("whip.inlet.example", A).build();
    for (at, count) in [
        (4, questions),
        (6, answers),
        (8, authority),
        (10, additional),
    ] {
        message[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    message
}

#[test]
fn what_has_no_header_gets_silence() {
    let query = ask("whip.inlet.example", A).build();
    for length in 0..12 {
        assert_eq!(rcode(&query[..length]), None, "{length} bytes");
    }
}

/// Or two servers would answer each other for ever.
#[test]
fn answers_get_silence_even_when_malformed() {
    for message in [
        ask("whip.inlet.example", A).build(),
        counts(2, 9, 9, 9),
        vec![0xff; 12],
        ask("whip.inlet.example", A).build()[..14].to_vec(),
    ] {
        let mut message = message;
        message[2] |= 0x80;
        assert_eq!(rcode(&message), None);
    }
}

#[test]
fn other_opcodes_are_not_implemented() {
    for opcode in 1..16_u16 {
        let query = Ask {
            flags: opcode << 11,
            ..ask("inlet.example", 6)
        };
        let response = Client::new().ask(&query);
        assert_eq!(response.rcode(), 4, "opcode {opcode}");
        assert_eq!(response.bytes[2] >> 3 & 0xf, opcode as u8);
        // With what cannot be read behind the header.
        let mut message = counts(7, 7, 7, 7);
        message[2] = (opcode << 3) as u8;
        assert_eq!(rcode(&message), NOTIMP);
    }
}

#[test]
fn there_is_one_question() {
    assert_eq!(rcode(&counts(0, 0, 0, 0)), FORMERR);
    assert_eq!(rcode(&counts(0, 0, 0, 0)[..12]), FORMERR);
    assert_eq!(rcode(&counts(2, 0, 0, 0)), FORMERR);
    assert_eq!(rcode(&counts(u16::MAX, 0, 0, 0)), FORMERR);
    let mut twice = counts(2, 0, 0, 0);
    twice.extend_from_within(12..);
    assert_eq!(rcode(&twice), FORMERR);
}

#[test]
fn a_question_that_is_cut_off_is_malformed() {
    let query = ask("whip.inlet.example", A).build();
    for length in 12..query.len() {
        assert_eq!(rcode(&query[..length]), FORMERR, "{length} bytes");
    }
}

#[test]
fn names_have_sound_labels() {
    let with_name = |name: &[u8]| {
        let mut message = ask("", A).build();
        message.splice(12..13, name.iter().copied());
        rcode(&message)
    };
    // Label types that nobody has (RFC 6891 §5), and pointers: to itself, forward, to
    // the header.
    for name in [
        &b"\x41\x00"[..],
        b"\x80\x00",
        b"\xbf\x00",
        b"\xc0\x0c",
        b"\x01a\xc0\x0c",
        b"\xc0\x40",
        b"\xc0\x00",
        b"\x3f\x00",
    ] {
        assert_eq!(with_name(name), FORMERR, "{name:x?}");
    }
    let long = [&[63; 64][..], &[63; 64], &[63; 64], &[61; 62], &[0]].concat();
    assert_eq!(long.len(), 255);
    assert_eq!(with_name(&long), Some(5));
    let longer = [&[63; 64][..], &[63; 64], &[63; 64], &[62; 63], &[0]].concat();
    assert_eq!(with_name(&longer), FORMERR);
}

#[test]
fn bytes_behind_the_end_are_malformed() {
    let mut query = ask("whip.inlet.example", A).edns().build();
    query.push(0);
    assert_eq!(rcode(&query), FORMERR);
}

#[test]
fn there_is_one_opt_and_it_is_the_roots() {
    let opt = ask("", A).edns().edns.unwrap().build();
    let with = |records: &[Vec<u8>]| {
        let mut message = counts(1, 0, 0, records.len() as u16);
        message.extend(records.concat());
        Client::new().send(&message).unwrap()
    };
    assert_eq!(with(std::slice::from_ref(&opt)).rcode(), 0);
    let twice = with(&[opt.clone(), opt.clone()]);
    assert_eq!(twice.rcode(), 1);
    assert!(twice.message.edns.is_some(), "OPT is answered with OPT");
    let owned = [&wire_name("a"), &opt[1..]].concat();
    assert_eq!(with(&[owned]).rcode(), 1);
    // Other records may stand beside it, even ones that are cut short by a pointer.
    let pointed = [&[0xc0, 12][..], &[0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 9]].concat();
    assert_eq!(with(&[pointed.clone(), opt.clone()]).rcode(), 0);
    let forward = [&[0xc0, 200][..], &pointed[2..]].concat();
    assert_eq!(with(&[forward, opt.clone()]).rcode(), 1);
    let itself = [&[0xc0, 36][..], &pointed[2..]].concat();
    assert_eq!(with(&[itself, opt.clone()]).rcode(), 1);
    // In another section it is not OPT (RFC 6891 §6.1.1).
    let mut misplaced = counts(1, 1, 0, 0);
    misplaced.extend_from_slice(&opt);
    assert_eq!(rcode(&misplaced), FORMERR);
}

#[test]
fn records_that_are_promised_must_be_there() {
    assert_eq!(rcode(&counts(1, 1, 0, 0)), FORMERR);
    assert_eq!(rcode(&counts(1, 0, 1, 0)), FORMERR);
    assert_eq!(rcode(&counts(1, 0, 0, 1)), FORMERR);
    assert_eq!(rcode(&counts(1, u16::MAX, u16::MAX, u16::MAX)), FORMERR);
}

#[test]
fn options_that_cannot_be_read_are_malformed() {
    let client = Client::new();
    let rcode = |code, data: &[u8]| {
        let response = client.ask(&ask("whip.inlet.example", A).option(code, data));
        assert!(response.message.edns.is_some());
        response.rcode()
    };
    for length in [0, 1, 7, 9, 15, 41, 64] {
        assert_eq!(
            rcode(COOKIE, &vec![1; length]),
            1,
            "cookie of {length} bytes"
        );
    }
    for length in [8, 16, 24, 40] {
        assert_eq!(
            rcode(COOKIE, &vec![1; length]),
            0,
            "cookie of {length} bytes"
        );
    }
    // An option that is longer than OPT.
    let mut query = ask("whip.inlet.example", A).option(9, &[0; 4]).build();
    let last = query.len() - 5;
    query[last] = 5;
    assert_eq!(client.send(&query).unwrap().rcode(), 1);
}

proptest! {
    /// Whatever comes, what goes out is sound, and small.
    #[test]
    fn nothing_breaks_it(message in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(response) = Client::new().send(&message) {
            prop_assert!(response.bytes.len() <= message.len() * 3);
            prop_assert_eq!(&response.bytes[..2], &message[..2]);
        }
    }

    /// The same for queries of which a few bytes are others.
    #[test]
    fn nothing_near_a_query_breaks_it(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut message = ask("whip.inlet.example", A)
            .subnet("10.1.2.0/24")
            .option(COOKIE, &[3; 8])
            .build();
        for (at, value) in changes {
            let at = at.index(message.len());
            message[at] = value;
        }
        message.truncate(cut.index(message.len() * 2).max(1));
        if let Some(response) = Client::new().send(&message) {
            prop_assert!(response.bytes.len() <= message.len() * 3);
        }
    }
}
