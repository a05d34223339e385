//! What the CA wants to see while it validates, and the certificate that is
//! served otherwise.
//!
//! TLS-ALPN-01 ([RFC 8737](https://www.rfc-editor.org/rfc/rfc8737)): the CA
//! connects to port 443 with the name in SNI and `acme-tls/1` as the only
//! protocol in ALPN, and wants a certificate of our own making with the digest
//! of the key authorization. Whoever else connects gets the ordinary one. After
//! such a handshake nothing is said: the listener closes it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use arc_swap::ArcSwapOption;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};

use super::super::{ACME_ALPN, certificates::Loaded};

/// The certificate that is served, and the answers to challenges that run.
#[derive(Default)]
pub struct Resolver {
    current: ArcSwapOption<Loaded>,
    answers: RwLock<Answers>,
}

/// As many as an order has names, and gone when it ends.
#[derive(Default)]
struct Answers {
    /// By domain.
    tls_alpn: BTreeMap<String, Arc<CertifiedKey>>,
    /// Key authorizations by token.
    http: BTreeMap<String, String>,
}

impl Resolver {
    /// What is served; `None` before the first certificate.
    pub(super) fn current(&self) -> Option<Arc<Loaded>> {
        self.current.load_full()
    }

    /// Serves another certificate from the next handshake on.
    pub(super) fn serve(&self, loaded: Arc<Loaded>) {
        self.current.store(Some(loaded));
    }

    /// Answers TLS-ALPN-01 for `domain`.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be made.
    pub(super) fn answer_tls_alpn(
        &self,
        domain: &str,
        key_authorization: &str,
    ) -> Result<(), Error> {
        let certificate = validation_certificate(domain, key_authorization)?;
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers
            .tls_alpn
            .insert(domain.to_ascii_lowercase(), Arc::new(certificate));
        Ok(())
    }

    /// Answers HTTP-01 for `token`.
    pub(super) fn answer_http(&self, token: &str, key_authorization: &str) {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers
            .http
            .insert(token.to_owned(), key_authorization.to_owned());
    }

    /// The key authorization of a token (RFC 8555 §8.3).
    pub(super) fn key_authorization(&self, token: &str) -> Option<String> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        answers.http.get(token).cloned()
    }

    /// Forgets every answer.
    pub(super) fn forget(&self) {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        *answers = Answers::default();
    }

    fn validation(&self, domain: &str) -> Option<Arc<CertifiedKey>> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        answers.tls_alpn.get(&domain.to_ascii_lowercase()).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if is_validation(&hello) {
            return self.validation(hello.server_name()?);
        }
        self.current.load().as_ref().map(|loaded| loaded.key())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("current", &self.current.load())
            .finish_non_exhaustive()
    }
}

/// RFC 8737 §3: "The ACME server MUST provide an ALPN extension with the single
/// protocol name acme-tls/1".
fn is_validation(hello: &ClientHello<'_>) -> bool {
    let Some(mut names) = hello.alpn() else {
        return false;
    };
    names.next() == Some(ACME_ALPN) && names.next().is_none()
}

/// RFC 8737 §3: self-signed, the domain as its only name, and the digest in a
/// critical acmeIdentifier extension.
fn validation_certificate(domain: &str, key_authorization: &str) -> Result<CertifiedKey, Error> {
    let digest = Sha256::digest(key_authorization);
    let mut params = CertificateParams::new([domain.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Not `from_der`, which refuses a critical extension that it does not know.
    let key = super::super::provider()
        .key_provider
        .load_private_key(key)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Why no certificate for a validation can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the certificate for the validation cannot be made")]
    Make(#[from] rcgen::Error),
    #[error("the certificate for the validation cannot be used")]
    Use(#[from] rustls::Error),
}

#[cfg(test)]
mod tests {
    use x509_parser::{oid_registry::asn1_rs::oid, parse_x509_certificate};

    use super::*;

    #[test]
    fn the_certificate_holds_the_digest_critically_and_one_name() {
        let made = validation_certificate("a.example", "token.thumb").unwrap();
        let (_, parsed) = parse_x509_certificate(&made.cert[0]).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        let extension = parsed
            .get_extension_unique(&oid!(1.3.6.1.5.5.7.1.31))
            .unwrap()
            .unwrap();
        assert!(extension.critical);
        // An OCTET STRING of 32 bytes.
        assert_eq!(extension.value[..2], [0x04, 0x20]);
        assert_eq!(extension.value[2..], Sha256::digest("token.thumb")[..]);
    }

    #[test]
    fn answers_are_given_until_they_are_forgotten() {
        let resolver = Resolver::default();
        resolver.answer_http("token", "token.thumb");
        resolver
            .answer_tls_alpn("A.example", "token.thumb")
            .unwrap();
        assert_eq!(resolver.key_authorization("token").unwrap(), "token.thumb");
        assert_eq!(resolver.key_authorization("other"), None);
        assert!(resolver.validation("a.Example").is_some());
        assert!(resolver.validation("b.example").is_none());
        resolver.forget();
        assert_eq!(resolver.key_authorization("token"), None);
        assert!(resolver.validation("a.example").is_none());
    }
}
