//! Probes against real servers: an edge, what stands in front of one, and coturn.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use inlet_edge::probe::{Canary, Credentials, Error, Findings, Kind, Patience, Target};
use reqwest::Method;
use tests::{
    rig::{
        Ports, Rig, TurnEdge, scenario,
        turn::{PASSWORD, SECRET, USER},
        until,
    },
    turn::{
        client::{Caller, Client, Wish},
        link::Transport,
        load::server,
    },
};
use tokio::{
    net::UdpSocket,
    process::{Child, Command},
    task::{JoinSet, spawn_blocking},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// The limit of a run here: machines that run tests are busy.
const LIMIT: Patience = Patience::USUAL.times(4);
const ALLOCATIONS: &str = "inlet_edge_turn_allocations";
const CONNECTIONS: &str = "inlet_edge_turn_connections";

/// Nothing is offered yet.
fn target(host: &str) -> Target {
    Target {
        pop: "loopback".to_owned(),
        host: host.to_owned(),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        whip: None,
        stun: None,
        turn_udp: None,
        turn_tcp: None,
        turn_tls: None,
    }
}

/// STUN and TURN, all at one port.
fn of_turn(port: u16) -> Target {
    Target {
        stun: Some(port),
        turn_udp: Some(port),
        turn_tcp: Some(port),
        turn_tls: Some(port),
        ..target("localhost")
    }
}

fn canary(ca: &Path) -> Result<Canary> {
    Ok(Canary::new(Some(ca), LIMIT)?)
}

fn secret(text: &str) -> Credentials {
    Credentials::Secret(text.to_owned())
}

/// Each kind is proven.
fn all_well(found: &Findings, kinds: &[Kind]) -> Result<()> {
    let proven: Vec<Kind> = found
        .all()
        .filter_map(|(kind, found)| found.ok().map(|_| kind))
        .collect();
    ensure!(proven == kinds, "{found:?}");
    Ok(())
}

const TURN: [Kind; 4] = [Kind::Stun, Kind::TurnUdp, Kind::TurnTcp, Kind::TurnTls];

/// Each of the three ways to TURN has found this.
fn turn_is(found: &Findings, error: Error) -> Result<()> {
    for kind in [Kind::TurnUdp, Kind::TurnTcp, Kind::TurnTls] {
        ensure!(found.of(kind) == Some(Err(error)), "{error:?}: {found:?}");
    }
    Ok(())
}

async fn with_turn_edge(turn: &str, test: impl AsyncFnOnce(&TurnEdge, &Canary) -> Result<()>) {
    let edge = TurnEdge::start(turn).await.expect("an edge");
    let canary = canary(&edge.folder().join("certificates/ca.pem")).expect("a canary");
    let outcome = test(&edge, &canary).await;
    if let Err(error) = outcome {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    edge.stop().await.expect("an orderly end");
}

/// Nothing of a probe stays with the server.
async fn nothing_is_left(edge: &TurnEdge) -> Result<()> {
    until("the end of all", PATIENCE, async || {
        let metrics = edge.metrics().await?;
        let left = [ALLOCATIONS, CONNECTIONS].map(|name| metrics.sum(name, &[]));
        ensure!(left.iter().all(|left| *left < 0.5), "{left:?} are left");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_proven_at_an_edge_and_leaves_nothing() {
    scenario(async |rig| {
        let ports = rig.ports();
        let base = format!("http://127.0.0.1:{}", ports.edge_http);
        let mut target = Target {
            whip: Some(base.parse()?),
            turn_tls: Some(ports.edge_turns),
            ..of_turn(ports.edge_turn)
        };
        target.host = "127.0.0.1".to_owned();
        let text = fs::read_to_string(rig.folder().join("secrets/turn"))?;
        let credentials = secret(text.trim());
        let canary = canary(&rig.folder().join("certificates/ca.pem"))?;
        for _ in 0..5 {
            let found = canary.run(&target, &credentials).await;
            all_well(&found, &Kind::ALL)?;
        }
        until("the end of all allocations", PATIENCE, async || {
            let left = metrics(rig).await?.sum(ALLOCATIONS, &[]);
            ensure!(left < 0.5, "{left} are left");
            Ok(())
        })
        .await?;
        let made = metrics(rig).await?;
        let made = made.sum("inlet_edge_turn_allocations_created_total", &[]);
        ensure!(made > 29.5, "{made} of 30 allocations");
        by_https(rig, &canary, target).await
    })
    .await;
}

async fn metrics(rig: &Rig) -> Result<tests::rig::Metrics> {
    tests::rig::Metrics::fetch(&rig.edge_metrics()).await
}

/// The certificate counts: its name, and whose it is.
async fn by_https(rig: &mut Rig, canary: &Canary, mut target: Target) -> Result<()> {
    let folder = rig.folder().join("certificates");
    let [pem, key] = ["turn.pem", "turn.key"].map(|file| folder.join(file).display().to_string());
    rig.reconfigure_edge(|text| {
        let files = format!("certificate = \"{pem}\"\nkey = \"{key}\"\n");
        text.replacen("[http]\n", &format!("[http]\n{files}"), 1)
    })
    .await?;
    let port = rig.ports().edge_http;
    target.whip = Some(format!("https://127.0.0.1:{port}").parse()?);
    // One port for WHIP and TURN: it tells them apart by what they say first.
    target.turn_tls = Some(port);
    target.turn_tcp = Some(port);
    let text = fs::read_to_string(rig.folder().join("secrets/turn"))?;
    let credentials = secret(text.trim());
    let found = canary.run(&target, &credentials).await;
    all_well(&found, &Kind::ALL).context("at one port")?;

    let stranger = rcgen::generate_simple_self_signed(["edge.test".to_owned()])?;
    let other_ca = rig.folder().join("other-ca.pem");
    fs::write(&other_ca, stranger.cert.pem())?;
    let other = Canary::new(Some(&other_ca), LIMIT)?;
    let untrusted = other.run(&target, &credentials).await;
    target.whip = Some(format!("https://other.test:{port}").parse()?);
    target.host = "other.test".to_owned();
    let misnamed = canary.run(&target, &credentials).await;
    for found in [untrusted, misnamed] {
        for kind in [Kind::Whip, Kind::TurnTls] {
            ensure!(found.of(kind) == Some(Err(Error::Certificate)), "{found:?}");
        }
        ensure!(
            found.turn_tcp.is_some_and(|found| found.is_ok()),
            "{found:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_policy_permits_what_a_probe_does() {
    with_turn_edge("policy = \"appliance\"\n", async |edge, canary| {
        let target = of_turn(edge.address().port());
        let found = canary.run(&target, &secret(SECRET)).await;
        all_well(&found, &TURN)?;
        nothing_is_left(edge).await?;
        // As a stranger, it is enough to be asked who it is; nothing is allocated.
        let found = canary.run(&target, &Credentials::None).await;
        all_well(&found, &TURN)?;
        let made = edge.metrics().await?;
        let made = made.sum("inlet_edge_turn_allocations_created_total", &[]);
        ensure!((made - 6.0).abs() < 0.5, "{made} allocations");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_turn_server_is_told() {
    with_turn_edge("", async |edge, canary| {
        let target = of_turn(edge.address().port());
        let found = canary.run(&target, &secret("another secret")).await;
        turn_is(&found, Error::Unauthorized)?;
        edge.reload("deny_peers = [\"127.0.0.0/8\"]")?;
        until("peers to be denied", PATIENCE, async || {
            let found = canary.run(&target, &secret(SECRET)).await;
            turn_is(&found, Error::Forbidden)
        })
        .await?;
        edge.reload("[turn.limits]\nallocations = 1")?;
        until("no room", PATIENCE, async || {
            let found = canary.run(&target, &secret(SECRET)).await;
            turn_is(&found, Error::Capacity)
        })
        .await?;
        nothing_is_left(edge).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_is_busy_and_not_broken() {
    let elsewhere = "alternate_servers = [\"192.0.2.9:3478\"]";
    with_turn_edge(elsewhere, async |edge, canary| {
        let target = of_turn(edge.address().port());
        // Without anybody it would end at once.
        let stays = occupy(edge).await?;
        let drained = edge.admin(Method::POST, "/drain").send().await?;
        ensure!(drained.status().as_u16() == 202, "{}", drained.status());
        let found = canary.run(&target, &secret(SECRET)).await;
        drop(stays);
        for (kind, found) in found.all().filter(|(kind, _)| *kind != Kind::Stun) {
            let is_busy = found.is_err_and(|error| error == Error::Elsewhere && error.is_busy());
            ensure!(is_busy, "{kind:?}: {found:?}");
        }
        Ok(())
    })
    .await;
}

/// A client that stays.
async fn occupy(edge: &TurnEdge) -> Result<Client> {
    let ca = edge.folder().join("certificates/ca.pem");
    let server = server(edge.address().port(), &ca)?;
    let caller = Caller {
        transport: Transport::Udp,
        is_ipv4: true,
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    };
    spawn_blocking(move || Client::allocate(&server, &caller, Wish::Ipv4)).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_allocates_and_does_not_relay_is_found_out() {
    with_turn_edge("", async |edge, canary| {
        let mut target = of_turn(edge.address().port());
        (target.turn_tcp, target.turn_tls) = (None, None);
        let (port, _filter) = without_data(edge).await?;
        (target.stun, target.turn_udp) = (Some(port), Some(port));
        let found = canary.run(&target, &secret(SECRET)).await;
        ensure!(found.stun.is_some_and(|found| found.is_ok()), "{found:?}");
        ensure!(found.turn_udp == Some(Err(Error::Relay)), "{found:?}");
        nothing_is_left(edge).await
    })
    .await;
}

/// A way to the edge by UDP that lets everything through but relayed data, while the
/// set is not dropped.
async fn without_data(edge: &TurnEdge) -> Result<(u16, JoinSet<Result<()>>)> {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let port = front.local_addr()?.port();
    let mut tasks = JoinSet::new();
    tasks.spawn(to_server(front, edge.address()));
    Ok((port, tasks))
}

async fn to_server(front: Arc<UdpSocket>, server: SocketAddr) -> Result<()> {
    let mut backs = BTreeMap::new();
    let mut answers = JoinSet::new();
    let mut bytes = [0; 2_048];
    loop {
        let (len, client) = front.recv_from(&mut bytes).await?;
        if let Entry::Vacant(place) = backs.entry(client) {
            let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
            back.connect(server).await?;
            place.insert(Arc::clone(&back));
            answers.spawn(to_client(back, Arc::clone(&front), client));
        }
        if !is_data(&bytes[..len]) {
            backs[&client].send(&bytes[..len]).await?;
        }
    }
}

async fn to_client(back: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr) -> Result<()> {
    let mut bytes = [0; 2_048];
    loop {
        let len = back.recv(&mut bytes).await?;
        if !is_data(&bytes[..len]) {
            front.send_to(&bytes[..len], client).await?;
        }
    }
}

/// ChannelData, or a Send or Data indication (RFC 8656 §17).
fn is_data(bytes: &[u8]) -> bool {
    matches!(bytes, [0x40..=0x4F, ..] | [0x00, 0x16 | 0x17, ..])
}

#[tokio::test(flavor = "multi_thread")]
async fn coturn_is_probed_as_well() {
    let edge = TurnEdge::start("")
        .await
        .expect("an edge, for its certificates");
    let outcome = coturn(edge.folder()).await;
    edge.stop().await.expect("an orderly end");
    outcome.expect("probes of coturn");
}

async fn coturn(folder: &Path) -> Result<()> {
    let canary = canary(&folder.join("certificates/ca.pem"))?;
    let ports = Ports::free()?;
    let target = Target {
        turn_tls: Some(ports.edge_turns),
        ..of_turn(ports.edge_turn)
    };
    let _server = turnserver(folder, &ports, &["--allow-loopback-peers"])?;
    until("coturn", PATIENCE, async || {
        let found = canary.run(&target, &secret(SECRET)).await;
        all_well(&found, &TURN)
    })
    .await?;
    let found = canary.run(&target, &secret("another secret")).await;
    turn_is(&found, Error::Unauthorized)?;

    // Loopback, where its relayed addresses are here, is no peer of it by default.
    let ports = Ports::free()?;
    let target = Target {
        turn_tls: Some(ports.edge_turns),
        ..of_turn(ports.edge_turn)
    };
    let _server = turnserver(folder, &ports, &[])?;
    until("coturn without peers", PATIENCE, async || {
        let found = canary.run(&target, &secret(SECRET)).await;
        turn_is(&found, Error::Forbidden)
    })
    .await
}

fn turnserver(folder: &Path, ports: &Ports, more: &[&str]) -> Result<Child> {
    let certificates = folder.join("certificates");
    let mut command = Command::new("turnserver");
    command
        .args(["-n", "--no-cli", "--no-dtls", "--simple-log"])
        .args(["--log-file", "stdout", "--realm", "inlet.test"])
        .args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"])
        .args(["--listening-port", &ports.edge_turn.to_string()])
        .args(["--tls-listening-port", &ports.edge_turns.to_string()])
        .args(["--use-auth-secret", "--static-auth-secret", SECRET])
        .arg("--cert")
        .arg(certificates.join("origin.pem"))
        .arg("--pkey")
        .arg(certificates.join("origin.key"))
        .arg("--pidfile")
        .arg(folder.join(format!("coturn-{}.pid", ports.edge_turn)))
        .arg("--userdb")
        .arg(folder.join(format!("coturn-{}.db", ports.edge_turn)))
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
        .spawn()
        .context("coturn is missing: `make packages-test`")
}
