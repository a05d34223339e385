//! The second chance: a presenter who came to the wrong edge is sent to the right one by
//! 307, and gets in there without its `Authorization`; and to none that is ill.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use reqwest::{Client, Response, Url, header, redirect};
use tests::rig::{Metrics, Rig, SecondEdge, Stream, scenario, until};

const OFFER: &str = include_str!("../edge/src/whip/offers/chromium.sdp");
/// Three probes that fail, two seconds apart, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
const SECRET: &str = "a-secret-that-the-whole-fleet-shares";

/// A fleet of the rig's own edge and the second one; everybody on loopback belongs to
/// `nearest`.
fn fleet(right: u16, wrong: u16, nearest: &str) -> String {
    format!(
        r#"
[[pop]]
name = "loopback"
host = "right.inlet.test"
url = "http://127.0.0.1:{right}"
ipv4 = ["127.0.0.1"]
latitude = 51.5
longitude = -0.1
services = ["whip"]

[[pop]]
name = "second"
host = "wrong.inlet.test"
url = "http://127.0.0.1:{wrong}"
ipv4 = ["127.0.0.1"]
latitude = 35.7
longitude = 139.7
services = ["whip"]

[overrides.networks]
"127.0.0.0/8" = ["{nearest}"]
"#
    )
}

/// Both edges of a fleet: the rig's own, and one where nobody on loopback belongs.
async fn wrong_edge(rig: &mut Rig) -> Result<SecondEdge> {
    let folder = rig.folder().to_owned();
    let (file, secret) = (folder.join("fleet.toml"), folder.join("fleet-secret"));
    // Nobody is sent to the wrong one, so that its port does not matter.
    fs::write(&file, fleet(rig.ports().edge_http, 9, "loopback"))?;
    fs::write(&secret, SECRET)?;
    let section = format!(
        "\n[fleet]\nfile = \"{}\"\nsecret_file = \"{}\"\n",
        file.display(),
        secret.display()
    );
    rig.reconfigure_edge(|text| text + &section).await?;
    SecondEdge::start_with(rig, &section).await
}

