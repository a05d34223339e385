//! How a link to an origin is set up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use inlet_common::roq;
use quinn_proto::{ClientConfig, TransportConfig, VarInt, crypto::rustls::QuicClientConfig};

use super::congestion;

/// Settings of a link.
#[derive(Clone, Debug)]
pub struct Config {
    /// The origin.
    pub origin: SocketAddr,
    /// The name in the origin's certificate.
    pub server_name: String,
    /// This PoP's name, told to the origin.
    pub pop: String,
    /// This software and its version, told to the origin.
    pub software: String,
    /// Certificate, key and CA: mutual TLS 1.3. [`Config::client`] adds the ALPN.
    pub tls: Arc<rustls::ClientConfig>,
    /// Sends several packets per system call (GSO). Default on.
    pub segmentation_offload: bool,
    /// Ping when nothing is sent for so long. Default 1 s.
    pub keep_alive: Duration,
    /// The link is taken for dead after so long without a packet. Default 8 s.
    pub idle_timeout: Duration,
    /// How long the origin may take to answer an OPEN. Default 5 s.
    pub open_timeout: Duration,
    /// How long running sessions outlive their link. Default 30 s.
    pub link_lost_timeout: Duration,
    /// The most a presenter may send, in bits per second. Default 8 Mbps.
    pub max_bitrate: u64,
    /// How much may be in flight.
    pub congestion: congestion::Config,
}

/// The TLS configuration cannot be used for QUIC: it lacks TLS 1.3 or its
/// initial cipher suite.
#[derive(Debug, thiserror::Error)]
#[error("TLS configuration not usable for QUIC")]
pub struct NotForQuic(#[from] quinn_proto::crypto::rustls::NoInitialCipherSuite);

/// Bytes of DATAGRAMs that may wait to be sent: 1 MiB, quinn's default, would
/// be seconds of audio on a link that is blocked.
const DATAGRAM_SEND_BUFFER: usize = 128 * 1024;

/// Bytes of DATAGRAMs that may wait to be read; only RTCP comes this way.
const DATAGRAM_RECEIVE_BUFFER: usize = 64 * 1024;

/// Bytes of all streams that are not acknowledged yet, the backlog's bound.
const SEND_WINDOW: u64 = 64 << 20;

impl Config {
    /// Takes the defaults for what is not said.
    pub fn new(
        origin: SocketAddr,
        server_name: String,
        pop: String,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        Self {
            origin,
            server_name,
            pop,
            software: concat!("inlet-edge/", env!("CARGO_PKG_VERSION")).to_owned(),
            tls,
            segmentation_offload: true,
            keep_alive: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(8),
            open_timeout: Duration::from_secs(5),
            link_lost_timeout: Duration::from_secs(30),
            max_bitrate: 8_000_000,
            congestion: congestion::Config::default(),
        }
    }

    /// What quinn connects with.
    ///
    /// # Errors
    ///
    /// [`NotForQuic`].
    pub fn client(&self) -> Result<ClientConfig, NotForQuic> {
        let mut tls = rustls::ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![roq::ALPN.to_vec()];
        // Control messages must never travel in 0-RTT: they can be replayed.
        tls.enable_early_data = false;
        let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        client.transport_config(Arc::new(self.transport()));
        Ok(client)
    }

    fn transport(&self) -> TransportConfig {
        let idle = u32::try_from(self.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        let mut transport = TransportConfig::default();
        transport
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(Some(VarInt::from_u32(idle).into()))
            .send_fairness(false)
            .send_window(SEND_WINDOW)
            .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
            .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
            // The origin opens no stream on our link.
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .enable_segmentation_offload(self.segmentation_offload)
            .congestion_controller_factory(Arc::new(self.congestion));
        transport
    }
}
