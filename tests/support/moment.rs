//! Moments of UTC as playlists and manifests write them.

use anyhow::{Context as _, Result};

/// Reads `2026-01-01T00:00:30.250Z` as microseconds of Unix time.
///
/// # Errors
///
/// When it is not written like this.
pub fn parse(text: &str) -> Result<i64> {
    read(text).with_context(|| format!("no moment: {text}"))
}

fn read(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let mut next = || date.next()?.ok();
    let days = days(next()?, next()?, next()?);
    let mut time = time.splitn(3, ':');
    let minutes = time.next()?.parse::<i64>().ok()? * 60 + time.next()?.parse::<i64>().ok()?;
    let seconds: f64 = time.next()?.parse().ok()?;
    let micros = (seconds * 1e6).round() as i64;
    Some((days * 86_400 + minutes * 60) * 1_000_000 + micros)
}

/// Days from 1970-01-01: those of whole years, whose months count from March on so that
/// a leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_microseconds_since_1970() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00.000Z", 951_825_600_000_000),
            ("2026-01-01T00:00:30.250Z", 1_767_225_630_250_000),
            ("2026-11-29T23:59:59.999Z", 1_795_996_799_999_000),
        ] {
            assert_eq!(parse(text).unwrap(), micros, "{text}");
        }
        assert!(parse("yesterday").is_err());
    }
}
