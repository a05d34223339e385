//! Two network namespaces joined by a veth: the server's, and that of clients
//! and peers.
//!
//! Their names carry this process's id, so runs do not meet. They go with the
//! value, and whatever still runs in them goes first; so does a folder for files.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use super::{CLIENT_IP, SERVER_IP};
use crate::figure::say;

/// Where the server runs, alone.
pub const SERVER_CORE: usize = 0;
/// Where all the rest does.
pub const CLIENT_CORE: usize = 1;
/// Above anything else that an ordinary machine runs.
const PRIORITY: &str = "20";
/// Socket buffers are not to be what is measured, and servers ask for less than
/// this.
const BUFFER_LIMIT: &str = "67108864";
const BUFFER_LIMITS: [&str; 2] = ["/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max"];
/// Programs, and the packages of Debian that hold them.
const PROGRAMS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("turnserver", "coturn"),
    ("chrt", "util-linux"),
    ("taskset", "util-linux"),
];

/// The namespaces, while they are there.
#[derive(Debug)]
pub struct Ground {
    /// Where the server belongs.
    pub server: Namespace,
    /// Where clients and peers belong.
    pub clients: Namespace,
    /// Where servers find and leave files.
    pub folder: Folder,
    _limits: Vec<Limit>,
}

impl Ground {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// When this machine cannot do that; the error says what it lacks.
    pub fn new() -> Result<Self> {
        check_machine()?;
        let id = std::process::id();
        let server = Namespace::new(format!("inlet-{id}-server"))?;
        let clients = Namespace::new(format!("inlet-{id}-clients"))?;
        let (a, b) = (&server.0, &clients.0);
        ip(&format!(
            "link add veth0 netns {a} type veth peer name veth0 netns {b}"
        ))?;
        for (namespace, address) in [(a, SERVER_IP), (b, CLIENT_IP)] {
            ip(&format!("-n {namespace} addr add {address}/24 dev veth0"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!("-n {namespace} link set veth0 up"))?;
        }
        let limits = BUFFER_LIMITS.into_iter().map(Limit::raise);
        Ok(Self {
            folder: Folder::new(env::temp_dir().join(format!("inlet-{id}")))?,
            _limits: limits.collect::<Result<_>>()?,
            server,
            clients,
        })
    }
}

/// One namespace by its name.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    fn new(name: String) -> Result<Self> {
        ip(&format!("netns add {name}"))?;
        Ok(Self(name))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    fn clear(&self) -> Result<()> {
        let listed = Command::new("ip")
            .args(["netns", "pids", &self.0])
            .output()?;
        let listed = String::from_utf8(listed.stdout)?;
        for pid in listed.split_whitespace() {
            // It may have ended by itself meanwhile.
            signal::kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL).ok();
        }
        ip(&format!("netns del {}", self.0))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            say(format!("{} was not removed: {error:#}", self.0));
        }
    }
}

/// A folder that goes with the value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(format!("{} was not removed: {error}", self.0.display()));
        }
    }
}

/// A command in a namespace, with a core for itself.
pub fn command(namespace: &str, core: usize, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]);
    command.args(["chrt", "--fifo", PRIORITY]);
    command.args(["taskset", "--cpu-list", &core.to_string()]);
    command.arg(program.as_ref());
    command
}

/// One of the kernel's limits, raised and put back.
#[derive(Debug)]
struct Limit {
    path: &'static str,
    before: String,
}

impl Limit {
    fn raise(path: &'static str) -> Result<Self> {
        let before = fs::read_to_string(path).context(path)?;
        fs::write(path, BUFFER_LIMIT).context(path)?;
        Ok(Self { path, before })
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Err(error) = fs::write(self.path, &self.before) {
            say(format!("{} was not put back: {error}", self.path));
        }
    }
}

fn check_machine() -> Result<()> {
    ensure!(
        fs::metadata("/proc/self")?.uid() == 0,
        "this benchmark makes network namespaces: run it as root"
    );
    let path = env::var_os("PATH").context("no PATH")?;
    for (program, package) in PROGRAMS {
        let is_there = env::split_paths(&path).any(|folder| folder.join(program).is_file());
        ensure!(is_there, "no {program}: install the package {package}");
    }
    let cores = thread::available_parallelism()?.get();
    ensure!(
        cores > CLIENT_CORE,
        "a core for the server and one for its clients are needed"
    );
    Ok(())
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .context("running ip")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("ip {arguments}: {}", said.trim());
    }
    Ok(())
}
