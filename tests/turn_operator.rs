//! What an operator does with the TURN server, by its admin API, while coturn's
//! client plays the user: it leaves its allocations behind, which suits this.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::rig::{TurnEdge, until};
use tokio::{process::Command, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const ALLOCATIONS: &str = "inlet_edge_turn_allocations";
const FAILURES: &str = "inlet_edge_turn_authentication_failures_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_allocates_until_it_is_revoked_and_never_again() {
    let mut edge = TurnEdge::start("").await.expect("an edge");
    if let Err(error) = story(&mut edge).await {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    edge.stop().await.expect("an orderly end");
}

async fn story(edge: &mut TurnEdge) -> Result<()> {
    let file = edge.folder().join("revocations");
    let configuration = edge.folder().join("edge.toml");
    let mut text = std::fs::read_to_string(&configuration)?;
    text.push_str(&format!("revocations = \"{}\"\n", file.display()));
    std::fs::write(&configuration, text)?;
    edge.crash().await?;

    let path = "/turn/credentials";
    let nobody = edge.stranger(Method::POST, path).json(&json!({}));
    ensure!(nobody.send().await?.status() == StatusCode::UNAUTHORIZED);
    let brief = edge.admin(Method::POST, path).json(&json!({ "ttl": 1 }));
    ensure!(brief.send().await?.status() == StatusCode::UNPROCESSABLE_ENTITY);
    let wish = json!({ "ttl": 600, "tag": "guest" });
    let issued = edge.admin(Method::POST, path).json(&wish).send().await?;
    ensure!(issued.status() == StatusCode::CREATED);
    let issued: Value = issued.json().await?;
    let server = &issued["iceServers"][1];
    let name = server["username"].as_str().context("no username")?;
    let password = server["credential"].as_str().context("no credential")?;
    ensure!(name.ends_with(":guest"), "{issued}");

    relay(edge, name, password).await?;
    ensure!(edge.metrics().await?.sum(ALLOCATIONS, &[]) > 0.0);
    let masked = listing(edge, "/turn/allocations").await?;
    let whole = listing(edge, "/turn/allocations?addresses=full").await?;
    ensure!(!masked.contains("127.0.0.1:") && whole.contains("127.0.0.1:"));

    let revoke = format!("/turn/credentials/{name}/revoke");
    let revoked = edge.admin(Method::POST, &revoke).send().await?;
    ensure!(revoked.status() == StatusCode::NO_CONTENT);
    until("allocations to end", PATIENCE, async || {
        let left = edge.metrics().await?.sum(ALLOCATIONS, &[]);
        ensure!(left < 1.0, "{left} are left");
        Ok(())
    })
    .await?;
    refused(edge, name, password).await?;
    edge.crash().await?;
    refused(edge, name, password)
        .await
        .context("after a restart")
}

async fn listing(edge: &TurnEdge, path: &str) -> Result<String> {
    let answer: Value = edge.admin(Method::GET, path).send().await?.json().await?;
    let first = answer["allocations"][0]["client"].as_str();
    Ok(first.context("nothing is listed")?.to_owned())
}

async fn relay(edge: &TurnEdge, name: &str, password: &str) -> Result<()> {
    let done = timeout(PATIENCE, client(edge, name, password).status()).await??;
    ensure!(done.success(), "coturn's client: {done}");
    Ok(())
}

/// A client with this credential is told 401, for the right reason.
async fn refused(edge: &TurnEdge, name: &str, password: &str) -> Result<()> {
    let revoked = ["reason=\"revoked\""];
    let before = edge.metrics().await?.sum(FAILURES, &revoked);
    let _client = client(edge, name, password).spawn()?;
    until("a refusal", PATIENCE, async || {
        let after = edge.metrics().await?;
        ensure!(after.sum(FAILURES, &revoked) > before, "none is counted");
        Ok(())
    })
    .await?;
    ensure!(edge.metrics().await?.sum(ALLOCATIONS, &[]) < 1.0);
    Ok(())
}

fn client(edge: &TurnEdge, name: &str, password: &str) -> Command {
    let port = edge.address().port().to_string();
    let mut command = Command::new("turnutils_uclient");
    command
        .args(["-u", name, "-w", password, "-p", &port, "-y", "-s", "-c"])
        .args(["-n", "5", "-m", "2", "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}
