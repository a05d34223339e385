//! Keys, and the two forms of MESSAGE-INTEGRITY (RFC 8489 §14.5, §14.6).
//!
//! The trap: the HMAC is taken over everything in front of the attribute, but
//! with the header's length as if the message ended behind it. So the header is
//! hashed in a corrected copy, and nothing else is copied.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

use super::message::HEADER;

/// Longest HMAC: SHA-256, in full.
pub(super) const SHA256_LEN: usize = 32;

/// Shortest HMAC-SHA256 that may be sent (RFC 8489 §14.6).
pub(super) const SHA256_MIN_LEN: usize = 16;

/// Length of an HMAC-SHA1.
pub(super) const SHA1_LEN: usize = 20;

/// Which of the two forms protects a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mac {
    /// MESSAGE-INTEGRITY, HMAC-SHA1.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

impl Mac {
    /// Length of the value that we write.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha1 => SHA1_LEN,
            Self::Sha256 => SHA256_LEN,
        }
    }
}

/// The bytes that a message's HMAC is keyed with: the password of a short-term
/// credential, or the digest of a long-term one (RFC 8489 §9.2.2).
#[derive(Clone)]
pub struct IntegrityKey(KeyBytes);

#[derive(Clone)]
enum KeyBytes {
    Md5([u8; 16]),
    Sha256([u8; 32]),
    Text(Vec<u8>),
}

impl IntegrityKey {
    /// A key by MD5.
    pub const fn md5(digest: [u8; 16]) -> Self {
        Self(KeyBytes::Md5(digest))
    }

    /// A key by SHA-256.
    pub const fn sha256(digest: [u8; 32]) -> Self {
        Self(KeyBytes::Sha256(digest))
    }

    /// The password itself, for short-term credentials (RFC 8489 §9.1.1).
    pub fn password(text: &str) -> Self {
        Self(KeyBytes::Text(text.as_bytes().to_vec()))
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            KeyBytes::Md5(digest) => digest,
            KeyBytes::Sha256(digest) => digest,
            KeyBytes::Text(text) => text,
        }
    }

    /// The HMAC of a message up to, and without, the attribute that begins at
    /// the end of `prefix` and whose value has `value_len` bytes.
    pub(crate) fn sign(&self, mac: Mac, prefix: &[u8], value_len: usize) -> hmac::Tag {
        let algorithm = match mac {
            Mac::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Mac::Sha256 => hmac::HMAC_SHA256,
        };
        let key = hmac::Key::new(algorithm, self.bytes());
        let mut context = hmac::Context::with_key(&key);
        if let Some((header, rest)) = prefix.split_first_chunk::<HEADER>() {
            let mut header = *header;
            let len = u16::try_from(rest.len() + 4 + value_len).unwrap_or(u16::MAX);
            let [_, _, l1, l2, ..] = &mut header;
            [*l1, *l2] = len.to_be_bytes();
            context.update(&header);
            context.update(rest);
        }
        context.sign()
    }

    /// Compares a value with what it should be, in a time that does not depend
    /// on where the two differ. A truncated SHA-256 is compared as far as it
    /// goes.
    pub(crate) fn verify(&self, mac: Mac, prefix: &[u8], value: &[u8]) -> bool {
        let tag = self.sign(mac, prefix, value.len());
        tag.as_ref()
            .get(..value.len())
            .is_some_and(|expected| verify_slices_are_equal(expected, value).is_ok())
    }
}

impl std::fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntegrityKey(…)")
    }
}

/// FINGERPRINT's value for a message whose length already counts the attribute
/// (RFC 8489 §14.7).
pub(super) fn fingerprint(prefix: &[u8]) -> u32 {
    crc32fast::hash(prefix) ^ 0x5354_554E
}
