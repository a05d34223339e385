//! Certificates by ACME, with a real CA (pebble) and the real edge.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tests::rig::{AcmeEdge, Pebble, pebble, tls, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PATIENCE: Duration = Duration::from_secs(40);
const HOUR: Duration = Duration::from_secs(3600);
const EXPIRY: &str = "inlet_edge_certificate_expiry_seconds";

/// What readiness says once nothing but the origin is missing.
const READY: &str = "no link to the origin\n";

/// Runs `test`, and tells both logs when it fails.
async fn scenario(
    options: impl FnOnce(&AcmeEdge) -> pebble::Options,
    test: impl AsyncFnOnce(&mut AcmeEdge, &mut Pebble) -> Result<()>,
) {
    let mut edge = AcmeEdge::prepare().expect("an edge");
    let folder = edge.folder().to_owned();
    let mut ca = Pebble::prepare(&folder, options(&edge)).expect("a CA");
    let mut outcome = test(&mut edge, &mut ca).await;
    let tails = format!("{}\n--- pebble\n{}", edge.tail(), ca.tail(30));
    for stopped in [edge.stop().await, ca.stop().await] {
        outcome = outcome.and(stopped);
    }
    if let Err(error) = outcome {
        panic!("{error:#}\n{tails}\n(files in {})", folder.display());
    }
    fs::remove_dir_all(folder).ok();
}

fn lasting(edge: &AcmeEdge) -> pebble::Options {
    pebble::Options {
        http_port: edge.port80,
        tls_port: edge.https,
        validity: HOUR,
        external_account: false,
    }
}

