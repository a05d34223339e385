//! Two thousand offers that are no good, all at once: whoever is on air notices
//! nothing, the edge keeps its memory, and the next good offer gets in.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, StatusCode, header};
use tests::{
    publisher::Publisher,
    rig::{Metrics, Rig, Stream, scenario},
    stage, viewer,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    task::JoinSet,
};

/// Offers in all, a third of each kind.
const OFFERS: usize = 2_000;
/// What may be used more afterwards: buffers that grew to what the flood needed.
/// A leak of a session for each offer would be ten times as much.
const SLACK_KIB: u64 = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);
const LOST: &str = "inlet_edge_rtp_lost_packets_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_bad_offers_disturbs_nobody() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "undisturbed").await?;
        // Once before the first reading: what only the first flood takes is no leak.
        flood(&stream, OFFERS / 10).await?;
        let before = resident(rig)?;
        let lost = Metrics::fetch(&rig.edge_metrics()).await?.sum(LOST, &[]);
        let variant = playlist.variants.first().context("no variant")?;
        let watching = viewer::watch(variant.url.as_str(), 240, PATIENCE);
        let (watched, answers) = tokio::try_join!(watching, flood(&stream, OFFERS))?;
        watched.ensure_smooth()?;
        ensure!(answers.others == 0, "{answers:?}");
        ensure!(
            answers.refused + answers.unreadable + answers.limited > OFFERS / 2,
            "{answers:?}"
        );

        let after = Metrics::fetch(&rig.edge_metrics()).await?.sum(LOST, &[]);
        ensure!(
            after <= lost,
            "{} packets of the live session were lost",
            after - lost
        );
        let grown = resident(rig)?.saturating_sub(before);
        ensure!(grown < SLACK_KIB, "{grown} KiB more than before");

        let other = rig.api.create("afterwards").await?;
        Publisher::start(stage::options(&other))
            .await?
            .stop()
            .await?;
        publisher.stop().await
    })
    .await;
}

fn resident(rig: &Rig) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", rig.edge.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse()?)
}

#[derive(Debug, Default)]
struct Answers {
    /// 403: the token.
    refused: usize,
    /// 400 and 408: the offer.
    unreadable: usize,
    /// 429: too many of them.
    limited: usize,
    /// 503, or a connection that was closed: no room just now.
    busy: usize,
    others: usize,
}

impl Answers {
    fn note(&mut self, status: Option<StatusCode>) {
        let count = match status.map(|status| status.as_u16()) {
            Some(403) => &mut self.refused,
            Some(400 | 408 | 422) => &mut self.unreadable,
            Some(429) => &mut self.limited,
            Some(503) | None => &mut self.busy,
            Some(_) => &mut self.others,
        };
        *count += 1;
    }
}

/// Throws `count` offers from many addresses of this machine.
async fn flood(stream: &Stream, count: usize) -> Result<Answers> {
    let (base, _) = stream.whip.rsplit_once('_').context("a URL with a token")?;
    let mut offers = JoinSet::new();
    for at in 0..count {
        let [_, _, high, low] = u32::try_from(at)?.to_be_bytes();
        let source = Ipv4Addr::new(127, 9, high, low.max(1));
        let (base, right) = (base.to_owned(), stream.whip.clone());
        offers.spawn(async move {
            match at % 3 {
                0 => post(source, format!("{base}_{at:032x}/whip"), OFFER).await,
                1 => post(source, right, "v=0\r\nthis is no SDP\r\n").await,
                _ => drip(source, &right).await,
            }
        });
    }
    let mut answers = Answers::default();
    while let Some(answer) = offers.join_next().await {
        answers.note(answer?.ok());
    }
    Ok(answers)
}

/// Sound enough to be asked about at the origin.
const OFFER: &str = include_str!("../edge/src/whip/offers/chromium.sdp");

async fn post(source: Ipv4Addr, url: String, body: &'static str) -> Result<StatusCode> {
    let client = Client::builder().local_address(Some(source.into()));
    let request = client.build()?.post(url);
    let request = request.header(header::CONTENT_TYPE, "application/sdp");
    Ok(request.body(body).send().await?.status())
}

/// Promises a body, sends a bit of it, and waits for what comes of it.
async fn drip(source: Ipv4Addr, url: &str) -> Result<StatusCode> {
    let url: reqwest::Url = url.parse()?;
    let port = url.port().context("a port")?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: edge\r\nContent-Type: application/sdp\r\n\
         Content-Length: 20000\r\n\r\nv=0\r\n",
        url.path()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    let status = std::str::from_utf8(answer.get(9..).unwrap_or_default())?;
    Ok(status.parse()?)
}
