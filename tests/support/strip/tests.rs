//! The strip against the test vectors that the page's reader is held to.

use super::*;

fn text(blocks: [bool; COLUMNS]) -> String {
    blocks.iter().map(|b| if *b { '1' } else { '0' }).collect()
}

#[test]
fn rows_match_the_vectors_of_the_layout() {
    for (counter, expected) in [
        (0, "10000000000000000000000000"),
        (1, "10000000000000000000000101"),
        (2, "10000000000000000000001111"),
        (30, "10000000000000000001000100"),
        (123_456, "10000001000100110110000000"),
        (4_194_303, "10100000000000000000000010"),
    ] {
        assert_eq!(text(encode_row(0, counter)), expected, "counter {counter}");
    }
    for (time, expected) in [
        (1, "01000000000000000000000101"),
        (1_700_000_000_000, "01110111110111000000000000"),
        (1_767_225_600_123, "01010111111111000100011010"),
    ] {
        assert_eq!(text(encode_row(1, time)), expected, "time {time}");
    }
}

#[test]
fn a_drawn_strip_reads_back_at_every_rung() {
    for (width, height) in [(1280, 720), (854, 480), (832, 468), (640, 360), (360, 640)] {
        let mut luma = vec![100; width * height];
        draw(
            &mut luma,
            width,
            (width, height),
            [123_456, 1_767_225_600_123],
        );
        let plane = Plane {
            data: &luma,
            stride: width,
            width,
            height,
        };
        let expected = Reading {
            counter: 123_456,
            time: 1_747_067,
        };
        assert_eq!(read(plane), Some(expected), "{width}x{height}");
    }
}

#[test]
fn a_picture_without_a_strip_reads_as_none() {
    let luma = vec![100; 640 * 360];
    let plane = Plane {
        data: &luma,
        stride: 640,
        width: 640,
        height: 360,
    };
    assert_eq!(read(plane), None);
}

#[test]
fn a_strip_between_two_bars_reads_back() {
    let (width, height) = (640, 360);
    let mut luma = vec![16; width * height];
    let inner = (202, height);
    draw(&mut luma[219..], width, inner, [123_456, 1_767_225_600_123]);
    let plane = Plane {
        data: &luma,
        stride: width,
        width,
        height,
    };
    assert_eq!(read(plane), None);
    let reading = plane.upright().and_then(read);
    assert_eq!(reading.map(|reading| reading.counter), Some(123_456));
}

#[test]
fn one_wrong_block_makes_the_strip_unreadable() {
    let (width, height) = (640, 360);
    for column in 2..COLUMNS {
        let mut luma = vec![100; width * height];
        draw(&mut luma, width, (width, height), [77, 99]);
        let is_white = encode_row(0, 77)[column];
        for y in 0..height / 15 {
            let span = y * width + column * width / 26..y * width + (column + 1) * width / 26;
            luma[span].fill(if is_white { BLACK } else { WHITE });
        }
        let plane = Plane {
            data: &luma,
            stride: width,
            width,
            height,
        };
        assert_eq!(read(plane), None, "column {column}");
    }
}

#[test]
fn differences_take_the_short_way_round() {
    assert_eq!(difference(5, 3), 2);
    assert_eq!(difference(1, MODULUS - 1), 2);
    assert_eq!(difference(MODULUS - 1, 1), -2);
}
