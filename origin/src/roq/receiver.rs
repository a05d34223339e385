//! Accepts the edges' connections and moves their media to its flows.
//!
//! Three loops per connection: the control stream, DATAGRAMs, and streams (one
//! short task each, since a stream is one frame). None of them ever waits for
//! a stream's pipeline: a full queue drops the packet and counts it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use inlet_common::{
    clock,
    roq::{FlowId, datagram, error_code, stream},
};
use quinn::VarInt;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{Link, Metrics, control, flow};
use crate::{fleet::Exchange, live::Gate};

/// Handshakes under way at once; more wait in the socket's buffer.
const MAX_HANDSHAKES: usize = 64;

/// A connection that has not opened its control stream by then is closed.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an edge may take to read the end of the control stream.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Control messages waiting to be written to one edge.
const MAX_CONTROL_QUEUE: usize = 1024;

/// Bytes read from a stream at once.
const READ_CHUNK: usize = 64 * 1024;

/// Bytes of UDP waiting in the kernel: 10 ms of 1,000 presenters and a key
/// frame of each tenth. The kernel may grant less.
const SOCKET_BUFFER: usize = 8 << 20;

/// DATAGRAMs waiting to be read, in bytes.
const DATAGRAM_BUFFER: usize = 1 << 20;

/// Frames in flight on one connection: hundreds of sessions at a long round
/// trip.
const MAX_STREAMS: u32 = 16_384;

/// How QUIC behaves towards edges.
pub fn transport() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(stream::MAX_PACKET as u32 * 2))
        .receive_window(VarInt::from_u32(64 << 20))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        // The edge says how soon it gives up, and QUIC takes the lower of both.
        .max_idle_timeout(Some(VarInt::from_u32(60_000).into()))
        .keep_alive_interval(Some(Duration::from_secs(1)));
    transport
}

/// Binds the QUIC socket with large buffers.
///
/// # Errors
///
/// What the operating system says.
pub fn bind(address: std::net::SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    let reference = socket2::SockRef::from(&socket);
    for (what, set) in [
        ("receive", reference.set_recv_buffer_size(SOCKET_BUFFER)),
        ("send", reference.set_send_buffer_size(SOCKET_BUFFER)),
    ] {
        if let Err(error) = set {
            tracing::warn!(%error, "the {what} buffer of the link's socket stays small");
        }
    }
    Ok(socket)
}

/// Accepts connections, `max_connections` at once, until `stop`; then closes
/// them with no error.
pub async fn serve(
    endpoint: quinn::Endpoint,
    gate: Arc<Gate>,
    fleet: Arc<Exchange>,
    metrics: Metrics,
    max_connections: u32,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(max_connections as usize));
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let connections = TaskTracker::new();
    loop {
        let Some(incoming) = (tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = stop.cancelled() => None,
        }) else {
            break;
        };
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            metrics.refused.increment(1);
            incoming.ignore();
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics.refused.increment(1);
            tracing::warn!("edge refused: limits.edge_connections is reached");
            incoming.refuse();
            continue;
        };
        let remote = incoming.remote_address();
        let (gate, fleet) = (Arc::clone(&gate), Arc::clone(&fleet));
        let (metrics, stop) = (metrics.clone(), stop.clone());
        let serve = async move {
            let connection = match incoming.await {
                Ok(connection) => connection,
                Err(error) => {
                    metrics.refused.increment(1);
                    tracing::warn!(%error, "edge refused: check its certificate and the CA");
                    return;
                }
            };
            drop(permit);
            serve_connection(connection, gate, fleet, metrics, stop).await;
            drop(place);
        };
        connections.spawn(serve.instrument(tracing::info_span!("link", %remote)));
    }
    connections.close();
    connections.wait().await;
    endpoint.close(VarInt::from_u32(error_code::NO_ERROR), b"stopping");
    endpoint.wait_idle().await;
}

