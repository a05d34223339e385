//! An origin on quinn: a real server, sockets and all.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use inlet_common::{
    reason::ReasonCode,
    roq::{
        FlowId,
        control::{self, Accept, Decoder, Hello, Message, Reject},
        datagram,
        pop::{self, Fleet},
        stream,
    },
    rtp::{Ssrc, rtcp::Rtcp},
};
use quinn::{
    Connection, Endpoint, RecvStream, SendStream, ServerConfig, VarInt,
    crypto::rustls::QuicServerConfig,
};
use tokio::runtime::Runtime;

use crate::roq::testing::Pki;

/// What the origin has heard.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Message),
    /// A stream that ended cleanly: its flow and how many packets it held.
    Frame(FlowId, usize),
    Datagram,
}

/// An origin.
pub(super) struct Origin {
    runtime: Option<Runtime>,
    pub(super) address: SocketAddr,
    pub(super) heard: Receiver<Heard>,
    shared: Arc<Shared>,
}

struct Shared {
    heard: Sender<Heard>,
    refusal: Mutex<Option<ReasonCode>>,
    connection: Mutex<Option<Connection>>,
}

impl Origin {
    pub(super) fn start(pki: &Pki, address: Option<SocketAddr>) -> Self {
        let mut config = ServerConfig::with_crypto(Arc::new(
            QuicServerConfig::try_from(pki.server.clone()).unwrap(),
        ));
        let mut transport = quinn::TransportConfig::default();
        transport
            .max_concurrent_uni_streams(VarInt::from_u32(16_384))
            .keep_alive_interval(Some(Duration::from_millis(500)));
        config.transport_config(Arc::new(transport));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = address.unwrap_or_else(own_address);
        let endpoint = runtime.block_on(async { Endpoint::server(config, address).unwrap() });
        let (sender, heard) = channel();
        let shared = Arc::new(Shared {
            heard: sender,
            refusal: Mutex::new(None),
            connection: Mutex::new(None),
        });
        let address = endpoint.local_addr().unwrap();
        runtime.spawn(serve(endpoint, Arc::clone(&shared)));
        Self {
            runtime: Some(runtime),
            address,
            heard,
            shared,
        }
    }

    /// Refuses every presenter from now on.
    pub(super) fn refuse(&self, code: ReasonCode) {
        *self.shared.refusal.lock().unwrap() = Some(code);
    }

    pub(super) fn send_pli(&self, flow: FlowId) {
        let mut wire = Vec::new();
        datagram::encode_flow(flow, &mut wire);
        let pli = Rtcp::Pli {
            sender: Ssrc(1),
            media: Ssrc(0),
        };
        pli.encode(&mut wire);
        let connection = self.shared.connection.lock().unwrap();
        connection
            .as_ref()
            .unwrap()
            .send_datagram(wire.into())
            .unwrap();
    }

    /// Goes away without a word: tasks and socket are dropped where they stand.
    pub(super) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
            // The last that holds the socket; after its tasks, or it would
            // take its leave in order.
            *self.shared.connection.lock().unwrap() = None;
        }
    }
}

/// An address that no other test uses, in this process or another one, with a
/// port that the kernel gives to nobody: an origin must be able to come back
/// where it was.
fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, number, high, low], 4433))
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(endpoint: Endpoint, shared: Arc<Shared>) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else {
            continue;
        };
        *shared.connection.lock().unwrap() = Some(connection.clone());
        let (streams, datagrams) = (connection.clone(), connection.clone());
        let to = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok(stream) = streams.accept_uni().await {
                tokio::spawn(read_frame(stream, Arc::clone(&to)));
            }
        });
        let to = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok(datagram) = datagrams.read_datagram().await {
                assert!(datagram::decode(&datagram).is_some());
                to.tell(Heard::Datagram);
            }
        });
        let to = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Ok((send, receive)) = connection.accept_bi().await {
                control(send, receive, to).await;
            }
        });
    }
}

impl Shared {
    fn tell(&self, heard: Heard) {
        // Nobody listens when the test is over.
        self.heard.send(heard).ok();
    }

    fn reply(&self, message: &Message) -> Option<Message> {
        match message {
            Message::Hello(_) => Some(Message::Hello(Hello {
                version: control::VERSION,
                name: "origin".into(),
                software: "test".into(),
            })),
            Message::Open(open) => Some(match *self.refusal.lock().unwrap() {
                Some(code) => Message::Reject(Reject {
                    session: open.session,
                    code,
                    message: "refused".into(),
                    retry_after: None,
                }),
                None => Message::Accept(Accept {
                    session: open.session,
                    max_bitrate: None,
                }),
            }),
            // As if another point of presence had reported a moment ago.
            Message::Report(report) => Some(Message::Fleet(Fleet::new([pop::Heard {
                name: pop::Name::new("other")?,
                age: Duration::from_millis(250),
                report: *report,
            }]))),
            _ => None,
        }
    }
}

async fn control(mut send: SendStream, mut receive: RecvStream, shared: Arc<Shared>) {
    let mut decoder = Decoder::default();
    while let Ok(Some(chunk)) = receive.read_chunk(usize::MAX, true).await {
        decoder.push(&chunk.bytes);
        while let Some(message) = decoder.poll_message().unwrap() {
            if let Some(reply) = shared.reply(&message) {
                let mut wire = Vec::new();
                control::encode(&reply, &mut wire);
                if send.write_all(&wire).await.is_err() {
                    return;
                }
            }
            shared.tell(Heard::Message(message));
        }
    }
}

async fn read_frame(mut receive: RecvStream, shared: Arc<Shared>) {
    let mut decoder = stream::Decoder::default();
    let mut packets: Vec<Bytes> = Vec::new();
    while let Ok(chunk) = receive.read_chunk(usize::MAX, true).await {
        let Some(chunk) = chunk else {
            if let Some(flow) = decoder.flow() {
                shared.tell(Heard::Frame(flow, packets.len()));
            }
            return;
        };
        decoder.push(&chunk.bytes);
        while let Some(packet) = decoder.poll_packet().unwrap() {
            packets.push(packet);
        }
    }
}
