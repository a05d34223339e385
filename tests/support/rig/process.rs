//! One of Inlet's processes: started in a process group of its own, with its
//! output in a file, and gone when this value is.
//!
//! The group matters: the origin's transcode workers are its children, and a
//! test that fails must leave none of them behind.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// A running process.
pub struct Process {
    name: &'static str,
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; what it prints is appended to `log`.
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: PathBuf,
    ) -> Result<Self> {
        Self::start_with(name, program, arguments, [], log)
    }

    /// Likewise, with more variables in its environment.
    pub(super) fn start_with<const N: usize>(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: [(&str, &str); N],
        log: PathBuf,
    ) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let pid = child.id().context("it ended before it began")?;
        Ok(Self {
            name,
            child,
            pid: Pid::from_raw(i32::try_from(pid)?),
            log,
        })
    }

    /// Its name in messages.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id.
    pub const fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Its resident memory in KiB.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("no VmRSS")?.parse()?)
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its log.
    pub fn tail(&self, lines: usize) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Whether it still runs.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub async fn exited(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Sends it a signal, and no other process of its group.
    ///
    /// # Errors
    ///
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal::kill(self.pid, signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Asks it to stop; after `patience` the whole group is killed.
    ///
    /// # Errors
    ///
    /// When it had to be killed.
    pub async fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        if !self.is_running()? {
            return self.exited().await;
        }
        self.signal(Signal::SIGTERM)?;
        self.stopped(patience).await
    }

    /// Waits until it has stopped, once it was asked to; after `patience` the whole group
    /// is killed.
    ///
    /// # Errors
    ///
    /// When it had to be killed.
    pub async fn stopped(&mut self, patience: Duration) -> Result<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(patience, self.exited()).await {
            return status;
        }
        self.kill().await?;
        anyhow::bail!("{} did not stop within {patience:?}", self.name)
    }

    /// Kills the whole group at once, as a crash of the machine would.
    ///
    /// # Errors
    ///
    /// When the operating system does not say how it ended.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.kill_group();
        self.exited().await
    }

    /// Process ids of its children.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn children(&self) -> Result<Vec<i32>> {
        let path = format!("/proc/{0}/task", self.pid);
        let mut children = Vec::new();
        for task in fs::read_dir(path)? {
            let listed = fs::read_to_string(task?.path().join("children"))?;
            children.extend(listed.split_whitespace().flat_map(str::parse::<i32>));
        }
        children.sort_unstable();
        Ok(children)
    }

    fn kill_group(&self) {
        // ESRCH: it has ended, and that is what was wanted.
        signal::killpg(self.pid, Signal::SIGKILL).ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
    }
}