async fn serve_connection(
    connection: quinn::Connection,
    gate: Arc<Gate>,
    fleet: Arc<Exchange>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let Ok(Ok((send, receive))) =
        tokio::time::timeout(CONTROL_TIMEOUT, connection.accept_bi()).await
    else {
        metrics.refused.increment(1);
        close(
            &connection,
            error_code::EXPECTATION_UNMET,
            "no control stream",
        );
        return;
    };
    let (control_queue, outgoing) = mpsc::channel(MAX_CONTROL_QUEUE);
    let link = Link {
        connection: connection.clone(),
        control: control_queue,
        flows: Arc::default(),
        metrics: metrics.clone(),
    };
    metrics.connections.increment(1.0);
    let ended = tokio::select! {
        // An edge that stops says its last words and closes in one breath: they are
        // heard before the connection is seen to have ended.
        biased;
        ended = control::serve(&gate, &fleet, &link, send, receive, outgoing) => ended,
        () = receive_datagrams(&link) => Ok(()),
        () = receive_streams(&link) => Ok(()),
        () = finish_at(&link, &stop) => Ok(()),
    };
    metrics.connections.decrement(1.0);
    gate.link_lost(&link);
    match ended {
        Ok(()) => close(&connection, error_code::NO_ERROR, ""),
        Err(error) => {
            metrics.refused.increment(1);
            tracing::warn!(error = &error as &dyn std::error::Error, "link ended");
            close(&connection, error_code::GENERAL, "control stream");
        }
    }
}

/// Waits for `stop`, and then for the edge to have read what it was told.
async fn finish_at(link: &Link, stop: &CancellationToken) {
    stop.cancelled().await;
    if tokio::time::timeout(FINISH_TIMEOUT, link.finish())
        .await
        .is_err()
    {
        tracing::debug!("the edge did not read the end of the control stream in time");
    }
}

async fn receive_datagrams(link: &Link) {
    while let Ok(wire) = link.connection.read_datagram().await {
        match datagram::decode(&wire) {
            Some((flow, packet)) => {
                link.metrics.datagram_packets.increment(1);
                deliver(link, flow, packet);
            }
            None => link.metrics.malformed.increment(1),
        }
    }
}

/// Returns when the connection is closed, or when the edge opens a stream of a
/// kind that has no place on a link.
async fn receive_streams(link: &Link) {
    let streams = TaskTracker::new();
    loop {
        tokio::select! {
            accepted = link.connection.accept_uni() => {
                let Ok(receive) = accepted else { return };
                streams.spawn(receive_stream(link.clone(), receive));
            }
            accepted = link.connection.accept_bi() => {
                if accepted.is_ok() {
                    link.metrics.malformed.increment(1);
                    close(&link.connection, error_code::STREAM_CREATION, "one control stream");
                }
                return;
            }
        }
    }
}

async fn receive_stream(link: Link, mut receive: quinn::RecvStream) {
    let mut decoder = stream::Decoder::default();
    let mut is_known = false;
    // A reset is the edge's way to cancel a frame: what came before it counts.
    while let Ok(Some(chunk)) = receive.read_chunk(READ_CHUNK, true).await {
        decoder.push(&chunk.bytes);
        let Some(flow) = decoder.flow() else { continue };
        if !is_known && !link.flows.contains(flow) {
            link.metrics.unknown_flow.increment(1);
            stop_sending(&mut receive, error_code::UNKNOWN_FLOW);
            return;
        }
        is_known = true;
        loop {
            match decoder.poll_packet() {
                Ok(Some(packet)) => {
                    link.metrics.stream_packets.increment(1);
                    deliver(&link, flow, packet);
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "stream stopped");
                    link.metrics.malformed.increment(1);
                    stop_sending(&mut receive, error_code::PACKET);
                    return;
                }
            }
        }
    }
}

fn deliver(link: &Link, flow: FlowId, packet: Bytes) {
    let len = packet.len() as u64;
    let now = clock::now();
    match link.flows.deliver(flow, packet, now, clock::steady(now)) {
        flow::Delivery::Delivered => link.metrics.bytes.increment(len),
        flow::Delivery::UnknownFlow => link.metrics.unknown_flow.increment(1),
        flow::Delivery::QueueFull => link.metrics.queue_full.increment(1),
    }
}

fn stop_sending(receive: &mut quinn::RecvStream, code: u32) {
    // Fails only when the stream is over already, which is as good.
    drop(receive.stop(VarInt::from_u32(code)));
}

fn close(connection: &quinn::Connection, code: u32, why: &str) {
    connection.close(VarInt::from_u32(code), why.as_bytes());
}
