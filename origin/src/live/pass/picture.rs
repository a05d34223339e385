//! A presenter's coded picture: whether it can stand in the top rung's track, and its
//! bytes as they stand there.
//!
//! Pure, and on a stranger's bytes: headers are read, and slices are left as they are.

use bytes::{BufMut, Bytes, BytesMut};
use inlet_common::video::h264;

use super::Reason;
use crate::{
    ingest::{Frame, FrameCodec, nal_units},
    package::{Coded, ParameterSets},
    transcode::{Spec, VideoCodec, ladder::Resolution},
};

/// A picture that may be passed through.
#[derive(Debug)]
pub(super) struct Picture {
    /// Its slices.
    pub(super) coded: Coded,
    /// Those that it brings, if it is a key frame.
    pub(super) sets: Option<Sets>,
}

/// The parameter sets of a presenter, which have to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::live) struct Sets {
    pub(in crate::live) sets: ParameterSets,
    /// The size that they declare.
    pub(in crate::live) size: Resolution,
    /// Number of the picture's.
    pps: u32,
}

impl Picture {
    /// Reads a frame whose slices are to refer to `known`, or to what it brings.
    pub(super) fn read(frame: &Frame, known: &Sets) -> Result<Self, Reason> {
        if frame.codec != FrameCodec::Video(VideoCodec::H264) {
            return Err(Reason::Codec);
        }
        if !frame.quarter_turns.is_multiple_of(4) {
            return Err(Reason::Rotation);
        }
        let sets = match frame.is_key {
            true => Some(Sets::read(&frame.data)?),
            false => None,
        };
        let pps = sets.as_ref().unwrap_or(known).pps;
        Ok(Self {
            coded: slices(&frame.data, pps)?,
            sets,
        })
    }
}

impl Sets {
    /// Reads what a key frame brings, in Annex B.
    pub(in crate::live) fn read(annex_b: &[u8]) -> Result<Self, Reason> {
        let sps = the_only(annex_b, NAL_SPS)?;
        let pps = the_only(annex_b, NAL_PPS)?;
        let read = h264::read_sps(sps).ok_or(Reason::ParameterSets)?;
        let (pps_id, sps_id) = h264::pps_ids(pps).ok_or(Reason::ParameterSets)?;
        let is_constrained = read.constraints & CONSTRAINT_SET_1 != 0;
        let is_known = match read.profile {
            BASELINE => is_constrained,
            profile => matches!(profile, MAIN | HIGH),
        };
        if !(is_known && read.is_progressive) {
            return Err(Reason::Profile);
        }
        let ours = Spec::PASSED_BESIDE;
        if sps_id != read.id || read.id == ours || pps_id == ours {
            return Err(Reason::ParameterSets);
        }
        Ok(Self {
            sets: ParameterSets {
                sps: Bytes::copy_from_slice(sps),
                pps: Bytes::copy_from_slice(pps),
            },
            size: read.size.into(),
            pps: pps_id,
        })
    }
}

/// The parameter set of a kind, which may be repeated.
fn the_only(annex_b: &[u8], kind: u8) -> Result<&[u8], Reason> {
    let mut all = nal_units(annex_b).filter(|nal| nal_type(nal) == kind);
    let first = all.next().ok_or(Reason::ParameterSets)?;
    let is_same = all.all(|other| other == first);
    is_same.then_some(first).ok_or(Reason::ParameterSets)
}

/// The slices behind their lengths, and nothing else.
fn slices(annex_b: &[u8], pps: u32) -> Result<Coded, Reason> {
    let mut data = BytesMut::with_capacity(annex_b.len());
    let mut sync = true;
    for nal in nal_units(annex_b) {
        match nal_type(nal) {
            NAL_SLICE | NAL_IDR => {}
            // Data partitions, of a profile that is not passed through.
            2..=4 => return Err(Reason::Profile),
            _ => continue,
        }
        sync &= nal_type(nal) == NAL_IDR;
        let slice = h264::slice(nal).ok_or(Reason::ParameterSets)?;
        match slice.kind {
            SLICE_P | SLICE_I => {}
            SLICE_B => return Err(Reason::Reordering),
            _ => return Err(Reason::Profile),
        }
        if pps != slice.pps {
            return Err(Reason::ParameterSets);
        }
        let length = u32::try_from(nal.len()).map_err(|_| Reason::ParameterSets)?;
        data.put_u32(length);
        data.put_slice(nal);
    }
    let sync = sync && !data.is_empty();
    let data = data.freeze();
    Ok(Coded { data, sync })
}

fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// NAL unit types, ITU-T H.264 table 7-1.
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;

/// Slice types modulo 5, ITU-T H.264 table 7-6.
const SLICE_P: u32 = 0;
const SLICE_B: u32 = 1;
const SLICE_I: u32 = 2;

/// `profile_idc`, ITU-T H.264 annex A.2.
const BASELINE: u8 = 66;
const MAIN: u8 = 77;
const HIGH: u8 = 100;

/// With it, baseline is constrained: a part of main (ITU-T H.264 §A.2.1.1).
const CONSTRAINT_SET_1: u8 = 0x40;

#[cfg(test)]
mod tests {
    use inlet_common::clock::UtcTime;

    use super::*;
    use crate::live::pass::tests::{IDR, P, PPS, SPS, unit};

    fn read(codec: VideoCodec, turns: u8, is_key: bool, nals: &[&[u8]]) -> Result<Picture, Reason> {
        let frame = Frame {
            codec: FrameCodec::Video(codec),
            capture: UtcTime::from_unix_micros(0),
            is_key,
            resolution: None,
            quarter_turns: turns,
            data: unit(nals),
        };
        let known = Sets::read(&unit(&[SPS, PPS, IDR])).unwrap();
        Picture::read(&frame, &known)
    }

    #[test]
    fn slices_are_kept_as_they_are_and_nothing_else_is() {
        let delimiter: &[u8] = &[0x09, 0xf0];
        let picture = read(VideoCodec::H264, 0, true, &[delimiter, SPS, PPS, IDR, IDR]);
        let picture = picture.unwrap();
        assert!(picture.coded.sync);
        let mut expected = Vec::new();
        for _ in 0..2 {
            expected.extend(u32::try_from(IDR.len()).unwrap().to_be_bytes());
            expected.extend(IDR);
        }
        assert_eq!(picture.coded.data, expected);
        let sets = picture.sets.unwrap();
        assert_eq!(sets.sets.sps, SPS);
        assert_eq!((sets.size.width, sets.size.height), (1280, 720));
        let picture = read(VideoCodec::H264, 0, false, &[P]).unwrap();
        assert!(!picture.coded.sync && picture.sets.is_none());
    }

    #[test]
    fn what_cannot_stand_in_the_track_is_told_by_name() {
        let h264 = VideoCodec::H264;
        let refused = |codec, turns, is_key, nals: &[&[u8]]| {
            read(codec, turns, is_key, nals).map(drop).unwrap_err()
        };
        assert_eq!(refused(VideoCodec::Vp8, 0, false, &[P]), Reason::Codec);
        assert_eq!(refused(h264, 1, false, &[P]), Reason::Rotation);
        // Kind 6 is B; PPS 2.
        let b: &[u8] = &[0x01, 0b1001_1110, 0x80, 9];
        assert_eq!(refused(h264, 0, false, &[b]), Reason::Reordering);
        let other: &[u8] = &[0x41, 0b1001_1001, 0b1000_0000, 9];
        assert_eq!(refused(h264, 0, false, &[other]), Reason::ParameterSets);
        assert_eq!(refused(h264, 0, true, &[SPS, IDR]), Reason::ParameterSets);
        let second: &[u8] = &[0x68, 0b0101_1100];
        let two: &[&[u8]] = &[SPS, PPS, second, IDR];
        assert_eq!(refused(h264, 0, true, two), Reason::ParameterSets);
        let mut extended = SPS.to_vec();
        extended[1] = 88;
        assert_eq!(
            refused(h264, 0, true, &[&extended, PPS, IDR]),
            Reason::Profile
        );
        let mut unconstrained = SPS.to_vec();
        unconstrained[2] = 0;
        let nals: &[&[u8]] = &[&unconstrained, PPS, IDR];
        assert_eq!(refused(h264, 0, true, nals), Reason::Profile);
        assert_eq!(refused(h264, 0, false, &[&[0x02, 0x80]]), Reason::Profile);
    }
}
