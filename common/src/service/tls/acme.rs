//! A certificate from a CA, by ACME
//! ([RFC 8555](https://www.rfc-editor.org/rfc/rfc8555)), for as many listeners as
//! like.
//!
//! ```text
//!  schedule   when to order, renew, wait           pure, virtual time in tests
//!     ▼
//!  driver ─▶ account, order ─▶ client ─▶ the CA    one attempt at a time
//!     │          └▶ answers ◀── handshakes with `acme-tls/1`; http01 on port 80
//!     ▼
//!  store (disk) ─▶ answers::Resolver               every handshake from then on
//! ```
//!
//! What is served changes only when a new certificate is there, sound, and has
//! every name; an order that fails changes nothing. Without a certificate a
//! handshake fails, and [`Acme::readiness`] says why.
//!
//! Both challenges want the CA to reach *this* process under each name. A name
//! that geo-DNS leads to several points of presence cannot be validated so.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::Router;
use metrics::Gauge;
use rustls::server::ResolvesServerCert;
use tokio::sync::Notify;

use super::certificates::Loaded;
use crate::{
    clock::UtcTime,
    config::acme::{Challenge, Settings},
};

mod account;
mod answers;
mod client;
mod driver;
mod failure;
mod http01;
mod order;
mod schedule;
mod store;
mod tally;
#[cfg(test)]
mod tests;

pub use answers::Resolver;
pub use store::Error as StoreError;

use store::Store;

/// A certificate by ACME: what listeners are made with, and what is driven by
/// [`Acme::run`].
pub struct Acme {
    settings: Settings,
    store: Store,
    resolver: Arc<Resolver>,
    expiry: Gauge,
    orders: tally::Orders,
    shared: Mutex<Shared>,
    /// The operator has reloaded.
    reloaded: Notify,
}

/// What changes while it runs.
struct Shared {
    domains: Vec<String>,
    /// What happened last, for readiness.
    last: String,
}

/// What the state directory holds, for `--check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// When it ends.
    pub not_after: UtcTime,
    /// Names that are wanted and that it does not have.
    pub missing: Vec<String>,
}

impl Acme {
    /// Takes up the certificate that was kept, if there is one. `program` begins
    /// the names of metrics; `expiry` is set to the end of the certificate's
    /// validity, in seconds since the Unix epoch, now and at each renewal.
    ///
    /// Without a certificate, or with one that cannot be read, it starts too:
    /// [`Acme::run`] gets one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`] when there is state that this user may not read.
    pub fn load(
        settings: Settings,
        program: &'static str,
        expiry: Gauge,
    ) -> Result<Arc<Self>, StoreError> {
        let store = Store::new(&settings.state_dir, &settings.directory);
        let resolver = Arc::new(Resolver::default());
        if let Some(loaded) = read(&store)? {
            expiry.set(loaded.not_after().as_unix_seconds() as f64);
            tracing::info!(
                names = ?loaded.names(),
                expires = %show(loaded.not_after()),
                "certificate taken from the state directory"
            );
            resolver.serve(Arc::new(loaded));
        }
        Ok(Arc::new(Self {
            shared: Mutex::new(Shared {
                domains: settings.domains.clone(),
                last: "none was ordered yet".to_owned(),
            }),
            store,
            resolver,
            expiry,
            orders: tally::Orders::new(program),
            reloaded: Notify::new(),
            settings,
        }))
    }

    /// What the state directory holds; `None` without a certificate. Nothing is
    /// ordered, asked or written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`] when there is state that this user may not read.
    pub fn look(settings: &Settings) -> Result<Option<Kept>, StoreError> {
        let store = Store::new(&settings.state_dir, &settings.directory);
        let loaded = read(&store)?;
        Ok(loaded.map(|loaded| Kept {
            path: store.certificate_path(),
            not_after: loaded.not_after(),
            missing: missing(&loaded, &settings.domains),
        }))
    }

    /// What would keep every order from being placed: authorities that cannot be
    /// read, a key of an external account that is none.
    pub fn problems(settings: &Settings) -> Vec<String> {
        let client = client::Client::new(settings.directory_ca.as_deref());
        let client = client.err().map(failure::Failure::from);
        let external = settings.external_account.as_ref();
        let external = external.and_then(|external| account::external_key(external).err());
        let failures = client.into_iter().chain(external);
        failures.map(|failure| failure.what).collect()
    }

    /// The certificate, and the answers to the CA, for a listener.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.resolver) as Arc<dyn ResolvesServerCert>
    }

    /// Whether the CA comes by TLS, so that listeners have to let it in.
    pub fn validates_by_tls(&self) -> bool {
        self.settings.challenge == Challenge::TlsAlpn01
    }

    /// What port 80 serves; `https` is the port where HTTPS is found from
    /// outside.
    pub fn http01(self: &Arc<Self>, https: u16) -> Router {
        http01::router(Arc::clone(self), https)
    }

    /// Whether clients can be served at `now`.
    ///
    /// # Errors
    ///
    /// Why not, for an operator.
    pub fn readiness(&self, now: UtcTime) -> Result<(), String> {
        let shared = self.lock();
        let last = &shared.last;
        match self.resolver.current() {
            None => Err(format!("no certificate yet: {last}")),
            Some(loaded) if loaded.not_after() <= now => {
                Err(format!("the certificate has expired: {last}"))
            }
            Some(loaded) if !shared.domains.iter().any(|name| loaded.covers(name)) => {
                Err(format!("the certificate is for other names: {last}"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Wants a certificate for `domains` from now on, and ends a wait after a
    /// failure, unless the CA asked for it.
    pub fn reload(&self, domains: Vec<String>) {
        self.lock().domains = domains;
        self.reloaded.notify_one();
    }

    /// The domain that `host` names.
    fn domain(&self, host: &str) -> Option<String> {
        let shared = self.lock();
        let mut domains = shared.domains.iter();
        domains
            .find(|name| name.eq_ignore_ascii_case(host))
            .cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme")
            .field("settings", &self.settings)
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

/// The certificate that was kept. One that cannot be used is as good as none:
/// it is said, and a new one is ordered in its place.
fn read(store: &Store) -> Result<Option<Loaded>, StoreError> {
    let Some(pem) = store.certificate()? else {
        return Ok(None);
    };
    match Loaded::from_pem(&pem, &store.certificate_path()) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(error) => {
            tracing::warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "the kept certificate cannot be used; a new one is ordered"
            );
            Ok(None)
        }
    }
}

fn missing(loaded: &Loaded, domains: &[String]) -> Vec<String> {
    let mut names = domains.to_vec();
    names.retain(|name| !loaded.covers(name));
    names
}

/// A moment as operators read it.
fn show(moment: UtcTime) -> impl fmt::Display {
    humantime_serde::re::humantime::format_rfc3339_seconds(moment.to_system_time())
}
