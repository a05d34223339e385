//! Credentials that were taken back, kept on disk until they would have ended
//! by themselves.
//!
//! One username per line. The file is written whole and moved into place, so
//! that a crash leaves the old one or the new one.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use inlet_common::clock::UtcTime;

use super::auth::Username;

/// Most revocations that are kept; the one that ends first makes room.
const MAX_REVOCATIONS: usize = 100_000;

/// How long one is kept at least, in microseconds: until every worker knows.
const MIN_KEPT_MICROS: i64 = 60 * 1_000_000;

/// Revocations, and the file that keeps them.
#[derive(Debug, Default)]
pub struct Revocations {
    path: Option<PathBuf>,
    by_name: BTreeMap<String, UtcTime>,
}

/// Why a credential is not revoked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has no expiry, so it is a static user, or nothing of ours.
    #[error(
        "the username has no expiry in front: a static user is revoked by taking it out of the \
         configuration and reloading"
    )]
    NotTimeLimited,
    /// A line end cannot be kept in the file.
    #[error("the username has a line end")]
    LineEnd,
    /// The file cannot be read or written.
    #[error("cannot keep revocations in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Revocations {
    /// Reads the file, if there is one; those that have ended are left out.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when it is there and cannot be read.
    pub fn load(path: Option<&Path>, now: UtcTime) -> Result<Self, Error> {
        let mut revocations = Self {
            path: path.map(Path::to_owned),
            by_name: BTreeMap::new(),
        };
        let Some(path) = path else {
            return Ok(revocations);
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(revocations),
            Err(source) => {
                let path = path.to_owned();
                return Err(Error::File { path, source });
            }
        };
        for line in text.lines() {
            let expiry = Username::new(line.as_bytes()).expiry();
            if let Some(expiry) = expiry.filter(|expiry| *expiry > now) {
                revocations.insert(line, expiry);
            }
        }
        Ok(revocations)
    }

    /// Takes a credential back, on disk too.
    ///
    /// # Errors
    ///
    /// See [`Error`]; one that could not be written is revoked nevertheless,
    /// until the process ends.
    pub fn revoke(&mut self, username: &str, now: UtcTime) -> Result<(), Error> {
        if username.contains(['\n', '\r']) {
            return Err(Error::LineEnd);
        }
        let expiry = Username::new(username.as_bytes()).expiry();
        let expiry = expiry.ok_or(Error::NotTimeLimited)?;
        self.by_name.retain(|_, kept_until| *kept_until > now);
        // An allocation may have outlived its credential, and is to end too.
        self.insert(username, expiry.max(now.plus_micros(MIN_KEPT_MICROS)));
        self.save()
    }

    /// The names.
    pub fn usernames(&self) -> impl Iterator<Item = Username> + '_ {
        self.by_name
            .keys()
            .map(|name| Username::new(name.as_bytes()))
    }

    fn insert(&mut self, username: &str, kept_until: UtcTime) {
        if self.by_name.len() >= MAX_REVOCATIONS {
            let first = self.by_name.iter().min_by_key(|(_, until)| **until);
            if let Some(name) = first.map(|(name, _)| name.clone()) {
                self.by_name.remove(&name);
            }
        }
        self.by_name.insert(username.to_owned(), kept_until);
    }

    fn save(&self) -> Result<(), Error> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut text = String::new();
        for name in self.by_name.keys() {
            text += name;
            text.push('\n');
        }
        let draft = path.with_extension("new");
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .map_err(|source| Error::File {
                path: path.clone(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcTime = UtcTime::from_unix_micros(1_700_000_000_000_000);

    #[test]
    fn revocations_outlive_the_process_until_they_are_of_no_use() {
        let path = std::env::temp_dir().join(format!("inlet-revoked-{}", uuid::Uuid::new_v4()));
        let mut revocations = Revocations::load(Some(&path), NOW).unwrap();
        revocations.revoke("1700000100:anna", NOW).unwrap();
        revocations.revoke("1700900000:bert", NOW).unwrap();
        let names = |at| {
            let loaded = Revocations::load(Some(&path), at).unwrap();
            loaded
                .usernames()
                .map(|name| name.to_text())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(NOW), ["1700000100:anna", "1700900000:bert"]);
        let later = NOW.plus_micros(2 * 24 * 3600 * 1_000_000);
        assert_eq!(names(later), ["1700900000:bert"]);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn only_what_ends_by_itself_can_be_revoked() {
        let mut revocations = Revocations::load(None, NOW).unwrap();
        assert!(matches!(
            revocations.revoke("anna", NOW),
            Err(Error::NotTimeLimited)
        ));
        assert!(matches!(
            revocations.revoke("1700000100:a\nb", NOW),
            Err(Error::LineEnd)
        ));
    }
}
