//! DNS cookies (RFC 7873) in the interoperable form (RFC 9018): who shows one that
//! we made has shown that answers reach it.
//!
//! ```text
//!  server cookie  +--------+--------+--------+--------+
//!  (16 bytes)     |   1    |        reserved, 0       |
//!                 +--------+--------+--------+--------+
//!                 |  when it was made, in Unix time   |
//!                 +--------+--------+--------+--------+
//!                 |  SipHash-2-4 of the client's      |
//!                 |  cookie, the above, its address   |
//!                 +--------+--------+--------+--------+
//! ```
//!
//! Servers that share a key take each other's cookies. When the key changes, those
//! made by the one before are taken until they are too old anyway.

use std::{fmt, hash::Hasher as _, net::IpAddr};

use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq as _;

use super::wire::Cookie;

/// How old a cookie may be, in seconds (RFC 9018 §4.3).
const MAX_AGE: u32 = 3600;

/// How far ahead of ours the clock of another server may go (RFC 9018 §4.3).
const MAX_AHEAD: u32 = 300;

const VERSION_AND_RESERVED: [u8; 4] = [1, 0, 0, 0];

/// Makes and checks cookies.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookies {
    /// The newest key first.
    keys: Vec<[u8; 16]>,
}

impl Cookies {
    /// Takes the key that cookies are made with, and those that were used before.
    pub fn new(key: [u8; 16], earlier: &[[u8; 16]]) -> Self {
        let mut keys = vec![key];
        keys.extend_from_slice(earlier);
        Self { keys }
    }

    /// Makes the server's half; `now` is Unix time.
    pub fn make(&self, client: &[u8; 8], ip: IpAddr, now: u32) -> [u8; 16] {
        let key = self.keys.first().copied().unwrap_or_default();
        cookie(&key, client, ip, VERSION_AND_RESERVED, now)
    }

    /// Whether a cookie is one of ours, for this client and address, and no older
    /// than an hour.
    pub fn is_ours(&self, shown: &Cookie<'_>, ip: IpAddr, now: u32) -> bool {
        let parts = shown.server.and_then(|server| {
            let (head, rest) = server.split_first_chunk::<4>()?;
            Some((server, *head, u32::from_be_bytes(*rest.first_chunk()?)))
        });
        let Some((server, head, made)) = parts else {
            return false;
        };
        // Serial numbers: the time wraps in 2106 (RFC 9018 §4.3, RFC 1982).
        let is_fresh = match now.wrapping_sub(made).cast_signed() {
            age @ 0.. => age.unsigned_abs() <= MAX_AGE,
            ahead => ahead.unsigned_abs() <= MAX_AHEAD,
        };
        // Reserved bytes are hashed as they came: one of another make may use them.
        let is_made_here = |key: &[u8; 16]| -> bool {
            let ours = cookie(key, &shown.client, ip, head, made);
            ours.as_slice().ct_eq(server).into()
        };
        is_fresh
            && head.first() == VERSION_AND_RESERVED.first()
            && self.keys.iter().any(is_made_here)
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

fn cookie(key: &[u8; 16], client: &[u8; 8], ip: IpAddr, head: [u8; 4], made: u32) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(client);
    hasher.write(&head);
    hasher.write(&made.to_be_bytes());
    match ip {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    // RFC 9018 §4.4: the hash stands in the order in which SipHash gives its bytes.
    let hash = hasher.finish().to_le_bytes();
    let mut cookie = [0; 16];
    let (fixed, rest) = cookie.split_at_mut(4);
    let (time, tail) = rest.split_at_mut(4);
    fixed.copy_from_slice(&head);
    time.copy_from_slice(&made.to_be_bytes());
    tail.copy_from_slice(&hash);
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    fn shown(client: [u8; 8], server: &[u8]) -> Cookie<'_> {
        Cookie {
            client,
            server: Some(server),
        }
    }

    /// RFC 9018, appendix A: key, client cookie, address, time, and what comes out.
    #[test]
    fn cookies_are_those_of_the_rfc() {
        let cases = [
            (
                "e5e973e5a6b2a43f48e7dc849e37bfcf",
                "2464c4abcf10c957",
                "198.51.100.100",
                1_559_731_985,
                "010000005cf79f111f8130c3eee29480",
            ),
            (
                "e5e973e5a6b2a43f48e7dc849e37bfcf",
                "2464c4abcf10c957",
                "198.51.100.100",
                1_559_734_385,
                "010000005cf7a871d4a564a1442aca77",
            ),
            (
                "445536bcd2513298075a5d379663c962",
                "22681ab97d52c298",
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                1_559_741_961,
                "010000005cf7c609a6bb79d16625507a",
            ),
        ];
        for (key, client, ip, now, cookie) in cases {
            let cookies = Cookies::new(bytes(key), &[]);
            let made = cookies.make(&bytes(client), ip.parse().unwrap(), now);
            assert_eq!(hex::encode(made), cookie, "{ip}");
        }
        // One whose reserved bytes somebody has set is good all the same.
        let cookies = Cookies::new(bytes("e5e973e5a6b2a43f48e7dc849e37bfcf"), &[]);
        let server: [u8; 16] = bytes("01abcdef5cf78f71a314227b6679ebf5");
        let shown = shown(bytes("fc93fc62807ddb86"), &server);
        let ip = "203.0.113.203".parse().unwrap();
        assert!(cookies.is_ours(&shown, ip, 1_559_728_000));
    }

    #[test]
    fn a_cookie_is_good_for_its_client_and_its_hour() {
        let cookies = Cookies::new([7; 16], &[]);
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let (client, now) = ([1; 8], 1_700_000_000);
        let made = cookies.make(&client, ip, now);
        assert!(cookies.is_ours(&shown(client, &made), ip, now));
        assert!(cookies.is_ours(&shown(client, &made), ip, now + MAX_AGE));
        assert!(!cookies.is_ours(&shown(client, &made), ip, now + MAX_AGE + 1));
        assert!(cookies.is_ours(&shown(client, &made), ip, now - MAX_AHEAD));
        assert!(!cookies.is_ours(&shown(client, &made), ip, now - MAX_AHEAD - 1));
        assert!(!cookies.is_ours(&shown([2; 8], &made), ip, now));
        assert!(!cookies.is_ours(&shown(client, &made), "192.0.2.2".parse().unwrap(), now));
        assert!(!cookies.is_ours(&shown(client, &[0; 16]), ip, now));
        assert!(!cookies.is_ours(&shown(client, &made[..8]), ip, now));
    }

    #[test]
    fn the_key_before_is_taken_too() {
        let ip: IpAddr = "2001:db8::1".parse().unwrap();
        let old = Cookies::new([1; 16], &[]).make(&[9; 8], ip, 1000);
        assert!(Cookies::new([2; 16], &[[1; 16]]).is_ours(&shown([9; 8], &old), ip, 1000));
        assert!(!Cookies::new([2; 16], &[]).is_ours(&shown([9; 8], &old), ip, 1000));
    }
}
