//! What all connections by OpenSSL share: certificate, versions, suites, profiles.

use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{
        Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVersion,
    },
    x509::X509,
};
use str0m::crypto::dtls::DtlsCert;

use crate::whip::session::dtls::Profile;

/// Authenticated key exchanges with forward secrecy alone; the certificate of
/// the side that is the server may be of either kind. RFC 8827 §6.5 makes the
/// first mandatory, and `records` relies on AES-GCM.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";

const GROUPS: &str = "X25519:P-256:P-384";

/// In the order of [`Profile::ALL`], by OpenSSL's names.
const PROFILES: [(&str, Profile); 3] = [
    ("SRTP_AEAD_AES_256_GCM", Profile::AeadAes256Gcm),
    ("SRTP_AEAD_AES_128_GCM", Profile::AeadAes128Gcm),
    ("SRTP_AES128_CM_SHA1_80", Profile::Aes128CmSha1),
];

/// 112 bits: RSA keys from 2,048 bits on.
const SECURITY_LEVEL: u32 = 2;

/// What all instances share.
#[derive(Clone)]
pub(in super::super) struct Context(SslContext);

impl Context {
    /// # Errors
    ///
    /// OpenSSL's, when it cannot use the certificate or lacks an algorithm.
    pub(in super::super) fn new(certificate: &DtlsCert) -> Result<Self, ErrorStack> {
        let mut context = SslContextBuilder::new(SslMethod::dtls())?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_security_level(SECURITY_LEVEL);
        context.set_cipher_list(CIPHERS)?;
        context.set_groups_list(GROUPS)?;
        let profiles = PROFILES.map(|(name, _)| name).join(":");
        context.set_tlsext_use_srtp(&profiles)?;
        let certificate_der = X509::from_der(&certificate.certificate)?;
        context.set_certificate(&certificate_der)?;
        let key = PKey::private_key_from_der(&certificate.private_key)?;
        context.set_private_key(&key)?;
        context.check_private_key()?;
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_options(
            SslOptions::NO_QUERY_MTU
                | SslOptions::NO_RENEGOTIATION
                | SslOptions::NO_TICKET
                | SslOptions::CIPHER_SERVER_PREFERENCE,
        );
        Ok(Self(context.build()))
    }

    /// A connection that is about to begin.
    ///
    /// # Errors
    ///
    /// OpenSSL's, when it has no memory.
    pub(super) fn connection(&self) -> Result<Ssl, ErrorStack> {
        Ssl::new(&self.0)
    }
}

/// The profile that OpenSSL knows by this name.
pub(super) fn profile(name: &str) -> Option<Profile> {
    let mut known = PROFILES.into_iter();
    let (_, profile) = known.find(|(known, _)| *known == name)?;
    Some(profile)
}
