//! The real binaries on loopback: one `inlet-origin`, one `inlet-edge`, with a
//! private authority for the link and plain HTTP for everything else.
//!
//! ```text
//! folder/  certificates/  origin.toml  edge.toml  origin.log  edge.log
//!          state/         the origin's registry and first API key
//! ```
//!
//! Nothing here sleeps and hopes: each step waits until the process says that
//! it is ready. Dropping the rig kills both process groups, workers included.

mod acme_edge;
pub mod apart;
mod api;
mod certificates;
pub mod fleet;
pub mod gdnsd;
mod lone_edge;
mod metrics;
pub mod name_server;
mod nginx;
pub mod pebble;
mod ports;
mod process;
mod scenario;
mod second_edge;
mod secrets;
mod settings;
pub mod tls;
pub mod turn;
mod turn_credential;
mod wait;

use std::{
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

pub use acme_edge::AcmeEdge;
pub use api::{Api, Stream};
pub use fleet::Fleet;
pub use lone_edge::LoneEdge;
pub use metrics::Metrics;
pub use name_server::NameServer;
pub use nginx::Nginx;
pub use pebble::Pebble;
pub use ports::{FleetPorts, Ports};
pub use process::Process;
pub use scenario::{scenario, scenario_at};
pub use second_edge::SecondEdge;
pub use turn::TurnEdge;
pub use turn_credential::TurnCredential;
pub use wait::until;

/// How long a process may take until it is ready, on a busy machine.
const READY_PATIENCE: Duration = Duration::from_secs(20);
/// How long a process may take to stop; longer than the drain of [`settings`].
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// How long a silent track may take to be warned of.
const WARNING_PATIENCE: Duration = Duration::from_secs(30);
/// Lines of each log in an error message.
const TAIL: usize = 40;

/// Where a rig keeps its files, and on which ports it listens.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Folder for everything; made when missing. State in it is taken over.
    pub folder: PathBuf,
    /// Ports of both processes.
    pub ports: Ports,
    /// Where presenters and viewers find both; what is between the two, and what
    /// operators ask, stays on loopback. Another address than loopback's, which belongs
    /// into a network namespace, makes WHIP HTTPS, with ICE-TCP at its port.
    pub address: Ipv4Addr,
    /// Which log events both processes write.
    pub log_filter: String,
    /// More lines for the `[media]` section of the edge; empty leaves the defaults.
    pub media: String,
}

/// A running origin and a running edge.
pub struct Rig {
    layout: Layout,
    binaries: PathBuf,
    /// The central process.
    pub origin: Process,
    /// The process near presenters.
    pub edge: Process,
    /// The stream API, with the first key.
    pub api: Api,
}

impl Rig {
    /// Starts both and waits until presenters are welcome.
    ///
    /// # Errors
    ///
    /// When a binary is missing, ends, or is not ready in time; with the tail
    /// of its log.
    pub async fn start(layout: Layout) -> Result<Self> {
        let folder = &layout.folder;
        fs::create_dir_all(folder.join("state"))?;
        certificates::write(&folder.join("certificates"), layout.address)?;
        secrets::write(folder)?;
        fs::write(folder.join("origin.toml"), settings::origin(&layout))?;
        fs::write(folder.join("edge.toml"), settings::edge(&layout))?;
        for log in ["origin.log", "edge.log"] {
            fs::write(folder.join(log), "")?;
        }
        let binaries = binaries()?;
        let mut origin = spawn(&binaries, "inlet-origin", "origin", folder)?;
        ready(&mut origin, layout.ports.origin_admin).await?;
        let mut edge = spawn(&binaries, "inlet-edge", "edge", folder)?;
        ready(&mut edge, layout.ports.edge_admin).await?;
        let key = fs::read_to_string(folder.join("state/api-key")).context("the first API key")?;
        let api = Api::new(
            format!("http://{}:{}", layout.address, layout.ports.origin_http),
            key.trim(),
        );
        Ok(Self {
            layout,
            binaries,
            origin,
            edge,
            api,
        })
    }

    /// The ports both listen on.
    pub const fn ports(&self) -> &Ports {
        &self.layout.ports
    }

    /// The folder with logs, configuration and state.
    pub fn folder(&self) -> &Path {
        &self.layout.folder
    }