/// Posts an offer; redirects are looked at and not followed.
async fn post(url: &str, bearer: Option<&str>) -> Result<Response> {
    let policy = redirect::Policy::none();
    let client = Client::builder().redirect(policy).build()?;
    let request = client
        .post(url)
        .header(header::CONTENT_TYPE, "application/sdp");
    let request = match bearer {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    Ok(request.body(OFFER).send().await?)
}

/// The endpoint without the token, and the token.
fn by_bearer(url: &str) -> Result<(String, String)> {
    let mut url = Url::parse(url)?;
    let path = url.path().to_owned();
    let (id, token) = path
        .trim_matches('/')
        .strip_suffix("/whip")
        .and_then(|path| path.split_once('_'))
        .context("a path with a token")?;
    url.set_path(&format!("/{id}/whip"));
    Ok((url.to_string(), token.to_owned()))
}

fn location(response: &Response) -> Result<String> {
    let value = response.headers().get(header::LOCATION);
    Ok(value.context("no Location")?.to_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_at_the_wrong_edge_gets_in_at_the_right_one() {
    scenario(async |rig: &mut Rig| {
        let wrong = wrong_edge(rig).await?;
        let right = format!("http://127.0.0.1:{}/", rig.ports().edge_http);
        let stream = rig.api.create("sent on").await?;
        let (url, token) = by_bearer(&wrong.whip(&stream)?)?;
        let asked = format!("{url}?width=1280&height=720");
        let sent_on = post(&asked, Some(&token)).await?;
        ensure!(sent_on.status() == 307, "{}", sent_on.status());
        let to = location(&sent_on)?;
        ensure!(to.starts_with(&right) && to.contains("width=1280"), "{to}");
        ensure!(!to.contains(&token), "the token stands in the Location");

        // As a browser follows it to another host: without Authorization.
        let taken = post(&to, None).await?;
        ensure!(taken.status() == 201, "{}", taken.status());
        let session = location(&taken)?;
        ensure!(session.starts_with(&right), "{session}");
        let deleted = Client::new().delete(session).send().await?;
        ensure!(deleted.status() == 200);

        let metrics = Metrics::fetch(&wrong.metrics()).await?;
        let counted = metrics.sum("inlet_edge_whip_redirected_total", &["code=\"0\""]);
        ensure!(counted >= 1.0, "{counted} were counted");
        ensure_one_hop(rig, &wrong, &stream, &to).await?;
        wrong.stop().await
    })
    .await;
}

/// Whoever carries a mark is not sent on, and no mark opens another stream.
async fn ensure_one_hop(
    rig: &Rig,
    wrong: &SecondEdge,
    stream: &Stream,
    marked: &str,
) -> Result<()> {
    let here = wrong.whip(stream)?;
    let again = post(&format!("{here}?redirected=anything"), None).await?;
    ensure!(again.status() == 201, "{}", again.status());
    let deleted = Client::new().delete(location(&again)?).send().await?;
    ensure!(deleted.status() == 200);
    let other = rig.api.create("another").await?;
    let (other, _) = by_bearer(&other.whip)?;
    let mark = marked.split_once("redirected=").context("no mark")?.1;
    let refused = post(&format!("{other}?redirected={mark}"), None).await?;
    ensure!(refused.status() == 403, "{}", refused.status());
    Ok(())
}

/// Who is sent where follows how the fleet does: what the others report through the
/// origin, what probes find, and an operator's word.
#[tokio::test(flavor = "multi_thread")]
async fn presenters_are_sent_to_nobody_who_drains_is_dead_or_was_taken_out() {
    scenario(async |rig: &mut Rig| {
        let second = SecondEdge::start(rig).await?;
        let stream = rig.api.create("wanderer").await?;
        let there = Url::parse(&second.whip(&stream)?)?;
        let port = there.port().context("a port")?;
        let file = rig.folder().join("fleet.toml");
        fs::write(&file, fleet(rig.ports().edge_http, port, "second"))?;
        let section = format!("\n[fleet]\nfile = \"{}\"\n", file.display());
        rig.reconfigure_edge(|text| text + &section).await?;

        sends_on(rig, &stream, true)
            .await
            .context("while it is well")?;
        let explained = rig.edge_admin("/dns/explain?client=127.0.0.1").await?;
        ensure!(
            explained.contains("override for its network"),
            "{explained}"
        );

        force(rig, "{\"forced\": \"out\"}").await?;
        sends_on(rig, &stream, false).await.context("taken out")?;
        force(rig, "{\"forced\": null}").await?;
        sends_on(rig, &stream, true).await.context("put back")?;

        // Its last session lets it drain without an end.
        let held = post(there.as_str(), None).await?;
        ensure!(held.status() == 201, "{}", held.status());
        second.admin(Method::POST, "/drain").await?;
        until("the drain", PATIENCE, async || {
            let explained = rig.edge_admin("/dns/explain?client=127.0.0.1").await?;
            ensure!(explained.contains("whip draining"), "{explained}");
            Ok(())
        })
        .await?;
        second.kill().await?;
        until("its death", PATIENCE, async || {
            let explained = rig.edge_admin("/dns/explain?client=127.0.0.1").await?;
            ensure!(explained.contains("whip down"), "{explained}");
            Ok(())
        })
        .await?;
        let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
        let down = ["kind=\"whip\"", "state=\"down\""];
        let down = metrics.sum("inlet_edge_fleet_pops", &down);
        ensure!((down - 1.0).abs() < f64::EPSILON, "{down} are down");
        let fresh = rig.api.create("latecomer").await?;
        let taken = post(&fresh.whip, None).await?;
        ensure!(taken.status() == 201, "{}", taken.status());
        Ok(())
    })
    .await;
}

/// Waits until the rig's edge sends the stream's presenter on, or takes it.
async fn sends_on(rig: &Rig, stream: &Stream, is_sent: bool) -> Result<()> {
    until("the way", PATIENCE, async || {
        let answer = post(&stream.whip, None).await?;
        if answer.status() == 201 {
            let edge = format!("http://127.0.0.1:{}", rig.ports().edge_http);
            let session = Url::parse(&edge)?.join(&location(&answer)?)?;
            Client::new().delete(session).send().await?;
        }
        let was_sent = answer.status() == 307;
        ensure!(was_sent == is_sent, "{}", answer.status());
        Ok(())
    })
    .await
}

async fn force(rig: &Rig, body: &'static str) -> Result<()> {
    let answer = rig
        .edge_admin_request(Method::PUT, "/fleet/second")?
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .send()
        .await?;
    ensure!(answer.status() == 204, "{}", answer.status());
    Ok(())
}
