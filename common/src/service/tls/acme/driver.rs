//! Drives the schedule: waits, orders, keeps what comes of it, and says so.
//!
//! The numbers are those of the driving contract in `schedule`.

use std::{sync::Arc, time::Duration};

use instant_acme::{Account, CertificateIdentifier};
use rand::{SeedableRng as _, rngs::StdRng};
use rustls::pki_types::CertificateDer;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Acme, Loaded, account,
    client::Client,
    failure::Failure,
    missing,
    order::{self, Wish},
    schedule::{Attempts, Held, Kind, Output, Schedule, Validity},
    show,
};
use crate::clock::{self, UtcTime};

/// Longest attempt. What takes longer counts as the CA's trouble.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(300);

/// Longest question for a suggestion.
const RENEWAL_INFO_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait without a look at the clock, which may have been set.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

impl Acme {
    /// Keeps the certificate valid until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut driver = Driver::new(self);
        tokio::select! {
            () = stop.cancelled() => {}
            () = driver.turn() => {}
        }
    }

    /// What is served, as the schedule sees it (1).
    fn held(&self) -> Option<Held> {
        let domains = self.lock().domains.clone();
        let loaded = self.resolver.current()?;
        Some(Held {
            validity: validity(&loaded),
            covers: missing(&loaded, &domains).is_empty(),
        })
    }

    fn attempts(&self) -> Attempts {
        let json = self.store.attempts().ok().flatten();
        let attempts = json.map(|json| serde_json::from_slice(&json));
        match attempts {
            None => Attempts::default(),
            Some(Ok(attempts)) => attempts,
            Some(Err(error)) => {
                tracing::warn!(%error, "earlier attempts cannot be read; they are forgotten");
                Attempts::default()
            }
        }
    }
}

pub(super) struct Driver {
    pub(super) acme: Arc<Acme>,
    pub(super) schedule: Schedule<StdRng>,
    client: Option<Client>,
    /// Made at the first attempt, and anew after a failure.
    account: Option<Account>,
}

impl Driver {
    pub(super) fn new(acme: Arc<Acme>) -> Self {
        Self {
            schedule: Schedule::new(
                clock::utc(),
                acme.settings.renew_before,
                acme.held(),
                acme.attempts(),
                StdRng::from_rng(&mut rand::rng()),
            ),
            acme,
            client: None,
            account: None,
        }
    }

