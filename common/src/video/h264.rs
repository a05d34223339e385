//! H.264's sequence parameter sets (H.264 §7.3.2.1.1).

use super::{Bits, Size};

/// The size that a sequence parameter set declares, cropping applied (H.264
/// §7.3.2.1.1); `None` when it cannot be read.
pub fn sps_size(sps: &[u8]) -> Option<Size> {
    let rbsp = without_emulation_prevention(sps.get(1..)?);
    let mut bits = Bits::new(&rbsp);
    let profile = bits.uint(8)?;
    bits.skip(16)?;
    bits.ue()?;
    let mut chroma_format = 1;
    if matches!(
        profile,
        44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244
    ) {
        chroma_format = bits.ue()?;
        skip_high_profile(&mut bits, chroma_format)?;
    }
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
    bits.skip(1)?;
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
    is_sane.then_some(Size { width, height })
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
