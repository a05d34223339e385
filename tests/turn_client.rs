//! An independent Rust client, the `turn` crate of webrtc-rs, against the real
//! TURN server: two allocations that talk by hairpin, and one that talks to a
//! plain UDP peer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tests::rig::{
    TurnEdge,
    turn::{PASSWORD, REALM, USER},
};
use tokio::{net::UdpSocket, time::timeout};
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

const PATIENCE: Duration = Duration::from_secs(10);
/// Packets each way; the crate binds a channel after the first.
const PACKETS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_crates_client_relays_to_a_peer_and_to_another_client() {
    let edge = TurnEdge::start("").await.expect("an edge");
    if let Err(error) = story(&edge).await {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    edge.stop().await.expect("an orderly end");
}

async fn story(edge: &TurnEdge) -> Result<()> {
    let server = edge.address();
    let anna = client(server).await?;
    let bert = client(server).await?;
    let mapped = anna.send_binding_request().await?;
    ensure!(mapped.ip() == server.ip(), "seen as {mapped}");

    let (from_anna, from_bert) = (anna.allocate().await?, bert.allocate().await?);
    let peer = UdpSocket::bind("127.0.0.1:0").await?;
    talk(&from_anna, &peer).await.context("with a peer")?;
    talk(&from_anna, &from_bert).await.context("by hairpin")?;

    from_anna.close().await?;
    from_bert.close().await?;
    anna.close().await?;
    Ok(bert.close().await?)
}

async fn client(server: SocketAddr) -> Result<Client> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        realm: REALM.to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    })
    .await?;
    client.listen().await?;
    Ok(client)
}

/// Packets in both directions, each of which has to arrive. Each side writes
/// first once: that is how a client gets its permission.
async fn talk(one: &(impl Conn + Sync), other: &(impl Conn + Sync)) -> Result<()> {
    let (here, there) = (one.local_addr()?, other.local_addr()?);
    other.send_to(b"hello", here).await.ok();
    for at in 0..PACKETS {
        let text = format!("packet {at}");
        one.send_to(text.as_bytes(), there).await?;
        ensure!(next(other, here).await? == text.as_bytes());
        other.send_to(text.as_bytes(), here).await?;
        ensure!(next(one, there).await? == text.as_bytes());
    }
    Ok(())
}

/// The next packet from there, after what was said for the permission's sake.
async fn next(conn: &(impl Conn + Sync), from: SocketAddr) -> Result<Vec<u8>> {
    let mut bytes = [0; 1500];
    loop {
        let (len, source) = timeout(PATIENCE, conn.recv_from(&mut bytes)).await??;
        let data = bytes.get(..len).unwrap_or_default();
        if data != b"hello" {
            ensure!(source == from, "from {source}, not {from}");
            return Ok(data.to_vec());
        }
    }
}
