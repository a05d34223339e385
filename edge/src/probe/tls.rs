//! TLS as clients of a point of presence have it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use inlet_common::service::tls::provider;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, pem, pem::PemObject as _},
};

/// Most authorities that are read from one file. A bundle of public ones has some
/// hundred and fifty.
const MAX_AUTHORITIES: usize = 512;

/// There is nobody whose word for a certificate would count.
#[derive(Debug, thiserror::Error)]
pub enum NoRoots {
    /// This machine trusts nobody.
    #[error("this machine trusts no authority: install the package ca-certificates")]
    Machine,
    /// The file cannot be read.
    #[error("cannot read authorities from {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// There is no authority in the file that can be used.
    #[error("no authority in {0}")]
    Empty(PathBuf),
    /// The TLS library refuses our settings.
    #[error("TLS settings refused")]
    Unusable(#[from] rustls::Error),
}

/// Trusts the authorities in `ca` (PEM), or without it those of this machine.
///
/// Nothing is resumed: a session that is gone on with shows no certificate.
///
/// # Errors
///
/// [`NoRoots`] when nobody is left to be trusted.
pub(super) fn client(ca: Option<&Path>) -> Result<ClientConfig, NoRoots> {
    let found = match ca {
        Some(path) => read(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(found).0 == 0 {
        return Err(ca.map_or(NoRoots::Machine, |path| NoRoots::Empty(path.to_owned())));
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::new(roots))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, NoRoots> {
    let failed = |source| NoRoots::File {
        path: path.to_owned(),
        source,
    };
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let found: Result<_, _> = found.take(MAX_AUTHORITIES).collect();
    found.map_err(failed)
}
