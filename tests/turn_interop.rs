//! Debian's own TURN client, coturn's `turnutils`, against the real binary.
//!
//! Coturn 4.6's client draws channel numbers from 0x4000-0x7FFF, of which RFC
//! 8656 §12 forbids those above 0x4FFF, so that we answer 400: every run uses Send
//! indications (`-s`). It leaves its allocations to expire.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tests::rig::{
    TurnEdge,
    turn::{PASSWORD, USER},
    until,
};
use tokio::{net::UdpSocket, process::Command, time::timeout};

/// A run of `turnutils_uclient` sends for a second and closes within five.
const PATIENCE: Duration = Duration::from_secs(40);
/// Clients, and messages of each.
const CLIENTS: u32 = 4;
const MESSAGES: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn coturns_client_relays_between_its_clients_by_udp_and_tcp() {
    with_edge(async |edge| {
        for flags in [
            &["-y", "-s"][..],
            &["-y", "-s", "-X"],
            &["-y", "-s", "-g"],
            &["-y", "-s", "-t"],
        ] {
            relays(edge, "127.0.0.1", flags).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coturns_client_relays_by_ipv6() {
    with_edge(async |edge| {
        relays(edge, "::1", &["-y", "-s", "-x"]).await?;
        relays(edge, "::1", &["-y", "-s", "-x", "-t"]).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coturns_client_reaches_coturns_peer() {
    with_edge(async |edge| {
        let port = free_udp_port().await?;
        let _peer = command("turnutils_peer")
            .args(["-p", &port, "-L", "127.0.0.1"])
            .spawn()
            .map_err(missing)?;
        echoes(&port).await?;
        let to_peer = ["-e", "127.0.0.1", "-r", &port, "-s"];
        relays(edge, "127.0.0.1", &to_peer).await?;
        let by_tcp = ["-e", "127.0.0.1", "-r", &port, "-s", "-t"];
        relays(edge, "127.0.0.1", &by_tcp).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coturns_client_sees_its_own_address() {
    with_edge(async |edge| {
        let port = edge.address().port().to_string();
        let said = output(
            "turnutils_stunclient",
            &["-p", &port, "-L", "127.0.0.1", "127.0.0.1"],
        )
        .await?;
        ensure!(said.contains("reflexive addr: 127.0.0.1:"), "{said}");
        // Filtering and mapping are the client's NAT's, of which there is none.
        let said = output("turnutils_natdiscovery", &["-p", &port, "-m", "127.0.0.1"]).await?;
        ensure!(!said.contains("ERROR"), "{said}");
        Ok(())
    })
    .await;
}

/// Runs `test` against an edge of its own.
async fn with_edge(test: impl AsyncFnOnce(&TurnEdge) -> Result<()>) {
    let edge = TurnEdge::start("").await.expect("an edge");
    let outcome = test(&edge).await;
    if let Err(error) = outcome {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    edge.stop().await.expect("an orderly end");
}

/// Lets clients send, and compares what they got with what they sent.
async fn relays(edge: &TurnEdge, server: &str, flags: &[&str]) -> Result<()> {
    let (port, clients, messages) = (
        edge.address().port().to_string(),
        CLIENTS.to_string(),
        MESSAGES.to_string(),
    );
    let mut arguments = vec!["-u", USER, "-w", PASSWORD, "-p", &port];
    arguments.extend(["-m", &clients, "-n", &messages, "-c"]);
    arguments.extend(flags);
    arguments.push(server);
    let said = output("turnutils_uclient", &arguments).await?;
    let sent = last_number(&said, "tot_send_msgs=")?;
    let received = last_number(&said, "tot_recv_msgs=")?;
    ensure!(
        sent >= f64::from(CLIENTS * MESSAGES),
        "{flags:?}: sent {sent}\n{said}"
    );
    ensure!(
        received >= sent,
        "{flags:?}: {received} of {sent} came back\n{said}"
    );
    Ok(())
}

/// What `turnutils_uclient` prints last after `key`.
fn last_number(said: &str, key: &str) -> Result<f64> {
    let (_, rest) = said.rsplit_once(key).with_context(|| said.to_owned())?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

async fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let run = command(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let done = timeout(PATIENCE, run).await;
    let done = done.with_context(|| format!("{program} {arguments:?} does not end"))?;
    let done = done.map_err(missing)?;
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if !done.status.success() {
        bail!("{program} {arguments:?}: {}\n{said}", done.status);
    }
    Ok(said)
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

fn missing(error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("coturn's utilities are missing: `make packages-test`")
}

async fn free_udp_port() -> Result<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    Ok(socket.local_addr()?.port().to_string())
}

/// Waits until the peer at this port echoes.
async fn echoes(port: &str) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(format!("127.0.0.1:{port}")).await?;
    until("coturn's peer", PATIENCE, async || {
        socket.send(b"are you there").await?;
        let mut answer = [0; 64];
        timeout(Duration::from_millis(200), socket.recv(&mut answer)).await??;
        Ok(())
    })
    .await
}
