//! Wall time as ISO 8601 text, which playlists, manifests and their clock speak.
//!
//! Proleptic Gregorian, UTC, no leap seconds, like Unix time itself.

use inlet_common::clock::UtcTime;

const SECONDS_PER_DAY: i64 = 86_400;

/// Writes a moment as `2026-01-02T03:04:05.678Z`, cut to whole milliseconds.
pub fn iso8601(utc: UtcTime) -> String {
    let micros = utc.as_unix_micros();
    let seconds = micros.div_euclid(1_000_000);
    let millis = micros.rem_euclid(1_000_000) / 1000;
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01.
///
/// Counted in years that begin on 1 March, so that the leap day is the last
/// day of its year, and in eras of 400 years, after which the calendar repeats.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_FROM_0000_03_01: i64 = 719_468;
    let days = days + DAYS_FROM_0000_03_01;
    let era = days.div_euclid(DAYS_PER_ERA);
    let of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // The months from March on have 31 30 31 30 31 days, repeating: 153 days in five.
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_read_right() {
        // Each checked with `date -u -d @…`.
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000_000, "2024-03-01T00:00:00.000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
            (-1_000, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso8601(UtcTime::from_unix_micros(micros)), text);
        }
    }
}
