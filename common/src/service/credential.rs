//! Secrets from files, never from the configuration or the environment.
//!
//! A path without a slash is a systemd credential (`LoadCredential=`) and is
//! looked up in `$CREDENTIALS_DIRECTORY`; anything else is an ordinary file.

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Shortest secret that is taken, in characters: 16 random bytes in base64.
const MIN_LEN: usize = 22;

/// A secret that others must show; only its hash is kept.
#[derive(Clone)]
pub struct Secret {
    digest: [u8; 32],
}

impl Secret {
    /// Makes a secret from its text.
    ///
    /// # Errors
    ///
    /// [`Error::TooShort`] when it could be guessed.
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() < MIN_LEN {
            return Err(Error::TooShort);
        }
        Ok(Self {
            digest: Sha256::digest(text).into(),
        })
    }

    /// Reads a secret from a file; blanks and line ends around it do not count.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] when the file cannot be read, and those of
    /// [`Secret::new`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let path = locate(path);
        let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        Self::new(text.trim())
    }

    /// Compares in a time that does not depend on where the two differ.
    pub fn is(&self, shown: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.digest.ct_eq(&shown).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the file is: a bare name stands for a systemd credential.
pub fn locate(path: &Path) -> PathBuf {
    locate_in(
        path,
        env::var_os("CREDENTIALS_DIRECTORY")
            .map(PathBuf::from)
            .as_deref(),
    )
}

fn locate_in(path: &Path, directory: Option<&Path>) -> PathBuf {
    let is_bare = path.components().count() == 1 && path.is_relative();
    match directory {
        Some(directory) if is_bare => directory.join(path),
        _ => path.to_owned(),
    }
}

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Too short to be a secret.
    #[error("a secret needs at least 22 characters: make one with `openssl rand -base64 24`")]
    TooShort,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "correct horse battery staple";

    #[test]
    fn only_the_whole_secret_is_right() {
        let secret = Secret::new(TEXT).unwrap();
        assert!(secret.is(TEXT));
        assert!(!secret.is(&TEXT[1..]) && !secret.is(""));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(matches!(Secret::new("hunter2"), Err(Error::TooShort)));
    }

    #[test]
    fn a_bare_name_is_a_systemd_credential() {
        let directory = Some(Path::new("/run/credentials/x.service"));
        for (path, found) in [
            ("admin", "/run/credentials/x.service/admin"),
            ("/etc/inlet/admin", "/etc/inlet/admin"),
            ("./admin", "./admin"),
        ] {
            assert_eq!(locate_in(Path::new(path), directory), Path::new(found));
        }
        assert_eq!(locate_in(Path::new("admin"), None), Path::new("admin"));
    }
}
