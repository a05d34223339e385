//! Junk on every socket, while a stream is on air: it is counted, and harmless.
//!
//! The viewer watches the whole time; a single frame out of place fails the
//! test, and so does junk that nobody counted.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use rand::{Rng as _, RngExt as _};
use reqwest::header;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tests::{
    rig::{Metrics, Rig, scenario, until},
    stage, viewer,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Datagrams of each kind for each UDP socket.
const DATAGRAMS: usize = 300;
/// Frames that the viewer sees before it looks away.
const FRAMES: usize = 360;

#[tokio::test(flavor = "multi_thread")]
async fn junk_on_every_socket_is_counted_and_harmless() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "junk").await?;
        let variant = playlist.variants.last().context("no variant")?.url.clone();
        let before = counts(rig).await?;
        let watching = viewer::watch(variant.as_str(), FRAMES, PATIENCE);
        let throwing = async {
            media_ports(rig).await?;
            http_ports(rig).await?;
            offers(&stream.whip).await?;
            link_from_strangers(rig).await?;
            link_from_an_edge(rig).await
        };
        let (watched, ()) = tokio::try_join!(watching, throwing)?;
        watched.ensure_smooth().context("the viewer noticed")?;
        ensure!(rig.edge.is_running()?, "the edge died");
        ensure!(rig.origin.is_running()?, "the origin died");
        ensure!(rig.api.get(stream.id).await?.live);
        let after = counts(rig).await?;
        for ((what, before), (_, after)) in before.into_iter().zip(after) {
            ensure!(
                after > before,
                "nobody counted {what}: {before} before, {after} after"
            );
        }
        publisher.stop().await
    })
    .await;
}