    async fn turn(&mut self) {
        self.announce();
        loop {
            // (2)
            match self.schedule.poll_output(clock::utc()) {
                Output::Order => self.attempt().await,
                Output::AskRenewalInfo => self.ask_renewal_info().await,
                Output::Timeout(at) => {
                    let wait = at.micros_since(clock::utc()).max(0).unsigned_abs();
                    let wait = Duration::from_micros(wait).min(LONGEST_WAIT);
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.acme.reloaded.notified() => self.reload(),
                    }
                }
            }
        }
    }

    /// Says what a start begins with, when that is a wait.
    fn announce(&self) {
        let now = clock::utc();
        let due = self.schedule.due(now);
        if self.acme.held().is_none_or(|held| !held.covers) && due > now {
            let text = format!(
                "an earlier attempt failed; the next is at {}, or when the service is reloaded",
                show(due)
            );
            tracing::warn!("certificate missing: {text}");
            self.acme.lock().last = text;
        }
    }

    /// (6)
    fn reload(&mut self) {
        let covers = self.acme.held().is_some_and(|held| held.covers);
        self.schedule.handle_reload(clock::utc(), covers);
    }

    pub(super) async fn attempt(&mut self) {
        let domains = self.acme.lock().domains.clone();
        tracing::info!(
            ?domains,
            directory = self.acme.settings.directory,
            challenge = self.acme.settings.challenge.as_str(),
            "ordering a certificate"
        );
        self.acme.lock().last = "an order is under way".to_owned();
        let outcome = self.order(&domains).await;
        let now = clock::utc();
        // (4)
        match outcome {
            Ok(loaded) => self.issued(now, loaded),
            Err(failure) => self.failed(now, failure),
        }
        if let Err(error) = self.keep_attempts() {
            tracing::debug!(?error, "the attempt is not kept");
        }
        // What was reloaded meanwhile is in the domains, not in the schedule.
        let current = self.acme.held();
        if let Some(held) = current.filter(|held| !held.covers) {
            self.schedule.handle_reload(now, held.covers);
        }
    }

    /// Orders and keeps; nothing that is served has changed when it fails.
    async fn order(&mut self, domains: &[String]) -> Result<Loaded, Failure> {
        // (3): what cannot be kept is not ordered.
        self.keep_attempts()?;
        let placed = timeout(ATTEMPT_TIMEOUT, self.place(domains)).await;
        let pem = placed.unwrap_or_else(|_| {
            Err(Failure::new(
                Kind::Unreachable,
                "the CA took too long",
                "it is tried again by itself",
            ))
        })?;
        let acme = &self.acme;
        let unusable =
            |what: String| Failure::new(Kind::Refused, what, "see the CA's documentation");
        let loaded = Loaded::from_pem(pem.as_bytes(), &acme.store.certificate_path())
            .map_err(|error| unusable(format!("the certificate cannot be used: {error:?}")))?;
        let missing = missing(&loaded, domains);
        if !missing.is_empty() || loaded.not_after() <= clock::utc() {
            let what = "the CA gave a certificate that has expired, or is not for";
            return Err(unusable(format!("{what} {missing:?}")));
        }
        if let Err(error) = acme.store.keep_certificate(pem.as_bytes()) {
            tracing::error!(
                error = &error as &(dyn std::error::Error + 'static),
                "the new certificate is served but not kept: the next start orders again"
            );
        }
        Ok(loaded)
    }

    async fn place(&mut self, domains: &[String]) -> Result<String, Failure> {
        let settings = self.acme.settings.clone();
        let current = self.acme.resolver.current();
        let current = current.filter(|held| domains.iter().any(|name| held.covers(name)));
        let key = current.map(|held| held.key());
        let replaces: Option<&CertificateDer<'_>> = key.as_ref().and_then(|key| key.cert.first());
        let acme = Arc::clone(&self.acme);
        let wish = Wish {
            domains,
            challenge: settings.challenge,
            replaces,
            resolver: &acme.resolver,
        };
        let account = self.account().await?;
        match order::place(&account, &wish).await {
            Err(failure) if failure.is_account_lost => {
                tracing::warn!("the CA does not know the account any more; a new one is made");
                self.account = None;
                acme.store.retire_account()?;
                let account = self.account().await?;
                order::place(&account, &wish).await
            }
            placed => placed,
        }
        .map_err(|failure| self.with_retry_after(failure))
    }

    /// The account; opened when there is none.
    async fn account(&mut self) -> Result<Account, Failure> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let settings = &self.acme.settings;
        let client = match &self.client {
            Some(client) => client.clone(),
            None => Client::new(settings.directory_ca.as_deref())?,
        };
        self.client = Some(client.clone());
        let opened = account::open(settings, &self.acme.store, &client).await;
        let account = opened.map_err(|failure| self.with_retry_after(failure))?;
        Ok(self.account.insert(account).clone())
    }

    fn with_retry_after(&self, failure: Failure) -> Failure {
        let retry_after = self.client.as_ref().and_then(Client::take_retry_after);
        Failure {
            retry_after: retry_after.or(failure.retry_after),
            ..failure
        }
    }

    fn issued(&mut self, now: UtcTime, loaded: Loaded) {
        let acme = &self.acme;
        self.schedule.handle_issued(now, validity(&loaded));
        acme.orders.issued();
        acme.expiry.set(loaded.not_after().as_unix_seconds() as f64);
        tracing::info!(
            names = ?loaded.names(),
            expires = %show(loaded.not_after()),
            renewal = %show(self.schedule.due(now)),
            "certificate issued"
        );
        acme.lock().last = "issued".to_owned();
        acme.resolver.serve(Arc::new(loaded));
    }

    fn failed(&mut self, now: UtcTime, failure: Failure) {
        // Directories and accounts may have changed when it is tried again.
        self.account = None;
        let Failure {
            kind, what, advice, ..
        } = &failure;
        self.schedule
            .handle_failure(now, *kind, failure.retry_after);
        self.acme.orders.failed(*kind);
        let next = show(self.schedule.due(now));
        match self.acme.resolver.current() {
            Some(_) => {
                tracing::warn!(reason = what, advice, %next, "no new certificate; the old one stays");
            }
            None => tracing::warn!(reason = what, advice, %next, "no certificate"),
        }
        self.acme.lock().last = format!("{what}. {advice}. The next attempt is at {next}");
    }

    fn keep_attempts(&self) -> Result<(), Failure> {
        let json = serde_json::to_vec(&self.schedule.attempts());
        let json = json.map_err(|error| Failure::new(Kind::Local, error.to_string(), "report it"));
        Ok(self.acme.store.keep_attempts(&json?)?)
    }

    /// (5)
    pub(super) async fn ask_renewal_info(&mut self) {
        let asked = timeout(RENEWAL_INFO_TIMEOUT, self.renewal_info()).await;
        let now = clock::utc();
        match asked {
            Ok(Ok((window, again))) => {
                self.schedule.handle_renewal_info(now, window, again);
                let renewal = show(self.schedule.due(now));
                tracing::debug!(%renewal, "the CA suggests when to renew");
            }
            Ok(Err(failure)) => {
                tracing::debug!(reason = failure.what, "no suggestion from the CA");
                self.schedule.handle_no_renewal_info(now);
            }
            Err(_) => self.schedule.handle_no_renewal_info(now),
        }
    }

    /// The window that the CA suggests, and when to ask again (RFC 9773 §4).
    async fn renewal_info(&mut self) -> Result<((UtcTime, UtcTime), Duration), Failure> {
        let challenge = self.acme.settings.challenge;
        let nothing = || Failure::new(Kind::Local, "the certificate has no identifier", "");
        let key = self.acme.resolver.current().map(|held| held.key());
        let certificate = key.as_ref().and_then(|key| key.cert.first());
        let identifier = certificate.map(CertificateIdentifier::try_from);
        let identifier = identifier.and_then(Result::ok).ok_or_else(nothing)?;
        if self.acme.store.account()?.is_none() {
            // An account is made for an order, not for a question.
            return Err(nothing());
        }
        let account = self.account().await?;
        let info = account.renewal_info(&identifier).await;
        let (info, again) = info.map_err(|error| Failure::of(error, challenge, None))?;
        let window = info.suggested_window;
        let moment = |seconds: i64| UtcTime::from_unix_micros(seconds.saturating_mul(1_000_000));
        let (start, end) = (window.start.unix_timestamp(), window.end.unix_timestamp());
        Ok(((moment(start), moment(end)), again))
    }
}

fn validity(loaded: &Loaded) -> Validity {
    Validity {
        not_before: loaded.not_before(),
        not_after: loaded.not_after(),
    }
}
