//! Making tokens and judging them.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use inlet_common::clock::UtcTime;

use super::Keys;

/// Length of an HMAC-SHA256 in base64url.
const TOKEN_LEN: usize = 43;

/// Latest moment that is read: no Unix time has more digits before the year 33,658.
const MAX_EXPIRES_LEN: usize = 12;

/// What a URL shows: a token, and until when it says it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    token: &'a str,
    expires: &'a str,
}

/// What good credentials allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How long from now on.
    pub remaining: Duration,
    /// Whether they are good for one address alone, so that no shared cache
    /// may give the answer to another.
    pub is_bound: bool,
}

/// Why somebody may not watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no token, or it is not one of ours for this path and address.
    Invalid,
    /// It was good once.
    Expired,
}

/// A token with its moment, as they stand in a URL: `{token}/{expires}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed(String);

impl<'a> Credentials<'a> {
    /// Splits `{token}/{expires}/{file}` into both and the file; `None` when the
    /// path does not begin with what could be credentials.
    pub fn split(path: &'a str) -> Option<(Self, &'a str)> {
        let (token, rest) = path.split_once('/')?;
        let (expires, file) = rest.split_once('/')?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let looks_right = token.len() == TOKEN_LEN
            && token.bytes().all(is_token)
            && (1..=MAX_EXPIRES_LEN).contains(&expires.len())
            && expires.bytes().all(|byte| byte.is_ascii_digit());
        looks_right.then_some((Self { token, expires }, file))
    }

    /// Judges them for a path that begins with `prefix`, asked for by `address`.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check(
        &self,
        keys: &Keys,
        prefix: &str,
        address: Option<IpAddr>,
        now: UtcTime,
    ) -> Result<Grant, Denied> {
        let tag = BASE64_URL_SAFE_NO_PAD.decode(self.token);
        let tag = tag.map_err(|_| Denied::Invalid)?;
        let for_all = format!("{prefix}/{}", self.expires);
        let is_good = |message: &str| {
            let keys = keys.current();
            let mut keys = keys.iter();
            keys.any(|key| hmac::verify(key, message.as_bytes(), &tag).is_ok())
        };
        let is_bound = if is_good(&for_all) {
            false
        } else {
            let address = address.ok_or(Denied::Invalid)?.to_canonical();
            if !is_good(&format!("{for_all}/{address}")) {
                return Err(Denied::Invalid);
            }
            true
        };
        let expires: u64 = self.expires.parse().map_err(|_| Denied::Invalid)?;
        let now = u64::try_from(now.as_unix_micros()).unwrap_or(0);
        let remaining = expires.saturating_mul(1_000_000).checked_sub(now);
        let remaining = remaining.filter(|micros| *micros > 0);
        Ok(Grant {
            remaining: Duration::from_micros(remaining.ok_or(Denied::Expired)?),
            is_bound,
        })
    }
}

impl Signed {
    /// Signs for whoever shows it before `expires`, in Unix seconds; from
    /// `address` alone if one is given.
    pub fn new(keys: &Keys, prefix: &str, expires: u64, address: Option<IpAddr>) -> Option<Self> {
        let mut message = format!("{prefix}/{expires}");
        if let Some(address) = address {
            message = format!("{message}/{}", address.to_canonical());
        }
        let keys = keys.current();
        let tag = hmac::sign(keys.first()?, message.as_bytes());
        let token = BASE64_URL_SAFE_NO_PAD.encode(tag);
        Some(Self(format!("{token}/{expires}")))
    }
}

impl std::fmt::Display for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/cmaf/1_17";
    const NOW: UtcTime = UtcTime::from_unix_micros(1_800_000_000_000_000);
    const LATER: u64 = 1_800_000_060;

    fn keys() -> Keys {
        Keys::of("correct horse battery staple\nthe one of last year, still good")
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Judges `signed` as a URL shows it.
    fn check(signed: &str, prefix: &str, from: Option<IpAddr>) -> Result<Grant, Denied> {
        let path = format!("{signed}/720p/media.m3u8");
        let (credentials, file) = Credentials::split(&path).expect("looks right");
        assert_eq!(file, "720p/media.m3u8");
        credentials.check(&keys(), prefix, from, NOW)
    }

    fn sign(expires: u64, address: Option<IpAddr>) -> String {
        Signed::new(&keys(), PREFIX, expires, address)
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_token_is_what_openssl_makes_of_it() {
        // printf /cmaf/1_17/1800000060 | openssl dgst -sha256 -hmac 'correct horse battery staple' -binary
        //   | basenc --base64url | tr -d =
        let expected = "7r35M79zGNMGLBNbsA-ebBxaLy3GZUan32--u_K5Gj0/1800000060";
        assert_eq!(sign(LATER, None), expected);
    }

    #[test]
    fn a_good_token_opens_its_prefix_until_it_expires() {
        let grant = check(&sign(LATER, None), PREFIX, None).unwrap();
        assert_eq!(grant.remaining, Duration::from_secs(60));
        assert!(!grant.is_bound);
        for other in ["/mpegts/1_17", "/cmaf/1_1", "/cmaf/1_171", "/cmaf/2_17"] {
            assert_eq!(check(&sign(LATER, None), other, None), Err(Denied::Invalid));
        }
        let over = sign(LATER - 60, None);
        assert_eq!(check(&over, PREFIX, None), Err(Denied::Expired));
    }

    #[test]
    fn nobody_makes_it_last_longer() {
        let longer = sign(LATER, None).replace(&LATER.to_string(), "1900000000");
        assert_eq!(check(&longer, PREFIX, None), Err(Denied::Invalid));
        let junk = format!("{}/{LATER}", "A".repeat(43));
        assert_eq!(check(&junk, PREFIX, None), Err(Denied::Invalid));
    }

    #[test]
    fn a_bound_token_is_good_from_its_address_alone() {
        let bound = sign(LATER, address("192.0.2.7"));
        let grant = check(&bound, PREFIX, address("::ffff:192.0.2.7")).unwrap();
        assert!(grant.is_bound);
        for from in [None, address("192.0.2.8"), address("2001:db8::1")] {
            assert_eq!(check(&bound, PREFIX, from), Err(Denied::Invalid));
        }
    }

    #[test]
    fn a_former_secret_stays_good_while_it_is_in_the_file() {
        let former = Keys::of("the one of last year, still good");
        let signed = Signed::new(&former, PREFIX, LATER, None)
            .unwrap()
            .to_string();
        assert!(check(&signed, PREFIX, None).is_ok());
        let gone = Keys::of("some other secret altogether");
        let signed = Signed::new(&gone, PREFIX, LATER, None).unwrap().to_string();
        assert_eq!(check(&signed, PREFIX, None), Err(Denied::Invalid));
    }

    #[test]
    fn files_are_not_taken_for_credentials() {
        let token = "a".repeat(43);
        for path in [
            "720p/media.m3u8".to_owned(),
            format!("{token}/master.m3u8"),
            format!("{token}/12x/master.m3u8"),
            format!("{token}//master.m3u8"),
            format!("{token}/1234567890123/master.m3u8"),
            format!("{token}a/12/master.m3u8"),
            format!("{}+/12/master.m3u8", "a".repeat(42)),
        ] {
            assert_eq!(Credentials::split(&path), None, "{path}");
        }
    }
}
