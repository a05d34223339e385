//! Floods against the real TURN server: its memory stays flat, a client of its
//! goes on, and every port comes back.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tests::{
    rig::{
        TurnEdge,
        turn::{PASSWORD, USER},
        until,
    },
    turn::{
        client::{Caller, Client, Wish},
        link::{Server, Transport},
        load::server,
    },
};
use tokio::task::spawn_blocking;

/// Datagrams that are thrown.
const DATAGRAMS: usize = 1_000_000;
/// Sources that they seem to come from.
const SOURCES: usize = 1_000;
/// Connections that say nothing, half of them with the first byte of TLS.
const SILENT: usize = 200;
/// Allocations that are made and given back.
const CYCLES: usize = 2_000;
/// What may be used more after a flood; a page here and there.
const SLACK_KIB: u64 = 4 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn floods_leave_memory_flat_and_a_client_undisturbed() {
    let limits = "[turn.limits]\nallocations_per_user = 20000\nchallenges_per_second = 0";
    let mut edge = TurnEdge::start(limits).await.expect("an edge");
    if let Err(error) = story(&mut edge).await {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    edge.stop().await.expect("an orderly end");
}

async fn story(edge: &mut TurnEdge) -> Result<()> {
    let authority = edge.folder().join("certificates/ca.pem");
    let server = server(edge.address().port(), &authority)?;
    let mut witness = blocking(&server, allocate).await?;
    witness = relays(witness).await.context("before any flood")?;
    // Once before the first reading: buffers grow to what a flood needs.
    let address = edge.address();
    spawn_blocking(move || datagrams(address, DATAGRAMS / 10)).await??;

    let before = edge.resident()?;
    spawn_blocking(move || datagrams(address, DATAGRAMS)).await??;
    flat(edge, before, "a million datagrams from a thousand sources")?;
    witness = relays(witness).await.context("after the datagrams")?;

    let silent = spawn_blocking(move || silent(address)).await??;
    flat(edge, before, "silent connections")?;
    witness = relays(witness).await.context("beside silent connections")?;
    drop(silent);

    let cycles = server.clone();
    spawn_blocking(move || cycle(&cycles)).await??;
    flat(edge, before, "allocations that came and went")?;
    relays(witness).await.context("after the cycles")?;
    until("every port to come back", 2 * PATIENCE, async || {
        let used = edge.metrics().await?.value("inlet_edge_turn_ports_used")?;
        // The witness let go of its own, but told nobody.
        ensure!(used <= 1.0, "{used} are in use");
        Ok(())
    })
    .await
}

#[expect(clippy::print_stdout, reason = "the figures are asked for")]
fn flat(edge: &TurnEdge, before: u64, what: &str) -> Result<()> {
    let after = edge.resident()?;
    println!("{what}: {before} KiB before, {after} KiB after");
    ensure!(
        after <= before + SLACK_KIB,
        "{what}: memory grew from {before} to {after} KiB"
    );
    Ok(())
}

fn caller() -> Caller {
    Caller {
        transport: Transport::Udp,
        is_ipv4: true,
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

async fn blocking<T: Send + 'static>(
    server: &Server,
    work: impl FnOnce(&Server) -> Result<T> + Send + 'static,
) -> Result<T> {
    let server = server.clone();
    spawn_blocking(move || work(&server)).await?
}

fn allocate(server: &Server) -> Result<Client> {
    Client::allocate(server, &caller(), Wish::Ipv4)
}

/// A client still reaches a peer, and the peer it.
async fn relays(mut client: Client) -> Result<Client> {
    spawn_blocking(move || {
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        peer.set_read_timeout(Some(PATIENCE))?;
        let address = peer.local_addr()?;
        client.permit(address)?;
        client.send(address, b"ping")?;
        let mut bytes = [0; 100];
        let (len, relayed) = peer.recv_from(&mut bytes)?;
        ensure!(&bytes[..len] == b"ping");
        peer.send_to(b"pong", relayed)?;
        let (from, data) = client.receive(PATIENCE)?.context("no answer")?;
        ensure!(from == address && data == b"pong");
        Ok(client)
    })
    .await?
}

/// Valid requests without credentials, requests with invented ones, ChannelData
/// of nobody, and junk.
fn datagrams(server: SocketAddr, count: usize) -> Result<()> {
    let kinds = kinds();
    let mut left = count;
    for source in 0..SOURCES {
        let [_, _, high, low] = u32::try_from(source)?.to_be_bytes();
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 9, high, low), 0))?;
        let share = left.min(count.div_ceil(SOURCES));
        for at in 0..share {
            // A full buffer is what a flood makes.
            socket.send_to(&kinds[at % kinds.len()], server).ok();
        }
        left -= share;
    }
    Ok(())
}

fn kinds() -> Vec<Vec<u8>> {
    let cookie = [0x21, 0x12, 0xA4, 0x42];
    let head = |kind: u8, len: u8| [&[0, kind, 0, len][..], &cookie, &[7; 12]].concat();
    // Allocate with REQUESTED-TRANSPORT; the same with USERNAME, REALM, NONCE and
    // an integrity that nobody has made.
    let transport = [0, 0x19, 0, 4, 17, 0, 0, 0];
    let user = [0, 6, 0, 4, b'e', b'v', b'e', b'!'];
    let realm = [0, 0x14, 0, 4, b'n', b'o', b'n', b'e'];
    let nonce = [0, 0x15, 0, 4, b'o', b'l', b'd', b'!'];
    let integrity = [&[0, 8, 0, 20][..], &[9; 20]].concat();
    let signed = [&transport[..], &user, &realm, &nonce, &integrity].concat();
    vec![
        [&head(3, 8), &transport[..]].concat(),
        [&head(3, 56), &signed[..]].concat(),
        head(1, 0),
        [&[0x40, 0, 0, 200][..], &[1; 200]].concat(),
        vec![0xFF; 300],
        vec![0; 3],
    ]
}

/// Connections that never say what they want.
fn silent(server: SocketAddr) -> Result<Vec<TcpStream>> {
    use std::io::Write as _;
    let connect = |at: usize| {
        let mut stream = TcpStream::connect(server)?;
        if at.is_multiple_of(2) {
            // The server may have closed it already, which is what is wanted.
            stream.write_all(&[0x16]).ok();
        }
        Ok(stream)
    };
    (0..SILENT).map(connect).collect()
}

/// Allocates pairs of ports and gives them back.
fn cycle(server: &Server) -> Result<()> {
    for at in 0..CYCLES {
        let client = Client::allocate(server, &caller(), Wish::Pair);
        let mut client = client.with_context(|| format!("cycle {at}"))?;
        client.refresh(0)?;
    }
    Ok(())
}
