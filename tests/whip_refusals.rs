//! An edge that cannot take a presenter: 503 with a reason and a time, or 307 to
//! another one, and never a session that nobody knows of.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::signal::Signal;
use reqwest::{Client, Response, Url, header, redirect};
use sqlx::{Connection as _, SqliteConnection};
use tests::rig::{Metrics, Rig, Stream, scenario, until};

const OFFER: &str = include_str!("../edge/src/whip/offers/chromium.sdp");
const ELSEWHERE: &str = "https://b.example";
const PATIENCE: Duration = Duration::from_secs(20);

fn value<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Posts an offer; redirects are looked at and not followed.
async fn post(url: &str, bearer: Option<&str>) -> Result<Response> {
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .build()?;
    let mut request = client
        .post(url)
        .header(header::CONTENT_TYPE, "application/sdp");
    if let Some(token) = bearer {
        request = request.bearer_auth(token);
    }
    Ok(request.body(OFFER).send().await?)
}

async fn taken(stream: &Stream) -> Result<Url> {
    let response = post(&stream.whip, None).await?;
    ensure!(response.status() == 201, "{}", response.status());
    Ok(response.url().join(value(&response, "location"))?)
}

fn ensure_refused(response: &Response, code: &str) -> Result<()> {
    let told = (response.status().as_u16(), value(response, "x-reason-code"));
    ensure!(told == (503, code), "{told:?}");
    let wait: u32 = value(response, "retry-after").parse()?;
    ensure!((1..=60).contains(&wait), "{wait}");
    ensure!(value(response, "access-control-allow-origin") == "*");
    Ok(())
}

/// The same stream without its token in the URL, and the token.
fn by_bearer(stream: &Stream) -> Result<(String, String)> {
    let mut url = Url::parse(&stream.whip)?;
    let path = url.path().to_owned();
    let (id, token) = path
        .trim_matches('/')
        .strip_suffix("/whip")
        .and_then(|path| path.split_once('_'))
        .context("a path with a token")?;
    url.set_path(&format!("/{id}/whip"));
    Ok((url.to_string(), token.to_owned()))
}

