//! A flood against the real name server, from thousands of networks that may be anybody's:
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
/// All networks (/24) of loopback: each has a budget for each kind of answer.
const NETWORKS: u32 = 1 << 16;
/// How many have a socket at once.
const AT_ONCE: u32 = 256;
/// What may be used more after a flood: the table of budgets is touched whole. Kept one
/// by one, the budgets of all networks would take twice as much and more.
const SLACK_KIB: u64 = 4 * 1024;
/// How long an answer from the same machine may take.
const NEAR: Duration = Duration::from_millis(200);
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
    let (asked, told) = spawn_blocking(move || spread(address)).await??;
    println!("{NETWORKS} networks: {told} of {asked} queries were answered");
    // Whoever comes anew has a full budget.
    ensure!(told > asked * 9 / 10, "{told} of {asked} were answered");
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
    let query = query("whip.inlet.test", A);
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

/// Asks from every network for each kind of answer; how often, and how many came.
fn spread(server: SocketAddr) -> Result<(usize, usize)> {
    let queries = [
        query("whip.inlet.test", A),
        query("whip.inlet.test", TXT),
        query("nobody.inlet.test", A),
        query("elsewhere.test", A),
    ];
    let (mut asked, mut told) = (0, 0);
    let mut buffer = [0; 2048];
    for first in (0..NETWORKS).step_by(AT_ONCE as usize) {
        let mut sockets = Vec::new();
        for network in first..first + AT_ONCE {
            let ip = Ipv4Addr::from(0x7f00_0001 + (network << 8));
            let socket = UdpSocket::bind((ip, 0)).context("an address of loopback")?;
            socket.set_read_timeout(Some(NEAR))?;
            socket.connect(server)?;
            for query in &queries {
                socket.send(query).ok();
            }
            sockets.push(socket);
        }
        for socket in &sockets {
            asked += queries.len();
            let answers = queries.iter().map_while(|_| socket.recv(&mut buffer).ok());
            told += answers.count();
        }
    }
    Ok((asked, told))
}

const A: u8 = 1;
const TXT: u8 = 16;

fn query(name: &str, kind: u8) -> Vec<u8> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, kind, 0, 1]);
    query
}
