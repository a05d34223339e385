//! The placement adviser: presenters of known networks come to two edges of a fleet, and
//! the admin API and the command say who was served near, who was relayed, and where
//! another point of presence would help.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, Url};
use serde_json::Value;
use tests::{
    mmdb,
    publisher::{Publisher, Tracks},
    rig::{Rig, SecondEdge, name_server::database, program, scenario, until},
    stage,
};
use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinHandle,
};

/// A round trip is told every ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Networks of MaxMind's synthetic city database.
const LONDON: &str = "81.2.69.160";
const SEATTLE: &str = "216.160.83.56";

/// The rig's edge in London, the second one in Tokyo. They are at other addresses than
/// here, or whoever comes from this machine would come from a relay of the fleet. Sessions
/// have their URLs where presenters came to, which the fleet's URLs name.
const FLEET: &str = r#"
[[pop]]
name = "loopback"
host = "lon.inlet.test"
url = "http://127.0.0.1"
ipv4 = ["192.0.2.1"]
latitude = 51.5
longitude = -0.1

[[pop]]
name = "second"
host = "tyo.inlet.test"
url = "http://127.0.0.1"
ipv4 = ["192.0.2.2"]
latitude = 35.7
longitude = 139.7
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_learns_who_is_far_and_where_the_next_one_belongs() {
    scenario(async |rig: &mut Rig| {
        let fleet = fleet(rig.folder())?;
        rig.reconfigure_edge(|text| {
            let proxied = "[turn]\nproxy_protocol = [\"127.0.0.0/8\"]\n";
            text.replacen("[turn]\n", proxied, 1) + &fleet
        })
        .await?;
        let second = SecondEdge::start_with(rig, &fleet).await?;
        let near = publish(rig, "near", LONDON, false).await?;
        let relayed = publish(rig, "relayed", SEATTLE, true).await?;
        let elsewhere = publish_at(rig, &second).await?;

        ensure_told(rig).await.context("the admin API")?;
        let report = save(rig, &second).await.context("the second edge")?;
        ensure_printed(rig, &report).await.context("the command")?;
        ensure_refused(rig, &report)
            .await
            .context("what is wrong")?;
        for presenter in [near, relayed, elsewhere] {
            presenter.publisher.stop().await?;
        }
        second.stop().await?;
        ensure_alone(rig, &report).await.context("without an edge")
    })
    .await;
}

/// Writes the fleet's files; returns the section that names them. Who comes to the second
/// edge comes from this machine, which stands in Tokyo.
fn fleet(folder: &Path) -> Result<String> {
    let (file, here) = (folder.join("fleet.toml"), folder.join("here.mmdb"));
    fs::write(&file, FLEET)?;
    let mut writer = mmdb::Writer::new("Here-City", 1_790_000_000);
    let tokyo = mmdb::Value::city("AS", "JP", Some((35.7, 139.7)));
    writer.insert("127.0.0.0/8".parse()?, &tokyo);
    fs::write(&here, writer.finish())?;
    Ok(format!(
        "\n[fleet]\nfile = \"{}\"\ndatabases = [\"{}\", \"{}\", \"{}\"]\nprobe = false\n\
         steer = false\n",
        file.display(),
        database("GeoIP2-City-Test.mmdb").display(),
        database("GeoLite2-ASN-Test.mmdb").display(),
        here.display(),
    ))
}

/// A presenter, and the proxy that it comes by.
struct Presenter {
    publisher: Publisher,
    _front: Option<Front>,
}

/// Goes live at the rig's edge from `source`, by a relay alone or directly.
async fn publish(rig: &Rig, name: &str, source: &str, is_relayed: bool) -> Result<Presenter> {
    let stream = rig.api.create(name).await?;
    let front = Front::start(source.parse()?, rig.ports().edge_http).await?;
    let mut options = stage::options(&stream);
    options.tracks = Tracks::Audio;
    options.whip = front.in_front_of(&stream.whip)?;
    if is_relayed {
        let mut relay = rig.turn_credential("placement").await?;
        // By TCP they would need a PROXY header.
        let is_udp = |url: &String| url.starts_with("turn:") && url.ends_with("udp");
        relay.urls.retain(is_udp);
        options.relay = Some(relay);
    }
    Ok(Presenter {
        publisher: Publisher::start(options).await.context(name.to_owned())?,
        _front: Some(front),
    })
}

/// Goes live at the second edge.
async fn publish_at(rig: &Rig, second: &SecondEdge) -> Result<Presenter> {
    let stream = rig.api.create("elsewhere").await?;
    let mut options = stage::options(&stream);
    options.tracks = Tracks::Audio;
    options.whip = second.whip(&stream)?;
    Ok(Presenter {
        publisher: Publisher::start(options).await?,
        _front: None,
    })
}

/// A proxy in front of the edge that says where its client is: PROXY protocol, version 2.
struct Front {
    port: u16,
    task: JoinHandle<()>,
}

