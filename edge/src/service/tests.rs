//! The whole service on loopback, with real sockets, threads and certificates;
//! only the origin is missing.

use std::{fs, net::SocketAddr};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use std::path::PathBuf;

use inlet_common::{clock, service::tls::Certificates};
use metrics::Gauge;

use super::{check::Findings, *};
use crate::config::ConfigFile;

mod fleet;
mod placement;

const OFFER: &str = include_str!("../whip/offers/chromium.sdp");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A directory with certificates, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("inlet-edge-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["edge.test".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        folder.write("ca.pem", &authority.pem());
        folder.write("edge.pem", &certificate.pem());
        folder.write("edge.key", &key.serialize_pem());
        folder.write("admin", SECRET);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// A configuration on loopback with ports of the kernel's choice, whose
    /// origin is a port that nobody serves.
    fn config(&self) -> Config {
        self.config_with("")
    }

    /// Likewise, with more sections.
    fn config_with(&self, sections: &str) -> Config {
        let folder = self.0.display();
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{folder}/admin\"\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n\
             [media]\naddresses = [\"127.0.0.1\"]\nport = 0\nworkers = 2\n\
             [roq]\norigin = \"127.0.0.1:9\"\norigin_name = \"origin.test\"\n\
             certificate = \"{folder}/edge.pem\"\nkey = \"{folder}/edge.key\"\n\
             ca = \"{folder}/ca.pem\"\nopen_timeout = \"500ms\"\n{sections}"
        );
        let path = self.0.join("edge.toml");
        let file: ConfigFile = inlet_common::config::parse(&path, &text).unwrap();
        file.validate(&path).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_without_origin_says_so_and_stops_in_order() {
    let folder = Folder::new();
    let config = folder.config();
    let lifecycle = Lifecycle::new();
    let prometheus = prometheus::install("inlet_edge", "test", BUCKETS).unwrap();
    let edge = Edge::start(&config, &lifecycle).await.unwrap();
    let whip = edge.whip.as_ref().unwrap();
    let (http, admin) = (whip.http.local_addr(), edge.admin.local_addr());
    let metrics = edge.metrics.local_addr();
    let gateway = edge.gateway().unwrap();
    let mut tasks = Tasks::new();
    edge.spawn(&lifecycle, &prometheus, &mut tasks).unwrap();
    lifecycle.advance(Phase::Ready);

    let readiness = ask(admin, "GET", "/readyz", "\r\n").await;
    assert!(readiness.starts_with("HTTP/1.1 503"), "{readiness}");
    assert!(
        readiness.ends_with("no link to the origin\n"),
        "{readiness}"
    );

    let length = OFFER.len();
    let offer = format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{OFFER}");
    let refused = ask(http, "POST", "/17_token/whip", &offer).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("x-reason-code: 2300\r\n"), "{refused}");

    let sessions = ask(admin, "GET", "/sessions", "\r\n").await;
    assert!(sessions.starts_with("HTTP/1.1 401"), "{sessions}");
    let secret = format!("Authorization: Bearer {SECRET}\r\n\r\n");
    let sessions = ask(admin, "GET", "/sessions", &secret).await;
    assert!(
        sessions.contains("\"workers\":[0,0],\"sessions\":[]"),
        "{sessions}"
    );

    let page = ask(metrics, "GET", "/metrics", "\r\n").await;
    for line in [
        "inlet_edge_build_info{version=\"test\"} 1",
        "inlet_edge_whip_requests_total{method=\"POST\",status=\"503\",code=\"2300\"} ",
        "inlet_edge_certificate_expiry_seconds{kind=\"roq\"}",
        "inlet_edge_worker_turn_seconds_bucket",
        "inlet_edge_http_connections{kind=\"whip\"}",
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }

    let drain = ask(admin, "POST", "/drain", &secret).await;
    assert!(drain.starts_with("HTTP/1.1 202"), "{drain}");
    let ended = tasks
        .run(&lifecycle, gateway.drain(), Duration::from_secs(20))
        .await;
    assert_eq!(ended, Ended::Drained);
    assert!(TcpStream::connect(http).await.is_err());
}

#[tokio::test]
async fn a_worker_that_cannot_bind_is_told_with_its_address() {
    let folder = Folder::new();
    let mut config = folder.config();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    config.media.port = taken.local_addr().unwrap().port();
    let Err(error) = Edge::start(&config, &Lifecycle::new()).await else {
        panic!("a port was bound twice");
    };
    let text = check::explain(&error);
    assert!(
        text.contains(&taken.local_addr().unwrap().to_string()),
        "{text}"
    );
}

#[test]
fn a_good_configuration_has_no_problem() {
    let found = Findings::of(&Folder::new().config(), clock::utc());
    assert_eq!(found.problems, Vec::<String>::new());
}

#[test]
fn a_check_tells_everything_that_is_wrong() {
    let folder = Folder::new();
    let mut config = folder.config();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.http.listen = taken.local_addr().unwrap();
    config.roq.ca = folder.0.join("missing.pem");
    config.roq.origin = "does-not-exist.invalid:4433".to_owned();
    config.log.filter = "info,x=loud".to_owned();
    folder.write("admin", "short");
    let problems = Findings::of(&config, clock::utc()).problems.join("\n");
    for expected in [
        "http.listen",
        "missing.pem",
        "does-not-exist.invalid",
        "loud",
        "22 characters",
    ] {
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
}

#[test]
fn a_certificate_is_missed_before_it_ends() {
    let folder = Folder::new();
    let config = folder.config();
    let loaded = Certificates::load(config.roq.tls.clone(), Gauge::noop()).unwrap();
    let days = |days: i64| days * 86_400_000_000;
    let soon = loaded.not_after().plus_micros(-days(3) - 1);
    let advice = Findings::of(&config, soon).advice.join("\n");
    assert!(
        advice.contains("roq.certificate ends in 3 days"),
        "{advice}"
    );
    let late = loaded.not_after().plus_micros(1);
    let problems = Findings::of(&config, late).problems.join("\n");
    assert!(
        problems.contains("roq.certificate has expired"),
        "{problems}"
    );
}
