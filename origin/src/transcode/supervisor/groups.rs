//! A bound on each worker's CPU, by control groups (cgroup v2).
//!
//! `Delegate=cpu` in its unit hands the origin a part of systemd's hierarchy. A group
//! that bounds others may hold no process itself, so the origin moves into one of its
//! own beneath it, and each worker gets another. Where nothing is delegated, workers have
//! their niceness and the watchdog alone.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where the hierarchy is found; the second where version 1 has the rest of it.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const ORIGIN: &str = "origin";
/// The stretch of time that a bound is for, in microseconds.
const PERIOD: u64 = 100_000;

/// The delegated part of the hierarchy.
#[derive(Debug)]
pub(super) struct Groups {
    root: PathBuf,
}

impl Groups {
    /// Takes what has been delegated to this process; `None` where nothing has.
    ///
    /// # Errors
    ///
    /// Of the file system, where something has but cannot be used.
    pub(super) fn claim() -> io::Result<Option<Self>> {
        // Root may write everywhere, whether it is handed over or systemd's own.
        if fs::metadata("/proc/self")?.uid() == 0 {
            return Ok(None);
        }
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else {
            return Ok(None);
        };
        let roots = MOUNTS.map(|mount| Path::new(mount).join(path));
        let root = roots.into_iter().find(|root| has_cpu(root));
        let Some(root) = root else { return Ok(None) };
        match Self::claim_at(root, std::process::id()) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    fn claim_at(root: PathBuf, pid: u32) -> io::Result<Self> {
        let own = root.join(ORIGIN);
        make(&own)?;
        fs::write(own.join("cgroup.procs"), pid.to_string())?;
        fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
        Ok(Self { root })
    }

    /// Lets a process, with all of its threads, have so many cores and no more.
    pub(super) fn bound(&self, pid: u32, cores: f64) -> io::Result<()> {
        let group = self.group(pid);
        make(&group)?;
        let quota = (cores * PERIOD as f64) as u64;
        fs::write(group.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        fs::write(group.join("cgroup.procs"), pid.to_string())
    }

    /// Forgets a process that has ended.
    pub(super) fn release(&self, pid: u32) {
        // One that never was bound has none.
        if let Err(error) = fs::remove_dir(self.group(pid))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, pid, "control group not removed");
        }
    }

    fn group(&self, pid: u32) -> PathBuf {
        self.root.join(format!("worker-{pid}"))
    }
}

fn has_cpu(root: &Path) -> bool {
    let controllers = fs::read_to_string(root.join("cgroup.controllers"));
    controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "cpu"))
}

/// A group of that name may be left from a process that was killed.
fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_util::Folder;

    /// Files stand in for the kernel's: whether it obeys is for a machine with systemd.
    #[test]
    fn the_origin_moves_aside_and_each_worker_gets_its_quota() {
        let folder = Folder::new();
        let root = folder.path().to_owned();
        fs::write(root.join("cgroup.controllers"), "cpuset cpu memory\n").unwrap();
        assert!(has_cpu(&root));
        let groups = Groups::claim_at(root.clone(), 7).unwrap();
        groups.bound(8, 2.5).unwrap();
        groups.bound(8, 1.25).unwrap();
        for (file, text) in [
            ("origin/cgroup.procs", "7"),
            ("cgroup.subtree_control", "+cpu"),
            ("worker-8/cpu.max", "125000 100000"),
            ("worker-8/cgroup.procs", "8"),
        ] {
            assert_eq!(fs::read_to_string(root.join(file)).unwrap(), text, "{file}");
        }
        fs::remove_file(root.join("worker-8/cpu.max")).unwrap();
        fs::remove_file(root.join("worker-8/cgroup.procs")).unwrap();
        groups.release(8);
        assert!(!root.join("worker-8").exists());
        groups.release(9);
    }

    #[test]
    fn a_hierarchy_without_the_controller_is_none() {
        let folder = Folder::new();
        assert!(!has_cpu(folder.path()));
        fs::write(folder.path().join("cgroup.controllers"), "cpuset memory\n").unwrap();
        assert!(!has_cpu(folder.path()));
    }
}