    /// URL of the go-live page for this stream.
    pub fn go_live(&self, stream: &Stream) -> String {
        format!(
            "http://{}:{}/go-live#{}",
            self.layout.address,
            self.ports().origin_http,
            stream.whip
        )
    }

    /// A credential for the edge's TURN server, out of its admin API.
    ///
    /// # Errors
    ///
    /// When the edge does not give one.
    pub async fn turn_credential(&self, tag: &str) -> Result<TurnCredential> {
        let secret = secrets::admin(&self.layout.folder)?;
        TurnCredential::ask(self.ports().edge_admin, &secret, tag).await
    }

    /// What the edge's admin API says to a GET.
    ///
    /// # Errors
    ///
    /// When it does not answer, or refuses.
    pub async fn edge_admin(&self, path: &str) -> Result<String> {
        let request = self.edge_admin_request(Method::GET, path)?;
        let response = request.send().await?.error_for_status()?;
        Ok(response.text().await?)
    }

    /// A request to the edge's admin API, with the secret.
    ///
    /// # Errors
    ///
    /// When the secret is gone.
    pub fn edge_admin_request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let secret = secrets::admin(&self.layout.folder)?;
        let url = format!("http://127.0.0.1:{}{path}", self.ports().edge_admin);
        Ok(reqwest::Client::new()
            .request(method, url)
            .bearer_auth(secret))
    }

    /// The events in the trace of this stream's newest session.
    ///
    /// # Errors
    ///
    /// When the edge knows of none.
    pub async fn events(&self, stream: &Stream) -> Result<Vec<Value>> {
        let list: Value = serde_json::from_str(&self.edge_admin("/traces").await?)?;
        let mut sessions = list["sessions"].as_array().context("no list")?.iter();
        let session = sessions.find(|session| session["stream"] == stream.id);
        let session = session.context("no session")?;
        let id = session["session"].as_str().context("no id")?;
        let trace = self.edge_admin(&format!("/sessions/{id}/trace")).await?;
        let mut trace: Value = serde_json::from_str(&trace)?;
        let events = trace["events"].take();
        Ok(events.as_array().context("no events")?.clone())
    }

    /// Waits until the presenter of this stream is warned, or told that it is over.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub async fn warned(&self, stream: &Stream, kind: &str, is_over: bool) -> Result<()> {
        until("a warning", WARNING_PATIENCE, async || {
            let events = self.events(stream).await?;
            let told = events.iter().any(|event| {
                event["event"] == "warning"
                    && event["data"]["kind"] == kind
                    && event["data"]["over"] == is_over
            });
            ensure!(told, "{kind}, over: {is_over}: not told");
            Ok(())
        })
        .await
    }

    /// URL of the origin's metrics.
    pub fn origin_metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports().origin_metrics)
    }

    /// URL of the edge's metrics.
    pub fn edge_metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports().edge_metrics)
    }

    /// Kills the origin without warning and starts it anew on the same state.
    ///
    /// # Errors
    ///
    /// When it does not come back.
    pub async fn crash_origin(&mut self) -> Result<()> {
        self.origin.kill().await?;
        self.origin = spawn(
            &self.binaries,
            "inlet-origin",
            "origin",
            &self.layout.folder,
        )?;
        ready(&mut self.origin, self.layout.ports.origin_admin).await
    }

    /// Stops the origin, changes its configuration, and starts it anew.
    ///
    /// # Errors
    ///
    /// When it does not stop cleanly, or does not come back.
    pub async fn reconfigure_origin(&mut self, edit: impl FnOnce(String) -> String) -> Result<()> {
        let status = self.origin.stop(STOP_PATIENCE).await?;
        let tail = self.origin.tail(TAIL);
        ensure!(status.success(), "origin: {status}\n{tail}");
        let folder = &self.layout.folder;
        let file = folder.join("origin.toml");
        fs::write(&file, edit(fs::read_to_string(&file)?))?;
        self.origin = spawn(&self.binaries, "inlet-origin", "origin", folder)?;
        ready(&mut self.origin, self.layout.ports.origin_admin).await
    }

    /// Stops the edge, changes its configuration, and starts it anew.
    ///
    /// # Errors
    ///
    /// When it does not stop cleanly, or does not come back.
    pub async fn reconfigure_edge(&mut self, edit: impl FnOnce(String) -> String) -> Result<()> {
        let status = self.edge.stop(STOP_PATIENCE).await?;
        ensure!(status.success(), "edge: {status}\n{}", self.edge.tail(TAIL));
        let file = self.layout.folder.join("edge.toml");
        fs::write(&file, edit(fs::read_to_string(&file)?))?;
        self.edge = spawn(&self.binaries, "inlet-edge", "edge", &self.layout.folder)?;
        ready(&mut self.edge, self.layout.ports.edge_admin).await
    }

    /// Waits until the edge has its link to the origin.
    ///
    /// # Errors
    ///
    /// When it does not come up in time.
    pub async fn link_up(&mut self) -> Result<()> {
        ready(&mut self.edge, self.layout.ports.edge_admin).await
    }

    /// Kills one process by its id, as a crash would.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn kill_worker(&self, pid: i32) -> Result<()> {
        ensure!(
            self.origin.children()?.contains(&pid),
            "{pid} is no worker of the origin"
        );
        let pid = nix::unistd::Pid::from_raw(pid);
        Ok(nix::sys::signal::kill(pid, Signal::SIGKILL)?)
    }

    /// Waits until one of the two has ended, which neither should; says which.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub async fn any_exited(&mut self) -> Result<String> {
        let (process, status) = tokio::select! {
            status = self.origin.exited() => (&self.origin, status?),
            status = self.edge.exited() => (&self.edge, status?),
        };
        Ok(format!(
            "{} ended: {status}\n{}",
            process.name(),
            process.tail(TAIL)
        ))
    }

    /// Stops the edge, then the origin, politely.
    ///
    /// # Errors
    ///
    /// When one of them had to be killed or ended with an error.
    pub async fn stop(&mut self) -> Result<()> {
        for process in [&mut self.edge, &mut self.origin] {
            let status = process.stop(STOP_PATIENCE).await?;
            let name = process.name();
            ensure!(
                status.success(),
                "{name} ended with {status}\n{}",
                process.tail(TAIL)
            );
        }
        Ok(())
    }

    /// The tails of both logs, for whoever has to find out why.
    pub fn tails(&self) -> String {
        [&self.origin, &self.edge]
            .map(|process| {
                let (name, log) = (process.name(), process.log().display());
                format!("--- {name} ({log})\n{}\n", process.tail(TAIL))
            })
            .concat()
    }
}

