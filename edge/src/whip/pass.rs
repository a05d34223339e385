//! The mark of a presenter who was sent on: sealed by the point of presence that sends,
//! for the one that it names, for one stream and one minute.
//!
//! ```text
//!  base64url of  expiry (4 bytes, Unix time) │ nonce (12) │ token, sealed by AES-256-GCM
//!  sealed with   the stream, the name of the point of presence, the expiry
//! ```
//!
//! It does two things. Whoever carries one, good or not, is not sent on again: one hop.
//! And a good one brings the push token, since browsers drop `Authorization` on their
//! way to another host and a token in a `Location` would end in logs. Sealing and not
//! only signing keeps it unreadable there.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{self, SHA256},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use inlet_common::{
    clock::UtcTime,
    ids::{PushToken, StreamId},
};

/// How long a mark is good for, in seconds: a redirect is followed at once, and clocks
/// differ a little.
const LIFETIME: u32 = 60;

/// How far the clock of whoever sealed it may go ahead of ours, in seconds.
const MAX_AHEAD: u32 = 60;

const EXPIRY_LEN: usize = 4;

/// Longest mark that is looked at.
const MAX_LEN: usize = 512;

/// Seals and opens marks, by the secret that the fleet shares.
pub struct Passes {
    /// The first seals, all open.
    keys: ArcSwap<Vec<LessSafeKey>>,
    /// This point of presence.
    own: String,
}

impl Passes {
    /// Takes the fleet's secrets, the newest first, and this point of presence's name.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>, own: &str) -> Self {
        Self {
            keys: ArcSwap::from_pointee(secrets.into_iter().filter_map(key).collect()),
            own: own.to_owned(),
        }
    }

    /// Takes others in their place.
    pub fn replace<'s>(&self, secrets: impl IntoIterator<Item = &'s str>) {
        let keys = secrets.into_iter().filter_map(key).collect();
        self.keys.store(Arc::new(keys));
    }

    /// Seals `token` for the point of presence `pop`; `None` without a secret.
    pub fn seal(
        &self,
        stream: StreamId,
        pop: &str,
        token: &PushToken,
        now: UtcTime,
    ) -> Option<String> {
        let expiry = unix(now).wrapping_add(LIFETIME).to_be_bytes();
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = token.expose().as_bytes().to_vec();
        let keys = self.keys.load();
        let key = keys.first()?;
        let aad = Aad::from(bound_to(stream, pop, expiry));
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, aad, &mut sealed)
            .ok()?;
        let mark = [&expiry[..], &nonce, &sealed].concat();
        Some(BASE64_URL_SAFE_NO_PAD.encode(mark))
    }

    /// Opens a mark that was sealed for this point of presence and `stream`; `None` for
    /// any other, and for one that is too old.
    pub fn open(&self, mark: &str, stream: StreamId, now: UtcTime) -> Option<PushToken> {
        if mark.len() > MAX_LEN {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(mark).ok()?;
        let (expiry, rest) = bytes.split_first_chunk::<EXPIRY_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let left = u32::from_be_bytes(*expiry).wrapping_sub(unix(now));
        if left > LIFETIME + MAX_AHEAD {
            return None;
        }
        self.keys.load().iter().find_map(|key| {
            let mut sealed = sealed.to_vec();
            let aad = Aad::from(bound_to(stream, &self.own, *expiry));
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let token = key.open_in_place(nonce, aad, &mut sealed).ok()?;
            let token = std::str::from_utf8(token).ok()?;
            let is_token = !token.is_empty() && token.len() <= PushToken::MAX_LEN;
            is_token.then(|| PushToken::new(token))
        })
    }
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passes")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// A key of its own, whatever else the secret is for.
fn key(secret: &str) -> Option<LessSafeKey> {
    let mut context = digest::Context::new(&SHA256);
    context.update(b"inlet whip pass");
    context.update(secret.as_bytes());
    let key = UnboundKey::new(&AES_256_GCM, context.finish().as_ref()).ok()?;
    Some(LessSafeKey::new(key))
}

fn bound_to(stream: StreamId, pop: &str, expiry: [u8; EXPIRY_LEN]) -> Vec<u8> {
    // Numbers have no zero byte in front of the name.
    [
        stream.to_string().as_bytes(),
        &[0],
        pop.as_bytes(),
        &[0],
        &expiry,
    ]
    .concat()
}

/// Whole seconds, which wrap in 2106.
fn unix(now: UtcTime) -> u32 {
    (now.as_unix_seconds() & i64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(17);
    const SECRET: &str = "a secret of the whole fleet";

    fn at(seconds: i64) -> UtcTime {
        UtcTime::from_unix_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    fn token() -> PushToken {
        PushToken::new("correct-horse-battery")
    }

    #[test]
    fn a_mark_brings_the_token_to_whom_it_is_for() {
        let (a, b) = (Passes::new([SECRET], "a"), Passes::new([SECRET], "b"));
        let mark = a.seal(STREAM, "b", &token(), at(0)).unwrap();
        assert_eq!(b.open(&mark, STREAM, at(0)), Some(token()));
        assert!(!mark.contains("correct"));
        // Another stream, another point of presence, later, much earlier.
        assert_eq!(b.open(&mark, StreamId(18), at(0)), None);
        assert_eq!(a.open(&mark, STREAM, at(0)), None);
        assert_eq!(b.open(&mark, STREAM, at(60)), Some(token()));
        assert_eq!(b.open(&mark, STREAM, at(61)), None);
        assert_eq!(b.open(&mark, STREAM, at(-59)), Some(token()));
        assert_eq!(b.open(&mark, STREAM, at(-61)), None);
    }

    #[test]
    fn a_mark_that_was_changed_opens_nothing() {
        let passes = Passes::new([SECRET], "b");
        let mark = passes.seal(STREAM, "b", &token(), at(0)).unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&mark).unwrap();
        for at_byte in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at_byte] ^= 1;
            let changed = BASE64_URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(passes.open(&changed, STREAM, at(0)), None, "byte {at_byte}");
        }
        for junk in ["", "1", "%", &mark[..20], &"A".repeat(600)] {
            assert_eq!(passes.open(junk, STREAM, at(0)), None);
        }
    }

    #[test]
    fn the_secret_before_still_opens_and_another_does_not() {
        let old = Passes::new([SECRET], "a");
        let mark = old.seal(STREAM, "b", &token(), at(0)).unwrap();
        let both = Passes::new(["a newer secret of the fleet", SECRET], "b");
        assert_eq!(both.open(&mark, STREAM, at(0)), Some(token()));
        let other = Passes::new(["somebody else's secret, surely"], "b");
        assert_eq!(other.open(&mark, STREAM, at(0)), None);
        assert_eq!(
            Passes::new([], "a").seal(STREAM, "b", &token(), at(0)),
            None
        );
    }
}
