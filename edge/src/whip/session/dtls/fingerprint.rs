//! The offer's fingerprints against the peer's certificate (RFC 8122 §5).
//!
//! SHA-256, SHA-384 and SHA-512 are taken, alone or together. SHA-1 and MD5 are
//! not: whoever finds a second certificate for those could be anybody.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use subtle::ConstantTimeEq as _;

/// What an offer promises of the certificate that will be shown.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::whip::session) struct Fingerprint {
    algorithm: &'static Algorithm,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// Of all that an offer has, those that count: the ones of the most preferred
    /// hash function, any of which may match ("MUST select the set of
    /// fingerprints that use its most preferred hash function", RFC 8122 §5).
    pub(in crate::whip::session) fn select(values: impl IntoIterator<Item = String>) -> Vec<Self> {
        let values = values.into_iter().filter_map(|value| Self::parse(&value));
        let mut read: Vec<Self> = values.collect();
        if let Some(least) = read.iter().map(|one| one.digest.len()).min() {
            // The shortest is SHA-256, which every peer computes.
            read.retain(|one| one.digest.len() == least);
        }
        read
    }

    /// Reads the value of `a=fingerprint`; `None` for a hash that is not taken
    /// and for a digest that is none.
    pub(in crate::whip::session) fn parse(value: &str) -> Option<Self> {
        let (hash, digest) = value.trim().split_once(char::is_whitespace)?;
        let algorithm = algorithm(hash)?;
        let digest = digest
            .trim()
            .split(':')
            .map(|byte| match byte.len() {
                2 => u8::from_str_radix(byte, 16).ok(),
                _ => None,
            })
            .collect::<Option<Vec<u8>>>()?;
        (digest.len() == algorithm.output_len()).then_some(Self { algorithm, digest })
    }

    /// Whether this is the fingerprint of a certificate, given as DER.
    pub(super) fn matches(&self, certificate: &[u8]) -> bool {
        let digest = digest::digest(self.algorithm, certificate);
        digest.as_ref().ct_eq(&self.digest).into()
    }
}

/// Names of hashes have no case (RFC 8122 §5).
fn algorithm(hash: &str) -> Option<&'static Algorithm> {
    let known = [
        ("sha-256", &SHA256),
        ("sha-384", &SHA384),
        ("sha-512", &SHA512),
    ];
    let mut known = known.into_iter();
    let (_, algorithm) = known.find(|(name, _)| name.eq_ignore_ascii_case(hash))?;
    Some(algorithm)
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.algorithm, hex::encode(&self.digest))
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn written(hash: &str, digest: &[u8]) -> String {
        let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        format!("{hash} {}", bytes.join(":"))
    }

    #[test]
    fn each_hash_matches_its_own_certificate_alone() {
        for (name, algorithm) in [
            ("sha-256", &SHA256),
            ("SHA-384", &SHA384),
            ("sha-512", &SHA512),
        ] {
            let digest = digest::digest(algorithm, b"certificate");
            let read = Fingerprint::parse(&written(name, digest.as_ref())).unwrap();
            assert!(read.matches(b"certificate") && !read.matches(b"Certificate"));
            let small = written(name, digest.as_ref()).to_lowercase();
            assert_eq!(Fingerprint::parse(&small), Some(read));
        }
    }

    #[test]
    fn only_the_preferred_hash_counts() {
        let of = |algorithm, text: &[u8]| digest::digest(algorithm, text);
        let offered = [
            written("sha-512", of(&SHA512, b"a").as_ref()),
            written("sha-1", &[7; 20]),
            written("sha-256", of(&SHA256, b"b").as_ref()),
            written("sha-256", of(&SHA256, b"c").as_ref()),
        ];
        let matches = |selected: &[Fingerprint], certificate: &[u8]| {
            selected.iter().any(|one| one.matches(certificate))
        };
        let selected = Fingerprint::select(offered.clone());
        assert!(!matches(&selected, b"a"));
        assert!(matches(&selected, b"b") && matches(&selected, b"c"));
        let alone = Fingerprint::select(offered.into_iter().take(2));
        assert!(matches(&alone, b"a") && alone.len() == 1);
    }

    #[test]
    fn what_cannot_be_checked_is_none() {
        let digest = digest::digest(&SHA256, b"certificate");
        let short = &digest.as_ref()[1..];
        for value in [
            "",
            "sha-256",
            &written("sha-1", &[0; 20]),
            &written("md5", &[0; 16]),
            &written("sha-256", short),
            &written("sha-512", digest.as_ref()),
            &written("sha-256", digest.as_ref()).replace(':', ""),
            &written("sha-256", digest.as_ref()).replacen(':', ":+", 1),
        ] {
            assert_eq!(Fingerprint::parse(value), None, "{value}");
        }
    }
}
