//! One test on a rig of its own, with the logs told when it fails.

use std::{
    env, fs,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::Result;

use super::{Layout, Ports, Rig};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Runs `test` on fresh binaries with empty state, then stops them.
///
/// # Panics
///
/// When the test fails, or a process does not stop cleanly: with the tails of
/// both logs, and the folder is kept.
pub async fn scenario(test: impl AsyncFnOnce(&mut Rig) -> Result<()>) {
    scenario_at(Ipv4Addr::LOCALHOST, test).await;
}

/// The same at another address: WHIP is HTTPS there, see [`Layout::address`].
///
/// # Panics
///
/// As [`scenario`].
pub async fn scenario_at(address: Ipv4Addr, test: impl AsyncFnOnce(&mut Rig) -> Result<()>) {
    let number = COUNT.fetch_add(1, Relaxed);
    let folder = env::temp_dir().join(format!("inlet-{}-{number}", std::process::id()));
    let layout = Layout {
        folder: folder.clone(),
        ports: Ports::free().expect("free ports"),
        media: String::new(),
        address,
        log_filter: env::var("INLET_LOG").unwrap_or_else(|_| "info".to_owned()),
    };
    let mut rig = match Rig::start(layout).await {
        Ok(rig) => rig,
        Err(error) => panic!("{error:#}\n(files in {})", folder.display()),
    };
    let mut outcome = test(&mut rig).await;
    if outcome.is_ok() {
        outcome = rig.stop().await;
    }
    if let Err(error) = outcome {
        panic!("{error:#}\n{}(files in {})", rig.tails(), folder.display());
    }
    drop(rig);
    fs::remove_dir_all(&folder).ok();
}
