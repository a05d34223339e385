//! The secret that the fleet's edges share, and what is made of it: cookies of the name
//! server, marks of presenters who are sent on, questions how others do.
//!
//! A file has one secret per line, two at most. The first makes, both are accepted, so a
//! new one is brought in three steps: behind the old one at every edge, then in front of
//! it, then alone.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use inlet_common::service::credential;
use sha2::{Digest as _, Sha256};

use crate::{config::fleet, dns::cookie::Cookies, fleet::ask::Secrets, whip::pass::Passes};

/// What cookies are made with is made of no fewer bytes.
const MIN_SECRET: usize = 22;

/// Whoever shows a forged cookie or mark is looked at with each.
const MAX_SECRETS: usize = 2;

/// Longest file that is read.
const MAX_FILE: u64 = 4096;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It could be guessed.
    #[error(
        "{}: a secret needs at least 22 characters: make one with `openssl rand -base64 24`",
        .0.display()
    )]
    Short(PathBuf),
    /// There are more than the one that counts and another.
    #[error("{}: has more than two secrets: leave the newest two", .0.display())]
    Many(PathBuf),
}

/// What is made of the fleet's secrets, for all who use it.
#[derive(Debug)]
pub(super) struct Keyring {
    /// Seals the marks of presenters who are sent on, and opens them.
    pub(super) passes: Arc<Passes>,
    /// Asks others how they do, and answers them.
    pub(super) secrets: Arc<Secrets>,
}

impl Keyring {
    /// Of the point of presence `own`; `None` without a secret.
    pub(super) fn new(secrets: &[String], own: &str) -> Option<Self> {
        let of = || secrets.iter().map(String::as_str);
        (!secrets.is_empty()).then(|| Self {
            passes: Arc::new(Passes::new(of(), own)),
            secrets: Arc::new(Secrets::new(of())),
        })
    }

    /// Takes others in their place.
    pub(super) fn replace(&self, secrets: &[String]) {
        self.passes.replace(secrets.iter().map(String::as_str));
        self.secrets.replace(secrets.iter().map(String::as_str));
    }
}

/// The secrets that the fleet shares, the one that counts first. None without a file.
pub(super) fn read(config: &fleet::Known) -> Result<Vec<String>, Error> {
    let Some(path) = &config.secret_file else {
        return Ok(Vec::new());
    };
    let path = credential::locate(path);
    let text = read_file(&path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Vec<String> = lines.map(str::to_owned).collect();
    if secrets.len() > MAX_SECRETS {
        return Err(Error::Many(path));
    }
    match secrets.is_empty() || secrets.iter().any(|secret| secret.len() < MIN_SECRET) {
        true => Err(Error::Short(path)),
        false => Ok(secrets),
    }
}

/// The first secret of a file with one per line.
pub(super) fn first_line(path: &Path) -> Result<String, Error> {
    let path = credential::locate(path);
    let text = read_file(&path)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().map(str::to_owned);
    first.ok_or(Error::Short(path))
}

fn read_file(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Cookies of these secrets; without any, of one that is made now.
pub(super) fn cookies(secrets: &[String]) -> Cookies {
    let keys: Vec<[u8; 16]> = secrets.iter().map(|secret| cookie_key(secret)).collect();
    match keys.split_first() {
        Some((key, earlier)) => Cookies::new(*key, earlier),
        None => Cookies::new(rand::random(), &[]),
    }
}

/// A key of its own for cookies, whatever else the secret is for.
fn cookie_key(secret: &str) -> [u8; 16] {
    let digest = Sha256::new()
        .chain_update(b"inlet dns cookie")
        .chain_update(secret)
        .finalize();
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(digest) {
        *to = from;
    }
    key
}
