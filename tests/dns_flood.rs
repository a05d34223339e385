//! A flood against the real name server, from a thousand sources that may be anybody:
//! its memory stays flat, most of the flood gets nothing, and a resolver with a cookie
//! goes on.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tests::rig::{NameServer, until};
use tokio::task::spawn_blocking;

/// Queries that are thrown.
const QUERIES: usize = 1_000_000;
/// Sources that they seem to come from, in four networks.
const SOURCES: usize = 1_000;
/// What may be used more after a flood; a page here and there.
const SLACK_KIB: u64 = 4 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_leaves_memory_flat_and_is_limited() {
    let mut server = NameServer::start("responses_per_second = 50")
        .await
        .expect("a name server");
    if let Err(error) = story(&mut server).await {
        panic!("{error:#}\n{}", server.process.tail(40));
    }
    server.stop().await.expect("an orderly end");
}

#[expect(clippy::print_stdout, reason = "the figures are asked for")]
async fn story(server: &mut NameServer) -> Result<()> {
    let address = server.address();
    // Once before the first reading: buffers grow to what a flood needs.
    spawn_blocking(move || flood(address, QUERIES / 20)).await??;
    let before = server.resident()?;
    let asked = "whip.inlet.test A +short +cookie +notcp";
    let beside = async {
        let mut answered = 0;
        for _ in 0..20 {
            // Without a cookie of ours the first is cut or dropped in a flood of its
            // network; dig comes again with the one that it is given.
            let told = server.dig(&format!("{asked} +tries=5 +time=1")).await?;
            answered += usize::from(told.ends_with("192.0.2.1"));
        }
        anyhow::Ok(answered)
    };
    let thrown = spawn_blocking(move || flood(address, QUERIES));
    let (answered, thrown) = tokio::join!(beside, thrown);
    let heard = thrown??;
    let after = server.resident()?;
    println!("{QUERIES} queries: {heard} answers of any kind came back");
    let answered = answered?;
    println!("{before} KiB before, {after} KiB after; a client beside it: {answered} of 20");
    ensure!(
        answered >= 18,
        "a client with cookies got {answered} of 20 answers"
    );
    // One in two beyond the budget is cut, and no longer than its query.
    ensure!(heard < QUERIES * 6 / 10, "{heard} answers");
    ensure!(
        after <= before + SLACK_KIB,
        "memory grew from {before} to {after} KiB"
    );
    until("the counts", PATIENCE, async || {
        let metrics = server.metrics().await?;
        let limited = |result| {
            let label = format!("result=\"{result}\"");
            metrics.sum("inlet_edge_dns_rate_limited_total", &[&label])
        };
        let (cut, dropped) = (limited("truncated"), limited("dropped"));
        println!("{cut} were cut, {dropped} dropped");
        ensure!(cut > 0.0 && dropped > 0.0);
        Ok(())
    })
    .await?;
    // Afterwards all is as it was.
    until("an answer", PATIENCE, async || {
        let told = server.dig("whip.inlet.test A +short").await?;
        ensure!(told == "192.0.2.1", "{told}");
        Ok(())
    })
    .await
}

/// Throws queries from many addresses of loopback, and counts what comes back.
fn flood(server: SocketAddr, queries: usize) -> Result<usize> {
    let query = query();
    let mut sockets = Vec::new();
    for source in 0..SOURCES {
        let source = u32::try_from(source)?;
        let ip = Ipv4Addr::from(0x7f01_0001 + source);
        let socket = UdpSocket::bind((ip, 0)).context("an address of loopback")?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        sockets.push(socket);
    }
    let mut heard = 0;
    let mut buffer = [0; 2048];
    for round in 0..queries / SOURCES {
        for socket in &sockets {
            // What finds no room is lost, as in the world.
            socket.send(&query).ok();
        }
        for socket in &sockets {
            while socket.recv(&mut buffer).is_ok() {
                heard += 1;
            }
        }
        if round % 50 == 0 {
            thread::yield_now();
        }
    }
    Ok(heard)
}

fn query() -> Vec<u8> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["whip", "inlet", "test"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}
