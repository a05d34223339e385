//! The report for people: first whether the aim is reached, then who is not near, and at
//! the end what would help.

use std::fmt;

use super::report::{Relayed, Report, Share};

/// Lines of a table that are shown; JSON has all.
const MAX_LINES: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in &self.sources {
            let span = span(source.seconds);
            writeln!(
                f,
                "{}: {} in {span}",
                source.pop,
                presenters(source.presenters)
            )?;
        }
        self.write_share(f)?;
        let countries = self.countries.iter().map(|it| {
            let country = it.country.as_deref().unwrap_or("unknown");
            (country.to_owned(), &it.share)
        });
        write_table(f, "country", self.countries.len(), countries)?;
        let networks = self.networks.iter().map(|it| {
            let asn = it.asn.map(|number| format!("AS{number}"));
            (asn.unwrap_or_else(|| "unknown".to_owned()), &it.share)
        });
        write_table(f, "network", self.networks.len(), networks)?;
        self.write_relayed(f)?;
        self.write_next(f)
    }
}

impl Report {
    fn write_share(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (located, region) = (self.located, self.region_km);
        if self.presenters == 0 {
            return writeln!(f, "\nno presenter has connected yet");
        }
        let Some(share) = self.share_in_region else {
            return writeln!(
                f,
                "\nnobody of {} could be located: are fleet.databases named, and do they come \
                 with addresses of their own?",
                presenters(self.presenters)
            );
        };
        let verdict = match share >= self.aim {
            true => "reached",
            false => "missed",
        };
        writeln!(
            f,
            "\nserved within {region:.0} km: {} of {located} located presenters, {}; aim {}: {verdict}",
            self.in_region,
            percent(share),
            percent(self.aim)
        )?;
        if self.unlocated > 0 {
            writeln!(f, "place unknown: {}, in no share", self.unlocated)?;
        }
        if self.unlisted > 0 {
            writeln!(f, "beyond the table: {}, in no share", self.unlisted)?;
        }
        if self.near_another > 0 {
            writeln!(
                f,
                "served from farther off though another point of presence is that near: {}; \
                 see `inlet-edge dns explain`",
                self.near_another
            )?;
        }
        Ok(())
    }

    fn write_relayed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.relayed_presenters == 0 {
            return match self.presenters {
                0 => Ok(()),
                _ => writeln!(f, "\nnobody was relayed"),
            };
        }
        writeln!(
            f,
            "\nrelayed: {} of {}, the longest round trip first",
            self.relayed_presenters,
            presenters(self.presenters)
        )?;
        writeln!(
            f,
            "  {:>9} {:>9} {:>10}  {:<10} {:<12} where",
            "median ms", "worst ms", "presenters", "by", "network"
        )?;
        for relayed in self.relayed.iter().take(MAX_LINES) {
            writeln!(f, "  {}", line(relayed))?;
        }
        write_more(f, self.relayed.len())
    }

    fn write_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(near) = self.share_near else {
            return Ok(());
        };
        if near >= self.aim {
            return writeln!(
                f,
                "\nno other point of presence is needed: {} have one within {:.0} km",
                percent(near),
                self.region_km
            );
        }
        writeln!(f, "\nthe next points of presence that would help most")?;
        for (at, next) in self.next.iter().enumerate() {
            writeln!(
                f,
                "  {}. near {} ({}): {} more, {} would have one within {:.0} km",
                at + 1,
                degrees(next.latitude, next.longitude),
                next.country.as_deref().unwrap_or("unknown"),
                presenters(next.gain),
                percent(next.share_after),
                self.region_km
            )?;
        }
        Ok(())
    }
}

fn write_table<'s>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    count: usize,
    rows: impl Iterator<Item = (String, &'s Share)>,
) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    writeln!(
        f,
        "\n  {what:<12} {:>10} {:>9} {:>9} {:>9}",
        "presenters", "located", "in region", "relayed"
    )?;
    for (name, share) in rows.take(MAX_LINES) {
        let in_region = share.share_in_region.map_or("–".to_owned(), percent);
        writeln!(
            f,
            "  {name:<12} {:>10} {:>9} {in_region:>9} {:>9}",
            share.presenters, share.located, share.relayed
        )?;
    }
    write_more(f, count)
}

fn write_more(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    match count.checked_sub(MAX_LINES) {
        Some(more) if more > 0 => writeln!(f, "  and {more} more: see --json"),
        _ => Ok(()),
    }
}

fn line(relayed: &Relayed) -> String {
    let millis = |millis: Option<f64>| millis.map_or("–".to_owned(), |it| format!("{it:.0}"));
    let asn = relayed.asn.map(|number| format!("AS{number}"));
    let place = relayed.latitude.zip(relayed.longitude);
    format!(
        "{:>9} {:>9} {:>10}  {:<10} {:<12} {} {}",
        millis(relayed.rtt_median_ms),
        millis(relayed.rtt_worst_ms),
        relayed.presenters,
        relayed.pop,
        asn.unwrap_or_else(|| "unknown".to_owned()),
        relayed.country.as_deref().unwrap_or("unknown"),
        place.map_or(String::new(), |(latitude, longitude)| degrees(
            latitude, longitude
        )),
    )
}

fn presenters(count: u64) -> String {
    match count {
        1 => "1 presenter".to_owned(),
        count => format!("{count} presenters"),
    }
}

fn degrees(latitude: f64, longitude: f64) -> String {
    let (north, east) = (
        if latitude < 0.0 { 'S' } else { 'N' },
        if longitude < 0.0 { 'W' } else { 'E' },
    );
    format!(
        "{:.0}° {north}, {:.0}° {east}",
        latitude.abs(),
        longitude.abs()
    )
}

/// Never more than it is: 89.97 % is not the aim.
fn percent(share: f64) -> String {
    // The addend is below a presenter in a billion, and above what a float errs by.
    format!("{:.1} %", (share * 1e3 + 1e-9).floor() / 10.0)
}

/// In the two largest units that say something.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
