//! Who may allocate: time-limited credentials and static users.
//!
//! A time-limited username is `{unix-expiry}:{id}`, and its password
//! `base64(HMAC-SHA1(secret, username))` (draft-uberti-behave-turn-rest-00).
//! Whoever knows a secret makes credentials without telling us; that is why a
//! USERHASH, which cannot be turned back into a username, finds static users
//! only.
//!
//! deviates: RFC 8489 §14.3 wants names and passwords prepared by OpaqueString
//! (RFC 8265); they are compared as the bytes that they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use inlet_common::clock::UtcTime;
use md5::{Digest as _, Md5};

use super::wire::{IntegrityKey, Message, PasswordAlgorithm};

/// A username, shared by its allocations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(Arc<[u8]>);

impl Username {
    /// Takes a name as it is.
    pub fn new(name: &[u8]) -> Self {
        Self(name.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For people; what is no UTF-8 is replaced.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// When it ends, if it is a time-limited one.
    pub fn expiry(&self) -> Option<UtcTime> {
        let (seconds, _) = self.split()?;
        Some(UtcTime::from_unix_micros(seconds.checked_mul(1_000_000)?))
    }

    /// The stream that the credential is bound to: an id of digits alone. Digits
    /// beyond any stream's bind to one that does not exist.
    pub fn stream(&self) -> Option<u64> {
        let (_, id) = self.split()?;
        let is_digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then(|| id.parse().unwrap_or(u64::MAX))
    }

    fn split(&self) -> Option<(i64, &str)> {
        let text = std::str::from_utf8(&self.0).ok()?;
        let (expiry, id) = text.split_once(':')?;
        expiry
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(())?;
        Some((expiry.parse().ok()?, id))
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Username(…)")
    }
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Nobody has this name.
    UnknownUser,
    /// The integrity was not made with this user's password.
    WrongPassword,
    /// The credential was taken back.
    Revoked,
    /// The credential's time is over, and a new allocation was asked for.
    Expired,
}

impl Failure {
    /// Every failure, with its label.
    pub const ALL: [(Self, &str); 4] = [
        (Self::UnknownUser, "unknown_user"),
        (Self::WrongPassword, "wrong_password"),
        (Self::Revoked, "revoked"),
        (Self::Expired, "expired"),
    ];
}

/// A believed request's user and the key that its answer is signed with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who.
    pub username: Username,
    /// Made of the password by which the request was signed.
    pub key: IntegrityKey,
}

/// Everybody who may allocate; exchanged whole by a reload.
#[derive(Clone, Default)]
pub struct Credentials {
    realm: String,
    secrets: Vec<String>,
    users: BTreeMap<Username, String>,
    by_hash: BTreeMap<[u8; 32], Username>,
    revoked: BTreeSet<Username>,
}

impl Credentials {
    /// Takes the realm, shared secrets, and static users with their passwords.
    pub fn new(
        realm: &str,
        secrets: Vec<String>,
        users: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let users: BTreeMap<Username, String> = users
            .into_iter()
            .map(|(name, password)| (Username::new(name.as_bytes()), password))
            .collect();
        let by_hash = users
            .keys()
            .map(|name| (userhash(name.as_bytes(), realm), name.clone()))
            .collect();
        Self {
            realm: realm.to_owned(),
            secrets,
            users,
            by_hash,
            revoked: BTreeSet::new(),
        }
    }

    /// The realm, as challenges name it.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether a USERHASH is of any use: not where a name may be one that we
    /// have never heard of.
    pub fn has_userhash(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether somebody could get in at all.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.users.is_empty()
    }

    /// The username of a new time-limited credential and its password, made
    /// with the first secret; `None` without one.
    pub fn issue(&self, expiry: UtcTime, id: &str) -> Option<(String, String)> {
        let secret = self.secrets.first()?;
        let username = format!("{}:{id}", expiry.as_unix_seconds());
        let password = time_limited_password(secret, username.as_bytes());
        Some((username, password))
    }

