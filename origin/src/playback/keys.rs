//! The secrets that tokens are made with.

use std::{fmt, fs, io, path::Path, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use inlet_common::service::credential;

/// Shortest secret that is taken, in characters: 16 random bytes in base64.
const MIN_LEN: usize = 22;

/// Most secrets in a file: each costs two HMACs per request with a wrong token.
const MAX_SECRETS: usize = 8;

/// The secrets, which may be exchanged while tokens are in use: the first one
/// signs, every one is accepted.
pub struct Keys {
    path: PathBuf,
    keys: ArcSwap<Vec<hmac::Key>>,
}

impl Keys {
    /// Reads the secrets from a file, one in each line that is not blank.
    ///
    /// # Errors
    ///
    /// [`Error`] when the file cannot be read or holds no usable secret.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            keys: ArcSwap::from_pointee(read(path)?),
        })
    }

    /// Reads the same file anew. What is refused changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Keys::load`].
    pub fn reload(&self) -> Result<(), Error> {
        self.keys.store(Arc::new(read(&self.path)?));
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<Vec<hmac::Key>> {
        self.keys.load_full()
    }

    /// Keys of these secrets, without a file.
    #[cfg(test)]
    pub(crate) fn of(secrets: &str) -> Self {
        Self {
            path: PathBuf::new(),
            keys: ArcSwap::from_pointee(parse(secrets).unwrap()),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

fn read(path: &Path) -> Result<Vec<hmac::Key>, Error> {
    let path = credential::locate(path);
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<hmac::Key>, Error> {
    let secrets = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Vec<_> = secrets.collect();
    if secrets.is_empty() {
        return Err(Error::Empty);
    }
    if secrets.len() > MAX_SECRETS {
        return Err(Error::TooMany);
    }
    if secrets.iter().any(|secret| secret.len() < MIN_LEN) {
        return Err(Error::TooShort);
    }
    let key = |secret: &&str| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    Ok(secrets.iter().map(key).collect())
}

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the secrets in {} (playback.secret_file)", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file has no line.
    #[error("playback.secret_file is empty: make a secret with `openssl rand -base64 32`")]
    Empty,
    /// One could be guessed.
    #[error(
        "a secret in playback.secret_file has less than 22 characters: make one with `openssl rand -base64 32`"
    )]
    TooShort,
    /// The file is not one of secrets.
    #[error("playback.secret_file has more than 8 lines: remove those that are no longer used")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stand_in_lines() {
        let secret = "correct horse battery staple";
        assert_eq!(
            parse(&format!("\n {secret}\r\n\n{secret} 2\n"))
                .unwrap()
                .len(),
            2
        );
        assert!(matches!(parse(" \n"), Err(Error::Empty)));
        assert!(matches!(
            parse(&format!("{secret}\nhunter2")),
            Err(Error::TooShort)
        ));
        let nine = format!("{secret}\n").repeat(9);
        assert!(matches!(parse(&nine), Err(Error::TooMany)));
    }
}
