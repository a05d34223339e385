//! Certificates that reload without losing a connection, and the rustls
//! configurations made of them.
//!
//! The crypto provider is always passed explicitly: several crates here bring
//! rustls, and a process-wide default would be whatever came first. Between
//! edge and origin both sides show a certificate of one private CA; a public
//! CA's word counts for nothing there, since anybody can get a certificate
//! from it.
//!
//! A listener's certificate comes from files ([`Certificates`]) or from a CA by
//! ACME ([`acme`]).

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};

pub mod acme;
mod certificates;
#[cfg(test)]
mod tests;

pub use certificates::{Certificates, Error, covers};

/// What a CA that validates by TLS-ALPN-01 names in ALPN
/// ([RFC 8737 §6.2](https://www.rfc-editor.org/rfc/rfc8737#section-6.2)).
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// The one crypto provider of this project.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// TLS 1.2 and 1.3 for a TCP listener, which adds by itself what it offers by
/// ALPN.
///
/// With `client_ca`, only clients with a certificate of that CA get in.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Pem`] when the CA's file is bad,
/// [`Error::Unusable`] when rustls refuses what is in it.
pub fn tcp_server(
    certificates: Arc<dyn ResolvesServerCert>,
    client_ca: Option<&Path>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Unusable)?;
    let builder = match client_ca {
        Some(ca) => builder.with_client_cert_verifier(client_verifier(ca)?),
        None => builder.with_no_client_auth(),
    };
    Ok(builder.with_cert_resolver(certificates))
}

/// TLS 1.3 for the server's end of a QUIC link; clients must show a
/// certificate of the CA. There is no 0-RTT.
///
/// # Errors
///
/// As [`tcp_server`].
pub fn link_server(
    certificates: Arc<Certificates>,
    ca: &Path,
    alpn: &[u8],
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::Unusable)?
        .with_client_cert_verifier(client_verifier(ca)?)
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![alpn.to_vec()];
    // A ticket would let a certificate that was taken back come in again.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// TLS 1.3 for the client's end of a QUIC link; the server's certificate must
/// be of the CA, and ours is shown. There is no 0-RTT.
///
/// # Errors
///
/// As [`tcp_server`].
pub fn link_client(
    certificates: Arc<Certificates>,
    ca: &Path,
    alpn: &[u8],
) -> Result<ClientConfig, Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca)?, provider())
        .build()
        .map_err(|source| Error::ca(ca, source))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::Unusable)?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(certificates);
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

/// As [`tcp_server`], with the certificate of `acme`, and its CA let in where it
/// validates by TLS-ALPN-01.
///
/// # Errors
///
/// [`Error::Unusable`] when rustls refuses our settings.
pub fn acme_server(acme: &acme::Acme) -> Result<ServerConfig, Error> {
    let mut config = tcp_server(acme.resolver(), None)?;
    if acme.validates_by_tls() {
        config.alpn_protocols = vec![ACME_ALPN.to_vec()];
    }
    Ok(config)
}

fn client_verifier(ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider())
        .build()
        .map_err(|source| Error::ca(ca, source))
}

/// The authorities in a PEM file.
fn roots(ca: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates::read_chain(ca)? {
        roots.add(certificate).map_err(|source| Error::Refused {
            path: ca.to_owned(),
            source,
        })?;
    }
    Ok(Arc::new(roots))
}
