//! What sessions are made from: one certificate and one set of limits for the
//! whole process.

use std::{fmt, time::Duration};

use super::dtls;

/// Shared by all sessions of the process.
#[derive(Clone)]
pub struct Config {
    pub(super) dtls: dtls::Factory,
    /// How long ICE and DTLS may take to come up. Default 15 s.
    pub connect_timeout: Duration,
    /// Silence (no authenticated packet of any kind) that ends a session.
    /// Default 15 s.
    pub silence_timeout: Duration,
    /// Where a browser's encoder shall begin, in bits per second. Too low and
    /// the first seconds are blurred; too high and a thin uplink chokes.
    /// Default 2 Mbps.
    pub start_bitrate: u64,
    /// The most that a presenter may send, in bits per second. Default 8 Mbps.
    pub max_bitrate: u64,
}

/// The certificate of the media sessions could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for DTLS that the library can use (media.dtls)")]
pub struct NoCertificate;

impl Config {
    /// Makes a certificate for the default DTLS and takes the defaults for the
    /// rest.
    ///
    /// # Errors
    ///
    /// See [`Config::with_dtls`].
    pub fn new() -> Result<Self, NoCertificate> {
        Self::with_dtls(dtls::Backend::default())
    }

    /// Makes a certificate for DTLS and takes the defaults for the rest.
    ///
    /// # Errors
    ///
    /// [`NoCertificate`] when the cryptography library cannot make or use one.
    pub fn with_dtls(backend: dtls::Backend) -> Result<Self, NoCertificate> {
        Ok(Self {
            dtls: dtls::Factory::new(backend).ok_or(NoCertificate)?,
            connect_timeout: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(15),
            start_bitrate: 2_000_000,
            max_bitrate: 8_000_000,
        })
    }
}

// Without the certificate's key.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("connect_timeout", &self.connect_timeout)
            .field("silence_timeout", &self.silence_timeout)
            .field("start_bitrate", &self.start_bitrate)
            .field("max_bitrate", &self.max_bitrate)
            .finish_non_exhaustive()
    }
}