/// What must have been counted, by name.
async fn counts(rig: &Rig) -> Result<[(&'static str, f64); 4]> {
    let edge = Metrics::fetch(&rig.edge_metrics()).await?;
    let origin = Metrics::fetch(&rig.origin_metrics()).await?;
    Ok([
        (
            "datagrams of nobody",
            edge.sum("inlet_edge_datagrams_dropped_total", &[]),
        ),
        (
            "spoilt offers",
            edge.sum("inlet_edge_whip_requests_total", &["status=\"4"]),
        ),
        (
            "refused links",
            origin.sum("inlet_origin_link_refused_total", &[]),
        ),
        (
            "unknown flows",
            origin.sum("inlet_origin_link_dropped_total", &[]),
        ),
    ])
}

/// Random bytes, truncated STUN, DTLS and media of nobody.
async fn media_ports(rig: &Rig) -> Result<()> {
    let first = rig.ports().edge_media;
    for port in [first, first + 1] {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(("127.0.0.1", port)).await?;
        for index in 0..DATAGRAMS {
            for datagram in media_junk(index) {
                // The other side owes no answer, not even an ICMP one.
                socket.send(&datagram).await.ok();
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

fn media_junk(index: usize) -> Vec<Vec<u8>> {
    let random = |first: u8, length: usize| {
        let mut bytes = vec![0; length];
        rand::rng().fill_bytes(&mut bytes);
        bytes[0] = first;
        bytes
    };
    // RFC 8489 §5: Binding request, magic cookie, a length that lies.
    let mut stun = random(0, 20 + index % 60);
    stun[..8].copy_from_slice(&[0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42]);
    // A well-formed USERNAME of nobody.
    let mut nobody = random(0, 32);
    nobody[..8].copy_from_slice(&[0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42]);
    nobody[20..24].copy_from_slice(&[0, 6, 0, 7]);
    nobody[24..31].copy_from_slice(b"who:any");
    let first = rand::rng().random();
    let length = rand::rng().random_range(1..1_500);
    vec![
        random(first, length),
        stun.clone(),
        stun[..index % 20].to_vec(),
        nobody,
        random(22, 13 + index % 200),
        random(0x80, 12 + index % 1_200),
        random(0x81, 8 + index % 100),
        Vec::new(),
    ]
}

/// Bytes that are no HTTP, and HTTP that nobody meant.
async fn http_ports(rig: &Rig) -> Result<()> {
    let ports = rig.ports().clone();
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    let body =
        "POST /1_x/whip HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx".to_owned();
    let mut noise = vec![0; 4_096];
    rand::rng().fill_bytes(&mut noise);
    for port in [
        ports.edge_http,
        ports.edge_admin,
        ports.edge_metrics,
        ports.origin_http,
        ports.origin_admin,
        ports.origin_metrics,
    ] {
        for bytes in [
            &noise[..],
            long.as_bytes(),
            headers.as_bytes(),
            body.as_bytes(),
            b"\r\n\r\n",
        ] {
            let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
            // It may hang up in the middle, and should.
            connection.write_all(bytes).await.ok();
            connection.shutdown().await.ok();
            let mut answer = Vec::new();
            let reading = connection.read_to_end(&mut answer);
            let read = tokio::time::timeout(Duration::from_secs(15), reading).await;
            read.with_context(|| format!("port {port} keeps a connection that is over"))?
                .ok();
            let text = String::from_utf8_lossy(&answer);
            ensure!(!text.starts_with("HTTP/1.1 5"), "port {port}: {text}");
        }
    }
    let web = format!("http://127.0.0.1:{}", ports.origin_http);
    for path in [
        "/cmaf/x/master.m3u8",
        "/cmaf/1_999999/master.m3u8",
        "/cmaf/1_1/../../etc/passwd",
        "/%00",
    ] {
        let status = reqwest::get(format!("{web}{path}")).await?.status();
        ensure!(status.is_client_error(), "{path}: {status}");
    }
    Ok(())
}

/// Offers with lines missing, doubled or spoilt: a clear refusal, never a crash.
async fn offers(whip: &str) -> Result<()> {
    let client = reqwest::Client::new();
    for round in 0..40 {
        let offer = spoilt_offer(round);
        let request = client
            .post(whip)
            .header(header::CONTENT_TYPE, "application/sdp");
        let status = request.body(offer.clone()).send().await?.status();
        ensure!(status.is_client_error(), "{status} for {offer}");
    }
    Ok(())
}

fn spoilt_offer(round: usize) -> String {
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:0\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 00\r\n\
        a=rtcp-mux\r\na=rtpmap:102 H264/90000\r\na=recvonly\r\n";
    let mut lines: Vec<String> = OFFER.lines().map(str::to_owned).collect();
    let at = round % lines.len();
    match round % 4 {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => lines[at].push_str(&"9".repeat(500)),
        _ => lines[at] = lines[at].chars().rev().collect(),
    }
    lines.join("\r\n") + "\r\n"
}

/// Random datagrams, and QUIC without a certificate.
async fn link_from_strangers(rig: &Rig) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket
        .connect(("127.0.0.1", rig.ports().origin_roq))
        .await?;
    for index in 0..DATAGRAMS {
        let mut datagram = vec![0; 1 + index * 4 % 1_400];
        rand::rng().fill_bytes(&mut datagram);
        socket.send(&datagram).await.ok();
        // A long header of QUIC version 1.
        datagram.resize(1_200, 0);
        datagram[..5].copy_from_slice(&[0xc0, 0, 0, 0, 1]);
        socket.send(&datagram).await.ok();
        tokio::task::yield_now().await;
    }
    let endpoint = client(rig, false, inlet_common::roq::ALPN)?;
    let outcome = greet(rig, &endpoint).await;
    ensure!(outcome.is_err(), "an edge without a certificate got in");
    let endpoint = client(rig, true, b"h3")?;
    let outcome = greet(rig, &endpoint).await;
    ensure!(outcome.is_err(), "a peer with another protocol got in");
    Ok(())
}

/// A connection that has been taken: the server has answered on it.
async fn greet(rig: &Rig, endpoint: &quinn::Endpoint) -> Result<quinn::Connection> {
    let address = SocketAddr::from(([127, 0, 0, 1], rig.ports().origin_roq));
    let connection = endpoint.connect(address, "localhost")?.await?;
    // With TLS 1.3 a client is done before the server has seen its certificate.
    match tokio::time::timeout(Duration::from_secs(1), connection.closed()).await {
        Ok(error) => Err(error.into()),
        Err(_) => Ok(connection),
    }
}

/// With a valid certificate, but neither manners nor sense.
async fn link_from_an_edge(rig: &Rig) -> Result<()> {
    let endpoint = client(rig, true, inlet_common::roq::ALPN)?;
    let mut noise = vec![0; 2_000];
    rand::rng().fill_bytes(&mut noise);

    let connection = greet(rig, &endpoint).await?;
    // Half a message: the origin takes the connection for an edge's, and waits,
    // as long as somebody reads what it says.
    let (mut control, _answers) = connection.open_bi().await?;
    control.write_all(&[0]).await?;
    for flow in 1..60_u8 {
        let mut datagram = vec![flow];
        datagram.extend_from_slice(&noise[..200]);
        connection.send_datagram(datagram.into()).ok();
        connection.send_datagram(Bytes::new()).ok();
        let mut stream = connection.open_uni().await?;
        stream.write_all(&[flow]).await.ok();
        stream.write_all(&noise).await.ok();
        stream.finish().ok();
    }
    // Closing at once would discard what the origin has not read, acknowledged
    // or not.
    until(
        "streams of nobody to be counted",
        Duration::from_secs(5),
        async || {
            let origin = Metrics::fetch(&rig.origin_metrics()).await?;
            let unknown = origin.sum(
                "inlet_origin_link_dropped_total",
                &["reason=\"unknown_flow\""],
            );
            ensure!(
                unknown > 0.0,
                "{unknown} packets or streams of unknown flows"
            );
            Ok(())
        },
    )
    .await?;
    connection.close(0_u32.into(), b"");

    let connection = greet(rig, &endpoint).await?;
    let (mut control, _) = connection.open_bi().await?;
    control.write_all(&noise).await.ok();
    let closed = tokio::time::timeout(Duration::from_secs(10), connection.closed()).await;
    closed.context("noise on the control stream was taken for an edge")?;
    Ok(())
}

type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client(rig: &Rig, with_certificate: bool, alpn: &[u8]) -> Result<quinn::Endpoint> {
    let folder = rig.folder().join("certificates");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut tls = if with_certificate {
        let (chain, key): Credentials = (
            vec![CertificateDer::from_pem_file(folder.join("edge.pem"))?],
            PrivateKeyDer::from_pem_file(folder.join("edge.key"))?,
        );
        builder.with_client_auth_cert(chain, key)?
    } else {
        builder.with_no_client_auth()
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}
