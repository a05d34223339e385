//! An origin that takes every session, counts its packets and throws them away.
//!
//! It is the real origin's endpoint (transport settings, TLS) with nothing
//! behind it, so that what an edge costs can be measured alone.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Result;
use inlet_common::{
    clock,
    config::TlsFiles,
    roq::{
        self,
        control::{self, Accept, ClockReply, Decoder, Hello, Message},
        datagram, stream,
    },
    rtp,
    service::tls::{self, Certificates},
};
use inlet_origin::roq::receiver;
use quinn::{Connection, Endpoint, RecvStream, SendStream, crypto::rustls::QuicServerConfig};

/// What has arrived.
#[derive(Debug, Default)]
pub struct Arrived {
    /// RTP packets, on streams and in datagrams.
    pub rtp: AtomicU64,
    /// RTCP packets.
    pub rtcp: AtomicU64,
    /// Streams that were cut off in the middle.
    pub cancelled: AtomicU64,
}

/// A running sink; it lives as long as its runtime.
#[derive(Debug)]
pub struct Sink {
    /// What has arrived so far.
    pub arrived: Arc<Arrived>,
    endpoint: Endpoint,
}

impl Sink {
    /// Listens for edges; `certificates` is a folder as the rig writes it.
    ///
    /// # Errors
    ///
    /// When the port is taken or a file is bad.
    pub fn start(address: SocketAddr, certificates: &Path) -> Result<Self> {
        let files = TlsFiles {
            certificate: certificates.join("origin.pem"),
            key: certificates.join("origin.key"),
        };
        let loaded = Certificates::load(files, metrics::Gauge::noop())?;
        let crypto = tls::link_server(loaded, &certificates.join("ca.pem"), roq::ALPN)?;
        let crypto = QuicServerConfig::try_from(crypto)?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        server.transport_config(Arc::new(receiver::transport()));
        let endpoint = Endpoint::new(
            quinn::EndpointConfig::default(),
            Some(server),
            receiver::bind(address)?,
            Arc::new(quinn::TokioRuntime),
        )?;
        let arrived = Arc::new(Arrived::default());
        tokio::spawn(serve(endpoint.clone(), Arc::clone(&arrived)));
        Ok(Self { arrived, endpoint })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.endpoint.close(roq::error_code::NO_ERROR.into(), b"");
    }
}

async fn serve(endpoint: Endpoint, arrived: Arc<Arrived>) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else {
            continue;
        };
        tokio::spawn(datagrams(connection.clone(), Arc::clone(&arrived)));
        tokio::spawn(streams(connection.clone(), Arc::clone(&arrived)));
        tokio::spawn(async move {
            if let Ok((send, receive)) = connection.accept_bi().await {
                control(send, receive).await;
            }
        });
    }
}

async fn datagrams(connection: Connection, arrived: Arc<Arrived>) {
    while let Ok(wire) = connection.read_datagram().await {
        if let Some((_, packet)) = datagram::decode(&wire) {
            arrived.count(&packet);
        }
    }
}

async fn streams(connection: Connection, arrived: Arc<Arrived>) {
    while let Ok(stream) = connection.accept_uni().await {
        tokio::spawn(frame(stream, Arc::clone(&arrived)));
    }
}

async fn frame(mut receive: RecvStream, arrived: Arc<Arrived>) {
    let mut decoder = stream::Decoder::default();
    loop {
        match receive.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            Ok(None) => return,
            Err(_) => {
                arrived.cancelled.fetch_add(1, Relaxed);
                return;
            }
        }
        while let Ok(Some(packet)) = decoder.poll_packet() {
            arrived.count(&packet);
        }
    }
}

async fn control(mut send: SendStream, mut receive: RecvStream) {
    let mut decoder = Decoder::default();
    while let Ok(Some(chunk)) = receive.read_chunk(64 * 1024, true).await {
        decoder.push(&chunk.bytes);
        while let Ok(Some(message)) = decoder.poll_message() {
            let Some(reply) = reply(&message) else {
                continue;
            };
            let mut wire = Vec::new();
            control::encode(&reply, &mut wire);
            if send.write_all(&wire).await.is_err() {
                return;
            }
        }
    }
}

fn reply(message: &Message) -> Option<Message> {
    match message {
        Message::Hello(_) => Some(Message::Hello(Hello {
            version: control::VERSION,
            name: "sink".to_owned(),
            software: "bench".to_owned(),
        })),
        Message::Open(open) => Some(Message::Accept(Accept {
            session: open.session,
            max_bitrate: None,
        })),
        Message::ClockRequest(request) => {
            let now = clock::utc();
            Some(Message::ClockReply(ClockReply {
                sent: request.sent,
                received: now,
                replied: now,
            }))
        }
        _ => None,
    }
}

impl Arrived {
    fn count(&self, packet: &[u8]) {
        let counter = if rtp::is_rtcp(packet) {
            &self.rtcp
        } else {
            &self.rtp
        };
        counter.fetch_add(1, Relaxed);
    }
}
