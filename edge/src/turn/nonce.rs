//! Nonces that need no memory: a time, and a MAC over it and the source.
//!
//! ```text
//!  "obMatJos2" │ 4 characters: security features │ 24 characters: base64(time ‖ MAC)
//! ```
//!
//! The first 13 characters are the nonce cookie of RFC 8489 §9.2, by which a
//! client sees that the server speaks of password algorithms and user
//! anonymity. The time also tells the round trip: the first request that brings
//! a nonce back was made of the answer that carried it out.

use std::{net::SocketAddr, time::Duration};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// How long a nonce is good: RFC 8656 §5 wants a new one at least every hour.
pub const LIFETIME: Duration = Duration::from_secs(1800);

/// RFC 8489 §9.2.
const COOKIE: &[u8; 9] = b"obMatJos2";

/// Bit 0 of the security features, counted from the highest: password
/// algorithms (RFC 8489 §18.1).
const PASSWORD_ALGORITHMS: u32 = 1 << 23;

/// Bit 1: username anonymity.
const USERNAME_ANONYMITY: u32 = 1 << 22;

/// Bytes of time: milliseconds, for 34 years.
const TIME_LEN: usize = 5;

/// Bytes of the MAC: beyond what any flood guesses, and with the time a multiple
/// of three, so that base64 needs no padding.
const MAC_LEN: usize = 13;

/// Length of a nonce.
pub const LEN: usize = COOKIE.len() + 4 + ENCODED_LEN;

const BODY_LEN: usize = TIME_LEN + MAC_LEN;
const ENCODED_LEN: usize = BODY_LEN / 3 * 4;

/// Makes and checks nonces; all workers share one key, since a client's next
/// TCP connection may belong to another worker.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
    features: [u8; 4],
}

/// What a nonce was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ours, for this source, and made so long ago.
    Fresh(Duration),
    /// Too old, for another source, or not ours: all of these get 438.
    Stale,
}

impl Nonces {
    /// Takes 32 random bytes. `with_userhash` offers username anonymity.
    pub fn new(seed: &[u8; 32], with_userhash: bool) -> Self {
        let bits = match with_userhash {
            true => PASSWORD_ALGORITHMS | USERNAME_ANONYMITY,
            false => PASSWORD_ALGORITHMS,
        };
        let [_, high, middle, low] = bits.to_be_bytes();
        let mut features = [0; 4];
        let written = STANDARD_NO_PAD.encode_slice([high, middle, low], &mut features);
        debug_assert_eq!(written, Ok(4));
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, seed),
            features,
        }
    }

    /// A nonce for `source` at `now`, which is the time since the process began.
    /// Its port does not matter: a client's next connection comes from another
    /// one, and ConnectionBind must not cost it a round trip (RFC 6062 §4.3).
    pub fn make(&self, now: Duration, source: SocketAddr) -> [u8; LEN] {
        let time = time(now);
        let mut body = [0; BODY_LEN];
        let (head, tail) = body.split_at_mut(TIME_LEN);
        head.copy_from_slice(&time);
        let mac = self.mac(time, source);
        for (place, byte) in tail.iter_mut().zip(mac.as_ref().iter().take(MAC_LEN)) {
            *place = *byte;
        }
        let mut nonce = [0; LEN];
        let (cookie, rest) = nonce.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(COOKIE);
        let (features, encoded) = rest.split_at_mut(4);
        features.copy_from_slice(&self.features);
        let written = STANDARD_NO_PAD.encode_slice(body, encoded);
        debug_assert_eq!(written, Ok(ENCODED_LEN));
        nonce
    }

    /// Judges what a client brought back.
    pub fn check(&self, now: Duration, source: SocketAddr, nonce: &[u8]) -> Verdict {
        self.age(now, source, nonce)
            .filter(|age| *age <= LIFETIME)
            .map_or(Verdict::Stale, Verdict::Fresh)
    }

    fn age(&self, now: Duration, source: SocketAddr, nonce: &[u8]) -> Option<Duration> {
        let nonce: &[u8; LEN] = nonce.try_into().ok()?;
        let rest = nonce.strip_prefix(COOKIE)?.strip_prefix(&self.features)?;
        let mut body = [0; BODY_LEN];
        STANDARD_NO_PAD.decode_slice(rest, &mut body).ok()?;
        let (time, mac) = body.split_first_chunk::<TIME_LEN>()?;
        let expected = self.mac(*time, source);
        let expected = expected.as_ref().get(..MAC_LEN)?;
        verify_slices_are_equal(expected, mac.get(..MAC_LEN)?).ok()?;
        let mut millis = [0; 8];
        let (_, low) = millis.split_at_mut(8 - TIME_LEN);
        low.copy_from_slice(time);
        now.checked_sub(Duration::from_millis(u64::from_be_bytes(millis)))
    }

    fn mac(&self, time: [u8; TIME_LEN], source: SocketAddr) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&time);
        match source.ip() {
            std::net::IpAddr::V4(ip) => context.update(&ip.octets()),
            std::net::IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.sign()
    }
}

fn time(now: Duration) -> [u8; TIME_LEN] {
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let [_, _, _, low @ ..] = millis.to_be_bytes();
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn nonces() -> Nonces {
        Nonces::new(&[7; 32], false)
    }

    fn source() -> SocketAddr {
        "192.0.2.1:5000".parse().unwrap()
    }

    #[test]
    fn a_nonce_is_good_for_its_source_until_it_is_old() {
        let nonce = nonces().make(NOW, source());
        let later = NOW + Duration::from_millis(40);
        assert_eq!(
            nonces().check(later, source(), &nonce),
            Verdict::Fresh(Duration::from_millis(40))
        );
        let same_host = "192.0.2.1:5001".parse().unwrap();
        assert_ne!(nonces().check(later, same_host, &nonce), Verdict::Stale);
        let other = "192.0.2.2:5000".parse().unwrap();
        assert_eq!(nonces().check(later, other, &nonce), Verdict::Stale);
        let old = NOW + LIFETIME + Duration::from_millis(1);
        assert_eq!(nonces().check(old, source(), &nonce), Verdict::Stale);
        // One from the future is not ours either.
        let before = NOW - Duration::from_millis(1);
        assert_eq!(nonces().check(before, source(), &nonce), Verdict::Stale);
    }

    #[test]
    fn no_changed_byte_passes() {
        let nonce = nonces().make(NOW, source());
        for at in 0..LEN {
            let mut changed = nonce;
            changed[at] ^= 1;
            assert_eq!(nonces().check(NOW, source(), &changed), Verdict::Stale);
        }
        assert_eq!(nonces().check(NOW, source(), &nonce[1..]), Verdict::Stale);
        let other = Nonces::new(&[8; 32], false);
        assert_eq!(other.check(NOW, source(), &nonce), Verdict::Stale);
    }

    #[test]
    fn the_cookie_tells_the_features() {
        // RFC 8489 §9.2: "obMatJos2", then base64 of 24 bits.
        assert!(nonces().make(NOW, source()).starts_with(b"obMatJos2gAAA"));
        let anonymous = Nonces::new(&[7; 32], true).make(NOW, source());
        assert!(anonymous.starts_with(b"obMatJos2wAAA"));
    }

    #[test]
    fn two_moments_have_two_nonces() {
        let next = NOW + Duration::from_millis(1);
        assert_ne!(
            nonces().make(NOW, source())[13..],
            nonces().make(next, source())[13..]
        );
    }
}
