//! What a running TURN server does with its allocations while an operator drains
//! or reloads it.

use std::{net::UdpSocket, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use tests::{
    rig::{
        TurnEdge,
        turn::{PASSWORD, USER},
        until,
    },
    turn::{
        client::{Caller, Client, Wish},
        link::{Server, Transport},
        load::{credential, server},
    },
};
use tokio::{task::spawn_blocking, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);
/// The shared secret after a reload.
const NEW_SECRET: &str = "another-secret-of-the-tests";

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_sends_new_clients_elsewhere_and_keeps_the_others() {
    let elsewhere = "alternate_servers = [\"192.0.2.9:3478\"]";
    let mut edge = TurnEdge::start(elsewhere).await.expect("an edge");
    if let Err(error) = drain(&mut edge).await {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    std::fs::remove_dir_all(edge.folder()).expect("its folder");
}

async fn drain(edge: &mut TurnEdge) -> Result<()> {
    let server = at(edge)?;
    let client = blocking(&server, allocate).await?;
    let drained = edge.admin(Method::POST, "/drain").send().await?;
    ensure!(drained.status().as_u16() == 202, "{}", drained.status());
    let refused = blocking(&server, allocate).await;
    let refused = format!("{:#}", refused.err().context("it was taken")?);
    ensure!(refused.contains("300"), "{refused}");
    let mut client = relays(client).await?;
    spawn_blocking(move || client.refresh(0)).await??;
    let status = timeout(PATIENCE, edge.process.exited()).await??;
    ensure!(status.success(), "ended with {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_allocations_and_takes_back_what_it_refuses() {
    let edge = TurnEdge::start("").await.expect("an edge");
    if let Err(error) = reload(&edge).await {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    edge.stop().await.expect("an orderly end");
}

async fn reload(edge: &TurnEdge) -> Result<()> {
    let server = at(edge)?;
    let client = relays(blocking(&server, allocate).await?).await?;
    edge.reload(&format!("secrets = [\"{NEW_SECRET}\"]"))?;
    until("the new secret", PATIENCE, async || {
        let (username, password) = credential(NEW_SECRET);
        blocking(&server, move |server| enter(server, username, password)).await
    })
    .await?;
    let client = relays(client).await.context("under the new secret")?;
    edge.reload("policy = \"appliance\"")?;
    until("the permission to go", PATIENCE, async || {
        let left = edge.metrics().await?.value("inlet_edge_turn_permissions")?;
        ensure!(left < 1.0, "{left} are left");
        Ok(())
    })
    .await?;
    let allocations = edge.metrics().await?;
    ensure!(allocations.sum("inlet_edge_turn_allocations", &[]) > 0.0);
    drop(client);
    Ok(())
}

fn at(edge: &TurnEdge) -> Result<Server> {
    server(
        edge.address().port(),
        &edge.folder().join("certificates/ca.pem"),
    )
}

async fn blocking<T: Send + 'static>(
    server: &Server,
    work: impl FnOnce(&Server) -> Result<T> + Send + 'static,
) -> Result<T> {
    let server = server.clone();
    spawn_blocking(move || work(&server)).await?
}

fn allocate(server: &Server) -> Result<Client> {
    enter(server, USER.to_owned(), PASSWORD.to_owned())
}

fn enter(server: &Server, username: String, password: String) -> Result<Client> {
    let caller = Caller {
        transport: Transport::Tls,
        is_ipv4: true,
        username,
        password,
    };
    Client::allocate(server, &caller, Wish::Ipv4)
}

/// A client still reaches a peer.
async fn relays(mut client: Client) -> Result<Client> {
    spawn_blocking(move || {
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        peer.set_read_timeout(Some(PATIENCE))?;
        let address = peer.local_addr()?;
        client.permit(address)?;
        client.send(address, b"ping")?;
        let mut bytes = [0; 100];
        let (len, _) = peer.recv_from(&mut bytes)?;
        ensure!(bytes.get(..len) == Some(&b"ping"[..]));
        Ok(client)
    })
    .await?
}
