//! A TLS client on loopback that trusts one authority, and HTTP/1.1 by hand over
//! it: tests look at certificates and protocols that an HTTP client hides.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection whose certificate was checked.
pub type Stream = TlsStream<TcpStream>;

/// Connects to `port` on loopback as `name`, trusting the authorities in `ca`
/// (PEM) alone, and offering `alpn`.
///
/// # Errors
///
/// When nobody listens, or the handshake fails on either end.
pub async fn connect(port: u16, name: &str, ca: &str, alpn: &[&[u8]]) -> Result<Stream> {
    connect_to((Ipv4Addr::LOCALHOST, port).into(), name, ca, alpn).await
}

/// The same at another address than loopback's.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_to(
    address: SocketAddr,
    name: &str,
    ca: &str,
    alpn: &[&[u8]],
) -> Result<Stream> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned())?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(name, stream).await?)
}

/// The server's own certificate, which tells one issue from the next.
///
/// # Errors
///
/// When it showed none.
pub fn certificate(stream: &Stream) -> Result<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates();
    let own = chain.and_then(<[_]>::first).context("no certificate")?;
    Ok(own.to_vec())
}

/// Asks for `path` and closes; status and body.
///
/// # Errors
///
/// When the connection fails, or the answer is not HTTP/1.1.
pub async fn get(stream: &mut Stream, path: &str, host: &str) -> Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.starts_with("HTTP/1.1 "), "{head}");
    let status = head.get(9..12).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}
