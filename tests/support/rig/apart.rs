//! A test in a network of its own, where an edge may stand at a public address and at
//! well-known ports.
//!
//! The test program starts itself once more, in a new network namespace, for this one
//! test: a namespace is entered by a process before it has threads.

use std::{env, net::Ipv4Addr, process::Command};

use anyhow::{Context as _, Result, ensure};

/// Set for the program inside.
const INSIDE: &str = "INLET_TEST_APART";

/// Address of the machine inside, in a block that no network uses (RFC 2544 §C.2.2).
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Whether this is the program inside. Outside, it has the test `name` run there first.
///
/// # Panics
///
/// When the test fails inside, or there is no inside: `unshare` and `ip` are needed, and
/// root or a kernel that lets users have namespaces.
pub fn is_inside(name: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        prepare().expect("a network");
        return true;
    }
    let program = env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).arg(program);
    command.args(["--exact", name, "--nocapture"]);
    let status = command.env(INSIDE, "1").status().expect("unshare");
    assert!(
        status.success(),
        "{name}, in a network of its own: {status}"
    );
    false
}

/// Gives the machine inside another address.
///
/// # Errors
///
/// When there is no `ip`, or it refuses.
pub fn add_address(address: Ipv4Addr) -> Result<()> {
    ip(&["address", "add", &format!("{address}/32"), "dev", "lo"])
}

/// Brings loopback up, with [`ADDRESS`] on it.
fn prepare() -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    add_address(ADDRESS)
}

fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(arguments).status().context("ip")?;
    ensure!(status.success(), "ip {arguments:?}: {status}");
    Ok(())
}
