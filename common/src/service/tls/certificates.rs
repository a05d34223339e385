//! One certificate chain with its key, read from PEM files and exchanged while
//! connections run.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use metrics::Gauge;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert, VerifierBuilderError},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::super::credential;
use crate::{clock::UtcTime, config::TlsFiles};

/// Most certificates that are read from one file. A chain has three or four;
/// a bundle of public CAs has some hundred and fifty.
const MAX_CERTIFICATES: usize = 512;

/// A certificate chain and its key; every new handshake uses the latest.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    loaded: ArcSwap<Loaded>,
    expiry: Gauge,
}

/// A chain with its key, and what it says of itself.
pub(super) struct Loaded {
    key: Arc<CertifiedKey>,
    not_before: UtcTime,
    not_after: UtcTime,
    names: Vec<String>,
}

impl Certificates {
    /// Reads the files. `expiry` is set to the end of the certificate's
    /// validity, in seconds since the Unix epoch, now and at each reload.
    ///
    /// A certificate that has expired is taken: it is for the caller, who has
    /// a clock, to judge by [`Certificates::not_after`].
    ///
    /// # Errors
    ///
    /// [`Error::Read`] and [`Error::Pem`] when a file is bad,
    /// [`Error::Refused`] when the key is not the certificate's.
    pub fn load(files: TlsFiles, expiry: Gauge) -> Result<Arc<Self>, Error> {
        let loaded = Loaded::read(&files)?;
        expiry.set(loaded.not_after.as_unix_seconds() as f64);
        Ok(Arc::new(Self {
            files,
            loaded: ArcSwap::from_pointee(loaded),
            expiry,
        }))
    }

    /// Reads the files anew. On an error the old certificate stays in use.
    ///
    /// # Errors
    ///
    /// As [`Certificates::load`], and [`Error::Expired`] when the new
    /// certificate is not valid at `now` any more.
    pub fn reload(&self, now: UtcTime) -> Result<(), Error> {
        let loaded = Loaded::read(&self.files)?;
        if loaded.not_after <= now {
            return Err(Error::Expired {
                path: self.files.certificate.clone(),
            });
        }
        self.expiry.set(loaded.not_after.as_unix_seconds() as f64);
        self.loaded.store(Arc::new(loaded));
        Ok(())
    }

    /// When the certificate stops being valid.
    pub fn not_after(&self) -> UtcTime {
        self.loaded.load().not_after
    }

    /// The DNS names and addresses that the certificate is for.
    pub fn names(&self) -> Vec<String> {
        self.loaded.load().names.clone()
    }

    /// The files that it came from.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.loaded.load().key)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Certificates {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Loaded {
    fn read(files: &TlsFiles) -> Result<Self, Error> {
        let chain = read_chain(&files.certificate)?;
        let path = credential::locate(&files.key);
        let key =
            PrivateKeyDer::from_pem_file(&path).map_err(|source| Error::pem(&path, source))?;
        Self::new(chain, key, &files.certificate)
    }

    /// Reads a chain and its key from one PEM text; `path` is only named in the
    /// error.
    pub(super) fn from_pem(text: &[u8], path: &Path) -> Result<Self, Error> {
        let chain = CertificateDer::pem_slice_iter(text)
            .take(MAX_CERTIFICATES)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::pem(path, source))?;
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|source| Error::pem(path, source))?;
        Self::new(chain, key, path)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        path: &Path,
    ) -> Result<Self, Error> {
        let refused = |source| Error::Refused {
            path: path.to_owned(),
            source,
        };
        let facts = chain
            .first()
            .and_then(facts)
            .ok_or_else(|| refused(rustls::CertificateError::BadEncoding.into()))?;
        let key = CertifiedKey::from_der(chain, key, &super::provider()).map_err(refused)?;
        Ok(Self {
            key: Arc::new(key),
            not_before: facts.not_before,
            not_after: facts.not_after,
            names: facts.names,
        })
    }

    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    pub(super) const fn not_before(&self) -> UtcTime {
        self.not_before
    }

    pub(super) const fn not_after(&self) -> UtcTime {
        self.not_after
    }

    /// The DNS names and addresses that it is for.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is for `host`; a wildcard of the certificate stands for one
    /// label.
    pub(super) fn covers(&self, host: &str) -> bool {
        covers(&self.names, host)
    }
}

/// Whether one of a certificate's names is `host`'s (RFC 9525 §6.3).
pub fn covers(names: &[String], host: &str) -> bool {
    names.iter().any(|name| match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    })
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("not_after", &self.not_after)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What a certificate says of itself.
struct Facts {
    not_before: UtcTime,
    not_after: UtcTime,
    /// The subject's alternative names.
    names: Vec<String>,
}

fn facts(certificate: &CertificateDer<'_>) -> Option<Facts> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let moment = |seconds: i64| UtcTime::from_unix_micros(seconds.saturating_mul(1_000_000));
    let validity = parsed.validity();
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
    Some(Facts {
        not_before: moment(validity.not_before.timestamp()),
        not_after: moment(validity.not_after.timestamp()),
        names: names.collect(),
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

/// Reads every certificate of a PEM file; at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let path = &credential::locate(path);
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(|source| Error::pem(path, source))?
        .take(MAX_CERTIFICATES)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::pem(path, source))?;
    if chain.is_empty() {
        return Err(Error::pem(path, pem::Error::NoItemsFound));
    }
    Ok(chain)
}

/// Why TLS cannot be set up. The file in question is always named.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file holds no PEM of the kind that is needed.
    #[error("{} holds no usable PEM section: certificates begin with \
             -----BEGIN CERTIFICATE-----, keys with -----BEGIN PRIVATE KEY-----", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The certificate cannot be used, or not with this key.
    #[error("the certificate in {} cannot be used", path.display())]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The certificate is not valid any more.
    #[error("the certificate in {} has expired", path.display())]
    Expired {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The certificates cannot serve as a CA.
    #[error("the certificates in {} cannot serve as a CA", path.display())]
    Ca {
        /// The CA's file.
        path: PathBuf,
        /// Why not.
        source: VerifierBuilderError,
    },
    /// Our own settings and the crypto provider do not go together.
    #[error("TLS settings")]
    Unusable(#[source] rustls::Error),
}

impl Error {
    fn pem(path: &Path, source: pem::Error) -> Self {
        let path = path.to_owned();
        match source {
            pem::Error::Io(source) => Self::Read { path, source },
            source => Self::Pem { path, source },
        }
    }

    pub(super) fn ca(path: &Path, source: VerifierBuilderError) -> Self {
        Self::Ca {
            path: path.to_owned(),
            source,
        }
    }
}
