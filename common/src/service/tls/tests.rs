//! Certificates are made anew for each test; handshakes run over real sockets.

use std::{fs, path::PathBuf, sync::Arc};

use metrics::Gauge;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::{clock, config::TlsFiles};

const ALPN: &[u8] = b"test-1";

/// A directory of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("inlet-tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    let name = uuid::Uuid::new_v4().to_string();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A leaf for `name`, written as `{file}.pem` and `{file}.key`.
fn leaf(
    folder: &Folder,
    authority: &CertifiedIssuer<'static, KeyPair>,
    file: &str,
    name: &str,
) -> TlsFiles {
    let mut params = CertificateParams::new([name.to_owned(), "192.0.2.7".to_owned()]).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    TlsFiles {
        certificate: folder.write(&format!("{file}.pem"), &certificate.pem()),
        key: folder.write(&format!("{file}.key"), &key.serialize_pem()),
    }
}

fn load(files: TlsFiles) -> Arc<Certificates> {
    Certificates::load(files, Gauge::noop()).unwrap()
}

/// One handshake; the names of the certificate that the client saw.
async fn handshake(server: ServerConfig, client: ClientConfig) -> Result<Vec<u8>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        let accepted = TlsAcceptor::from(Arc::new(server)).accept(stream).await;
        accepted.map_err(|error| error.to_string())
    };
    let connect = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("origin.test").unwrap();
        let connected = TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await;
        connected.map_err(|error| error.to_string())
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    let (_, server) = accepted?.into_inner();
    let (_, client) = connected?.into_inner();
    assert_eq!(server.alpn_protocol(), client.alpn_protocol());
    Ok(client.peer_certificates().unwrap()[0].to_vec())
}

#[tokio::test]
async fn both_ends_of_a_link_show_certificates_of_the_private_ca() {
    let (folder, authority) = (Folder::new(), authority());
    let ca = folder.write("ca.pem", &authority.pem());
    let origin = load(leaf(&folder, &authority, "origin", "origin.test"));
    let edge = load(leaf(&folder, &authority, "edge", "edge.test"));
    let server = link_server(origin, &ca, ALPN).unwrap();
    let client = link_client(edge, &ca, ALPN).unwrap();
    handshake(server, client).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_on_either_end() {
    let folder = Folder::new();
    let (ours, theirs) = (authority(), authority());
    let ca = folder.write("ca.pem", &ours.pem());
    let good = |file: &str| load(leaf(&folder, &ours, file, "origin.test"));
    let bad = |file: &str| load(leaf(&folder, &theirs, file, "origin.test"));
    for (origin, edge, expected) in [
        (good("a"), bad("b"), "UnknownIssuer"),
        // Seen from the server: the alert that the client sends.
        (bad("c"), good("d"), "UnknownCA"),
    ] {
        let server = link_server(origin, &ca, ALPN).unwrap();
        let client = link_client(edge, &ca, ALPN).unwrap();
        let error = handshake(server, client).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_reload_changes_the_certificate_of_the_next_handshake() {
    let (folder, authority) = (Folder::new(), authority());
    let ca = folder.write("ca.pem", &authority.pem());
    let certificates = load(leaf(&folder, &authority, "origin", "origin.test"));
    let shown = async || {
        let server = tcp_server(certificates.clone(), None).unwrap();
        let edge = load(leaf(&folder, &authority, "edge", "edge.test"));
        let client = link_client(edge, &ca, b"h2").unwrap();
        handshake(server, client).await.unwrap()
    };
    let before = shown().await;
    leaf(&folder, &authority, "origin", "origin.test");
    assert_eq!(shown().await, before, "files alone change nothing");
    certificates.reload(clock::utc()).unwrap();
    assert_ne!(shown().await, before);
}

#[test]
fn a_bad_reload_keeps_the_old_certificate() {
    let (folder, authority) = (Folder::new(), authority());
    let files = leaf(&folder, &authority, "origin", "origin.test");
    let certificates = load(files.clone());
    let before = certificates.not_after();

    let other = leaf(&folder, &authority, "other", "other.test");
    fs::copy(&other.key, &files.key).unwrap();
    let error = certificates.reload(clock::utc()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");

    folder.write("origin.pem", "not a certificate");
    let error = certificates.reload(clock::utc()).unwrap_err();
    assert!(matches!(error, Error::Pem { .. }), "{error}");

    fs::remove_file(&files.certificate).unwrap();
    let error = certificates.reload(clock::utc()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
    assert!(error.to_string().contains("origin.pem"), "{error}");

    assert_eq!(certificates.not_after(), before);
    assert_eq!(certificates.names(), ["origin.test", "192.0.2.7"]);
}

#[test]
fn a_reload_refuses_what_has_expired() {
    let (folder, authority) = (Folder::new(), authority());
    let certificates = load(leaf(&folder, &authority, "origin", "origin.test"));
    let later = certificates.not_after().plus_micros(1);
    let error = certificates.reload(later).unwrap_err();
    assert!(matches!(error, Error::Expired { .. }), "{error}");
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    let folder = Folder::new();
    let files = leaf(&folder, &authority(), "origin", "origin.test");
    let empty = folder.write("ca.pem", "");
    let error = link_server(load(files), &empty, ALPN).unwrap_err();
    assert!(error.to_string().contains("ca.pem"), "{error}");
}