impl Front {
    async fn start(source: IpAddr, edge: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let header = header(source, edge)?;
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let header = header.clone();
                tokio::spawn(async move {
                    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, edge));
                    let mut edge = TcpStream::connect(to).await?;
                    edge.write_all(&header).await?;
                    copy_bidirectional(&mut client, &mut edge).await
                });
            }
        });
        Ok(Self { port, task })
    }

    fn in_front_of(&self, whip: &str) -> Result<String> {
        let url = Url::parse(whip)?;
        Ok(format!("http://127.0.0.1:{}{}", self.port, url.path()))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// proxy-protocol.txt §2.2: the signature, version and command, TCP over IPv4, 12 bytes.
fn header(source: IpAddr, edge: u16) -> Result<Vec<u8>> {
    let IpAddr::V4(source) = source else {
        anyhow::bail!("{source} is not IPv4");
    };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(source.octets());
    header.extend(Ipv4Addr::LOCALHOST.octets());
    header.extend(50_000_u16.to_be_bytes());
    header.extend(edge.to_be_bytes());
    Ok(header)
}

/// Of two presenters one is near; the relayed one's round trip is measured.
async fn ensure_told(rig: &Rig) -> Result<()> {
    let text = until("a round trip", PATIENCE, async || {
        let text = rig.edge_admin("/placement").await?;
        let told: Value = serde_json::from_str(&text)?;
        ensure!(told["relayed"][0]["measured"] == 1, "{told}");
        Ok(text)
    })
    .await?;
    let told: Value = serde_json::from_str(&text)?;
    ensure!(
        told["pop"] == "loopback" && told["presenters"] == 2,
        "{told}"
    );
    ensure!(told["located"] == 2 && told["in_region"] == 1, "{told}");
    ensure!(told["share_in_region"] == 0.5, "{told}");
    let relayed = &told["relayed"][0];
    ensure!(
        relayed["country"] == "US" && relayed["presenters"] == 1,
        "{told}"
    );
    // There and back within this machine.
    let millis = relayed["rtt_worst_ms"].as_f64().context("no round trip")?;
    ensure!((0.0..1_000.0).contains(&millis), "{told}");
    let next = &told["next"][0];
    ensure!(
        next["latitude"] == 47.0 && next["longitude"] == -122.0,
        "{told}"
    );
    ensure!(next["gain"] == 1 && next["share_after"] == 1.0, "{told}");
    for address in [LONDON, SEATTLE] {
        ensure!(!text.contains(address), "an address is told");
    }
    Ok(())
}

/// The second edge's report, in a file.
async fn save(rig: &Rig, second: &SecondEdge) -> Result<PathBuf> {
    let text = until("its presenter", PATIENCE, async || {
        let text = second.admin(Method::GET, "/placement").await?;
        let told: Value = serde_json::from_str(&text)?;
        ensure!(told["in_region"] == 1, "{told}");
        Ok(text)
    })
    .await?;
    let path = rig.folder().join("tyo.json");
    fs::write(&path, text)?;
    Ok(path)
}

/// Runs `inlet-edge placement` with a configuration of the rig's folder.
async fn placement(rig: &Rig, config: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("inlet-edge")?);
    command.arg("--config").arg(rig.folder().join(config));
    Ok(command.arg("placement").args(arguments).output().await?)
}

async fn ensure_printed(rig: &Rig, report: &Path) -> Result<()> {
    let report = report.display().to_string();
    let output = placement(rig, "edge.toml", &[&report]).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{output:?}");
    for part in [
        "loopback: 2 presenters",
        "second: 1 presenter in",
        "2 of 3 located presenters, 66.6 %; aim 90.0 %: missed",
        "relayed: 1 of 3 presenters",
        "1. near 47° N, 122° W (US): 1 presenter more, 100.0 %",
    ] {
        ensure!(told.contains(part), "no {part} in\n{told}");
    }
    let output = placement(rig, "edge.toml", &["--json", "--region-km", "20000"]).await?;
    let told: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        told["presenters"] == 2 && told["share_in_region"] == 1.0,
        "{told}"
    );
    ensure!(told["next"] == serde_json::json!([]), "{told}");
    Ok(())
}

/// Checks that the command fails, and says this.
async fn ensure_fails(rig: &Rig, config: &str, arguments: &[&str], says: &str) -> Result<()> {
    let output = placement(rig, config, arguments).await?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "{arguments:?}: {output:?}");
    ensure!(told.contains(says), "{arguments:?}: no {says} in\n{told}");
    Ok(())
}

async fn ensure_refused(rig: &Rig, report: &Path) -> Result<()> {
    let report = report.display().to_string();
    let config = rig.folder().join("edge.toml").display().to_string();
    let edge = "edge.toml";
    ensure_fails(rig, edge, &[&report, &report], "second is there twice").await?;
    ensure_fails(rig, edge, &[&config], "save it by `curl").await?;
    ensure_fails(rig, edge, &["missing.json"], "cannot be read").await?;
    ensure_fails(rig, edge, &["--region-km", "5"], "from 100 to 20000").await?;
    ensure_fails(rig, edge, &["--offline"], "REPORTS").await?;
    let text = fs::read_to_string(rig.folder().join(edge))?;
    let spoiled = [
        (
            "token_file = ",
            "#token_file = ",
            "admin.token_file is empty",
        ),
        ("secrets/admin", "secrets/turn", "refuses the secret"),
    ];
    for (from, to, says) in spoiled {
        ensure!(text.contains(from), "no {from} in {text}");
        fs::write(rig.folder().join("spoiled.toml"), text.replace(from, to))?;
        ensure_fails(rig, "spoiled.toml", &[], says).await?;
    }
    Ok(())
}

/// The second edge has ended: nobody answers for it, and its saved report does.
async fn ensure_alone(rig: &Rig, report: &Path) -> Result<()> {
    ensure_fails(rig, "second.toml", &[], "is the edge running?").await?;
    let report = report.display().to_string();
    let output = placement(rig, "second.toml", &["--offline", &report]).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(told.contains("100.0 %; aim 90.0 %: reached"), "{output:?}");
    ensure!(
        told.contains("no other point of presence is needed"),
        "{told}"
    );
    Ok(())
}
