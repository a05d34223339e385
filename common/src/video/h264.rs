//! H.264's parameter sets and slice headers (H.264 §7.3.2.1.1, §7.3.2.2, §7.3.3).

use super::{Bits, Size};

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// The six `constraint_set` flags, the first one highest, and two reserved bits.
    pub constraints: u8,
    /// `seq_parameter_set_id`.
    pub id: u32,
    /// The picture's size, cropping applied.
    pub size: Size,
    /// Whether all pictures are whole frames and no fields.
    pub is_progressive: bool,
}

/// The size that a sequence parameter set declares, cropping applied; `None` when it
/// cannot be read.
pub fn sps_size(sps: &[u8]) -> Option<Size> {
    Some(read_sps(sps)?.size)
}

/// Reads a sequence parameter set (H.264 §7.3.2.1.1); `None` when it cannot be read.
pub fn read_sps(sps: &[u8]) -> Option<Sps> {
    let rbsp = without_emulation_prevention(sps.get(1..)?);
    let mut bits = Bits::new(&rbsp);
    let profile = u8::try_from(bits.uint(8)?).ok()?;
    let constraints = u8::try_from(bits.uint(8)?).ok()?;
    bits.skip(8)?;
    let id = bits.ue()?;
    let mut chroma_format = 1;
    if matches!(
        profile,
        44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244
    ) {
        chroma_format = bits.ue()?;
        skip_high_profile(&mut bits, chroma_format)?;
    }
    skip_order(&mut bits)?;
    let (size, is_progressive) = read_frame(&mut bits, chroma_format)?;
    Some(Sps {
        profile,
        constraints,
        id,
        size,
        is_progressive,
    })
}

/// `pic_parameter_set_id` and `seq_parameter_set_id` of a picture parameter set
/// (H.264 §7.3.2.2); `None` when it cannot be read.
pub fn pps_ids(pps: &[u8]) -> Option<(u32, u32)> {
    let head = without_emulation_prevention(pps.get(1..)?.get(..MAX_HEAD.min(pps.len() - 1))?);
    let mut bits = Bits::new(&head);
    Some((bits.ue()?, bits.ue()?))
}

/// What a slice says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// `slice_type` modulo 5: 0 is P, 1 is B, 2 is I.
    pub kind: u32,
    /// `pic_parameter_set_id`.
    pub pps: u32,
}

/// Reads the beginning of a slice (H.264 §7.3.3); `None` when it cannot be read.
pub fn slice(nal: &[u8]) -> Option<Slice> {
    let body = nal.get(1..)?;
    let head = without_emulation_prevention(body.get(..MAX_HEAD.min(body.len()))?);
    let mut bits = Bits::new(&head);
    bits.ue()?;
    Some(Slice {
        kind: bits.ue()? % 5,
        pps: bits.ue()?,
    })
}

/// Bytes that hold the first three codes of a header, the longest of which have 63 bits.
const MAX_HEAD: usize = 32;

/// Passes over what tells how frames are numbered and ordered.
fn skip_order(bits: &mut Bits<'_>) -> Option<()> {
    bits.ue()?;
    match bits.ue()? {
        0 => drop(bits.ue()?),
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.skip(1)
}

/// The frame's size, and whether there are no fields.
fn read_frame(bits: &mut Bits<'_>, chroma_format: u32) -> Option<(Size, bool)> {
    let width_in_mbs = bits.ue()?.checked_add(1)?;
    let height_in_units = bits.ue()?.checked_add(1)?;
    let frame_mbs_only = bits.flag()?;
    if !frame_mbs_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.flag()? {
        let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
        crop_x = left.checked_add(right)?;
        crop_y = top.checked_add(bottom)?;
    }
    let field_factor = if frame_mbs_only { 1 } else { 2 };
    let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
    let unit_y = field_factor * if chroma_format == 1 { 2 } else { 1 };
    let width = width_in_mbs
        .checked_mul(16)?
        .checked_sub(crop_x.checked_mul(unit_x)?)?;
    let height = height_in_units
        .checked_mul(16 * field_factor)?
        .checked_sub(crop_y.checked_mul(unit_y)?)?;
    let is_sane = (1..=16_384).contains(&width) && (1..=16_384).contains(&height);
    is_sane.then_some((Size { width, height }, frame_mbs_only))
}

fn skip_high_profile(bits: &mut Bits<'_>, chroma_format: u32) -> Option<()> {
    if chroma_format == 3 {
        bits.skip(1)?;
    }
    bits.ue()?;
    bits.ue()?;
    bits.skip(1)?;
    if bits.flag()? {
        let lists = if chroma_format == 3 { 12 } else { 8 };
        for list in 0..lists {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
}

fn skip_scaling_list(bits: &mut Bits<'_>, len: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.se()? + 256).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_and_slices_name_each_other() {
        // Constrained baseline, 1280x720.
        let sps = [0x67, 0x42, 0xe0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4];
        let read = read_sps(&sps).unwrap();
        assert_eq!((read.profile, read.constraints, read.id), (66, 0xe0, 0));
        assert_eq!((read.size.width, read.size.height), (1280, 720));
        assert!(read.is_progressive);
        // PPS 0 of SPS 0; PPS 2 of SPS 1.
        assert_eq!(pps_ids(&[0x68, 0b1110_1011]), Some((0, 0)));
        assert_eq!(pps_ids(&[0x68, 0b0110_1011]), Some((2, 1)));
        // First macroblock 0, of kind 7 (all I), with PPS 0.
        let idr = slice(&[0x65, 0b1000_1000, 0b1000_0000]).unwrap();
        assert_eq!((idr.kind, idr.pps), (2, 0));
        // Kind 6: all B.
        assert_eq!(slice(&[0x41, 0b1001_1110, 0]).unwrap().kind, 1);
        assert_eq!(slice(&[0x41]), None);
        assert_eq!(pps_ids(&[0x68]), None);
        assert_eq!(pps_ids(&[]), None);
    }
}
