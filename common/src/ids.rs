//! Newtypes for everything that two hosts name to each other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// The registry's number of a stream, as it stands in every URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub i64);

/// The registry's number of a client: the owner of keys and streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub i64);

/// One publishing session from its POST to its end, the same on edge and origin.
///
/// It names the session in logs and traces and is no secret: the session's URL
/// carries a different, unguessable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// Draws a new session id at random.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

macro_rules! display_and_parse {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse().map(Self).map_err(|_| InvalidId)
            }
        }
    )*};
}

display_and_parse! { StreamId ClientId SessionId }

/// The text is not an id of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id")]
pub struct InvalidId;

/// The secret with which a presenter may publish a stream.
///
/// `Debug` and `Display` never show it, so that it cannot reach a log by
/// accident; [`PushToken::expose`] is the one way to read it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PushToken(String);

impl PushToken {
    /// Longest token taken from outside, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Wraps a token read from a URL, a header or the registry.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushToken(…)")
    }
}

/// What the origin knows of the secret in a session's URL: enough to recognise
/// who shows it, and nothing to make the URL of.
///
/// Written as the 64 hexadecimal digits of its SHA-256.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// The key of a session whose URL holds `secret`.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

// In the same time wherever they differ: one side comes from outside.
impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SessionKey {}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

impl From<SessionKey> for String {
    fn from(key: SessionKey) -> Self {
        hex::encode(key.0)
    }
}

impl TryFrom<String> for SessionKey {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| InvalidId)?;
        Ok(Self(digest))
    }
}

/// A publishing path: which stream, and by which right.
///
/// In URLs it reads `{id}_{token}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishPath {
    /// The stream to publish to.
    pub stream: StreamId,
    /// The right to do so.
    pub token: PushToken,
}

impl FromStr for PublishPath {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (stream, token) = text.split_once('_').ok_or(InvalidId)?;
        if token.is_empty() || token.len() > PushToken::MAX_LEN {
            return Err(InvalidId);
        }
        Ok(Self {
            stream: stream.parse()?,
            token: PushToken::new(token),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_path_is_stream_and_token() {
        let path: PublishPath = "17_abc_def".parse().unwrap();
        assert_eq!(path.stream, StreamId(17));
        assert_eq!(path.token.expose(), "abc_def");
    }

    #[test]
    fn publish_path_without_token_is_refused() {
        assert!("17".parse::<PublishPath>().is_err());
        assert!("17_".parse::<PublishPath>().is_err());
        assert!("x_abc".parse::<PublishPath>().is_err());
    }

    #[test]
    fn a_session_key_is_written_as_its_digest() {
        let key = SessionKey::of(b"abc");
        let text = serde_json::to_string(&key).unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text, format!("\"{digest}\""));
        assert_eq!(serde_json::from_str::<SessionKey>(&text).unwrap(), key);
        assert_ne!(key, SessionKey::of(b"abd"));
        assert!(serde_json::from_str::<SessionKey>("\"ba78\"").is_err());
        assert!(!format!("{key:?}").contains("ba78"));
    }

    #[test]
    fn a_token_never_shows_itself() {
        assert!(!format!("{:?}", PushToken::new("secret")).contains("secret"));
    }
}
