//! A listener with what it counted, who takes its TURN connections, and TLS
//! clients for it.

use std::io::{self, Read as _, Write as _};

use axum::{Router, extract::ConnectInfo, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::{super::tls, *};

pub(super) const REQUEST: &[u8] = b"GET /peer HTTP/1.1\r\nHost: a\r\n\r\n";

/// A whole Allocate request without attributes.
pub(super) const STUN: &[u8] = b"\x00\x03\x00\x00\x21\x12\xA4\x42abcdefghijkl";

/// How long a test waits for what must happen.
pub(super) const SOON: Duration = Duration::from_secs(5);

pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) task: JoinHandle<()>,
    figures: PrometheusHandle,
}

pub(super) fn serve(
    options: Options,
    tls: impl Into<Tls>,
    service: impl Into<Service> + Send + 'static,
) -> Served {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics =
        ::metrics::with_local_recorder(&recorder, || ListenerMetrics::new("inlet_test", "test"));
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(address, options, tls, metrics).unwrap();
    let address = listener.local_addr();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(listener.serve(service, shutdown.clone()));
    Served {
        address,
        shutdown,
        task,
        figures: recorder.handle(),
    }
}

impl Served {
    pub(super) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Waits until a gauge or a counter of dropped connections has this value.
    pub(super) async fn figure(&self, label: &str, value: u64) {
        let expected = match label {
            "open" => format!("inlet_test_http_connections{{kind=\"test\"}} {value}\n"),
            reason => format!("reason=\"{reason}\"}} {value}\n"),
        };
        let until = async {
            while !self.figures.render().contains(&expected) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(SOON, until).await;
        assert!(reached.is_ok(), "{expected}\n{}", self.figures.render());
    }

    /// Sends `bytes` and waits for the connection's end, which is counted.
    pub(super) async fn refuses(&self, bytes: &[u8], reason: &str, value: u64) {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(end(&mut stream).await, b"", "{bytes:?}");
        self.figure(reason, value).await;
    }
}

/// What comes until the connection ends, one way or the other.
pub(super) async fn end<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut rest = Vec::new();
    let ended = timeout(SOON, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open");
    rest
}

/// Takes TURN connections and keeps them for the test.
struct Taker(mpsc::UnboundedSender<Diverted>);

impl Divert for Taker {
    fn take(&self, connection: Diverted) {
        self.0.send(connection).ok();
    }
}

pub(super) struct Taken(mpsc::UnboundedReceiver<Diverted>);

pub(super) fn taker() -> (Arc<dyn Divert>, Taken) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Taker(sender)), Taken(receiver))
}

impl Taken {
    pub(super) async fn next(&mut self) -> Diverted {
        let taken = timeout(SOON, self.0.recv()).await;
        taken.expect("a connection is handed over").unwrap()
    }
}

/// Reads `len` bytes as a receiver of [`Diverted`] must: plaintext first.
pub(super) fn read(diverted: &mut Diverted, len: usize) -> Vec<u8> {
    diverted.stream.set_nonblocking(false).unwrap();
    diverted.stream.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = vec![0; len];
    let Some(tls) = &mut diverted.tls else {
        diverted.stream.read_exact(&mut bytes).unwrap();
        return bytes;
    };
    let mut done = 0;
    while done < len {
        match tls.reader().read(&mut bytes[done..]) {
            Ok(read) => done += read,
            Err(_) => {
                assert_ne!(tls.read_tls(&mut diverted.stream).unwrap(), 0);
                tls.process_new_packets().unwrap();
            }
        }
    }
    bytes
}

pub(super) fn peer_router() -> Router {
    Router::new().route(
        "/peer",
        get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()),
    )
}

/// A self-signed server certificate and clients that trust it.
pub(super) struct TlsPair {
    pub(super) server: Arc<ServerConfig>,
    client: ClientConfig,
}

impl TlsPair {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["edge.test".to_owned()]).unwrap();
        let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
        let key = made.signing_key.serialize_pem();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let server = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let client = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            server: Arc::new(server),
            client,
        }
    }

    fn client(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(client)
    }

    pub(super) async fn connect(
        &self,
        address: SocketAddr,
        alpn: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        self.cover(stream, alpn).await
    }

    pub(super) async fn cover(
        &self,
        stream: TcpStream,
        alpn: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("edge.test").unwrap();
        TlsConnector::from(self.client(alpn))
            .connect(name, stream)
            .await
    }

    /// A client whose first bytes leave in one segment with the end of its
    /// handshake. Its socket stays open.
    pub(super) fn connect_in_haste(
        &self,
        address: SocketAddr,
        alpn: &[&[u8]],
        first: &[u8],
    ) -> std::net::TcpStream {
        let name = ServerName::try_from("edge.test").unwrap();
        let mut client = ClientConnection::new(self.client(alpn), name).unwrap();
        client.set_buffer_limit(None);
        client.writer().write_all(first).unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        while client.is_handshaking() || client.wants_write() {
            client.complete_io(&mut stream).unwrap();
        }
        stream
    }
}

/// Sends a request and reads until the head and its body are there.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let read = stream.read(&mut chunk).await.unwrap();
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        if read == 0
            || text
                .split_once("\r\n\r\n")
                .is_some_and(|(_, b)| !b.is_empty())
        {
            return text;
        }
    }
}
