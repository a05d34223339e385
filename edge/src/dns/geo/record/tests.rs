#![expect(clippy::cast_possible_truncation, reason = "sizes of tests are small")]

use proptest::prelude::*;

use super::*;

/// A record of text in pieces, and where each piece begins.
fn facts(data: &[u8]) -> Result<Facts, RecordError> {
    Records::new(data).facts(0)
}

fn text(text: &str) -> Vec<u8> {
    [&[0x40 | text.len() as u8], text.as_bytes()].concat()
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0xe0 | fields.len() as u8];
    for (name, value) in fields {
        bytes.extend(text(name));
        bytes.extend(value);
    }
    bytes
}

fn double(number: f64) -> Vec<u8> {
    [&[0x68][..], &number.to_be_bytes()].concat()
}

fn pointer(target: u16) -> Vec<u8> {
    let [high, low] = target.to_be_bytes();
    vec![0x20 | high, low]
}

#[test]
fn a_city_has_place_country_and_continent() {
    let location = map(&[("latitude", double(51.5)), ("longitude", double(-0.09))]);
    let record = map(&[
        ("continent", map(&[("code", text("EU"))])),
        ("country", map(&[("iso_code", text("GB"))])),
        ("location", location),
    ]);
    let expected = Facts {
        place: Place::new(51.5, -0.09),
        country: Code::parse("GB"),
        continent: Code::parse("EU"),
        asn: None,
    };
    assert_eq!(facts(&record), Ok(expected));
}

#[test]
fn a_float_is_a_coordinate_too() {
    let float = |number: f32| [&[0x04, 0x08][..], &number.to_be_bytes()].concat();
    let location = map(&[("latitude", float(1.5)), ("longitude", float(-2.5))]);
    let record = map(&[("location", location)]);
    assert_eq!(facts(&record).unwrap().place, Place::new(1.5, -2.5));
}

#[test]
fn flat_fields_are_those_of_ipinfo() {
    let record = map(&[
        ("as_name", text("Example")),
        ("asn", text("AS64496")),
        ("continent", text("Europe")),
        ("continent_code", text("EU")),
        ("country", text("Germany")),
        ("country_code", text("DE")),
    ]);
    let expected = Facts {
        place: None,
        country: Code::parse("DE"),
        continent: Code::parse("EU"),
        asn: Some(64_496),
    };
    assert_eq!(facts(&record), Ok(expected));
}

#[test]
fn where_it_was_registered_counts_if_nothing_else_is_known() {
    let country = |code| map(&[("iso_code", text(code))]);
    let registered = ("registered_country", country("FR"));
    let both = map(&[registered.clone(), ("country", country("DE"))]);
    assert_eq!(facts(&both).unwrap().country, Code::parse("DE"));
    assert_eq!(
        facts(&map(&[registered])).unwrap().country,
        Code::parse("FR")
    );
}

#[test]
fn autonomous_system_0_is_nobodys() {
    let record = |number| map(&[("autonomous_system_number", number)]);
    assert_eq!(facts(&record(vec![0xc1, 0])).unwrap().asn, None);
    assert_eq!(facts(&record(vec![0xc2, 1, 2])).unwrap().asn, Some(258));
}

#[test]
fn keys_and_values_may_be_pointers() {
    let mut record = vec![0xe1];
    record.extend(pointer(5));
    record.extend(pointer(13));
    record.extend(text("country"));
    record.extend(map(&[("iso_code", text("SE"))]));
    assert_eq!(facts(&record).unwrap().country, Code::parse("SE"));
}

#[test]
fn long_sizes_are_read() {
    for size in [28, 29, 284, 285, 65_820, 65_821, 100_000_usize] {
        let mut long = match size {
            0..29 => vec![0x40 | size as u8],
            29..285 => vec![0x5d, (size - 29) as u8],
            285..65_821 => [&[0x5e][..], &((size - 285) as u16).to_be_bytes()].concat(),
            _ => [&[0x5f][..], &((size - 65_821) as u32).to_be_bytes()[1..]].concat(),
        };
        long.resize(long.len() + size, b'x');
        let record = map(&[("filler", long), ("country_code", text("JP"))]);
        assert_eq!(facts(&record).unwrap().country, Code::parse("JP"), "{size}");
    }
}

#[test]
fn long_pointers_are_read() {
    for (target, pointer) in [
        (2047_usize, vec![0x27, 0xff]),
        (2048, vec![0x28, 0, 0]),
        (526_335, vec![0x2f, 0xff, 0xff]),
        (526_336, vec![0x30, 0, 0, 0]),
        (600_000, vec![0x38, 0, 9, 0x27, 0xc0]),
    ] {
        let mut data = map(&[("country_code", pointer)]);
        data.resize(target, 0);
        data.extend(text("BT"));
        assert_eq!(facts(&data).unwrap().country, Code::parse("BT"), "{target}");
    }
}

#[test]
fn coordinates_off_the_earth_are_an_error() {
    let location = map(&[("latitude", double(91.0)), ("longitude", double(0.0))]);
    assert_eq!(
        facts(&map(&[("location", location)])),
        Err(RecordError::NotOnEarth)
    );
    let half = map(&[("latitude", double(1.0))]);
    assert_eq!(facts(&map(&[("location", half)])), Ok(Facts::default()));
}

#[test]
fn what_is_no_map_says_nothing() {
    for record in [text("hello"), vec![0xc1, 7], vec![0x01, 0x07]] {
        assert_eq!(facts(&record), Ok(Facts::default()));
    }
}

#[test]
fn what_is_broken_is_an_error() {
    let malformed = |record: &[u8]| matches!(facts(record), Err(RecordError::Malformed(_)));
    assert_eq!(facts(&[]), Err(RecordError::CutOff));
    assert_eq!(facts(&[0xe1]), Err(RecordError::CutOff));
    assert_eq!(facts(&[0x42, b'a']), Err(RecordError::CutOff));
    assert!(malformed(&[0x20, 0]), "a pointer to itself");
    assert!(malformed(&[0xe1, 0xa0, 0xa0]), "a key that is a number");
    assert!(malformed(&[0x00, 0x20]), "an unknown type");
    assert!(malformed(&[0x63, 1, 2, 3]), "a double of three bytes");
}

/// Forty maps, each with two pointers to the next: 2^40 paths.
#[test]
fn maps_that_point_to_the_next_twice_are_skipped_at_once() {
    let mut data = map(&[("bomb", pointer(64)), ("country_code", text("CN"))]);
    data.resize(64, 0);
    for _ in 0..40 {
        let next = u16::try_from(data.len()).unwrap() + 9;
        data.extend(map(&[("a", pointer(next)), ("b", pointer(next))]));
    }
    data.extend(text("end"));
    assert_eq!(facts(&data).unwrap().country, Code::parse("CN"));
}

#[test]
fn records_that_overlap_cost_no_more_than_the_data_are_long() {
    let elements = 10_000_usize;
    let size = ((elements - 285) as u16).to_be_bytes();
    let mut data = [&[0x1e, 0x04][..], &size].concat();
    // Records that begin in the middle of the array: each is skipped to the end.
    for _ in 0..elements {
        data.extend(map(&[("x", vec![0x1d, 0x04, 200])]));
    }
    let mut records = Records::new(&data);
    let last = (0..data.len())
        .map(|at| records.facts(at))
        .find(|facts| *facts == Err(RecordError::TooManySteps));
    assert!(last.is_some());
}

proptest! {
    #[test]
    fn junk_never_panics(data in prop::collection::vec(any::<u8>(), 0..200), at in 0..250_usize) {
        let _either = Records::new(&data).facts(at);
    }
}
