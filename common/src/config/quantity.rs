//! Bit rates and sizes, written with their unit.
//!
//! Arithmetic is exact: `"4.05 Mbps"` is 4,050,000 bps and never a rounded
//! float, and a text that is no whole number of bits or bytes is refused.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A unit's names, the one that is written first, and its size.
type Unit = (&'static [&'static str], u64);

/// Bits per second. Written `"4 Mbps"`, `"800 kbps"` or `"64000 bps"`;
/// prefixes are decimal, as everywhere in telecommunications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bitrate(u64);

impl Bitrate {
    const UNITS: &'static [Unit] = &[
        (&["Gbps", "Gbit/s"], 1_000_000_000),
        (&["Mbps", "Mbit/s"], 1_000_000),
        (&["kbps", "Kbps", "kbit/s"], 1_000),
        (&["bps", "bit/s"], 1),
    ];

    /// Makes a rate from bits per second.
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// Makes a rate from kilobits per second.
    pub const fn from_kbps(kbps: u32) -> Self {
        Self(kbps as u64 * 1_000)
    }

    /// Bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }
}

/// A size in bytes. Written `"256 MiB"`, `"64 KiB"` or `"1500 B"`; `MB` and
/// the like are decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(u64);

impl Bytes {
    const UNITS: &'static [Unit] = &[
        (&["GiB"], 1 << 30),
        (&["MiB"], 1 << 20),
        (&["KiB"], 1 << 10),
        (&["GB"], 1_000_000_000),
        (&["MB"], 1_000_000),
        (&["kB", "KB"], 1_000),
        (&["B"], 1),
    ];

    /// Makes a size from bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes a size from mebibytes.
    pub const fn from_mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// Makes a size from kibibytes.
    pub const fn from_kib(kib: u32) -> Self {
        Self((kib as u64) << 10)
    }

    /// The size in bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The size for memory of this process; `usize::MAX` where it has no room.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

macro_rules! text_form {
    ($($name:ident like $example:literal)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(self.0, Self::UNITS, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidQuantity;

            fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
                parse(text, Self::UNITS).map(Self).ok_or_else(|| InvalidQuantity {
                    text: text.to_owned(),
                    example: $example,
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidQuantity;

            fn try_from(text: String) -> Result<Self, InvalidQuantity> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(quantity: $name) -> Self {
                quantity.to_string()
            }
        }
    )*};
}

text_form! {
    Bitrate like "\"4 Mbps\" or \"800 kbps\""
    Bytes like "\"256 MiB\" or \"64 KiB\""
}

/// The text is no rate or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be used here: write a number and its unit, like {example}")]
pub struct InvalidQuantity {
    text: String,
    example: &'static str,
}

/// Reads `number unit`, with or without blanks between; `None` when it is not
/// that, or not a whole number of the smallest unit.
fn parse(text: &str, units: &[Unit]) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.trim_start();
    let (_, size) = units.iter().find(|(names, _)| names.contains(&unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine digits are enough for a single bit of a gigabit.
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts = u128::from(fraction.parse::<u64>().ok()?) * u128::from(*size);
    if parts % scale != 0 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(*size);
    u64::try_from(whole + parts / scale).ok()
}

/// Writes the largest unit that shows the value exactly in three decimals.
fn show(value: u64, units: &[Unit], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (names, size) in units {
        let thousandths = u128::from(value) * 1_000;
        let size = u128::from(*size);
        if u128::from(value) < size || thousandths % size != 0 {
            continue;
        }
        let name = names.first().copied().unwrap_or_default();
        let (whole, fraction) = (thousandths / size / 1_000, thousandths / size % 1_000);
        if fraction == 0 {
            return write!(f, "{whole} {name}");
        }
        let fraction = format!("{fraction:03}");
        return write!(f, "{whole}.{} {name}", fraction.trim_end_matches('0'));
    }
    // Only zero is smaller than the smallest unit.
    let (names, _) = units.last().copied().unwrap_or_default();
    write!(f, "{value} {}", names.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_decimal_and_exact() {
        for (text, bps) in [
            ("4 Mbps", 4_000_000),
            ("4.05Mbps", 4_050_000),
            (" 450 kbps ", 450_000),
            ("0.000000001 Gbps", 1),
            ("0 bps", 0),
            ("10 Gbit/s", 10_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Bitrate::from_bps(bps)), "{text}");
        }
    }

    #[test]
    fn sizes_are_binary_unless_written_decimal() {
        for (text, bytes) in [
            ("256 MiB", 256 << 20),
            ("1.5 KiB", 1536),
            ("1500 B", 1500),
            ("1 MB", 1_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes::new(bytes)), "{text}");
        }
    }

    #[test]
    fn a_number_alone_is_refused() {
        for text in [
            "", "4", "4 M", "Mbps", ".5 Mbps", "5. Mbps", "0.1 bps", "-4 Mbps", "4 Mbps x",
            "4e6 bps",
        ] {
            assert!(text.parse::<Bitrate>().is_err(), "{text}");
        }
        assert!("18446744073709551616 B".parse::<Bytes>().is_err());
        assert!("18446744073709551615 GiB".parse::<Bytes>().is_err());
    }

    #[test]
    fn the_largest_exact_unit_is_written() {
        assert_eq!(Bitrate::from_bps(4_050_000).to_string(), "4.05 Mbps");
        assert_eq!(Bitrate::from_bps(450_000).to_string(), "450 kbps");
        assert_eq!(Bitrate::from_bps(0).to_string(), "0 bps");
        assert_eq!(Bytes::from_mib(256).to_string(), "256 MiB");
        assert_eq!(Bytes::new(1536).to_string(), "1.5 KiB");
    }

    #[test]
    fn refusal_tells_how_to_write_it() {
        let error = "4 megs".parse::<Bitrate>().unwrap_err().to_string();
        assert!(
            error.contains("4 megs") && error.contains("\"4 Mbps\""),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value: u64) {
            prop_assert_eq!(Bitrate::from_bps(value).to_string().parse(), Ok(Bitrate::from_bps(value)));
            prop_assert_eq!(Bytes::new(value).to_string().parse(), Ok(Bytes::new(value)));
        }

        #[test]
        fn whatever_is_taken_means_what_is_written(
            text in r"[0-9]{0,12}\.?[0-9]{0,10} ?(B|KiB|MiB|GB|bps|.{0,3})",
        ) {
            if let Ok(size) = text.parse::<Bytes>() {
                prop_assert_eq!(size.to_string().parse(), Ok(size));
            }
        }
    }
}
