//! One point of presence asks another how it does: what is told while no origin can be
//! reached, and to name servers, which have none.
//!
//! ```text
//!  GET /fleet/report, beside WHIP, with Inlet-Fleet: base64url of
//!      time (4 bytes, Unix) │ nonce (16) │ MAC (32) by each secret, one or two
//!      MAC           HMAC-SHA256 of the time, the nonce, and the name of who is asked
//!
//!  200 with
//!      nonce (12) │ the report as JSON, sealed by AES-256-GCM
//!      sealed with   the nonce of the question, and the name of who answers
//! ```
//!
//! Both can be believed over plain HTTP. Whoever says a question again, within its
//! minute, learns nothing: only who has the secret can read the answer. And an answer
//! that is said again fits no other question, since each has a nonce of its own. So
//! neither side keeps anything of it.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{self, SHA256, SHA256_OUTPUT_LEN},
    hmac,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use inlet_common::{clock::UtcTime, roq::pop::Report};

/// Where a point of presence is asked, below the base URL of its WHIP.
pub const PATH: &str = "/fleet/report";

/// The header that a question stands in.
pub const HEADER: &str = "inlet-fleet";

/// Longest answer that is looked at: a report has some 150 bytes, and versions to come
/// may have more to say.
pub const MAX_ANSWER: usize = 1024;

/// How far the clocks of both may be apart, in seconds, the way included.
const WINDOW: u32 = 30;

const TIME_LEN: usize = 4;
const QUESTION_NONCE_LEN: usize = 16;
const MAC_LEN: usize = SHA256_OUTPUT_LEN;

/// The secret that counts, and the one of before.
const MAX_MACS: usize = 2;

/// Longest question that is looked at, in characters of base64.
const MAX_QUESTION: usize = (TIME_LEN + QUESTION_NONCE_LEN + MAX_MACS * MAC_LEN).div_ceil(3) * 4;

/// Tells who asks how this point of presence does.
pub trait Teller: Send + Sync + fmt::Debug {
    /// The answer to what stands in [`HEADER`]; `None` to whom nothing is told.
    fn answer(&self, question: &str) -> Option<Vec<u8>>;
}

/// Asks and answers, by the secrets that the fleet shares.
pub struct Secrets {
    keys: ArcSwap<Vec<Keys>>,
}

/// What is made of one secret.
struct Keys {
    ask: hmac::Key,
    tell: LessSafeKey,
}

/// A question, for which one answer fits.
pub struct Question {
    text: String,
    nonce: [u8; QUESTION_NONCE_LEN],
    pop: String,
}

impl Secrets {
    /// Takes the fleet's secrets; of more than two the first two count.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        Self {
            keys: ArcSwap::new(keys(secrets)),
        }
    }

    /// Takes others in their place.
    pub fn replace<'s>(&self, secrets: impl IntoIterator<Item = &'s str>) {
        self.keys.store(keys(secrets));
    }

    /// Asks the point of presence `pop`. Each secret signs, so that all understand each
    /// other while a new one is on its way to them.
    pub fn ask(&self, pop: &str, now: UtcTime) -> Question {
        let nonce: [u8; QUESTION_NONCE_LEN] = rand::random();
        let mut bytes = [&unix(now).to_be_bytes()[..], &nonce].concat();
        let signed = [&bytes[..], pop.as_bytes()].concat();
        for keys in self.keys.load().iter() {
            bytes.extend_from_slice(hmac::sign(&keys.ask, &signed).as_ref());
        }
        Question {
            text: BASE64_URL_SAFE_NO_PAD.encode(bytes),
            nonce,
            pop: pop.to_owned(),
        }
    }

    /// Answers a question to the point of presence `own` with what `report` says, by the
    /// secret that it is signed with; `None` when nobody of the fleet asks, or somebody
    /// else is asked, or did so long ago.
    pub fn answer(
        &self,
        own: &str,
        question: &str,
        now: UtcTime,
        report: impl FnOnce() -> Report,
    ) -> Option<Vec<u8>> {
        if question.len() > MAX_QUESTION {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(question).ok()?;
        let (time, rest) = bytes.split_first_chunk::<TIME_LEN>()?;
        let (nonce, macs) = rest.split_first_chunk::<QUESTION_NONCE_LEN>()?;
        let (macs, odd) = macs.as_chunks::<MAC_LEN>();
        if !odd.is_empty() || !is_fresh(u32::from_be_bytes(*time), now) {
            return None;
        }
        let signed = [&time[..], nonce, own.as_bytes()].concat();
        // Compared in constant time.
        let is_signed = |keys: &&Keys| {
            let mut macs = macs.iter();
            macs.any(|mac| hmac::verify(&keys.ask, &signed, mac).is_ok())
        };
        let known = self.keys.load();
        let keys = known.iter().find(is_signed)?;
        keys.seal(&bound_to(nonce, own), &report())
    }

    /// Opens the answer to a question; `None` when it is another one's, or is to another
    /// question.
    pub fn open(&self, question: &Question, answer: &[u8]) -> Option<Report> {
        if answer.len() > MAX_ANSWER {
            return None;
        }
        let bound = bound_to(&question.nonce, &question.pop);
        let known = self.keys.load();
        known.iter().find_map(|keys| keys.open(&bound, answer))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Question {
    /// What stands in [`HEADER`].
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Keys {
    fn new(secret: &str) -> Option<Self> {
        let tell = key("inlet fleet tell", secret);
        let tell = UnboundKey::new(&AES_256_GCM, tell.as_ref()).ok()?;
        Some(Self {
            ask: hmac::Key::new(hmac::HMAC_SHA256, key("inlet fleet ask", secret).as_ref()),
            tell: LessSafeKey::new(tell),
        })
    }

    fn seal(&self, bound: &[u8], report: &Report) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = serde_json::to_vec(report).ok()?;
        let unique = Nonce::assume_unique_for_key(nonce);
        let key = &self.tell;
        key.seal_in_place_append_tag(unique, Aad::from(bound), &mut sealed)
            .ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    fn open(&self, bound: &[u8], answer: &[u8]) -> Option<Report> {
        let (nonce, sealed) = answer.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut sealed = sealed.to_vec();
        let opened = self
            .tell
            .open_in_place(nonce, Aad::from(bound), &mut sealed);
        serde_json::from_slice(opened.ok()?).ok()
    }
}

fn keys<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Arc<Vec<Keys>> {
    let secrets = secrets.into_iter().take(MAX_MACS);
    Arc::new(secrets.filter_map(Keys::new).collect())
}

/// A key of its own, whatever else the secret is for.
fn key(purpose: &str, secret: &str) -> digest::Digest {
    let mut context = digest::Context::new(&SHA256);
    context.update(purpose.as_bytes());
    context.update(secret.as_bytes());
    context.finish()
}

/// The nonce has a fixed length, so the name may have any.
fn bound_to(nonce: &[u8; QUESTION_NONCE_LEN], pop: &str) -> Vec<u8> {
    [&nonce[..], pop.as_bytes()].concat()
}

const fn is_fresh(time: u32, now: UtcTime) -> bool {
    unix(now).wrapping_sub(time).wrapping_add(WINDOW) <= 2 * WINDOW
}

/// Whole seconds, which wrap in 2106.
const fn unix(now: UtcTime) -> u32 {
    (now.as_unix_seconds() & u32::MAX as i64) as u32
}

#[cfg(test)]
mod tests;
