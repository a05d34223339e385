//! A CDN between the origin and viewers: nginx with the sample configuration of
//! `config/nginx`, in front of the real origin and a real stream.
//!
//! What reached the origin is what the origin counted.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use inlet_common::clock;
use reqwest::{Client, Response, StatusCode, header::HeaderMap};
use tests::{
    crowd::Crowd,
    playlist,
    rig::{Metrics, Nginx, Rig, Stream, scenario},
    stage,
};

/// Viewers that ask for the same at once.
const VIEWERS: usize = 2_000;
/// Times that a part may come too late to be waited for at nginx, which is so on
/// a busy machine: then viewers are passed on to the origin, as they shall be.
const ATTEMPTS: usize = 20;
/// `proxy_cache_lock_timeout`, less what it takes to notice.
const IN_TIME: Duration = Duration::from_millis(280);

/// A stream on air behind nginx.
struct Behind<'a> {
    rig: &'a Rig,
    nginx: Nginx,
    client: Client,
    /// Its best rung's folder, at nginx.
    base: String,
}

async fn behind(test: impl AsyncFnOnce(&Behind<'_>, &Stream) -> Result<()>) {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "cdn").await?;
        let nginx = Nginx::cdn(&rig.folder().join("nginx"), rig.ports().origin_http).await?;
        let rung = playlist.variants.first().context("no rung")?;
        let base = format!("{}{}", nginx.url(), rung.url.path());
        let behind = Behind {
            rig,
            nginx,
            client: Client::new(),
            base: base.trim_end_matches("media.m3u8").to_owned(),
        };
        let outcome = test(&behind, &stream).await;
        let outcome = outcome.with_context(|| behind.nginx.tail());
        behind.nginx.stop().await?;
        publisher.stop().await?;
        outcome
    })
    .await;
}

