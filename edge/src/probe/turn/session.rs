//! Signing requests, and believing answers (RFC 8489 §9.2).
//!
//! deviates: RFC 8489 §9.2.5 has a client use the password algorithms that the server
//! offers. Browsers know none: they sign by MD5 and HMAC-SHA1, and a probe shall find
//! what they find.

use super::super::{Error, target::Credential};
use crate::turn::{
    auth::long_term_key,
    wire::{Encoder, IntegrityKey, Mac, Message, PasswordAlgorithm},
};

/// What a challenge has told, and the key that follows.
#[derive(Debug)]
pub(super) struct Session {
    username: String,
    realm: String,
    nonce: Vec<u8>,
    key: IntegrityKey,
}

impl Session {
    /// Learns from a 401 or a 438.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] when it has no realm or no nonce.
    pub(super) fn learn(challenge: &Message<'_>, credential: &Credential) -> Result<Self, Error> {
        let said = &challenge.attributes;
        let realm = said.realm.ok_or(Error::Protocol)?;
        let realm = std::str::from_utf8(realm).map_err(|_| Error::Protocol)?;
        let nonce = said.nonce.ok_or(Error::Protocol)?;
        let Credential { username, password } = credential;
        let algorithm = PasswordAlgorithm::Md5;
        Ok(Self {
            username: username.clone(),
            realm: realm.to_owned(),
            nonce: nonce.to_vec(),
            key: long_term_key(algorithm, username.as_bytes(), realm, password),
        })
    }

    /// Adds who we are, and the proof.
    pub(super) fn sign(&self, request: Encoder) -> Encoder {
        request
            .username(self.username.as_bytes())
            .realm(&self.realm)
            .nonce(&self.nonce)
            .integrity(Mac::Sha1, &self.key)
    }

    /// Whether an answer is from who knows the password.
    pub(super) fn believes(&self, answer: &Message<'_>) -> bool {
        answer.is_signed_with(&self.key)
    }
}
