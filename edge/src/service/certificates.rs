//! The certificates of this process: from files, and from a CA.

use std::{sync::Arc, time::Duration};

use inlet_common::{
    clock,
    config::{CertificateSource, TlsFiles, acme::Challenge},
    lifecycle::Tasks,
    service::{
        listener::{Listener, Options},
        tls::{self, Certificates, acme::Acme},
    },
};
use metrics::{Gauge, Unit, describe_gauge, gauge};
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::{Error, listeners};
use crate::config::Config;

/// Where HTTPS is expected where nobody says otherwise.
const HTTPS_PORT: u16 = 443;

/// Connections to port 80 at once: a CA's few, and browsers on their way to HTTPS.
const MAX_PORT80_CONNECTIONS: usize = 256;

/// How long one of them may be idle.
const PORT80_IDLE: Duration = Duration::from_secs(10);

/// All that listeners and the link show.
#[derive(Clone, Debug)]
pub(super) struct Held {
    files: Vec<Arc<Certificates>>,
    acme: Option<Arc<Acme>>,
}

impl Held {
    /// Takes up what `[acme]` has kept; files come with their listeners.
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let acme = config.acme.clone();
        let acme = acme.map(|acme| Acme::load(acme, "inlet_edge", expiry("acme")));
        Ok(Self {
            files: Vec::new(),
            acme: acme.transpose()?,
        })
    }

    /// Reads files; `kind` tells certificates apart in metrics.
    pub(super) fn files(
        &mut self,
        files: &TlsFiles,
        kind: &'static str,
    ) -> Result<Arc<Certificates>, tls::Error> {
        let loaded = Certificates::load(files.clone(), expiry(kind))?;
        self.files.push(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// TLS for a listener; `None` without a certificate.
    pub(super) fn server(
        &mut self,
        source: Option<&CertificateSource>,
        kind: &'static str,
    ) -> Result<Option<Arc<ServerConfig>>, tls::Error> {
        let config = match (source, &self.acme) {
            (Some(CertificateSource::Files(files)), _) => {
                tls::tcp_server(self.files(files, kind)?, None)?
            }
            (Some(CertificateSource::Acme), Some(acme)) => tls::acme_server(acme)?,
            // The configuration names ACME only where it has it.
            (Some(CertificateSource::Acme) | None, _) => return Ok(None),
        };
        Ok(Some(Arc::new(config)))
    }

    /// Whether clients find a certificate.
    pub(super) fn readiness(&self) -> Result<(), String> {
        let acme = self.acme.as_ref();
        acme.map_or(Ok(()), |acme| acme.readiness(clock::utc()))
    }

    /// Reads the files anew, and tells which domains are wanted now.
    pub(super) fn reload(&self, config: &Config) {
        for certificate in &self.files {
            if let Err(error) = certificate.reload(clock::utc()) {
                let error = &error as &(dyn std::error::Error + 'static);
                tracing::error!(error, "certificate refused; the old one stays");
            }
        }
        if let (Some(acme), Some(settings)) = (&self.acme, &config.acme) {
            acme.reload(settings.domains.clone());
        }
    }

    /// Begins to keep the certificate of `[acme]` valid, and to answer at port 80
    /// where it is bound. The listeners must be served by now: the CA comes to them.
    pub(super) fn spawn(
        &self,
        port80: Option<Listener>,
        https: u16,
        closing: &CancellationToken,
        tasks: &mut Tasks,
    ) {
        let Some(acme) = &self.acme else {
            return;
        };
        if let Some(port80) = port80 {
            let routes = acme.http01(https);
            tasks.spawn_infallible("port 80", port80.serve(routes, closing.clone()));
        }
        let run = Arc::clone(acme).run(closing.clone());
        tasks.spawn_infallible("acme", run);
    }
}

/// Binds where HTTP-01 is answered, if it is.
pub(super) fn bind_port80(config: &Config) -> Result<Option<Listener>, Error> {
    let acme = config.acme.as_ref();
    let Some(acme) = acme.filter(|acme| acme.challenge == Challenge::Http01) else {
        return Ok(None);
    };
    let options = Options {
        max_connections: MAX_PORT80_CONNECTIONS,
        idle_timeout: PORT80_IDLE,
        ..Options::default()
    };
    let listener = listeners::listen(acme.http_listen, options, None, "acme")?;
    Ok(Some(listener))
}

/// Where browsers find HTTPS: at the port of `http.public_url`, else where we `listen`,
/// if we do.
pub(super) fn https_port(public_url: Option<&str>, listen: Option<u16>) -> u16 {
    let url: Option<http::Uri> = public_url.and_then(|url| url.parse().ok());
    match url {
        Some(url) => url.port_u16().unwrap_or(HTTPS_PORT),
        None => listen.unwrap_or(HTTPS_PORT),
    }
}

/// The gauge that tells when a certificate ends.
fn expiry(kind: &'static str) -> Gauge {
    const NAME: &str = "inlet_edge_certificate_expiry_seconds";
    describe_gauge!(
        NAME,
        Unit::Seconds,
        "end of a certificate's validity, since the Unix epoch"
    );
    gauge!(NAME, "kind" => kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_where_presenters_go() {
        for (public_url, listen, port) in [
            (None, None, 443),
            (None, Some(8443), 8443),
            (Some("https://a.example"), Some(8443), 443),
            (Some("https://a.example:9443/"), Some(8443), 9443),
        ] {
            assert_eq!(https_port(public_url, listen), port, "{public_url:?}");
        }
    }
}