impl Behind<'_> {
    async fn get(&self, file: &str) -> Result<Response> {
        Ok(self
            .client
            .get(format!("{}{file}", self.base))
            .send()
            .await?)
    }

    /// How many answers of a kind the origin has given.
    async fn given(&self, kind: &str) -> Result<f64> {
        let metrics = Metrics::fetch(&self.rig.origin_metrics()).await?;
        let kind = format!("kind=\"{kind}\"");
        Ok(metrics.sum("inlet_origin_http_responses_total", &[&kind]))
    }

    /// The part that comes next, just after one has come.
    async fn next_part(&self) -> Result<(u64, usize)> {
        let url = format!("{}media.m3u8", self.rig_base()).parse()?;
        let (segment, parts) = playlist::media(&url).await?.edge();
        let blocked = format!("{url}?_HLS_msn={segment}&_HLS_part={parts}");
        playlist::media(&blocked.parse()?).await?;
        Ok(match parts + 1 {
            stage::PARTS => (segment + 1, 0),
            next => (segment, next),
        })
    }

    /// [`Behind::base`] at the origin itself.
    fn rig_base(&self) -> String {
        let origin = format!("http://127.0.0.1:{}", self.rig.ports().origin_http);
        self.base.replace(&self.nginx.url(), &origin)
    }

    /// Has all viewers ask for what `file` makes of the next part, until once the
    /// part came in time; how many requests of this kind the origin saw then.
    async fn asked(&self, kind: &str, file: impl Fn(u64, usize) -> String) -> Result<f64> {
        for _ in 0..ATTEMPTS {
            // Before the part that they will wait for has begun.
            let crowd = Crowd::connect(self.nginx.address(), VIEWERS).await?;
            let (segment, part) = self.next_part().await?;
            let (before, file) = (self.given(kind).await?, file(segment, part));
            let path = self.base.replacen(&self.nginx.url(), "", 1) + &file;
            let begun = clock::now();
            let answers = crowd.ask(&path).await?;
            let whole = &answers.first().context("no answer")?.body;
            ensure!(
                answers.iter().all(|answer| answer.body == *whole),
                "{file}: viewers got different answers"
            );
            let first = answers.iter().map(|answer| answer.at).min();
            let waited = first.context("no answer")?.duration_since(begun);
            if waited < IN_TIME {
                return Ok(self.given(kind).await? - before);
            }
        }
        bail!("no part came in time, of {ATTEMPTS}")
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_held_viewers_is_one_request_at_the_origin() {
    behind(async |behind, _| {
        let held = |segment, part| format!("media.m3u8?_HLS_msn={segment}&_HLS_part={part}");
        let playlists = behind.asked("playlist", held).await?;
        ensure!(playlists == 1.0, "{playlists} requests for a playlist");
        let part = |segment, part| format!("{segment}.{part}.m4s");
        let parts = behind.asked("part", part).await?;
        ensure!(parts == 1.0, "{parts} requests for a part");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_strangers_and_spellings_in_a_request_do_not_defeat_the_cache() {
    behind(async |behind, _| {
        let (segment, part) = behind.next_part().await?;
        let (msn, part) = (format!("_HLS_msn={segment}"), format!("_HLS_part={part}"));
        let first = behind.get(&format!("media.m3u8?{msn}&{part}")).await?;
        ensure!(header(first.headers(), "x-cache") == Some("MISS"));
        let text = first.text().await?;
        let before = behind.given("playlist").await?;
        for query in [
            format!("{part}&{msn}"),
            format!("utm_source=x&{msn}&{part}&cachebuster=17"),
            format!("{msn}&{part}&"),
        ] {
            let again = behind.get(&format!("media.m3u8?{query}")).await?;
            ensure!(header(again.headers(), "x-cache") == Some("HIT"), "{query}");
            ensure!(again.text().await? == text, "{query}");
        }
        ensure!(behind.given("playlist").await? == before);
        // What the origin refuses is refused here.
        for query in [
            "_HLS_part=1",
            "_HLS_msn=x",
            "_HLS_msn=",
            "_HLS_msn=999999999999",
        ] {
            let refused = behind.get(&format!("media.m3u8?{query}")).await?;
            ensure!(refused.status() == StatusCode::BAD_REQUEST, "{query}");
        }
        // Browsers spell it differently; the origin compresses once.
        let mut seen = Vec::new();
        for encoding in ["gzip, deflate, br", "gzip, deflate, br, zstd", "gzip"] {
            let url = format!("{}media.m3u8?{msn}&{part}", behind.base);
            let request = behind.client.get(url).header("accept-encoding", encoding);
            let headers = request.send().await?.headers().clone();
            ensure!(
                header(&headers, "content-encoding") == Some("gzip"),
                "{encoding}"
            );
            ensure!(header(&headers, "vary") == Some("Accept-Encoding"));
            seen.push(header(&headers, "x-cache").unwrap_or_default().to_owned());
        }
        ensure!(seen == ["MISS", "HIT", "HIT"], "{seen:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_ages_reach_viewers() {
    behind(async |behind, stream| {
        let url = behind.nginx.url();
        let no_such = behind
            .client
            .get(format!("{url}/cmaf/1_999999/master.m3u8"));
        let no_such = no_such.send().await?;
        ensure!(no_such.status() == StatusCode::NOT_FOUND);
        ensure!(header(no_such.headers(), "x-err-code") == Some("1000"));
        ensure!(header(no_such.headers(), "access-control-allow-origin") == Some("*"));
        let id = behind
            .client
            .get(format!("{url}/cmaf/x/master.m3u8"))
            .send()
            .await?;
        ensure!(header(id.headers(), "x-err-code") == Some("2000"));
        let api = behind
            .client
            .get(format!("{url}/streaming/streams/{}", stream.id));
        ensure!(
            api.send().await?.status() == StatusCode::NOT_FOUND,
            "the API is there"
        );
        let clock = behind.get("../time").await?;
        ensure!(clock.status() == StatusCode::OK, "{}", clock.status());
        let cache = header(clock.headers(), "x-cache");
        ensure!(cache.is_none(), "the clock went by the cache: {cache:?}");
        // An answer to a blocking request is kept six seconds and says how old it is.
        let (segment, _) = behind.next_part().await?;
        let file = format!("media.m3u8?_HLS_msn={}", segment - 1);
        let first = behind.get(&file).await?;
        ensure!(
            matches!(header(first.headers(), "age"), Some("0" | "1")),
            "{:?}",
            first.headers()
        );
        let aged = tests::rig::until("an age", Duration::from_secs(6), async || {
            let again = behind.get(&file).await?;
            ensure!(header(again.headers(), "x-cache") == Some("HIT"));
            let age: u64 = header(again.headers(), "age").context("no age")?.parse()?;
            ensure!(age >= 2, "{age} s old");
            Ok(age)
        });
        ensure!(aged.await? <= 6);
        Ok(())
    })
    .await;
}

/// LL-DASH lives on chunks that come as they are made.
#[tokio::test(flavor = "multi_thread")]
async fn a_growing_segment_is_passed_on_to_each_viewer_as_it_grows() {
    behind(async |behind, _| {
        let (mut apart, mut spans, mut file) = (Vec::new(), Vec::new(), String::new());
        while apart.len() < TURNS {
            let (segment, 0) = behind.next_part().await? else {
                continue;
            };
            // Both ask for it just before it begins; its head comes with the first
            // chunk. Behind a lock one would wait until that times out.
            file = format!("{segment}.m4s");
            let head = async || {
                let response = behind.get(&file).await?.error_for_status()?;
                anyhow::Ok((response, clock::now()))
            };
            let ((mut one, first), (mut two, second)) = tokio::try_join!(head(), head())?;
            apart.push(first.max(second).duration_since(first.min(second)));
            let ((body, last), (same, _)) = tokio::try_join!(read(&mut one), read(&mut two))?;
            spans.push(last.duration_since(first));
            ensure!(body == same, "chunks are missing");
            ensure!(behind.get(&file).await?.bytes().await? == body);
        }
        let (waited, span) = (median(&mut apart)?, median(&mut spans)?);
        ensure!(waited < Duration::from_millis(80), "one waited: {apart:?}");
        ensure!(span > HALF, "all of it came at once: {spans:?}");
        let before = behind.given("segment").await?;
        for _ in 0..3 {
            let again = behind.get(&file).await?;
            ensure!(header(again.headers(), "x-cache") == Some("HIT"));
        }
        ensure!(behind.given("segment").await? == before);
        Ok(())
    })
    .await;
}

/// Growing segments that are looked at.
const TURNS: usize = 5;
/// Half of a segment.
const HALF: Duration = Duration::from_millis(500);

/// A body, and when its last bytes came.
async fn read(response: &mut Response) -> Result<(Vec<u8>, Instant)> {
    let (mut body, mut last) = (Vec::new(), clock::now());
    while let Some(bytes) = response.chunk().await? {
        body.extend_from_slice(&bytes);
        last = clock::now();
    }
    Ok((body, last))
}

/// Of all turns, in some of which a busy machine makes everyone wait.
fn median(times: &mut [Duration]) -> Result<Duration> {
    times.sort_unstable();
    let median = times.get(times.len() / 2);
    median.copied().context("no turn")
}
