//! CPU time and memory of a process, out of `/proc`.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// What `/proc` counts CPU time in: Linux's `USER_HZ`, 100 on every architecture
/// that Inlet runs on, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of a process, all of its threads, dead ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In its own code.
    pub user: Duration,
    /// In the kernel on its behalf. What its packets cost on loopback on the
    /// receiver's side, up to the socket's queue, is in here too.
    pub system: Duration,
}

impl CpuTime {
    /// Of a process, as proc(5) counts it.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn of(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).context(path)?;
        // The name may hold anything, so what follows its bracket is counted.
        let (_, fields) = stat.rsplit_once(") ").context("no process name")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let at = |index: usize| -> Result<Duration> {
            let ticks: u64 = fields.get(index).context("too few fields")?.parse()?;
            Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
        };
        Ok(Self {
            user: at(11)?,
            system: at(12)?,
        })
    }

    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    /// Both together.
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

/// CPU time of a process as the scheduler counts it, to the nanosecond; threads
/// that have ended are not in it.
///
/// # Errors
///
/// When there is no such process.
pub fn scheduled(pid: i32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&path).context(path)? {
        // A thread may have ended since it was listed.
        let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let nanos = stat.split(' ').next().context("no run time")?;
        total += Duration::from_nanos(nanos.parse()?);
    }
    Ok(total)
}

/// A line of `/proc/{pid}/status` in KiB, such as `VmRSS` or `VmHWM`.
///
/// # Errors
///
/// When there is no such process or line.
pub fn memory_kib(pid: i32, line: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).context(path)?;
    let value = status
        .lines()
        .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
        .with_context(|| format!("no {line}"))?;
    let kib = value.split_whitespace().next().context("no value")?;
    Ok(kib.parse()?)
}
