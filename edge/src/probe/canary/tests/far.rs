//! TURN by TLS at the other end of a long way, over real sockets.

use std::sync::{Arc, Mutex};

use inlet_common::service::tls::provider;
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex, split},
    sync::mpsc,
    time::sleep_until,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    probe::{
        engine::Side,
        turn::tests::server::{Manners, SECRET, Server},
    },
    turn::wire::Framing,
};

/// From one end to the other: a round trip of 500 ms.
const DELAY: Duration = Duration::from_millis(250);

/// What a lost packet costs at that: three round trips until TCP sends it again.
const LOST: Duration = Duration::from_millis(1_500);

/// Takes what one end writes to the other, late; the piece of this number is lost once,
/// and what stands behind it waits for it.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    lost: Option<usize>,
) {
    let (sent, mut under_way) = mpsc::unbounded_channel();
    let reading = async move {
        let mut bytes = [0; 16 * 1024];
        while let Ok(len @ 1..) = from.read(&mut bytes).await {
            sent.send((clock::now() + DELAY, bytes[..len].to_vec()))
                .ok();
        }
        drop(sent);
    };
    let writing = async move {
        let mut number = 0;
        while let Some((arrives, bytes)) = under_way.recv().await {
            let again = if Some(number) == lost {
                LOST
            } else {
                Duration::ZERO
            };
            sleep_until((arrives + again).into()).await;
            to.write_all(&bytes).await.ok();
            number += 1;
        }
        to.shutdown().await.ok();
    };
    tokio::join!(reading, writing);
}

/// Those who are connected, by their side.
type Inboxes = Mutex<Vec<mpsc::UnboundedSender<Vec<u8>>>>;

/// Serves TURN to one of the two clients.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    acceptor: TlsAcceptor,
    shared: Arc<(Mutex<Server>, Inboxes)>,
) {
    let stream = acceptor.accept(stream).await.unwrap();
    let (mut reader, mut writer) = split(stream);
    let (inbox, mut outbox) = mpsc::unbounded_channel::<Vec<u8>>();
    let side = {
        let mut inboxes = shared.1.lock().unwrap();
        inboxes.push(inbox);
        match inboxes.len() {
            1 => Side::First,
            _ => Side::Second,
        }
    };
    let reading = async {
        let (mut held, mut bytes) = (Vec::new(), [0; 2_048]);
        while let Ok(len @ 1..) = reader.read(&mut bytes).await {
            held.extend_from_slice(&bytes[..len]);
            while let Framing::Whole(frame) = Framing::next(&held) {
                let (message, len) = (frame.message.to_vec(), frame.len);
                held.drain(..len);
                for (to, answer) in shared.0.lock().unwrap().handle(side, &message) {
                    shared.1.lock().unwrap()[to as usize].send(answer).ok();
                }
            }
        }
    };
    let writing = async {
        while let Some(message) = outbox.recv().await {
            writer.write_all(&message).await.ok();
            writer.flush().await.ok();
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

/// A canary, and a server that it trusts, far away.
async fn far(lost: Option<usize>) -> (Canary, Target, JoinSet<()>) {
    let made = rcgen::generate_simple_self_signed(["edge.test".to_owned()]).unwrap();
    let path = std::env::temp_dir().join(format!("inlet-far-{}-{lost:?}", std::process::id()));
    std::fs::write(&path, made.cert.pem()).unwrap();
    let canary = Canary::new(Some(&path), Patience::USUAL).unwrap();
    std::fs::remove_file(&path).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Mutex::new(Server::new(Manners::default()));
    let shared = Arc::new((server, Inboxes::default()));
    let (tcp, tasks) = super::server(move |stream| {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        async move {
            let (near, far) = duplex(64 * 1024);
            let (from_client, to_client) = stream.into_split();
            let (from_server, to_server) = split(near);
            tokio::join!(
                carry(from_client, to_server, None),
                carry(from_server, to_client, lost),
                serve(far, acceptor, shared),
            );
        }
    })
    .await;
    let mut target = target(tcp, tcp);
    target.whip = None;
    (target.stun, target.turn_udp, target.turn_tcp) = (None, None, None);
    (canary, target, tasks)
}

/// Whether it is well, and how long that took to be proven.
async fn probed(lost: Option<usize>) -> Result<Duration, Error> {
    let (canary, target, _server) = far(lost).await;
    let credentials = Credentials::Secret(SECRET.to_owned());
    canary.run(&target, &credentials).await.turn_tls.unwrap()
}

/// The handshake of TLS and four more.
#[tokio::test]
async fn one_that_is_far_away_is_well() {
    let took = probed(None).await.unwrap();
    assert!(took >= 5 * 2 * DELAY, "{took:?}");
}

#[tokio::test]
async fn a_lost_packet_on_a_long_way_is_waited_for() {
    // Behind the handshake's: an answer to an Allocate.
    let took = probed(Some(3)).await.unwrap();
    assert!(took >= 5 * 2 * DELAY + LOST, "{took:?}");
}