async fn sessions(rig: &Rig) -> Result<f64> {
    let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
    Ok(metrics.sum("inlet_edge_sessions", &[]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_edge_sends_presenters_on_and_refuses_whom_it_cannot_send() {
    scenario(async |rig: &mut Rig| {
        rig.reconfigure_edge(|text| {
            let text = text.replacen("[limits]\n", "[limits]\nsessions_per_worker = 1\n", 1);
            let to = format!("[http]\nredirect_to = \"{ELSEWHERE}\"\n");
            text.replacen("[http]\n", &to, 1)
        })
        .await?;
        // One on each worker.
        let mut urls = Vec::new();
        for name in ["first", "second"] {
            urls.push(taken(&rig.api.create(name).await?).await?);
        }
        let stream = rig.api.create("third").await?;
        let asked = Url::parse(&format!("{}?width=1280&height=720", stream.whip))?;
        let sent_on = post(asked.as_str(), None).await?;
        ensure!(sent_on.status() == 307, "{}", sent_on.status());
        ensure!(value(&sent_on, "access-control-allow-origin") == "*");
        let location = value(&sent_on, "location");
        let expected = format!(
            "{ELSEWHERE}{}?width=1280&height=720&redirected=1",
            asked.path()
        );
        ensure!(location == expected, "{location}");

        let twice = post(&format!("{}?redirected=1", stream.whip), None).await?;
        ensure_refused(&twice, "2302").context("sent here by another")?;
        let (url, token) = by_bearer(&stream)?;
        let bearer = post(&url, Some(&token)).await?;
        ensure_refused(&bearer, "2302").context("by Bearer")?;
        let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
        let by_overload = metrics.sum("inlet_edge_whip_redirected_total", &["code=\"2302\""]);
        ensure!(by_overload >= 1.0);
        ensure!(sessions(rig).await? <= 2.0);

        // Room for one again; who was sent here learns of it whole.
        let deleted = Client::new().delete(urls.remove(0)).send().await?;
        ensure!(deleted.status() == 200);
        let here = Client::new().post(format!("{}?redirected=1", stream.whip));
        // As a browser sends it behind a redirect to another host.
        let here = here.header(header::ORIGIN, "null");
        let here = here.header(header::CONTENT_TYPE, "application/sdp");
        let here = here.body(OFFER).send().await?;
        ensure!(here.status() == 201, "{}", here.status());
        ensure!(value(&here, "access-control-allow-origin") == "*");
        let base = format!("http://127.0.0.1:{}/session/", rig.ports().edge_http);
        let location = value(&here, "location");
        ensure!(location.starts_with(&base), "{location}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_edge_lets_out_and_not_in() {
    scenario(async |rig: &mut Rig| {
        let staying = taken(&rig.api.create("staying").await?).await?;
        let stream = rig.api.create("late").await?;
        rig.edge.signal(Signal::SIGTERM)?;
        until("the drain", PATIENCE, async || {
            let response = post(&stream.whip, None).await?;
            if response.status() == 201 {
                let url = response.url().join(value(&response, "location"))?;
                Client::new().delete(url).send().await?;
            }
            ensure_refused(&response, "2301")
        })
        .await?;
        let deleted = Client::new().delete(staying).send().await?;
        ensure!(deleted.status() == 200, "{}", deleted.status());
        let ended = rig.edge.exited().await?;
        ensure!(ended.success(), "{ended}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_origin_nobody_is_taken_and_nothing_stays() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("orphan").await?;
        rig.origin.kill().await?;
        let refused = post(&stream.whip, None).await?;
        ensure_refused(&refused, "2300")?;
        ensure!(sessions(rig).await? == 0.0, "a session stays");
        // Its ICE servers are told, but nobody vouches for the token.
        let told = Client::new().request(reqwest::Method::OPTIONS, &stream.whip);
        let told = told.send().await?;
        ensure!(told.status() == 204);
        let links: Vec<_> = told.headers().get_all(header::LINK).iter().collect();
        ensure!(
            links.len() == 1 && !format!("{links:?}").contains("credential"),
            "{links:?}"
        );
        rig.crash_origin().await?;
        // The edge may have yet to notice that its link is another's.
        until("the link's return", PATIENCE, async || taken(&stream).await).await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_too_busy_take_nobody_until_they_have_time() {
    scenario(async |rig: &mut Rig| {
        rig.reconfigure_edge(|text| {
            text.replacen("[limits]\n", "[limits]\nworker_busy = 0.1\n", 1)
        })
        .await?;
        let stream = rig.api.create("in time").await?;
        let flood = Flood::start(rig.ports().edge_media)?;
        until("the load to be seen", PATIENCE, async || {
            let response = post(&stream.whip, None).await?;
            if response.status() == 201 {
                let url = response.url().join(value(&response, "location"))?;
                Client::new().delete(url).send().await?;
            }
            ensure_refused(&response, "2302")
        })
        .await?;
        let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
        ensure!(metrics.value("inlet_edge_worker_load")? > 0.1);
        ensure!(flood.stop()? > 1_000, "what flood was that?");
        until("time", PATIENCE, async || taken(&stream).await).await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_told_from_one_that_refuses() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("later").await?;
        let file = rig.folder().join("state/registry.sqlite3");
        let url = format!("sqlite://{}", file.display());
        let mut registry = SqliteConnection::connect(&url).await?;
        sqlx::query("ALTER TABLE streams RENAME TO away")
            .execute(&mut registry)
            .await?;
        ensure_refused(&post(&stream.whip, None).await?, "2303")?;
        ensure!(sessions(rig).await? == 0.0, "a session stays");
        sqlx::query("ALTER TABLE away RENAME TO streams")
            .execute(&mut registry)
            .await?;
        registry.close().await?;
        taken(&stream).await?;
        Ok(())
    })
    .await;
}

/// Datagrams for the sessions of nobody, at both workers' ports as fast as they go.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<u64>>,
}

impl Flood {
    fn start(first_port: u16) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        // A Binding request with USERNAME (RFC 8489 §14.3): it has to be read to its end
        // before nobody is found whose it is.
        let mut request = vec![0, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42];
        request.extend([7; 12]);
        request.extend([0, 6, 0, 8]);
        request.extend(b"some:one");
        let thread = thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Relaxed) {
                for port in [first_port, first_port + 1] {
                    socket.send_to(&request, (Ipv4Addr::LOCALHOST, port))?;
                    sent += 1;
                }
            }
            Ok(sent)
        });
        Ok(Self { stop, thread })
    }

    /// Ends it; how many datagrams it was.
    fn stop(self) -> Result<u64> {
        self.stop.store(true, Relaxed);
        let sent = self.thread.join().map_err(|_| anyhow!("it panicked"))?;
        Ok(sent?)
    }
}
