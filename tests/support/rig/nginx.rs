//! nginx with a configuration of ours in a folder of its own, never the
//! system's service.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use tokio::net::TcpStream;

use super::{Process, STOP_PATIENCE, TAIL, ports, until};

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it keeps request and answer bodies; its own defaults belong to root.
const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/// The sample configuration of a CDN edge.
const CDN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/nginx");
/// What it wants, where Debian has it.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_js_module.so";

/// A running nginx with one worker.
pub struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    /// Starts it in `folder` and waits until it listens on `port` of loopback,
    /// as `http` must say: what stands in the `http` block. With a `core` it
    /// runs on that one alone.
    ///
    /// # Errors
    ///
    /// When it is not installed, does not like `http`, or is not ready in time.
    pub async fn start(folder: &Path, http: &str, port: u16, core: Option<usize>) -> Result<Self> {
        Self::launch(folder, &settings(folder, http), port, core).await
    }

    /// Starts `config/nginx/inlet.conf` as it is but for addresses and folders, in
    /// front of an origin on this port of loopback.
    ///
    /// # Errors
    ///
    /// When it lacks what is to be replaced; else as [`Nginx::start`].
    pub async fn cdn(folder: &Path, origin: u16) -> Result<Self> {
        let [port] = ports::any()?;
        let mut http = fs::read_to_string(format!("{CDN}/inlet.conf"))?;
        for (sample, ours) in [
            ("127.0.0.1:8080", format!("127.0.0.1:{origin}")),
            ("listen 80;", format!("listen 127.0.0.1:{port};")),
            ("/etc/nginx/inlet/", format!("{CDN}/")),
            (
                "/var/cache/nginx/inlet ",
                format!("{}/cache ", folder.display()),
            ),
        ] {
            let found = http.matches(sample).count();
            ensure!(found == 1, "{sample} stands {found} times in the sample");
            http = http.replace(sample, &ours);
        }
        let config = format!("load_module {MODULE};\n{}", settings(folder, &http));
        Self::launch(folder, &config, port, None).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// URL of the port it listens on.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn launch(folder: &Path, text: &str, port: u16, core: Option<usize>) -> Result<Self> {
        fs::create_dir_all(folder.join("temp"))?;
        let config = folder.join("nginx.conf");
        fs::write(&config, text)?;
        let mut command: Vec<String> = Vec::new();
        if let Some(core) = core {
            command.extend(["taskset".into(), "--cpu-list".into(), core.to_string()]);
        }
        let log = folder.join("nginx.log");
        let [folder, config] = [folder, &config].map(|path| path.display().to_string());
        command.extend(["nginx".into(), "-e".into(), "stderr".into()]);
        command.extend(["-p".into(), folder, "-c".into(), config]);
        let (program, arguments) = command.split_at(1);
        let process = Process::start("nginx", Path::new(&program[0]), arguments, log)?;
        let mut nginx = Self { process, port };
        nginx.ready().await?;
        Ok(nginx)
    }

    /// Its worker, which answers; the other process only watches it.
    ///
    /// # Errors
    ///
    /// When there is not exactly one.
    pub fn worker(&self) -> Result<i32> {
        match self.process.children()?[..] {
            [worker] => Ok(worker),
            ref others => bail!("nginx has workers {others:?}"),
        }
    }

    /// What it logged last.
    pub fn tail(&self) -> String {
        self.process.tail(TAIL)
    }

    /// Stops it.
    ///
    /// # Errors
    ///
    /// When it had to be killed.
    pub async fn stop(mut self) -> Result<()> {
        self.process.stop(STOP_PATIENCE).await?;
        Ok(())
    }

    async fn ready(&mut self) -> Result<()> {
        let listens = until("nginx", PATIENCE, async || {
            if !self.process.is_running()? {
                return Ok(false);
            }
            TcpStream::connect(("127.0.0.1", self.port)).await?;
            Ok(true)
        });
        if listens.await? {
            return Ok(());
        }
        bail!("nginx ended at once\n{}", self.tail())
    }
}

fn settings(folder: &Path, http: &str) -> String {
    let folder = folder.display();
    let temporary = TEMPORARY.map(|kind| format!("{kind}_temp_path {folder}/temp/{kind};\n"));
    let temporary = temporary.concat();
    // Its workers would be nobody, who cannot read a test's folder.
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let user = if is_root { "user root;" } else { "" };
    format!(
        "{user}\ndaemon off;\nworker_processes 1;\nworker_rlimit_nofile 16384;\n\
         pid {folder}/nginx.pid;\nevents {{ worker_connections 8192; }}\n\
         http {{\naccess_log off;\n{temporary}{http}\n}}\n"
    )
}
