//! An edge whose certificate comes from a CA: both roles on one HTTPS port, TURN by
//! TLS on another, no origin.

use std::{
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tokio::process::Command;

use super::{
    Metrics, Process, STOP_PATIENCE, TAIL, binaries, certificates, ports, program, spawn, until,
};

/// How long it may take until it serves, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// An edge that is started and stopped by its test.
pub struct AcmeEdge {
    folder: PathBuf,
    /// WHIP and TURN by TLS, where TLS-ALPN-01 is answered too.
    pub https: u16,
    /// TURN by TLS alone.
    pub turns: u16,
    /// Where HTTP-01 is answered.
    pub port80: u16,
    admin: u16,
    metrics: u16,
    media: u16,
    process: Option<Process>,
}

impl AcmeEdge {
    /// Writes certificates for the link (and a CA's own HTTPS), and chooses ports.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn prepare() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let folder = env::temp_dir().join(format!("inlet-acme-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        certificates::write(&folder.join("certificates"), Ipv4Addr::LOCALHOST)?;
        let [https, turns, port80, admin, metrics, media] = ports::any()?;
        Ok(Self {
            folder,
            https,
            turns,
            port80,
            admin,
            metrics,
            media,
            process: None,
        })
    }

    /// Its folder, with `certificates/`, `edge.toml` and `state/`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes its configuration; `acme` is added to `[acme]`, which has a state
    /// directory and an authority for the directory's HTTPS already.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, acme: &str) -> Result<()> {
        Ok(fs::write(
            self.folder.join("edge.toml"),
            self.settings(acme),
        )?)
    }

    /// Starts it and waits until it runs, whether or not it is ready.
    ///
    /// # Errors
    ///
    /// When it ends at once; with the tail of its log.
    pub async fn start(&mut self) -> Result<()> {
        let process = spawn(&binaries()?, "inlet-edge", "edge", &self.folder)?;
        let process = self.process.insert(process);
        let url = format!("http://127.0.0.1:{}/healthz", self.admin);
        until("the edge", PATIENCE, async || {
            ensure!(process.is_running()?, "it ended\n{}", process.tail(TAIL));
            let phase = reqwest::get(&url).await?.text().await?;
            ensure!(phase.trim() == "ready", "{phase}");
            Ok(())
        })
        .await
    }

    /// Runs `--check` on its configuration.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn check(&self) -> Result<Output> {
        let mut command = Command::new(program("inlet-edge")?);
        command.arg("--config").arg(self.folder.join("edge.toml"));
        Ok(command.arg("--check").output().await?)
    }

    /// Asks for a reload.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn reload(&self) -> Result<()> {
        match &self.process {
            Some(process) => process.signal(Signal::SIGHUP),
            None => anyhow::bail!("it does not run"),
        }
    }

    /// What `/readyz` says.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn readiness(&self) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin);
        Ok(reqwest::get(url).await?.text().await?)
    }

    /// What it counts now.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::fetch(&format!("http://127.0.0.1:{}/metrics", self.metrics)).await
    }

    /// Orders with this result.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn orders(&self, result: &str) -> Result<f64> {
        let label = format!("result=\"{result}\"");
        let metrics = self.metrics().await?;
        Ok(metrics.sum("inlet_edge_acme_orders_total", &[&label]))
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let process = self.process.as_ref();
        process
            .map(|process| process.tail(TAIL))
            .unwrap_or_default()
    }

    /// Stops it politely.
    ///
    /// # Errors
    ///
    /// When it had to be killed, or ended with an error.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            let status = process.stop(STOP_PATIENCE).await?;
            ensure!(status.success(), "{status}\n{}", process.tail(TAIL));
        }
        Ok(())
    }

    fn settings(&self, acme: &str) -> String {
        let Self {
            https,
            turns,
            port80,
            admin,
            metrics,
            media,
            ..
        } = self;
        let folder = self.folder.display();
        let filter = env::var("INLET_LOG").unwrap_or_else(|_| "info,inlet_common=debug".to_owned());
        format!(
            r#"roles = ["whip", "turn"]

[http]
listen = "127.0.0.1:{https}"

[media]
addresses = ["127.0.0.1"]
port = {media}
workers = 1

[roq]
origin = "127.0.0.1:9"
origin_name = "localhost"
certificate = "{folder}/certificates/edge.pem"
key = "{folder}/certificates/edge.key"
ca = "{folder}/certificates/ca.pem"

[turn]
udp = []
tcp = []
tls = ["127.0.0.1:{turns}"]
relay_addresses = ["127.0.0.1"]
first_port = 61000
users = ["alice:correct-horse-battery"]

[admin]
listen = "127.0.0.1:{admin}"

[metrics]
listen = "127.0.0.1:{metrics}"

[drain]
timeout = "2s"

[log]
filter = "{filter}"
format = "human"

[acme]
http_listen = "127.0.0.1:{port80}"
directory_ca = "{folder}/certificates/ca.pem"
state_dir = "{folder}/state"
{acme}
"#
        )
    }
}
