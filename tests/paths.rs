//! Presenters whose network leaves them one way: the edge takes them by it, says by
//! which they came, and what they send is played.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use tests::{
    by_tcp::ByTcp,
    publisher::{Publisher, Tracks, Via},
    rig::{Rig, Stream, TurnCredential, apart, scenario, scenario_at, tls, until},
    stage, viewer,
};
use tokio::{io::copy_bidirectional, net::TcpListener, runtime::Runtime, task::JoinHandle};

const PATIENCE: Duration = Duration::from_secs(30);
/// Presenters with sound alone, beside one that is played.
const OTHERS: usize = 3;

/// With two workers each datagram may come to one and be for the other: the kernel
/// chooses who relays, the edge who carries the session.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_relayed_is_played_whichever_worker_relays() {
    scenario(async |rig: &mut Rig| {
        let mut relay = rig.turn_credential("paths").await?;
        relay
            .urls
            .retain(|url| url.starts_with("turn:") && url.ends_with("udp"));
        ensure!(relay.urls.len() == 1, "{relay:?}");
        let (stream, publisher) = relayed(rig, "picture", Tracks::Both, &relay).await?;
        let mut others = Vec::new();
        for number in 0..OTHERS {
            let name = format!("sound {number}");
            others.push(relayed(rig, &name, Tracks::Audio, &relay).await?.1);
        }
        let playlist = stage::complete(&stream).await?;
        let variant = playlist.variants.first().context("no variant")?;
        let watched = viewer::watch(variant.url.as_str(), 60, PATIENCE).await?;
        watched.ensure_smooth()?;
        for publisher in others.into_iter().chain([publisher]) {
            publisher.stop().await?;
        }
        Ok(())
    })
    .await;
}

#[test]
fn who_has_tcp_alone_is_played_by_the_ports_of_media_and_of_https() {
    if !apart::is_inside("who_has_tcp_alone_is_played_by_the_ports_of_media_and_of_https") {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(scenario_at(apart::ADDRESS, async |rig: &mut Rig| {
        let https = SocketAddr::from((apart::ADDRESS, rig.ports().edge_http));
        for (name, target) in [("by media's port", None), ("by that of HTTPS", Some(https))] {
            by_tcp(rig, name, target)
                .await
                .with_context(|| name.to_owned())?;
        }
        Ok(())
    }));
}

/// Goes live by TCP to `target`, or to the session's own port of media, and is played.
async fn by_tcp(rig: &Rig, name: &str, target: Option<SocketAddr>) -> Result<()> {
    let stream = rig.api.create(name).await?;
    let front = Front::start(rig).await?;
    let way = Arc::<Mutex<Option<ByTcp>>>::default();
    let kept = Arc::clone(&way);
    let mut options = stage::options(&stream).with_size(640, 360);
    options.whip = front.in_front_of(&stream.whip)?;
    options.via = Some(Via::new(move |edge| {
        let kept = Arc::clone(&kept);
        Box::pin(async move {
            let way = ByTcp::start(target.unwrap_or(edge)).await?;
            let address = way.address();
            *kept.lock().map_err(|_| anyhow!("poisoned"))? = Some(way);
            Ok(address)
        })
    }));
    let publisher = Publisher::start(options).await?;
    came_by(rig, &stream, "host_tcp").await?;
    ensure_offered(rig, &stream, target).await?;
    let playlist = stage::complete(&stream).await?;
    let variant = playlist.variants.first().context("no variant")?;
    let watched = viewer::watch(variant.url.as_str(), 60, PATIENCE).await?;
    watched.ensure_smooth()?;
    publisher.stop().await
}

/// Checks that the answer told of the port that the presenter came by.
async fn ensure_offered(rig: &Rig, stream: &Stream, target: Option<SocketAddr>) -> Result<()> {
    let events = rig.events(stream).await?;
    let mut answers = events
        .iter()
        .filter(|event| event["event"] == "createAnswer");
    let answer = answers.next().context("no answer")?["data"]["answer"].clone();
    let answer = answer.as_str().context("no answer")?;
    let passive = answer
        .lines()
        .filter(|line| line.contains("tcptype passive"));
    let ports: Vec<u16> = passive
        .filter_map(|line| line.split(' ').nth(5)?.parse().ok())
        .collect();
    ensure!(ports.len() == 2, "{answer}");
    let is_offered = |target: SocketAddr| ports.contains(&target.port());
    ensure!(target.is_none_or(is_offered), "{ports:?}");
    Ok(())
}

/// HTTP in front of the edge's HTTPS: the publisher's HTTP client knows no authorities.
struct Front {
    port: u16,
    task: JoinHandle<()>,
}

impl Front {
    async fn start(rig: &Rig) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let edge = SocketAddr::from((apart::ADDRESS, rig.ports().edge_http));
        let ca = fs::read_to_string(rig.folder().join("certificates/ca.pem"))?;
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let ca = ca.clone();
                tokio::spawn(async move {
                    let name = apart::ADDRESS.to_string();
                    let mut edge = tls::connect_to(edge, &name, &ca, &[b"http/1.1"]).await?;
                    copy_bidirectional(&mut client, &mut edge).await?;
                    anyhow::Ok(())
                });
            }
        });
        Ok(Self { port, task })
    }

    fn in_front_of(&self, whip: &str) -> Result<String> {
        let url = reqwest::Url::parse(whip)?;
        Ok(format!("http://127.0.0.1:{}{}", self.port, url.path()))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Goes live by the relay alone; returns when its media have come by it.
async fn relayed(
    rig: &Rig,
    name: &str,
    tracks: Tracks,
    relay: &TurnCredential,
) -> Result<(Stream, Publisher)> {
    let stream = rig.api.create(name).await?;
    let mut options = stage::options(&stream).with_size(640, 360);
    options.tracks = tracks;
    options.relay = Some(relay.clone());
    let publisher = Publisher::start(options)
        .await
        .with_context(|| name.to_owned())?;
    came_by(rig, &stream, "relay_udp").await?;
    Ok((stream, publisher))
}

/// Waits for a stream's first media, and checks by which path they come.
async fn came_by(rig: &Rig, stream: &Stream, path: &str) -> Result<()> {
    let events = until("media", PATIENCE, async || {
        let events = rig.events(stream).await?;
        let has_media = events.iter().any(|event| event["event"] == "rtp.first");
        ensure!(has_media, "none");
        Ok(events)
    })
    .await?;
    let paths: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "selected pair")
        .map(|event| event["data"]["path"].clone())
        .collect();
    ensure!(paths == [path], "{paths:?}");
    Ok(())
}