    /// Says which credentials are taken back; all others are not.
    pub fn set_revoked(&mut self, usernames: impl Iterator<Item = Username>) {
        self.revoked = usernames.collect();
    }

    /// Whether a running allocation of this user must end: revoked, or no
    /// longer among the static users.
    pub fn has_lost(&self, username: &Username) -> bool {
        self.revoked.contains(username)
            || (!self.users.contains_key(username)
                && (username.expiry().is_none() || self.secrets.is_empty()))
    }

    /// Finds the user of a signed request and checks its integrity. The
    /// expiry of a time-limited name is not looked at: see
    /// [`Credentials::check_expiry`].
    ///
    /// # Errors
    ///
    /// [`Failure`], all but [`Failure::Expired`].
    pub fn authenticate(&self, message: &Message<'_>) -> Result<Identity, Failure> {
        let said = &message.attributes;
        let username = match (said.username, said.userhash) {
            (Some(name), _) => Username::new(name),
            (None, Some(hash)) => {
                let known = self.by_hash.get(hash).filter(|_| self.has_userhash());
                known.cloned().ok_or(Failure::UnknownUser)?
            }
            (None, None) => return Err(Failure::UnknownUser),
        };
        let algorithm = said.password_algorithm.unwrap_or(PasswordAlgorithm::Md5);
        let key = self.find_key(message, &username, algorithm)?;
        if self.revoked.contains(&username) {
            return Err(Failure::Revoked);
        }
        Ok(Identity { username, key })
    }

    fn find_key(
        &self,
        message: &Message<'_>,
        username: &Username,
        algorithm: PasswordAlgorithm,
    ) -> Result<IntegrityKey, Failure> {
        let key =
            |password: &str| long_term_key(algorithm, username.as_bytes(), &self.realm, password);
        if let Some(password) = self.users.get(username) {
            let key = key(password);
            return match message.is_signed_with(&key) {
                true => Ok(key),
                false => Err(Failure::WrongPassword),
            };
        }
        if username.expiry().is_none() || self.secrets.is_empty() {
            return Err(Failure::UnknownUser);
        }
        self.secrets
            .iter()
            .map(|secret| key(&time_limited_password(secret, username.as_bytes())))
            .find(|key| message.is_signed_with(key))
            .ok_or(Failure::WrongPassword)
    }

    /// Whether a user may make a new allocation at `utc`.
    ///
    /// # Errors
    ///
    /// [`Failure::Expired`].
    pub fn check_expiry(&self, username: &Username, utc: UtcTime) -> Result<(), Failure> {
        let is_static = self.users.contains_key(username);
        match username.expiry() {
            Some(expiry) if !is_static && expiry <= utc => Err(Failure::Expired),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("realm", &self.realm)
            .field("secrets", &self.secrets.len())
            .field("users", &self.users.len())
            .field("revoked", &self.revoked.len())
            .finish()
    }
}

/// `base64(HMAC-SHA1(secret, username))`.
pub fn time_limited_password(secret: &str, username: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username))
}

/// The key of a long-term credential (RFC 8489 §9.2.2, §18.5.1).
pub fn long_term_key(
    algorithm: PasswordAlgorithm,
    username: &[u8],
    realm: &str,
    password: &str,
) -> IntegrityKey {
    let parts = [username, b":", realm.as_bytes(), b":", password.as_bytes()];
    match algorithm {
        PasswordAlgorithm::Md5 => {
            let mut context = Md5::new();
            for part in parts {
                context.update(part);
            }
            IntegrityKey::md5(context.finalize().into())
        }
        PasswordAlgorithm::Sha256 => IntegrityKey::sha256(sha256(&parts)),
    }
}

/// `SHA-256(username ":" realm)` (RFC 8489 §14.4).
pub fn userhash(username: &[u8], realm: &str) -> [u8; 32] {
    sha256(&[username, b":", realm.as_bytes()])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (place, byte) in out.iter_mut().zip(context.finish().as_ref()) {
        *place = *byte;
    }
    out
}
