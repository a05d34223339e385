//! The name server as resolvers and operators meet it: the real binary, asked by BIND's
//! `dig` and Knot's `kdig`, with MaxMind's synthetic city database.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    mmdb,
    rig::{
        NameServer,
        name_server::{FLEET, database},
        until,
    },
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Networks of the database, and where they are nearest to.
const NEAREST: [(&str, &str, &str); 4] = [
    ("81.2.69.160/27", "192.0.2.1", "2001:db8:1::1"),
    ("216.160.83.56/29", "192.0.2.2", "2001:db8:2::1"),
    ("2001:218::/32", "192.0.2.3", "2001:db8:3::1"),
    // Of Sweden, nearer to London than to the others.
    ("89.160.20.128/25", "192.0.2.1", "2001:db8:1::1"),
];

async fn with(dns: &str, story: impl AsyncFnOnce(&mut NameServer) -> Result<()>) {
    let mut server = NameServer::start(dns).await.expect("a name server");
    if let Err(error) = story(&mut server).await {
        panic!("{error:#}\n{}", server.process.tail(40));
    }
    server.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_sent_to_the_nearest_by_every_transport() {
    with("", async |server| {
        for (network, four, six) in NEAREST {
            for (kind, expected) in [("A", four), ("AAAA", six)] {
                let query = format!("whip.inlet.test {kind} +subnet={network} +norecurse");
                let told = server.dig(&format!("{query} +short")).await?;
                ensure!(told == expected, "{query}: {told}");
                let told = server.dig(&format!("{query} +short +tcp")).await?;
                ensure!(told == expected, "{query} by TCP: {told}");
                let query = query.replace(" +norecurse", "");
                let told = server.kdig_tls(&format!("{query} +short")).await?;
                ensure!(told == expected, "{query} by TLS: {told}");
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_finds_nothing_to_complain_of() {
    with("", async |server| {
        let told = server
            .dig("whip.inlet.test A +subnet=81.2.69.160/27 +nsid +norecurse")
            .await?;
        ensure!(told.contains("status: NOERROR"), "{told}");
        ensure!(told.contains("flags: qr aa;"), "{told}");
        ensure!(told.contains("CLIENT-SUBNET: 81.2.69.160/27/"), "{told}");
        ensure!(told.contains("(good)"), "no good cookie: {told}");
        ensure!(told.contains("(\"lon\")"), "no NSID: {told}");
        ensure!(!told.to_lowercase().contains("warning"), "{told}");
        let cut = server.dig("long.inlet.test TXT +ignore").await?;
        ensure!(cut.contains("flags: qr aa tc rd;"), "{cut}");
        let whole = server.dig("long.inlet.test TXT +short").await?;
        ensure!(whole.contains("comes again"), "{whole}");
        for (query, status) in [
            ("nobody.inlet.test A", "NXDOMAIN"),
            ("inlet.test A", "NOERROR"),
            ("elsewhere.test A", "REFUSED"),
            ("inlet.test AXFR", "Transfer failed"),
            ("whip.inlet.test A +edns=1 +noednsneg", "BADVERS"),
            ("whip.inlet.test A +opcode=notify", "NOTIMP"),
            ("whip.inlet.test HTTPS", "alpn=\"h2\""),
            (
                "_turns._tcp.turn.inlet.test SRV",
                "0 0 443 turn.inlet.test.",
            ),
        ] {
            let told = server.dig(query).await?;
            ensure!(told.contains(status), "{query}: {told}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_replaced_counts_and_a_broken_one_does_not() {
    with("", async |server| {
        let asked = "whip.inlet.test A +short +subnet=81.2.69.160/27";
        ensure!(server.dig(asked).await? == "192.0.2.1");
        // Half of a database is none.
        let good = std::fs::read(database("GeoIP2-City-Test.mmdb"))?;
        server.replace_database(&good[..good.len() / 2])?;
        until("the refusal", PATIENCE, async || {
            let log = server.process.tail(40);
            let mut lines = log.lines();
            let is_refused = lines.any(|line| line.contains("WARN") && line.contains("city.mmdb"));
            ensure!(is_refused, "{log}");
            Ok(())
        })
        .await?;
        ensure!(server.dig(asked).await? == "192.0.2.1");
        // Nor does a reload make do without it.
        let elsewhere = "whip.inlet.test A +short +subnet=216.160.83.56/29";
        server.reload(FLEET)?;
        until("the reload", PATIENCE, async || {
            let log = server.process.tail(40);
            ensure!(log.contains("reloaded"), "{log}");
            Ok(())
        })
        .await?;
        ensure!(server.dig(elsewhere).await? == "192.0.2.2");
        // A sound one counts: here London's network is in Tokyo.
        let mut moved = mmdb::Writer::new("GeoIP2-City", 1_790_000_000);
        let tokyo = mmdb::Value::city("AS", "JP", Some((35.7, 139.7)));
        moved.insert("81.2.69.0/24".parse()?, &tokyo);
        server.replace_database(&moved.finish())?;
        until("the new database", PATIENCE, async || {
            let told = server.dig(asked).await?;
            ensure!(told == "192.0.2.3", "{told}");
            Ok(())
        })
        .await?;
        let older = std::fs::read(database("GeoIP2-City-Test.mmdb"))?;
        server.replace_database(&older)?;
        until("a word about the older one", PATIENCE, async || {
            let log = server.process.tail(40);
            ensure!(log.contains("built before"), "{log}");
            Ok(())
        })
        .await?;
        ensure!(server.dig(asked).await? == "192.0.2.3");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_a_sound_fleet_and_refuses_another() {
    with("", async |server| {
        let asked = "lon.inlet.test A +short";
        server.reload(&FLEET.replace("192.0.2.1", "192.0.2.99"))?;
        until("the new address", PATIENCE, async || {
            let told = server.dig(asked).await?;
            ensure!(told == "192.0.2.99", "{told}");
            Ok(())
        })
        .await?;
        server.reload("[[pop]]\nname = \"lon\"")?;
        until("the refusal", PATIENCE, async || {
            let log = server.process.tail(40);
            ensure!(log.contains("fleet refused; the old one stays"), "{log}");
            Ok(())
        })
        .await?;
        ensure!(server.dig(asked).await? == "192.0.2.99");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_why() {
    with("", async |server| {
        let output = server
            .command(&["dns", "explain", "81.2.69.160", "whip.inlet.test"])
            .await?;
        let told = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{output:?}");
        for part in ["country GB", "the nearest", "1. lon", "192.0.2.1", "whip A"] {
            ensure!(told.contains(part), "no {part} in\n{told}");
        }
        let path = "/dns/explain?client=216.160.83.56&name=turn.inlet.test";
        let told: Value = server.admin(Method::GET, path).send().await?.json().await?;
        ensure!(told["answers"][0]["pop"] == "sea", "{told}");
        ensure!(told["answers"][0]["service"] == "turn", "{told}");
        let path = "/dns/explain?client=216.160.83.56&name=ns1.inlet.test";
        let refused = server.admin(Method::GET, path).send().await?;
        ensure!(refused.status() == StatusCode::UNPROCESSABLE_ENTITY);
        let same = database("GeoIP2-City-Test.mmdb");
        let output = server
            .command(&["dns", "diff", &same.display().to_string()])
            .await?;
        let told = String::from_utf8_lossy(&output.stdout);
        ensure!(told.contains("IPv4 addresses: 0.000 %"), "{output:?}");
        let output = server.command(&["--check"]).await?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            told.contains("cannot be bound"),
            "it runs already: {output:?}"
        );
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_does_is_counted() {
    with("", async |server| {
        for _ in 0..3 {
            server
                .dig("whip.inlet.test A +subnet=81.2.69.160/27")
                .await?;
        }
        server.dig("nobody.inlet.test A +tcp").await?;
        until("the counts", PATIENCE, async || {
            let metrics = server.metrics().await?;
            let sum = |name, labels: &[&str]| metrics.sum(name, labels);
            let steered = [
                "pop=\"lon\"",
                "kind=\"whip\"",
                "type=\"A\"",
                "reason=\"first\"",
            ];
            let told = sum("inlet_edge_dns_steered_total", &steered);
            ensure!(told >= 3.0, "{told} steered");
            let missing = ["code=\"nxdomain\"", "type=\"A\""];
            ensure!(sum("inlet_edge_dns_responses_total", &missing) >= 1.0);
            ensure!(sum("inlet_edge_dns_queries_total", &["transport=\"tcp\""]) >= 1.0);
            ensure!(sum("inlet_edge_dns_client_subnet_queries_total", &[]) >= 3.0);
            let built = "inlet_edge_geo_database_built_timestamp_seconds";
            let built = sum(built, &["kind=\"city\""]);
            ensure!(built > 1.5e9, "the database is of {built}");
            Ok(())
        })
        .await
    })
    .await;
}

/// Without a link and without probes nobody was heard of; still the operator sees whom it
/// took out.
#[tokio::test(flavor = "multi_thread")]
async fn an_operators_word_is_listed() {
    with("", async |server| {
        let listed = async || {
            let answer = server.admin(Method::GET, "/fleet").send().await?;
            let fleet: Value = answer.error_for_status()?.json().await?;
            let pops = fleet["pops"].as_array().context("no list")?;
            let pop = pops.iter().find(|pop| pop["name"] == "sea").cloned();
            pop.context("not listed")
        };
        let before = listed().await?;
        ensure!(
            before["forced"].is_null() && before["whip"].is_null(),
            "{before}"
        );
        ensure!(before["standing"]["whip"]["ipv6"] == "open", "{before}");
        let word = server.admin(Method::PUT, "/fleet/sea");
        let word = word.json(&json!({ "forced": "out" })).send().await?;
        ensure!(word.status() == 204, "{}", word.status());
        let after = listed().await?;
        ensure!(after["forced"] == "out", "{after}");
        ensure!(after["standing"]["turn"]["ipv4"] == "down", "{after}");
        Ok(())
    })
    .await;
}