/// Waits until clients are served; the certificate that they see.
async fn served(edge: &AcmeEdge, ca: &Pebble, name: &str) -> Result<Vec<u8>> {
    let root = ca.root().await?;
    until("a certificate", PATIENCE, async || {
        let stream = tls::connect(edge.https, name, &root, &[b"h2"]).await;
        let stream = stream.with_context(|| format!("{name} at {}", edge.https))?;
        tls::certificate(&stream)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_waits_for_its_ca_and_then_serves_http_and_turn_by_one_certificate() {
    scenario(lasting, async |edge, ca| {
        let acme = format!(
            "domains = [\"whip.test\"]\ndirectory = \"{}\"",
            ca.directory()
        );
        edge.write(&acme)?;
        let check = edge.check().await?;
        let said = String::from_utf8_lossy(&check.stdout);
        ensure!(check.status.success(), "{said}");
        ensure!(said.contains("acme: no certificate is kept"), "{said}");
        ensure!(!edge.folder().join("state").exists(), "--check wrote");

        edge.start().await?;
        let why = until("a failed order", PATIENCE, async || {
            let why = edge.readiness().await?;
            ensure!(why.contains("next attempt"), "{why}");
            Ok(why)
        })
        .await?;
        ensure!(
            why.starts_with("no certificate yet: no connection"),
            "{why}"
        );
        ensure!(edge.orders("unreachable").await? > 0.0);
        ca.start().await?;
        let root = ca.root().await?;
        ensure!(
            tls::connect(edge.https, "whip.test", &root, &[])
                .await
                .is_err()
        );

        // The operator need not wait.
        edge.reload()?;
        let certificate = served(edge, ca, "whip.test").await?;
        ensure!(edge.readiness().await? == READY);
        ensure!((edge.orders("issued").await? - 1.0).abs() < f64::EPSILON);
        let expiry = edge.metrics().await?.sum(EXPIRY, &["kind=\"acme\""]);
        ensure!(expiry > 1.7e9, "{expiry}");
        private(&edge.folder().join("state"))?;

        let turns = tls::connect(edge.turns, "whip.test", &root, &[b"stun.turn"]).await?;
        ensure!(tls::certificate(&turns)? == certificate);
        speaks_http_and_turn(edge, &root).await?;
        validation_is_refused_without_an_order(edge, &root).await
    })
    .await;
}

/// The state is its owner's alone.
fn private(state: &Path) -> Result<()> {
    let mode = |path: &Path| anyhow::Ok(fs::metadata(path)?.permissions().mode() & 0o777);
    ensure!(mode(state)? == 0o700);
    let mut files = 0;
    for ca in fs::read_dir(state)? {
        let ca = ca?.path();
        ensure!(mode(&ca)? == 0o700, "{}", ca.display());
        for file in fs::read_dir(&ca)? {
            let file = file?.path();
            ensure!(mode(&file)? == 0o600, "{}", file.display());
            files += 1;
        }
    }
    ensure!(files == 3, "{files} files");
    Ok(())
}

/// The HTTPS port still tells HTTP and TURN apart.
async fn speaks_http_and_turn(edge: &AcmeEdge, root: &str) -> Result<()> {
    let mut http = tls::connect(edge.https, "whip.test", root, &[b"http/1.1"]).await?;
    let (status, _) = tls::get(&mut http, "/nothing", "whip.test").await?;
    ensure!(status == 404, "{status}");
    let offers: [&[&[u8]]; 2] = [&[b"stun.turn"], &[]];
    for alpn in offers {
        let mut turn = tls::connect(edge.https, "whip.test", root, alpn).await?;
        // A Binding request (RFC 8489 §5).
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        request.extend([7; 12]);
        turn.write_all(&request).await?;
        let mut answer = [0; 2];
        turn.read_exact(&mut answer).await?;
        ensure!(answer == [1, 1], "{answer:?}");
    }
    Ok(())
}

/// Nobody gets a certificate for a validation that does not run.
async fn validation_is_refused_without_an_order(edge: &AcmeEdge, root: &str) -> Result<()> {
    let validation = tls::connect(edge.https, "whip.test", root, &[b"acme-tls/1"]).await;
    ensure!(validation.is_err());
    // Beside others it is no validation, and never chosen.
    let both = tls::connect(edge.https, "whip.test", root, &[b"acme-tls/1", b"h2"]).await?;
    ensure!(both.get_ref().1.alpn_protocol() == Some(&b"h2"[..]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_the_kept_certificate_with_the_ca_up_or_down() {
    scenario(lasting, async |edge, ca| {
        let directory = format!("directory = \"{}\"\n", ca.directory());
        edge.write(&format!("{directory}domains = [\"whip.test\"]"))?;
        ca.start().await?;
        edge.start().await?;
        let certificate = served(edge, ca, "whip.test").await?;
        let root = ca.root().await?;

        edge.stop().await?;
        edge.start().await?;
        ensure!(served(edge, ca, "whip.test").await? == certificate);
        ensure!(edge.readiness().await? == READY);

        edge.stop().await?;
        ca.stop().await?;
        edge.start().await?;
        let stream = tls::connect(edge.https, "whip.test", &root, &[]).await?;
        ensure!(tls::certificate(&stream)? == certificate);
        ensure!(edge.readiness().await? == READY);
        let all = edge
            .metrics()
            .await?
            .sum("inlet_edge_acme_orders_total", &[]);
        ensure!(all < 1.0, "{all} orders");

        // A name more is ordered at once; that it fails changes nothing.
        edge.write(&format!(
            "{directory}domains = [\"whip.test\", \"more.test\"]"
        ))?;
        edge.reload()?;
        until("a failed order", PATIENCE, async || {
            ensure!(edge.orders("unreachable").await? > 0.0, "none");
            Ok(())
        })
        .await?;
        let stream = tls::connect(edge.https, "whip.test", &root, &[]).await?;
        ensure!(tls::certificate(&stream)? == certificate);
        ensure!(edge.readiness().await? == READY);

        // The CA comes back with another memory: it knows no account of ours.
        ca.start().await?;
        edge.reload()?;
        let renewed = served(edge, ca, "more.test").await?;
        ensure!(renewed != certificate);
        ensure!(served(edge, ca, "whip.test").await? == renewed);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_with_an_external_account_is_renewed_ahead_of_time() {
    let options = |edge: &AcmeEdge| pebble::Options {
        validity: Duration::from_secs(24),
        external_account: true,
        ..lasting(edge)
    };
    scenario(options, async |edge, ca| {
        let hmac = edge.folder().join("hmac");
        fs::write(&hmac, format!("{}\n", pebble::EAB_HMAC))?;
        let acme = format!(
            "domains = [\"whip.test\", \"b.test\"]\ndirectory = \"{}\"\nchallenge = \"http-01\"\n\
             contact = [\"mailto:ops@whip.test\"]\neab_kid = \"{}\"\neab_hmac_file = \"{}\"\n\
             renew_before = \"1day\"",
            ca.directory(),
            pebble::EAB_KID,
            hmac.display(),
        );
        edge.write(&acme)?;
        ca.start().await?;
        edge.start().await?;
        let first = served(edge, ca, "b.test").await?;
        let root = ca.root().await?;
        // One that is open over the renewal is not disturbed.
        let mut open = tls::connect(edge.https, "b.test", &root, &[b"http/1.1"]).await?;
        stay(&mut open).await?;
        port_80(edge).await?;

        until("a renewal", PATIENCE, async || {
            let stream = tls::connect(edge.https, "b.test", &root, &[]).await?;
            ensure!(
                tls::certificate(&stream)? != first,
                "the first is still served"
            );
            Ok(())
        })
        .await?;
        let (status, _) = tls::get(&mut open, "/nothing", "b.test").await?;
        ensure!(status == 404, "{status}");
        let issued = edge.orders("issued").await?;
        ensure!((2.0..=3.0).contains(&issued), "{issued} orders");
        Ok(())
    })
    .await;
}

/// A first request, behind which a connection may be idle for longer than before it.
async fn stay(open: &mut tls::Stream) -> Result<()> {
    open.write_all(b"HEAD /nothing HTTP/1.1\r\nHost: b.test\r\n\r\n")
        .await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(open.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 404 "), "{head}");
    Ok(())
}

/// What port 80 says to those who are no CA.
async fn port_80(edge: &AcmeEdge) -> Result<()> {
    let policy = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().redirect(policy).build()?;
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", edge.port80);
    let sent = client.get(at("/a?b=c")).header("host", "whip.test");
    let sent = sent.send().await?;
    ensure!(sent.status() == 301, "{}", sent.status());
    let location = sent.headers()["location"].to_str()?;
    ensure!(location == format!("https://whip.test:{}/a?b=c", edge.https));
    for (request, what) in [
        (
            client.get(at("/a")).header("host", "evil.test"),
            "a stranger's host",
        ),
        (client.post(at("/a")).header("host", "whip.test"), "a POST"),
        (
            client
                .get(at("/.well-known/acme-challenge/none"))
                .header("host", "whip.test"),
            "no token of ours",
        ),
    ] {
        let status = request.send().await?.status();
        ensure!(status == 404, "{what}: {status}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_says_what_to_do_and_is_not_tried_again_at_once() {
    // Where the CA validates, nobody listens.
    let options = |edge: &AcmeEdge| pebble::Options {
        tls_port: edge.port80,
        ..lasting(edge)
    };
    scenario(options, async |edge, ca| {
        let acme = format!(
            "domains = [\"whip.test\"]\ndirectory = \"{}\"",
            ca.directory()
        );
        edge.write(&acme)?;
        ca.start().await?;
        edge.start().await?;
        until("a refusal", PATIENCE, async || {
            ensure!(edge.orders("refused").await? > 0.0, "none");
            Ok(())
        })
        .await?;
        let why = edge.readiness().await?;
        ensure!(
            why.contains("whip.test must lead to this machine alone"),
            "{why}"
        );
        ensure!(why.contains("The next attempt is at"), "{why}");

        // Neither a restart nor a reload makes it forget.
        edge.stop().await?;
        edge.start().await?;
        until("the wait goes on", PATIENCE, async || {
            let why = edge.readiness().await?;
            ensure!(why.contains("an earlier attempt failed"), "{why}");
            Ok(())
        })
        .await?;
        let all = edge
            .metrics()
            .await?
            .sum("inlet_edge_acme_orders_total", &[]);
        ensure!(all < 1.0, "{all} orders");
        Ok(())
    })
    .await;
}
