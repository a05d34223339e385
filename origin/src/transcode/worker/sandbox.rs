//! What the worker may still do once it meets a stranger's bytes.
//!
//! Three layers: resource limits, landlock (no file at all), and seccomp: what
//! is not needed fails with EPERM, what only an attacker would try (programs,
//! sockets, tracing) kills the process. No namespaces, so it works for an
//! unprivileged service and inside a container alike.
//!
//! The filters hold for all threads: drivers of devices that encode have some of
//! their own by now. Landlock holds for the caller's thread and those that it
//! starts. A worker whose encoder has a device may in addition speak to what is
//! open already, by that device's own ioctls, and to no other.

use std::collections::BTreeMap;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::{
    libc,
    sys::{
        prctl,
        resource::{Resource, setrlimit},
    },
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::transcode::Device;

/// A layer could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A resource limit or process attribute.
    #[error("process limits")]
    Limits(#[from] nix::Error),
    /// The seccomp filter was not built.
    #[error("the system call filter")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel refused the seccomp filter.
    #[error("installing the system call filter")]
    Install(#[from] seccompiler::Error),
}

/// Takes away from this process everything but memory, up to `memory_limit`
/// bytes, threads and the descriptors that are open, `device`'s among them.
/// There is no way back.
///
/// # Errors
///
/// Which layer the kernel refused; the process must end then.
pub fn lock_up(memory_limit: u64, device: Option<Device>) -> Result<(), Error> {
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let descriptors = match device {
        None => MAX_DESCRIPTORS,
        Some(_) => MAX_DESCRIPTORS_OF_A_DRIVER,
    };
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors)?;
    // Private writable memory is what is really used; the address space holds
    // a hundred shared libraries and 64 MiB of reserve per thread besides.
    setrlimit(Resource::RLIMIT_DATA, memory_limit, memory_limit)?;
    if device.is_none() {
        // Drivers map their devices, CUDA reserves as much as there is.
        let address_space = memory_limit.saturating_add(ADDRESS_SPACE_BESIDE_DATA);
        setrlimit(Resource::RLIMIT_AS, address_space, address_space)?;
    }
    forbid_files();
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    for filter in [
        clone_filter(arch)?,
        attack_filter(arch)?,
        allowed_filter(arch, device)?,
    ] {
        seccompiler::apply_filter_all_threads(&filter)?;
    }
    Ok(())
}

/// Standard streams, the socket twice, and some air.
const MAX_DESCRIPTORS: u64 = 16;

/// A driver has one for each buffer that it shares and each fence.
const MAX_DESCRIPTORS_OF_A_DRIVER: u64 = 256;

/// Mapped libraries and the reserves of malloc's arenas.
const ADDRESS_SPACE_BESIDE_DATA: u64 = 2 << 30;

/// Landlock: every file, port and foreign abstract socket is out of reach.
/// Kernels without it have the seccomp filter alone, which opens nothing
/// either.
fn forbid_files() {
    let abi = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(abi)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.no_new_privs(true).restrict_self());
    match status {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            tracing::warn!("the kernel has no landlock; the system call filter stands alone");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "landlock is not in force"),
    }
}

/// `clone3` keeps its flags in memory where a filter cannot read them. With
/// ENOSYS the C library falls back to `clone`, whose flags can be read.
fn clone_filter(arch: TargetArch) -> Result<BpfProgram, Error> {
    let enosys = u32::try_from(libc::ENOSYS).unwrap_or(38);
    filter(
        BTreeMap::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(enosys),
        arch,
    )
}

/// No code of ours or of FFmpeg's does these: whoever tries has taken over.
fn attack_filter(arch: TargetArch) -> Result<BpfProgram, Error> {
    let rules = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_init_module,
    ];
    let rules = rules.into_iter().map(|call| (call, vec![])).collect();
    filter(
        rules,
        SeccompAction::Allow,
        SeccompAction::KillProcess,
        arch,
    )
}

/// All that is needed after set-up; anything else gets EPERM.
fn allowed_filter(arch: TargetArch, device: Option<Device>) -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|&call| (call, vec![])).collect();
    let flags = |value: libc::c_int| u64::from(value.unsigned_abs());
    // Threads, but no processes.
    let thread = flags(libc::CLONE_THREAD);
    rules.insert(libc::SYS_clone, vec![masked(0, thread, thread)?]);
    // No memory that is executable, so no code but what is loaded.
    let executable = flags(libc::PROT_EXEC);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![masked(2, executable, 0)?]);
    }
    rules.insert(libc::SYS_prctl, vec![equal(0, flags(libc::PR_SET_NAME))?]);
    // An abort raises its signal with this; nobody else's process is ours.
    rules.insert(
        libc::SYS_tgkill,
        vec![equal(0, u64::from(std::process::id()))?],
    );
    if let Some(device) = device {
        allow_device(&mut rules, device)?;
    }
    let eperm = u32::try_from(libc::EPERM).unwrap_or(1);
    filter(
        rules,
        SeccompAction::Errno(eperm),
        SeccompAction::Allow,
        arch,
    )
}

/// What a driver does with descriptors that are open.
fn allow_device(rules: &mut BTreeMap<i64, Vec<SeccompRule>>, device: Device) -> Result<(), Error> {
    let types = match device {
        Device::Render => RENDER_IOCTLS,
        Device::Nvidia => NVIDIA_IOCTLS,
    };
    // The second byte of an ioctl's number says whose it is: ioctl(2).
    let of = |kind: &u8| -> Result<SeccompRule, Error> {
        let operator = SeccompCmpOp::MaskedEq(0xff00);
        let value = u64::from(*kind) << 8;
        let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, operator, value)?;
        Ok(SeccompRule::new(vec![condition])?)
    };
    let ioctls: Vec<_> = types.iter().map(of).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, ioctls);
    // Other commands of fcntl could send signals to other processes.
    let duplicate = u64::from(libc::F_DUPFD_CLOEXEC.unsigned_abs());
    rules.insert(libc::SYS_fcntl, vec![equal(1, duplicate)?]);
    rules.extend(ALLOWED_TO_DRIVERS.iter().map(|&call| (call, vec![])));
    Ok(())
}

/// Of DRM, of the buffers that it shares, and of their fences: `drm.h`,
/// `dma-buf.h` and `sync_file.h` of Linux.
const RENDER_IOCTLS: &[u8] = b"db>";

/// `NV_IOCTL_MAGIC` of NVIDIA's kernel modules, and the bare numbers that
/// `nvidia-uvm` takes.
const NVIDIA_IOCTLS: &[u8] = b"F\0";

/// Waiting for a device, and handing on what is open.
const ALLOWED_TO_DRIVERS: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_eventfd2,
    libc::SYS_dup,
    libc::SYS_lseek,
];

/// Calls allowed whatever their arguments.
const ALLOWED: &[i64] = &[
    // The socket and standard error.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_ppoll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads; clone3 is allowed here and refused by its own filter.
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals of a panic or abort.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Clock and the seed of hash maps.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_sysinfo,
];

fn equal(argument: u8, value: u64) -> Result<SeccompRule, Error> {
    let (length, operator) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    let condition = SeccompCondition::new(argument, length, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, Error> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
    arch: TargetArch,
) -> Result<BpfProgram, Error> {
    Ok(SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()?)
}
