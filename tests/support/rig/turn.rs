//! An edge that is a TURN server and nothing else, on loopback.
//!
//! Both families, UDP and TCP and TLS, two workers. What a test wants otherwise
//! goes into the text of `[turn]`, which may go on with `[turn.limits]`.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use reqwest::{Method, RequestBuilder};

use super::{Metrics, Process, STOP_PATIENCE, TAIL, binaries, certificates, ports, ready, spawn};

/// The static user of each such edge, with [`PASSWORD`].
pub const USER: &str = "alice";
/// Password of [`USER`].
pub const PASSWORD: &str = "correct-horse-battery";
/// The realm unless a test writes another.
pub const REALM: &str = "inlet.test";
/// The shared secret of time-limited credentials.
pub const SECRET: &str = "shared-secret-of-the-tests";

const TOKEN: &str = "admin-token-of-the-system-tests";

/// A running TURN server.
pub struct TurnEdge {
    /// The process.
    pub process: Process,
    folder: PathBuf,
    turn: u16,
    admin: u16,
    metrics: u16,
}

impl TurnEdge {
    /// Starts one; `turn` is added to its `[turn]`.
    ///
    /// # Errors
    ///
    /// When it ends, or is not ready in time; with the tail of its log.
    pub async fn start(turn: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let folder = env::temp_dir().join(format!("inlet-turn-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        certificates::write(&folder.join("certificates"), Ipv4Addr::LOCALHOST)?;
        fs::write(folder.join("token"), TOKEN)?;
        let [port, admin, metrics] = ports::any()?;
        fs::write(
            folder.join("edge.toml"),
            settings(&folder, [port, admin, metrics], turn),
        )?;
        let mut process = spawn(&binaries()?, "inlet-edge", "edge", &folder)?;
        ready(&mut process, admin).await?;
        Ok(Self {
            process,
            folder,
            turn: port,
            admin,
            metrics,
        })
    }

    /// Where it serves UDP, TCP and TLS, by IPv4.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.turn))
    }

    /// Its folder, with `certificates/`, `edge.toml` and whatever a test keeps.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// A request to the admin API, with the secret.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.stranger(method, path).bearer_auth(TOKEN)
    }

    /// A request to the admin API without the secret.
    pub fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        reqwest::Client::new().request(method, url)
    }

    /// What it counts now.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::fetch(&format!("http://127.0.0.1:{}/metrics", self.metrics)).await
    }

    /// The resident memory in KiB.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn resident(&self) -> Result<u64> {
        self.process.resident()
    }

    /// Writes the configuration anew and asks for a reload.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn reload(&self, turn: &str) -> Result<()> {
        fs::write(self.folder.join("edge.toml"), self.settings(turn))?;
        self.process.signal(Signal::SIGHUP)
    }

    /// Makes all certificates new on disk.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn renew_certificates(&self) -> Result<()> {
        certificates::write(&self.folder.join("certificates"), Ipv4Addr::LOCALHOST)
    }

    /// Kills it without warning and starts it anew in the same folder.
    ///
    /// # Errors
    ///
    /// When it does not come back.
    pub async fn crash(&mut self) -> Result<()> {
        self.process.kill().await?;
        self.process = spawn(&binaries()?, "inlet-edge", "edge", &self.folder)?;
        ready(&mut self.process, self.admin).await
    }

    /// Stops it politely and takes its files away.
    ///
    /// # Errors
    ///
    /// When it had to be killed, or ended with an error.
    pub async fn stop(mut self) -> Result<()> {
        let status = self.process.stop(STOP_PATIENCE).await?;
        ensure!(
            status.success(),
            "ended with {status}\n{}",
            self.process.tail(TAIL)
        );
        Ok(fs::remove_dir_all(&self.folder)?)
    }

    fn settings(&self, turn: &str) -> String {
        settings(&self.folder, [self.turn, self.admin, self.metrics], turn)
    }
}

/// The file; relayed ports lie above the ephemeral range, which other tests use.
fn settings(folder: &std::path::Path, [port, admin, metrics]: [u16; 3], turn: &str) -> String {
    let realm = match turn.contains("realm =") {
        true => String::new(),
        false => format!("realm = \"{REALM}\"\n"),
    };
    let secrets = match turn.contains("secrets =") {
        true => String::new(),
        false => format!("secrets = [\"{SECRET}\"]\n"),
    };
    let policy = match turn.contains("policy =") {
        true => "",
        false => "policy = \"open\"\nallow_peers = [\"127.0.0.0/8\", \"::1/128\"]\n",
    };
    let folder = folder.display();
    let filter = env::var("INLET_LOG").unwrap_or_else(|_| "info".to_owned());
    format!(
        r#"roles = ["turn"]

[media]
workers = 2

[admin]
listen = "127.0.0.1:{admin}"
token_file = "{folder}/token"

[metrics]
listen = "127.0.0.1:{metrics}"

[drain]
timeout = "3s"

[log]
filter = "{filter}"
format = "human"

[turn]
udp = ["127.0.0.1:{port}", "[::1]:{port}"]
tcp = ["127.0.0.1:{port}", "[::1]:{port}"]
relay_addresses = ["127.0.0.1", "::1"]
certificate = "{folder}/certificates/origin.pem"
key = "{folder}/certificates/origin.key"
first_port = 61000
last_port = 65535
users = ["{USER}:{PASSWORD}"]
{realm}{secrets}{policy}{turn}
"#
    )
}
