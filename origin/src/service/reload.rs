//! SIGHUP: certificates, playback secrets and the log filter are read anew.

use std::{path::Path, sync::Arc};

use inlet_common::{
    clock,
    service::{logging, tls::Certificates},
};

use crate::{config::Config, playback};

/// Reads what can change without a restart; whatever is refused stays as it
/// was, and the log says so.
pub(super) fn files(
    path: &Path,
    certificates: &[Arc<Certificates>],
    playback: Option<&playback::Keys>,
    log: &logging::Handle,
) {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "configuration refused; the old one stays");
            return;
        }
    };
    let mut refused = 0;
    if let Err(error) = log.reload(&config.log) {
        tracing::error!(%error, "log filter refused; the old one stays");
        refused += 1;
    }
    for certificate in certificates {
        if let Err(error) = certificate.reload(clock::utc()) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "certificate refused; the old one stays");
            refused += 1;
        }
    }
    if let Some(Err(error)) = playback.map(playback::Keys::reload) {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "playback secrets refused; the old ones stay");
        refused += 1;
    }
    tracing::info!(
        refused,
        "log filter, certificates and playback secrets read anew; other keys take a restart"
    );
}
