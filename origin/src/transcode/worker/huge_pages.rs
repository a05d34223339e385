//! Huge pages only where they are filled.
//!
//! x264 asks for huge pages for all that is large. Its pictures are worth them: with
//! small ones alone a ladder takes up to a tenth more CPU. The buffers for a frame's
//! coded bytes are not: they have room for more than the raw picture and are filled
//! to a hundredth, but in huge pages the first byte takes two megabytes. They are
//! made when an encoder is opened, its pictures but one when it works.

use std::{collections::BTreeMap, fs, panic, thread, time::Duration};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::sandbox;

/// Does `work` on a thread of its own, which gets no huge pages.
pub(super) fn without<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, sandbox::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let advice = u64::from(libc::MADV_HUGEPAGE.unsigned_abs());
    let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, advice)?;
    let rules = BTreeMap::from([(libc::SYS_madvise, vec![SeccompRule::new(vec![condition])?])]);
    let refused = SeccompAction::Errno(libc::EINVAL.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?;
    let filter = BpfProgram::try_from(filter)?;
    let done = thread::scope(|scope| {
        let thread = scope.spawn(move || {
            seccompiler::apply_filter(&filter)?;
            Ok(work())
        });
        let done = thread.join();
        done.unwrap_or_else(|panic| panic::resume_unwind(panic))
    });
    wait_until_alone();
    done
}

/// A thread has been joined a moment before the kernel forgets it, and until then no
/// filter could be put on all threads, as theirs differ.
fn wait_until_alone() {
    for _ in 0..TRIES {
        if fs::read_dir("/proc/self/task").map_or(1, Iterator::count) <= 1 {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// It takes microseconds; who is not alone then is told so by the filters.
const TRIES: u32 = 1_000;
