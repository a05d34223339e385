//! Gathering all that is wrong with a configuration before refusing it.

use std::{fmt, ops::RangeInclusive, path::Path, time::Duration};

use super::Error;

/// The problems found so far while a `ConfigFile` becomes a `Config`.
///
/// Keys are written as in the file, `section.key`.
#[derive(Debug, Default)]
pub struct Check {
    problems: Vec<Problem>,
}

impl Check {
    /// Starts without problems.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a problem unless `sound`. `what` says what is wrong and what to
    /// write instead.
    pub fn require(&mut self, sound: bool, key: &str, what: impl Into<String>) {
        if !sound {
            self.problems.push(Problem {
                key: key.to_owned(),
                what: what.into(),
            });
        }
    }

    /// Notes a problem when a number or quantity lies outside `range`.
    pub fn range<T: PartialOrd + fmt::Display>(
        &mut self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) {
        let (low, high) = (range.start(), range.end());
        self.require(
            range.contains(&value),
            key,
            format!("{value} is out of range: use {low} to {high}"),
        );
    }

    /// Notes a problem when a span lies outside `range`.
    pub fn span(&mut self, key: &str, value: Duration, range: RangeInclusive<Duration>) {
        let show = |span: Duration| humantime_serde::re::humantime::format_duration(span);
        let (low, high) = (show(*range.start()), show(*range.end()));
        self.require(
            range.contains(&value),
            key,
            format!("{} is out of range: use {low} to {high}", show(value)),
        );
    }

    /// Ends the check; `path` is the file that was checked.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with every problem, when there is one.
    pub fn finish(self, path: &Path) -> Result<(), Error> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::Invalid {
            path: path.to_owned(),
            problems: self.problems,
        })
    }
}

/// One value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its key, `section.key`.
    pub key: String,
    /// What is wrong with it, and what to write instead.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Problems as lines of their own.
pub(super) struct Bullets<'a>(pub(super) &'a [Problem]);

impl fmt::Display for Bullets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let mut check = Check::new();
        check.range("media.parts", 9, 1..=8);
        check.span(
            "drain.timeout",
            Duration::ZERO,
            Duration::from_secs(1)..=Duration::from_secs(60),
        );
        check.range("media.fine", 8, 1..=8);
        let error = check.finish(Path::new("o.toml")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "o.toml has unusable values:\n  media.parts: 9 is out of range: use 1 to 8\n  \
             drain.timeout: 0s is out of range: use 1s to 1m"
        );
    }

    #[test]
    fn no_problem_is_no_error() {
        assert!(Check::new().finish(Path::new("o.toml")).is_ok());
    }
}