fn spawn(binaries: &Path, program: &'static str, file: &str, folder: &Path) -> Result<Process> {
    let config = folder.join(format!("{file}.toml"));
    let log = folder.join(format!("{file}.log"));
    Process::start(
        program,
        &binaries.join(program),
        ["--config".as_ref(), config.as_os_str()],
        log,
    )
}

async fn ready(process: &mut Process, admin: u16) -> Result<()> {
    let url = format!("http://127.0.0.1:{admin}/readyz");
    let is_ready = until(process.name(), READY_PATIENCE, async || {
        if !process.is_running()? {
            return Ok(false);
        }
        let response = reqwest::get(&url).await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "{status}: {}", text.trim());
        Ok(true)
    })
    .await;
    match is_ready {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{} ended at once\n{}", process.name(), process.tail(TAIL)),
        Err(error) => Err(error.context(process.tail(TAIL))),
    }
}

/// Path of one of our programs, wherever the others were found.
///
/// # Errors
///
/// When it is not there.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = binaries()?.join(name);
    ensure!(path.is_file(), "no {}: run `make build`", path.display());
    Ok(path)
}

/// The folder with the binaries: `INLET_BIN`, else where this program lies.
fn binaries() -> Result<PathBuf> {
    let folder = match env::var_os("INLET_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let program = env::current_exe()?;
            let folder = program.parent().context("a program without a folder")?;
            // Tests lie in `deps`, one below what they test.
            match folder.file_name() {
                Some(name) if name == "deps" => folder.parent().unwrap_or(folder).to_owned(),
                _ => folder.to_owned(),
            }
        }
    };
    for name in ["inlet-origin", "inlet-edge"] {
        ensure!(
            folder.join(name).is_file(),
            "no {name} in {}: run `make build`",
            folder.display()
        );
    }
    Ok(folder)
}
