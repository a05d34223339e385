//! Connections by TCP and TLS.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Error, patience::Budget};

/// Connects: one step, which shows the round trip.
pub(super) async fn tcp(server: SocketAddr, budget: &mut Budget) -> Result<TcpStream, Error> {
    let connected = async {
        let stream = TcpStream::connect(server).await;
        stream.map_err(|error| Error::of_io(&error))
    };
    let stream = budget.step(connected).await?;
    // Each small message is waited for.
    let no_delay = stream.set_nodelay(true);
    no_delay.map_err(|error| Error::of_io(&error))?;
    Ok(stream)
}

/// Connects, and checks that the certificate is for `name`.
pub(super) async fn tls(
    server: SocketAddr,
    name: &str,
    connector: &TlsConnector,
    budget: &mut Budget,
) -> Result<TlsStream<TcpStream>, Error> {
    // No certificate can be for what is no name.
    let name = ServerName::try_from(name.to_owned()).map_err(|_| Error::Certificate)?;
    let stream = tcp(server, budget).await?;
    let shaken = async {
        let stream = connector.connect(name, stream).await;
        stream.map_err(|error| Error::of_tls(&error))
    };
    budget.step(shaken).await
}
