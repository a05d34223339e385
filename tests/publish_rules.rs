//! Who may publish: the error table of the product, on real requests.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use tests::{
    playlist,
    publisher::Publisher,
    rig::{Rig, Stream, scenario, until},
    stage, viewer,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Promised is a second; a busy machine gets three.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "second").await?;
        let variant = playlist.variants.first().context("no variant")?.url.clone();
        let watching = viewer::watch(variant.as_str(), 120, PATIENCE);
        let refusing = async { stage::refusal(Publisher::start(stage::options(&stream)).await) };
        let (watched, refused) = tokio::try_join!(watching, refusing)?;
        ensure!(
            (refused.status, refused.reason) == (400, Some(2003)),
            "{refused}"
        );
        let path = stream
            .whip
            .rsplit('/')
            .nth(1)
            .context("the path")?
            .to_owned();
        let expected = format!("someone is already publishing to path '{path}'");
        ensure!(refused.body.contains(&expected), "{refused}");
        watched.ensure_smooth()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_or_deletes_may_return_at_once() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, _) = stage::on_air(rig, "returns").await?;
        // DTLS closes without a DELETE, as that of a closed tab.
        publisher.hang_up().await?;
        let publisher = Publisher::start(stage::options(&stream)).await;
        let publisher = publisher.context("behind a closed DTLS")?;
        stage::playing(&stream).await?;
        let deleted = Client::new().delete(publisher.session_url());
        ensure!(deleted.send().await?.status() == StatusCode::OK);
        let next = Publisher::start(stage::options(&stream)).await;
        next.context("behind a DELETE")?.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_right_learns_why() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("rights").await?;
        let (base, _) = stream.whip.rsplit_once('_').context("a URL with a token")?;
        let wrong_token = format!("{base}_0123456789abcdef0123456789abcdef/whip");
        ensure_refused(&stream, &wrong_token, 403, 2002).await?;

        let host = base.rsplit_once('/').context("a URL with a path")?.0;
        let no_stream = format!("{host}/987654_0123456789abcdef0123456789abcdef/whip");
        ensure_refused(&stream, &no_stream, 403, 2001).await?;

        rig.api.patch(stream.id, json!({ "active": false })).await?;
        ensure_refused(&stream, &stream.whip, 403, 2004).await?;

        rig.api
            .patch(stream.id, json!({ "stream": { "active": true } }))
            .await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        publisher.stop().await
    })
    .await;
}

async fn ensure_refused(stream: &Stream, whip: &str, status: u16, reason: u16) -> Result<()> {
    let mut options = stage::options(stream);
    whip.clone_into(&mut options.whip);
    let refused = stage::refusal(Publisher::start(options).await)?;
    ensure!(
        (refused.status, refused.reason) == (status, Some(reason)),
        "{refused}"
    );
    let body: Value = serde_json::from_str(&refused.body)?;
    ensure!(body["error"].is_string(), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_a_stream_off_ends_it_within_a_second() {
    scenario(async |rig: &mut Rig| {
        let (stream, mut publisher, playlist) = stage::on_air(rig, "off").await?;
        rig.api.patch(stream.id, json!({ "active": false })).await?;
        let ended = async {
            until("the end", AT_ONCE, async || {
                ensure!(!rig.api.get(stream.id).await?.live, "still live");
                Ok(())
            })
            .await
        };
        let lost = tokio::time::timeout(PATIENCE, publisher.lost());
        let (ended, lost) = tokio::join!(ended, lost);
        lost.context("the presenter never learnt of it")?;
        ended?;
        // Nor do viewers wait for more.
        let variants = playlist.variants.iter().map(|variant| &variant.url);
        for url in variants.chain(&playlist.audio) {
            until("the end of the playlist", PATIENCE, async || {
                ensure!(playlist::media(url).await?.has_ended, "{url} goes on");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_kills_the_old_one_and_its_session() {
    scenario(async |rig: &mut Rig| {
        let (stream, mut publisher, playlist) = stage::on_air(rig, "token").await?;
        let path = format!("/{}/reset_push_token", stream.id);
        let (status, _) = rig.api.call(Method::POST, &path, None).await?;
        ensure!(status == StatusCode::OK, "{status}");
        let lost = tokio::time::timeout(PATIENCE, publisher.lost()).await;
        lost.context("the presenter stayed connected")?;
        ensure_refused(&stream, &stream.whip, 403, 2002).await?;

        let renewed = rig.api.get(stream.id).await?;
        ensure!(renewed.whip != stream.whip);
        let variant = playlist.variants.first().context("no variant")?.url.clone();
        let before = playlist::media(&variant).await?;
        let publisher = Publisher::start(stage::options(&renewed)).await?;
        until("playback with the new token", stage::PLAYBACK, async || {
            let media = playlist::media(&variant).await?;
            ensure!(media.edge() > before.edge());
            Ok(())
        })
        .await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_offer_says_what_is_wrong() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("no offer").await?;
        let client = Client::new();
        let post = async |kind: &str, body: Vec<u8>| -> Result<(u16, Option<u16>)> {
            let request = client.post(&stream.whip).header(header::CONTENT_TYPE, kind);
            let response = request.body(body).send().await?;
            let allowed = response.headers().get("access-control-allow-origin");
            ensure!(allowed.is_some(), "no CORS on {}", response.status());
            let reason = response.headers().get("x-reason-code");
            let reason = reason.and_then(|value| value.to_str().ok()?.parse().ok());
            Ok((response.status().as_u16(), reason))
        };
        let sdp = "application/sdp";
        ensure!(post("text/plain", b"v=0".to_vec()).await? == (415, Some(2100)));
        ensure!(post(sdp, b"hello".to_vec()).await? == (400, Some(2100)));
        ensure!(post(sdp, vec![0xff; 4_000]).await? == (400, Some(2100)));
        ensure!(post(sdp, vec![b'a'; 70_000]).await?.0 == 413);
        Ok(())
    })
    .await;
}
