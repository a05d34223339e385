//! One run: every kind that a target offers, at once, and no longer than its patience.
//!
//! There is no task of its own in it: dropping the future of a run closes all that it
//! has opened.

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use inlet_common::clock;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio_rustls::TlsConnector;

use super::{
    Credentials, Error, Findings, NoRoots, Target, Told, dial,
    drive::Drive,
    link::{Datagrams, Frames, Link},
    patience::{Budget, Patience},
    stun::Binding,
    target::Credential,
    tls,
    turn::Exchange,
    whip::Visit,
};
use crate::fleet::ask::Secrets;

/// Probes targets.
#[derive(Clone)]
pub struct Canary {
    patience: Patience,
    /// Stands in usernames: `probe-` and something of its own, or all points of presence
    /// that probe within a second would share the quota of one user.
    id: String,
    https: TlsConnector,
    turns: TlsConnector,
    secrets: Option<Arc<Secrets>>,
}

impl Canary {
    /// Believes certificates of the authorities in `ca` (PEM), or without it of those
    /// that this machine trusts. A run waits as long as `patience` says, and a second at
    /// most for goodbyes.
    ///
    /// # Errors
    ///
    /// When nobody is left to be trusted.
    pub fn new(ca: Option<&Path>, patience: Patience) -> Result<Self, NoRoots> {
        // By TLS, browsers say nothing of TURN (RFC 7443), so a port that is shared with
        // HTTPS has to tell by the first byte; a probe does as they do.
        let turns = tls::client(ca)?;
        let mut https = turns.clone();
        https.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            patience,
            id: format!("probe-{}", hex::encode(rand::random::<[u8; 4]>())),
            https: Arc::new(https).into(),
            turns: Arc::new(turns).into(),
            secrets: None,
        })
    }

    /// Asks each target how it does too, by the secrets of the fleet; `None`, the
    /// default, asks nobody.
    #[must_use]
    pub fn asking(self, secrets: Option<Arc<Secrets>>) -> Self {
        Self { secrets, ..self }
    }

    /// Probes all that the target offers, at all of its addresses at once: one that is
    /// broken among sound ones is what a share of clients gets.
    ///
    /// Who drops it half-way leaves allocations by UDP behind, until they expire.
    pub async fn run(&self, target: &Target, credentials: &Credentials) -> Findings {
        let runs = target
            .reachable()
            .map(|ip| self.probe(ip, target, credentials));
        let found = join_all(runs).await.into_iter().reduce(Findings::worse);
        found.unwrap_or_else(|| Findings::unreachable(target))
    }

    async fn probe(&self, ip: IpAddr, target: &Target, credentials: &Credentials) -> Findings {
        let begun = clock::now();
        let credential = credentials.at(clock::utc(), &self.id);
        let probe = Probe {
            canary: self,
            target,
            credential: credential.as_ref(),
            begun,
        };
        let ((whip, report), stun, turn_udp, turn_tcp, turn_tls) = tokio::join!(
            probe.whip(ip),
            offered(target.stun, |port| probe.stun((ip, port).into())),
            offered(target.turn_udp, |port| probe.turn_udp((ip, port).into())),
            offered(target.turn_tcp, |port| probe.turn_tcp((ip, port).into())),
            offered(target.turn_tls, |port| probe.turn_tls((ip, port).into())),
        );
        Findings {
            whip,
            stun,
            turn_udp,
            turn_tcp,
            turn_tls,
            report,
        }
    }
}

impl std::fmt::Debug for Canary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canary")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Probes what is offered.
async fn offered<F>(
    port: Option<u16>,
    probe: impl FnOnce(u16) -> F,
) -> Option<Result<Duration, Error>>
where
    F: Future<Output = Result<Duration, Error>>,
{
    Some(probe(port?).await)
}

/// A run.
struct Probe<'a> {
    canary: &'a Canary,
    target: &'a Target,
    credential: Option<&'a Credential>,
    begun: Instant,
}

impl Probe<'_> {
    /// Whether it takes offers; and how it does, whatever was answered to that, since one
    /// that drains has most to tell.
    async fn whip(
        &self,
        ip: IpAddr,
    ) -> (Option<Result<Duration, Error>>, Option<Result<Told, Error>>) {
        let Some(endpoint) = &self.target.whip else {
            return (None, None);
        };
        let server = SocketAddr::new(ip, endpoint.port());
        let mut budget = self.budget();
        let visit = Visit::open(server, endpoint, &self.canary.https, &mut budget).await;
        let mut visit = match visit {
            Ok(visit) => visit,
            Err(error) => return (Some(Err(error)), None),
        };
        let found = budget.step(visit.options()).await;
        let took = clock::now().saturating_duration_since(self.begun);
        let told = match &self.canary.secrets {
            // With an answer that is waited for no longer its connection is given up.
            Some(secrets) if found != Err(Error::Timeout) => {
                let asked = visit.report(secrets, &self.target.pop);
                Some(budget.step(asked).await)
            }
            _ => None,
        };
        (Some(found.map(|()| took)), told)
    }

    async fn stun(&self, server: SocketAddr) -> Result<Duration, Error> {
        let link = Datagrams::open(server).await?;
        let budget = self.budget();
        let now = clock::now();
        let timeout = budget.deadline().saturating_duration_since(now);
        let engine = Binding::new(now, timeout, &mut rng());
        let drive = Drive::new(engine, vec![link], self.begun);
        drive.run(budget.end()).await
    }

    async fn turn_udp(&self, server: SocketAddr) -> Result<Duration, Error> {
        let opened = async { tokio::try_join!(Datagrams::open(server), Datagrams::open(server)) };
        let (first, second) = opened.await?;
        self.exchange(vec![first, second], false, self.budget())
            .await
    }

    async fn turn_tcp(&self, server: SocketAddr) -> Result<Duration, Error> {
        let (mut one, mut other) = (self.budget(), self.budget());
        let opened =
            async { tokio::try_join!(dial::tcp(server, &mut one), dial::tcp(server, &mut other)) };
        let (first, second) = opened.await?;
        let links = vec![Frames::new(first), Frames::new(second)];
        self.exchange(links, true, one.joined(other)).await
    }

    async fn turn_tls(&self, server: SocketAddr) -> Result<Duration, Error> {
        let (mut one, mut other) = (self.budget(), self.budget());
        let dial = async |budget: &mut Budget| {
            let (host, connector) = (&self.target.host, &self.canary.turns);
            dial::tls(server, host, connector, budget).await
        };
        let opened = async { tokio::try_join!(dial(&mut one), dial(&mut other)) };
        let (first, second) = opened.await?;
        let links = vec![Frames::new(first), Frames::new(second)];
        self.exchange(links, true, one.joined(other)).await
    }

    async fn exchange<L: Link>(
        &self,
        links: Vec<L>,
        is_reliable: bool,
        budget: Budget,
    ) -> Result<Duration, Error> {
        let now = clock::now();
        let engine = Exchange::new(now, budget, is_reliable, self.credential, rng());
        let drive = Drive::new(engine, links, self.begun);
        drive.run(budget.end()).await
    }

    /// What a kind may take, from the begin of the run.
    fn budget(&self) -> Budget {
        Budget::new(self.begun, self.canary.patience)
    }
}

fn rng() -> StdRng {
    StdRng::from_seed(rand::random())
}
