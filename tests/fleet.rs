//! Points of presence that hear of each other: through the origin, and without one.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use tests::{
    rig::{Metrics, NameServer, Rig, SecondEdge, scenario, until},
    turn::{
        client::{Caller, Client, Wish},
        link::Transport,
        load::server,
    },
};
use tokio::task::spawn_blocking;

/// What is told at once or within a report's interval, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Within it who says nothing is forgotten, after 30 seconds.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(60);

/// Until the link is given up (8 s), the loss is more than a restart (10 s), and a probe has
/// asked.
const LOSS_PATIENCE: Duration = Duration::from_secs(40);

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

/// Both edges, and a zone for the name server.
fn fleet(first: u16, second: u16) -> String {
    let pop = |name: &str, port: u16, longitude: f64| {
        format!(
            r#"
[[pop]]
name = "{name}"
host = "{name}.inlet.test"
url = "http://127.0.0.1:{port}"
ipv4 = ["127.0.0.1"]
latitude = 50.0
longitude = {longitude}
services = ["whip"]
"#
        )
    };
    let [first, second] = [pop(NAMES[0], first, 0.0), pop(NAMES[1], second, 90.0)];
    format!(
        r#"{first}{second}
[[zone]]
name = "inlet.test"
name_servers = ["ns1"]

[[zone.steered]]
name = "whip"
service = "whip"
"#
    )
}

/// Everybody who hears of others: the rig's edge, the one beside it, and a name server
/// that has no link to any origin.
struct Hearing {
    second: SecondEdge,
    names: NameServer,
}

impl Hearing {
    async fn start(rig: &mut Rig) -> Result<Self> {
        let folder = rig.folder().to_owned();
        let [file, secret, ca] =
            ["fleet.toml", "fleet-secret", "certificates/ca.pem"].map(|name| folder.join(name));
        fs::write(&secret, "a-secret-that-the-whole-fleet-shares")?;
        let keys = format!(
            "secret_file = \"{}\"\nca = \"{}\"\n",
            secret.display(),
            ca.display()
        );
        let section = format!("\n[fleet]\nfile = \"{}\"\n{keys}", file.display());
        // Its own port it needs not know.
        fs::write(&file, fleet(rig.ports().edge_http, 9))?;
        let second = SecondEdge::start_edited(rig, |text| {
            let text = text.replacen("timeout = \"2s\"", "timeout = \"1m\"", 1);
            format!("{text}\n[turn.limits]\nallocations = 4\n{section}")
        })
        .await?;
        let all = fleet(rig.ports().edge_http, second.ports().edge_http);
        fs::write(&file, &all)?;
        rig.reconfigure_edge(|text| text + &section).await?;
        let names = NameServer::start_probing(&all, &keys).await?;
        Ok(Self { second, names })
    }

    /// What each has heard.
    async fn all(&self, rig: &Rig) -> Result<[String; 3]> {
        let names = self.names.admin(Method::GET, "/fleet").send().await?;
        Ok([
            rig.edge_admin("/fleet").await?,
            self.second.admin(Method::GET, "/fleet").await?,
            names.error_for_status()?.text().await?,
        ])
    }

    /// Whether the rig's edge and the name server have heard this of the second edge of
    /// late.
    async fn ensure_second(&self, rig: &Rig, is: impl Fn(&Value) -> bool) -> Result<()> {
        let [first, _, names] = self.all(rig).await?;
        for heard in [first, names] {
            let pop = entry(&heard, NAMES[1])?.with_context(|| format!("not in {heard}"))?;
            let age = pop["age_seconds"].as_f64().context("no age")?;
            ensure!(age < 6.0 && is(&pop), "{pop}");
        }
        Ok(())
    }
}

/// A client of its TURN server, which has room for four.
async fn occupy(rig: &Rig, second: &SecondEdge) -> Result<Client> {
    let ca = rig.folder().join("certificates/ca.pem");
    let server = server(second.ports().edge_turn, &ca)?;
    let credential = second.turn_credential("one").await?;
    let caller = Caller {
        transport: Transport::Udp,
        is_ipv4: true,
        username: credential.username,
        password: credential.credential,
    };
    spawn_blocking(move || Client::allocate(&server, &caller, Wish::Ipv4)).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_origin_points_of_presence_ask_each_other() {
    scenario(async |rig: &mut Rig| {
        let hearing = Hearing::start(rig).await?;
        until("both, at all three", PATIENCE, async || {
            let heard = hearing.all(rig).await?;
            heard
                .iter()
                .try_for_each(|heard| ensure_both_are_well(heard))
        })
        .await?;
        ensure_hidden(rig).await?;

        rig.origin.kill().await?;
        until("the loss of the origin", LOSS_PATIENCE, async || {
            let is_cut_off = |pop: &Value| {
                let standing = &pop["standing"]["whip"]["ipv4"];
                pop["is_cut_off"] == true && pop["is_draining"] == false && standing == "draining"
            };
            hearing.ensure_second(rig, is_cut_off).await
        })
        .await?;
        let _client = occupy(rig, &hearing.second).await?;
        until("its load", PATIENCE, async || {
            let is_loaded = |pop: &Value| pop["turn"].as_f64().is_some_and(|load| load > 0.2);
            hearing.ensure_second(rig, is_loaded).await
        })
        .await?;
        until(
            "somebody to be told though both have lost it",
            LOSS_PATIENCE,
            async || {
                let told = hearing.names.dig("whip.inlet.test A +short").await?;
                ensure!(told == "127.0.0.1", "{told}");
                let metrics = hearing.names.metrics().await?;
                let regardless = ["kind=\"whip\"", "reason=\"regardless\""];
                let told = metrics.sum("inlet_edge_dns_steered_total", &regardless);
                ensure!(told >= 1.0, "not told so");
                Ok(())
            },
        )
        .await?;

        hearing.second.admin(Method::POST, "/drain").await?;
        until("its drain", PATIENCE, async || {
            let drains = |pop: &Value| pop["is_draining"] == true;
            hearing.ensure_second(rig, drains).await
        })
        .await?;
        hearing.second.kill().await?;
        hearing.names.stop().await?;
        rig.crash_origin().await?;
        rig.link_up().await
    })
    .await;
}

/// Who has no part in the fleet finds nothing.
async fn ensure_hidden(rig: &Rig) -> Result<()> {
    let base = format!("http://127.0.0.1:{}", rig.ports().edge_http);
    let ask = async |path: &str, question: &str| {
        let request = reqwest::Client::new().get(format!("{base}{path}"));
        let answer = request.header("Inlet-Fleet", question).send().await?;
        Ok::<_, anyhow::Error>((answer.status().as_u16(), answer.text().await?))
    };
    let nowhere = ask("/no/such/path", "").await?;
    ensure!(nowhere.0 == 404, "{nowhere:?}");
    for question in ["", "junk", &"A".repeat(70)] {
        let told = ask("/fleet/report", question).await?;
        ensure!(told == nowhere, "{question:?}: {told:?}");
    }
    Ok(())
}
