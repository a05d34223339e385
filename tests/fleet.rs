//! Points of presence that hear of each other through the origin.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use tests::rig::{Metrics, Rig, SecondEdge, scenario, until};

/// What is told at once or within a report's interval, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Within it who says nothing is forgotten, after 30 seconds.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(60);

/// The rig's own edge and the one beside it.
const NAMES: [&str; 2] = ["loopback", "second"];

/// The entry of `name` in what an edge has heard.
fn entry(fleet: &str, name: &str) -> Result<Option<Value>> {
    let fleet: Value = serde_json::from_str(fleet)?;
    let pops = fleet["pops"].as_array().context("no list")?;
    Ok(pops.iter().find(|pop| pop["name"] == name).cloned())
}

/// Tells whether both are in it, take clients, and have fresh loads.
fn ensure_both_are_well(fleet: &str) -> Result<()> {
    for name in NAMES {
        let pop = entry(fleet, name)?.with_context(|| format!("no {name} in {fleet}"))?;
        let loads = [&pop["whip"], &pop["turn"]].map(Value::as_f64);
        let are_shares = loads.iter().flatten().all(|load| (0.0..1.0).contains(load));
        ensure!(loads.iter().all(Option::is_some) && are_shares, "{pop}");
        let age = pop["age_seconds"].as_f64().context("no age")?;
        ensure!(pop["is_draining"] == false && age < 6.0, "{pop}");
    }
    Ok(())
}

async fn open_pops(rig: &Rig) -> Result<f64> {
    let metrics = Metrics::fetch(&rig.origin_metrics()).await?;
    Ok(metrics.sum("inlet_origin_pops", &["state=\"open\""]))
}

#[tokio::test(flavor = "multi_thread")]
async fn points_of_presence_hear_of_each_other_until_one_falls_silent() {
    scenario(async |rig: &mut Rig| {
        let second = SecondEdge::start(rig).await?;
        until("both, at both", PATIENCE, async || {
            ensure_both_are_well(&rig.edge_admin("/fleet").await?)?;
            ensure_both_are_well(&second.admin(Method::GET, "/fleet").await?)?;
            let open = open_pops(rig).await?;
            ensure!(
                (open - 2.0).abs() < f64::EPSILON,
                "the origin counts {open}"
            );
            Ok(())
        })
        .await?;

        second.admin(Method::POST, "/drain").await?;
        until("the drain", PATIENCE, async || {
            let fleet = rig.edge_admin("/fleet").await?;
            let pop = entry(&fleet, "second")?.context("forgotten")?;
            ensure!(pop["is_draining"] == true, "{pop}");
            Ok(())
        })
        .await?;
        second.stop().await?;

        let second = SecondEdge::start(rig).await?;
        until("its return", PATIENCE, async || {
            ensure_both_are_well(&rig.edge_admin("/fleet").await?)
        })
        .await?;

        second.kill().await?;
        let mut oldest: f64 = 0.0;
        until("its expiry", EXPIRY_PATIENCE, async || {
            let fleet = rig.edge_admin("/fleet").await?;
            let Some(pop) = entry(&fleet, "second")? else {
                return Ok(());
            };
            oldest = oldest.max(pop["age_seconds"].as_f64().unwrap_or_default());
            anyhow::bail!("it is still known: {pop}");
        })
        .await?;
        ensure!(oldest > 15.0, "it was forgotten after {oldest} s");
        until("the origin's count", PATIENCE, async || {
            let open = open_pops(rig).await?;
            ensure!(
                (open - 1.0).abs() < f64::EPSILON,
                "the origin counts {open}"
            );
            Ok(())
        })
        .await
    })
    .await;
}
