//! Muxed segments, taken apart again by a small demultiplexer.

use std::collections::BTreeMap;

use super::{LEAD, packet, presented, segment, tables};
use crate::package::{
    Beat, Segment,
    tests::{Feed, PPS, SPS},
};

/// What a transport stream carries: units by PID, each with its PTS.
#[derive(Debug, Default)]
struct Demuxed {
    units: BTreeMap<u16, Vec<(u64, Vec<u8>)>>,
    /// PCR and random access indicator of each packet that has a PCR.
    clocks: Vec<(u64, bool)>,
    counters: BTreeMap<u16, u8>,
}

impl Demuxed {
    fn feed(&mut self, stream: &[u8]) {
        assert!(stream.len().is_multiple_of(packet::SIZE));
        for packet in stream.chunks(packet::SIZE) {
            self.packet(packet);
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        assert_eq!(packet[0], 0x47);
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let counter = packet[3] & 0x0f;
        if let Some(last) = self.counters.insert(pid, counter) {
            assert_eq!(counter, (last + 1) % 16, "continuity of PID {pid:#x}");
        }
        let mut payload = &packet[4..];
        if packet[3] & 0x20 != 0 {
            let field = &payload[1..][..usize::from(payload[0])];
            payload = &payload[1 + field.len()..];
            if field.first().is_some_and(|flags| flags & 0x10 != 0) {
                let mut base = [0; 8];
                base[2..].copy_from_slice(&field[1..7]);
                let random = field[0] & 0x40 != 0;
                self.clocks.push((u64::from_be_bytes(base) >> 15, random));
            }
        }
        assert!(!payload.is_empty());
        let units = self.units.entry(pid).or_default();
        if packet[1] & 0x40 == 0 {
            units.last_mut().unwrap().1.extend(payload);
        } else if pid < tables::VIDEO_PID || pid == 0x1000 {
            units.push((0, payload.to_vec()));
        } else {
            assert_eq!(payload[..3], [0, 0, 1]);
            let bits: Vec<_> = payload[9..14].iter().map(|b| u64::from(*b)).collect();
            let pts = (bits[0] >> 1 & 7) << 30
                | bits[1] << 22
                | (bits[2] >> 1) << 15
                | bits[3] << 7
                | bits[4] >> 1;
            units.push((pts, payload.to_vec()));
        }
    }

    fn of(&self, pid: u16) -> &[(u64, Vec<u8>)] {
        self.units.get(&pid).map(Vec::as_slice).unwrap_or_default()
    }
}

fn live() -> Feed {
    let mut feed = Feed::new(30, 900);
    feed.run(30 * 4);
    feed
}

fn find(feed: &Feed, rendition: usize, number: u64) -> &Segment {
    feed.snapshot(rendition).segment(number).unwrap()
}

fn beat(feed: &Feed) -> Beat {
    feed.packager.layout().audio
}

fn demux(feed: &Feed, numbers: std::ops::Range<u64>) -> Demuxed {
    let mut demuxed = Demuxed::default();
    for number in numbers {
        let audio = (find(feed, 2, number), &beat(feed));
        demuxed.feed(&segment(find(feed, 0, number), Some(audio)).unwrap());
    }
    demuxed
}

#[test]
fn every_picture_comes_at_its_time_with_start_codes() {
    let feed = live();
    let demuxed = demux(&feed, 30..33);
    let pictures = demuxed.of(tables::VIDEO_PID);
    assert_eq!(pictures.len(), 90);
    for (frame, (pts, packet)) in (900..).zip(pictures) {
        assert_eq!(*pts, frame * 3000 + LEAD);
        assert_eq!((packet[3], &packet[4..6]), (0xe0, &[0, 0][..]));
        assert_eq!(packet[14..20], [0, 0, 0, 1, 9, 0xf0]);
        let code = [0, 0, 0, 1];
        let (sets, size) = if frame % 30 == 0 {
            ([&code, SPS, &code, PPS, &code].concat(), 3996)
        } else {
            (code.to_vec(), 896)
        };
        assert_eq!(packet[20..][..sets.len()], sets);
        assert_eq!(packet.len(), 20 + sets.len() + size);
    }
}

#[test]
fn continuity_counters_run_on_from_segment_to_segment() {
    // The demultiplexer looks at each of them.
    let demuxed = demux(&live(), 30..33);
    assert_eq!(demuxed.counters[&tables::VIDEO_PID], 15);
    assert_eq!(demuxed.counters[&tables::AUDIO_PID], 15);
    assert_eq!(demuxed.of(0).len(), 3, "one PAT in each");
    assert_eq!(demuxed.of(0x1000).len(), 3, "one PMT in each");
}

#[test]
fn the_clock_leads_each_picture_and_key_frames_are_entries() {
    let demuxed = demux(&live(), 30..31);
    let pictures = demuxed.of(tables::VIDEO_PID);
    assert_eq!(demuxed.clocks.len(), pictures.len());
    for (index, ((pcr, random), (pts, _))) in demuxed.clocks.iter().zip(pictures).enumerate() {
        assert_eq!(*pcr + LEAD, *pts);
        assert_eq!(*random, index == 0);
    }
}

#[test]
fn audio_frames_follow_each_other_in_adts() {
    let feed = live();
    let demuxed = demux(&feed, 30..33);
    let mut frames = 0;
    // The first AAC frame of segment 30 begins where the second one does.
    let mut expected = 30_u64 * 48_000 / 1024 + 1;
    for (pts, packet) in demuxed.of(tables::AUDIO_PID) {
        let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
        assert_eq!((packet[3], length), (0xc0, packet.len() - 6));
        assert_eq!(*pts, expected * 1920 + LEAD);
        let mut rest = &packet[14..];
        while !rest.is_empty() {
            assert_eq!(rest[..3], [0xff, 0xf1, 0x4c], "AAC-LC at 48 kHz");
            assert_eq!(rest[3] >> 6, 2, "two channels");
            let header = [rest[3], rest[4], rest[5]].map(usize::from);
            let length = (header[0] & 3) << 11 | header[1] << 3 | header[2] >> 5;
            assert_eq!(rest[7..length], [3; 300]);
            rest = &rest[length..];
            frames += 1;
            expected += 1;
        }
    }
    assert_eq!(frames, 140, "those that begin within 3 s");
}

#[test]
fn a_segment_without_audio_has_pictures_alone() {
    let feed = live();
    let mut demuxed = Demuxed::default();
    demuxed.feed(&segment(find(&feed, 1, 31), None).unwrap());
    assert_eq!(demuxed.of(tables::VIDEO_PID).len(), 30);
    assert!(demuxed.of(tables::AUDIO_PID).is_empty());
    assert!(
        segment(find(&feed, 2, 31), None).is_err(),
        "audio is no video"
    );
}

#[test]
fn a_moment_out_of_this_world_is_wrong_and_harmless() {
    let beat = Feed::new(30, 900).packager.layout().audio;
    assert_eq!(presented(48_000, &beat), 90_000 + LEAD);
    assert_eq!(presented(u64::MAX, &beat), u64::MAX);
}
