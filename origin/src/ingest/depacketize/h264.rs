//! H.264 over RTP (RFC 6184): from payloads to Annex B.
//!
//! Parameter sets are remembered from the offer's `sprop-parameter-sets` and
//! from the stream, and put in front of every IDR that lacks them, so that a
//! decoder can begin at any key frame.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use inlet_common::video::{self, Bits};

use super::Malformed;
use crate::transcode::ladder::Resolution;

const START_CODE: &[u8] = &[0, 0, 0, 1];

const NAL_NON_IDR: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Longest parameter set remembered; real ones have some tens of bytes.
const MAX_PARAMETER_SET: usize = 1024;

/// Adds a payload to the access unit in Annex B. `fragment` holds the header of
/// the NAL unit whose fragments are coming in (RFC 6184 §5.8).
pub(super) fn append(
    payload: &[u8],
    fragment: &mut Option<u8>,
    out: &mut BytesMut,
) -> Result<(), Malformed> {
    let (&first, rest) = payload.split_first().ok_or(Malformed)?;
    if first & 0x80 != 0 {
        return Err(Malformed);
    }
    match first & 0x1F {
        1..=23 if fragment.is_none() => put_nal(payload, out),
        STAP_A if fragment.is_none() => append_aggregate(rest, out)?,
        FU_A => append_fragment(first, rest, fragment, out)?,
        _ => return Err(Malformed),
    }
    Ok(())
}

fn put_nal(nal: &[u8], out: &mut BytesMut) {
    out.put_slice(START_CODE);
    out.put_slice(nal);
}

fn append_aggregate(mut rest: &[u8], out: &mut BytesMut) -> Result<(), Malformed> {
    while let Some((size, after)) = rest.split_first_chunk::<2>() {
        let size = usize::from(u16::from_be_bytes(*size));
        let (nal, after) = after.split_at_checked(size).ok_or(Malformed)?;
        if nal.is_empty() {
            return Err(Malformed);
        }
        put_nal(nal, out);
        rest = after;
    }
    Ok(())
}

fn append_fragment(
    indicator: u8,
    rest: &[u8],
    fragment: &mut Option<u8>,
    out: &mut BytesMut,
) -> Result<(), Malformed> {
    let (&header, data) = rest.split_first().ok_or(Malformed)?;
    let nal_header = (indicator & 0xE0) | (header & 0x1F);
    let (is_first, is_last) = (header & 0x80 != 0, header & 0x40 != 0);
    if is_first {
        if fragment.is_some() {
            return Err(Malformed);
        }
        out.put_slice(START_CODE);
        out.put_u8(nal_header);
    } else if *fragment != Some(nal_header) {
        return Err(Malformed);
    }
    out.put_slice(data);
    *fragment = (!is_last).then_some(nal_header);
    Ok(())
}

/// Whether an access unit's first slice is also the picture's first: its
/// `first_mb_in_slice` is zero (H.264 §7.4.3). Tells a frame whose beginning was
/// lost from a whole one.
pub(super) fn begins_access_unit(annex_b: &[u8]) -> bool {
    nal_units(annex_b)
        .find(|nal| matches!(nal_type(nal), NAL_NON_IDR | NAL_IDR))
        .is_none_or(|slice| slice.get(1..).and_then(|body| Bits::new(body).ue()) == Some(0))
}

/// The parameter sets in force.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    sps: Option<Bytes>,
    pps: Option<Bytes>,
}

impl ParameterSets {
    /// Takes `sprop-parameter-sets` from the offer's format parameters; what
    /// cannot be read is passed over, since most senders repeat them in-band.
    pub(super) fn take_fmtp(&mut self, fmtp: &str) {
        let sets = fmtp
            .split(';')
            .filter_map(|parameter| parameter.trim().strip_prefix("sprop-parameter-sets="))
            .flat_map(|list| list.split(','));
        for set in sets {
            if let Ok(nal) = STANDARD.decode(set.trim()) {
                self.take(&nal);
            }
        }
    }

    fn take(&mut self, nal: &[u8]) {
        if nal.len() > MAX_PARAMETER_SET {
            return;
        }
        match nal_type(nal) {
            NAL_SPS => self.sps = Some(Bytes::copy_from_slice(nal)),
            NAL_PPS => self.pps = Some(Bytes::copy_from_slice(nal)),
            _ => {}
        }
    }

    /// Remembers what a whole access unit carries, and completes it when it is
    /// an IDR without parameter sets. Tells whether it is a key frame, and the
    /// picture's size then.
    pub(super) fn finish(&mut self, unit: BytesMut) -> (bool, Option<Resolution>, Bytes) {
        let (mut is_idr, mut has_sets) = (false, false);
        for nal in nal_units(&unit) {
            is_idr |= nal_type(nal) == NAL_IDR;
            has_sets |= nal_type(nal) == NAL_SPS;
            self.take(nal);
        }
        if !is_idr {
            return (false, None, unit.freeze());
        }
        // Without any parameter sets nothing can be decoded from here.
        let (Some(sps), Some(pps)) = (&self.sps, &self.pps) else {
            return (false, None, unit.freeze());
        };
        let resolution = sps_resolution(sps);
        if has_sets {
            return (true, resolution, unit.freeze());
        }
        let mut complete = BytesMut::with_capacity(unit.len() + sps.len() + pps.len() + 8);
        put_nal(sps, &mut complete);
        put_nal(pps, &mut complete);
        complete.put_slice(&unit);
        (true, resolution, complete.freeze())
    }
}

fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1F)
}

/// The NAL units of an access unit in Annex B whose start codes are those of
/// [`put_nal`]. Emulation prevention keeps the code out of the units themselves;
/// a sender that breaks that rule breaks its own picture only.
pub(crate) fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = annex_b.strip_prefix(START_CODE);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = unit.windows(4).position(|window| window == START_CODE);
        rest = end.and_then(|end| unit.get(end + 4..));
        unit.get(..end.unwrap_or(unit.len()))
    })
}

/// The size that a sequence parameter set declares; `None` when it cannot be read.
pub fn sps_resolution(sps: &[u8]) -> Option<Resolution> {
    video::h264::sps_size(sps).map(Into::into)
}
