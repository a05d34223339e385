//! One point of presence of a fleet: what is asked of it, and its process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use reqwest::{Client, Method, RequestBuilder};

use super::{
    super::{
        Metrics, Ports, Process, STOP_PATIENCE, Stream, TurnCredential, binaries, ready, secrets,
        spawn,
    },
    Place,
};
use crate::resolver::Resolver;

/// A point of presence, which may have ended.
pub struct PointOfPresence {
    /// What it is called, and where it is.
    pub place: Place,
    folder: PathBuf,
    ports: Ports,
    dns: u16,
    process: Option<Process>,
}

impl PointOfPresence {
    pub(super) fn spawn(place: Place, folder: &Path, ports: Ports, dns: u16) -> Result<Self> {
        Ok(Self {
            place,
            folder: folder.to_owned(),
            ports,
            dns,
            process: Some(spawn(&binaries()?, "inlet-edge", place.name, folder)?),
        })
    }

    pub(super) const fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    pub(super) const fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// A resolver that asks its name server.
    pub fn resolver(&self) -> Resolver {
        Resolver::of(SocketAddr::from((self.place.address, self.dns)))
    }

    /// Where a stream is published here, whatever name servers say.
    ///
    /// # Errors
    ///
    /// When the stream's own URL is none.
    pub fn whip(&self, stream: &Stream) -> Result<String> {
        let mut url: reqwest::Url = stream.whip.parse().context("the WHIP URL")?;
        url.set_host(Some(&self.place.address.to_string()))?;
        Ok(url.into())
    }

    /// Base URL of its admin API.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.edge_admin)
    }

    /// A request to its admin API, with the secret.
    ///
    /// # Errors
    ///
    /// When the secret is gone.
    pub fn admin(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let secret = secrets::admin(&self.folder)?;
        let request = Client::new().request(method, self.admin_url() + path);
        Ok(request.bearer_auth(secret))
    }

    /// A credential for its TURN server.
    ///
    /// # Errors
    ///
    /// When it does not give one.
    pub async fn turn_credential(&self, tag: &str) -> Result<TurnCredential> {
        let secret = secrets::admin(&self.folder)?;
        TurnCredential::ask(self.ports.edge_admin, &secret, tag).await
    }

    /// URL of its metrics.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports.edge_metrics)
    }

    /// What it counts now.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::fetch(&self.metrics_url()).await
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.join(self.place.name).with_extension("toml")
    }

    /// Has it end as an operator would who takes the machine out of service.
    ///
    /// # Errors
    ///
    /// When it refuses.
    pub async fn drain(&self) -> Result<()> {
        let answer = self.admin(Method::POST, "/drain")?.send().await?;
        ensure!(answer.status() == 202, "{}", answer.status());
        Ok(())
    }

    /// Kills it at once, as a crash of the machine would.
    ///
    /// # Errors
    ///
    /// When it does not run, or the operating system does not say how it ended.
    pub async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.kill().await?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// When it does not run, or does not end in time.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let process = self.process.as_mut().context("it does not run")?;
        let ended = tokio::time::timeout(STOP_PATIENCE, process.exited()).await;
        let status = ended.map_err(|_| anyhow!("{} goes on", self.place.name))??;
        self.process = None;
        Ok(status)
    }

    /// Starts it anew after it has ended, and waits until presenters are welcome.
    ///
    /// # Errors
    ///
    /// When it runs, or is not ready in time.
    pub async fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "{} runs", self.place.name);
        let process = spawn(&binaries()?, "inlet-edge", self.place.name, &self.folder)?;
        self.process = Some(process);
        self.ready().await
    }

    pub(super) async fn ready(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else {
            bail!("{} does not run", self.place.name);
        };
        let ready = ready(process, self.ports.edge_admin).await;
        ready.context(self.place.name)
    }

    /// Whether it runs; one that was killed, or seen to end, does not count as ended.
    pub(super) fn is_running(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => process.is_running(),
            None => Ok(true),
        }
    }
}
