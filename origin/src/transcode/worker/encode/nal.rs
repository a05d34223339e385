//! NAL units in what an encoder puts out (ITU-T H.264 §7.3.1).
//!
//! Encoders put parameter sets, delimiters, SEI and filler between the slices;
//! the ladder wants slices alone, with their lengths in front, and one pair of
//! parameter sets for the stream's life.

use bytes::Bytes;

/// How units follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A length of 4 bytes in front of each (ISO/IEC 14496-15 §5.3.3.1).
    Lengths,
    /// A start code in front of each (ITU-T H.264 Annex B).
    StartCodes,
}

impl Framing {
    /// The units of an access unit or of a global header.
    pub(super) fn units(self, data: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Lengths => units(data).collect(),
            Self::StartCodes => between_start_codes(data).collect(),
        }
    }
}

/// Sequence and picture parameter set, without start code or length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ParameterSets {
    pub(super) sps: Bytes,
    pub(super) pps: Bytes,
}

impl ParameterSets {
    /// The first ones in an encoder's global header.
    pub(super) fn find(units: &[&[u8]]) -> Option<Self> {
        let find = |wanted| units.iter().find(|unit| kind(unit) == wanted);
        let (sps, pps) = (find(SPS)?, find(PPS)?);
        Some(Self {
            sps: Bytes::copy_from_slice(sps),
            pps: Bytes::copy_from_slice(pps),
        })
    }

    /// Whether those that are repeated within a frame, if any, are these.
    pub(super) fn hold_for(&self, units: &[&[u8]]) -> bool {
        units.iter().all(|unit| match kind(unit) {
            SPS => *unit == self.sps,
            PPS => *unit == self.pps,
            _ => true,
        })
    }
}

/// The slices of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slices {
    /// Each behind its length in 4 bytes.
    pub(super) data: Bytes,
    /// Whether they are those of an IDR picture.
    pub(super) is_idr: bool,
}

impl Slices {
    /// Leaves everything out that is no slice; `None` when there is none.
    pub(super) fn of(units: &[&[u8]]) -> Option<Self> {
        let is_slice = |unit: &&&[u8]| (SLICE..=IDR).contains(&kind(unit));
        let slices: Vec<_> = units.iter().filter(is_slice).collect();
        let is_idr = kind(slices.first()?) == IDR;
        let mut data = Vec::with_capacity(slices.iter().map(|unit| 4 + unit.len()).sum());
        for unit in slices {
            data.extend_from_slice(&u32::try_from(unit.len()).unwrap_or(0).to_be_bytes());
            data.extend_from_slice(unit);
        }
        Some(Self {
            data: data.into(),
            is_idr,
        })
    }
}

/// The NAL units of an access unit with 4-byte lengths.
pub(in super::super) fn units(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let unit = rest.get(..length).filter(|unit| !unit.is_empty())?;
        data = rest.get(length..)?;
        Some(unit)
    })
}

/// What lies between start codes of 3 or 4 bytes. Zeros at a unit's end are
/// not its own: none ends with one (ITU-T H.264 §7.4.1).
fn between_start_codes(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = behind_start_code(data).map(|(_, rest)| rest);
    std::iter::from_fn(move || {
        let (unit, behind) = match behind_start_code(rest?) {
            Some((unit, behind)) => (unit, Some(behind)),
            None => (rest?, None),
        };
        rest = behind;
        let end = unit
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        unit.get(..end)
    })
    .filter(|unit| !unit.is_empty())
}

/// What is in front of the next start code, and what is behind it.
fn behind_start_code(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.windows(3).position(|bytes| bytes == [0, 0, 1])?;
    Some((data.get(..at)?, data.get(at + 3..)?))
}

/// Unit types, ITU-T H.264 table 7-1.
const SLICE: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slices_are_kept_and_the_rest_is_not() {
        let data = [
            0, 0, 0, 2, 0x06, 9, 0, 0, 0, 3, 0x65, 1, 2, 0, 0, 0, 1, 0x09,
        ];
        let slices = Slices::of(&Framing::Lengths.units(&data)).unwrap();
        assert_eq!(&slices.data[..], [0, 0, 0, 3, 0x65, 1, 2]);
        assert!(slices.is_idr);
        let broken = Framing::Lengths.units(&[0, 0, 0, 9, 0x65]);
        assert_eq!(Slices::of(&broken), None);
    }

    #[test]
    fn start_codes_become_lengths() {
        // Delimiter, filler behind a long start code, two slices, stuffing.
        let data = [
            0, 0, 1, 0x09, 0xf0, 0, 0, 0, 1, 0x0c, 0xff, 0x80, 0, 0, 1, 0x41, 0, 7, 0, 0, 0, 1,
            0x41, 8, 0, 0,
        ];
        let slices = Slices::of(&Framing::StartCodes.units(&data)).unwrap();
        assert_eq!(
            &slices.data[..],
            [0, 0, 0, 3, 0x41, 0, 7, 0, 0, 0, 2, 0x41, 8]
        );
        assert!(!slices.is_idr);
    }

    #[test]
    fn parameter_sets_are_found_and_held_against_later_ones() {
        let header = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3];
        let sets = ParameterSets::find(&Framing::StartCodes.units(&header)).unwrap();
        assert_eq!(
            (&sets.sps[..], &sets.pps[..]),
            (&[0x67, 1, 2][..], &[0x68, 3][..])
        );
        assert!(sets.hold_for(&[&[0x67, 1, 2], &[0x68, 3], &[0x65, 9]]));
        assert!(!sets.hold_for(&[&[0x67, 1, 3], &[0x65, 9]]));
        assert!(!sets.hold_for(&[&[0x68, 4], &[0x65, 9]]));
        assert_eq!(ParameterSets::find(&[&[0x67, 1]]), None);
    }

    proptest! {
        #[test]
        fn both_framings_hold_the_same_units(
            units in proptest::collection::vec(proptest::collection::vec(1u8.., 1..40), 0..8),
            long in proptest::bool::ANY,
        ) {
            let (mut lengths, mut start_codes) = (Vec::new(), Vec::new());
            for unit in &units {
                lengths.extend(u32::try_from(unit.len()).unwrap().to_be_bytes());
                lengths.extend(unit);
                start_codes.extend(if long { &[0, 0, 0, 1][..] } else { &[0, 0, 1] });
                start_codes.extend(unit);
            }
            prop_assert_eq!(&Framing::Lengths.units(&lengths), &units);
            prop_assert_eq!(&Framing::StartCodes.units(&start_codes), &units);
        }

        #[test]
        fn any_bytes_give_units_within_them(data: Vec<u8>) {
            for framing in [Framing::Lengths, Framing::StartCodes] {
                let total: usize = framing.units(&data).iter().map(|unit| unit.len()).sum();
                prop_assert!(total <= data.len());
            }
        }
    }
}
