//! From a state directory to handshakes and answers, without a CA.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::get,
};
use http_body_util::BodyExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::*;
use crate::{
    clock,
    service::{
        listener::{Divert, Diverted, Listener, ListenerMetrics, Options, Service},
        tls::{ACME_ALPN, acme_server, provider},
    },
};

mod strange_ca;

/// A directory of its own, with an authority.
struct Folder {
    path: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            path: std::env::temp_dir().join(format!("inlet-acme-{}", uuid::Uuid::new_v4())),
            authority: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    fn settings(&self, challenge: Challenge) -> Settings {
        Settings {
            domains: vec!["a.example".to_owned(), "b.example".to_owned()],
            directory: "https://ca.invalid/dir".to_owned(),
            directory_ca: None,
            contact: Vec::new(),
            challenge,
            http_listen: "127.0.0.1:0".parse().unwrap(),
            state_dir: self.path.clone(),
            renew_before: None,
            external_account: None,
        }
    }

    /// Keeps a certificate for `names`, as an order does.
    fn keep(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        let settings = self.settings(Challenge::TlsAlpn01);
        let store = Store::new(&settings.state_dir, &settings.directory);
        store.keep_certificate(pem.as_bytes()).unwrap();
    }

    fn load(&self, challenge: Challenge) -> Arc<Acme> {
        Acme::load(self.settings(challenge), "inlet_test", Gauge::noop()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

/// A TURN server that hangs up.
struct Nobody;

impl Divert for Nobody {
    fn take(&self, _: Diverted) {}
}

/// Serves by TLS until the returned token is cancelled.
fn serve(acme: &Acme, service: Service) -> (u16, CancellationToken) {
    let tls = Arc::new(acme_server(acme).unwrap());
    let metrics = ListenerMetrics::new("inlet_test", "acme");
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(address, Options::default(), Some(tls), metrics).unwrap();
    let (port, stop) = (listener.local_addr().port(), CancellationToken::new());
    tokio::spawn(listener.serve(service, stop.clone()));
    (port, stop)
}

/// A handshake by a client that takes any certificate, as a CA's validation does.
async fn connect(port: u16, name: &str, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[derive(Debug)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn router() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn a_validation_gets_its_certificate_and_nothing_more() {
    let folder = Folder::new();
    folder.keep(&["a.example", "b.example"]);
    let acme = folder.load(Challenge::TlsAlpn01);
    let http = || Service::from(router());
    for service in [http(), http().with_turn(Arc::new(Nobody))] {
        let (port, stop) = serve(&acme, service);
        acme.resolver
            .answer_tls_alpn("a.example", "token.thumb")
            .unwrap();
        let ordinary = connect(port, "a.example", &[b"h2"]).await.unwrap();
        let mut validation = connect(port, "a.example", &[ACME_ALPN]).await.unwrap();
        assert_eq!(validation.get_ref().1.alpn_protocol(), Some(ACME_ALPN));
        assert_ne!(shown(&validation), shown(&ordinary));
        // It is closed at once, and in order.
        let mut rest = Vec::new();
        let closed = validation.read_to_end(&mut rest);
        timeout(Duration::from_secs(5), closed)
            .await
            .unwrap()
            .unwrap();
        assert!(rest.is_empty());

        assert!(connect(port, "b.example", &[ACME_ALPN]).await.is_err());
        let both = connect(port, "a.example", &[ACME_ALPN, b"http/1.1"])
            .await
            .unwrap();
        assert_eq!(shown(&both), shown(&ordinary));
        assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        acme.resolver.forget();
        assert!(connect(port, "a.example", &[ACME_ALPN]).await.is_err());
        stop.cancel();
    }
}

#[tokio::test]
async fn by_http_01_no_validation_is_offered_by_tls() {
    let folder = Folder::new();
    folder.keep(&["a.example"]);
    let acme = folder.load(Challenge::Http01);
    let (port, stop) = serve(&acme, router().into());
    acme.resolver
        .answer_tls_alpn("a.example", "token.thumb")
        .unwrap();
    assert!(connect(port, "a.example", &[ACME_ALPN]).await.is_err());
    stop.cancel();
}

#[tokio::test]
async fn without_a_certificate_handshakes_fail_until_there_is_one() {
    let folder = Folder::new();
    let acme = folder.load(Challenge::TlsAlpn01);
    let (port, stop) = serve(&acme, router().into());
    assert!(connect(port, "a.example", &[b"h2"]).await.is_err());
    folder.keep(&["a.example"]);
    let other = folder.load(Challenge::TlsAlpn01);
    acme.resolver.serve(other.resolver.current().unwrap());
    assert!(connect(port, "a.example", &[b"h2"]).await.is_ok());
    stop.cancel();
}

#[test]
fn readiness_says_what_is_missing() {
    let now = clock::utc();
    let folder = Folder::new();
    let acme = folder.load(Challenge::TlsAlpn01);
    let why = acme.readiness(now).unwrap_err();
    assert!(
        why.starts_with("no certificate yet: none was ordered"),
        "{why}"
    );

    folder.keep(&["a.example"]);
    let acme = folder.load(Challenge::TlsAlpn01);
    assert_eq!(acme.readiness(now), Ok(()));
    let far = UtcTime::from_unix_micros(i64::MAX);
    let why = acme.readiness(far).unwrap_err();
    assert!(why.starts_with("the certificate has expired"), "{why}");
    acme.reload(vec!["c.example".to_owned()]);
    let why = acme.readiness(now).unwrap_err();
    assert!(
        why.starts_with("the certificate is for other names"),
        "{why}"
    );
}

#[test]
fn a_look_tells_what_is_kept_and_touches_nothing() {
    let folder = Folder::new();
    let settings = folder.settings(Challenge::TlsAlpn01);
    assert_eq!(Acme::look(&settings).unwrap(), None);
    assert!(!folder.path.exists());
    folder.keep(&["*.example"]);
    assert!(Acme::look(&settings).unwrap().unwrap().missing.is_empty());
    folder.keep(&["a.example", "b.a.example"]);
    let kept = Acme::look(&settings).unwrap().unwrap();
    assert_eq!(kept.missing, ["b.example"]);
    // What cannot be used is as good as nothing.
    fs::write(&kept.path, "-----BEGIN CERTIFICATE-----\nnonsense").unwrap();
    assert_eq!(Acme::look(&settings).unwrap(), None);
    assert!(
        folder
            .load(Challenge::TlsAlpn01)
            .resolver
            .current()
            .is_none()
    );
}

#[test]
fn what_would_keep_every_order_from_being_placed_is_told() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.path).unwrap();
    let hmac = folder.path.join("hmac");
    let mut settings = folder.settings(Challenge::TlsAlpn01);
    settings.directory_ca = Some(folder.path.join("missing.pem"));
    settings.external_account = Some(crate::config::acme::ExternalAccount {
        kid: "kid".to_owned(),
        hmac_file: hmac.clone(),
    });
    fs::write(&hmac, "no base64!").unwrap();
    let problems = Acme::problems(&settings).join("\n");
    assert!(problems.contains("missing.pem"), "{problems}");
    assert!(problems.contains("holds no base64url"), "{problems}");

    let ca = folder.path.join("ca.pem");
    fs::write(&ca, folder.authority.pem()).unwrap();
    settings.directory_ca = Some(ca);
    for key in ["c2VjcmV0\n", "c2VjcmV0cw==", "c2VjcmV0cw"] {
        fs::write(&hmac, key).unwrap();
        assert_eq!(Acme::problems(&settings), Vec::<String>::new(), "{key}");
    }
}

async fn ask(acme: &Arc<Acme>, method: &str, host: &str, path: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host);
    let request = request.body(Body::empty()).unwrap();
    let response = acme.http01(8443).oneshot(request).await.unwrap();
    let location = response.headers().get("location").cloned();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = match location {
        Some(location) => location.to_str().unwrap().to_owned(),
        None => String::from_utf8(body.to_vec()).unwrap(),
    };
    (status, text)
}

#[tokio::test]
async fn port_80_answers_the_ca_and_sends_others_to_https() {
    let folder = Folder::new();
    let acme = folder.load(Challenge::Http01);
    acme.resolver.answer_http("token", "token.thumb");
    let well_known = "/.well-known/acme-challenge/token";
    let answer = ask(&acme, "GET", "a.example", well_known).await;
    assert_eq!(answer, (StatusCode::OK, "token.thumb".to_owned()));
    acme.resolver.forget();
    let gone = ask(&acme, "GET", "a.example", well_known).await;
    assert_eq!(gone.0, StatusCode::NOT_FOUND);

    let sent = ask(&acme, "GET", "A.example:80", "/x?y=z").await;
    let location = "https://a.example:8443/x?y=z".to_owned();
    assert_eq!(sent, (StatusCode::MOVED_PERMANENTLY, location));
    for (method, host) in [
        ("POST", "a.example"),
        ("GET", "evil.example"),
        ("GET", "[::1]:80"),
    ] {
        let refused = ask(&acme, method, host, "/x").await;
        assert_eq!(refused.0, StatusCode::NOT_FOUND, "{method} {host}");
    }
}
