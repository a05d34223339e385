//! The second chance: a presenter who came to the wrong edge is sent to the right one by
//! 307, and gets in there without its `Authorization`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Response, Url, header, redirect};
use tests::rig::{Metrics, Rig, SecondEdge, Stream, scenario};

const OFFER: &str = include_str!("../edge/src/whip/offers/chromium.sdp");
const SECRET: &str = "a-secret-that-the-whole-fleet-shares";

/// Everybody on loopback belongs to the rig's own edge.
fn fleet(right: u16) -> String {
    format!(
        r#"
[[pop]]
name = "loopback"
host = "right.inlet.test"
url = "http://127.0.0.1:{right}"
ipv4 = ["192.0.2.1"]
latitude = 51.5
longitude = -0.1

[[pop]]
name = "second"
host = "wrong.inlet.test"
ipv4 = ["192.0.2.2"]
latitude = 35.7
longitude = 139.7

[overrides.networks]
"127.0.0.0/8" = ["loopback"]
"#
    )
}

/// Both edges of a fleet: the rig's own, and one where nobody on loopback belongs.
async fn wrong_edge(rig: &mut Rig) -> Result<SecondEdge> {
    let folder = rig.folder().to_owned();
    let (file, secret) = (folder.join("fleet.toml"), folder.join("fleet-secret"));
    fs::write(&file, fleet(rig.ports().edge_http))?;
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
