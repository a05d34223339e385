//! WHIP over HTTP, line by line, against the real edge: statuses, headers and bodies
//! that real clients depend on. `tests/README.md` has the table.

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use reqwest::{Client, Method, Response, header};
use tests::rig::{Metrics, Rig, Stream, scenario};

const OFFER: &str = include_str!("../edge/src/whip/offers/chromium.sdp");
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// An m-section that would have to be rejected alone.
const DATA_CHANNEL: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 0.0.0.0\r\na=mid:9\r\na=sctp-port:5000\r\n";

/// Expected of an answer that browsers may read.
const EXPOSED: [&str; 8] = [
    "Location",
    "ETag",
    "Link",
    "X-Reason-Code",
    "Accept-Patch",
    "Retry-After",
    "Protocol-Version",
    "Access-Control-Allow-Methods",
];

fn value<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn check(response: &Response, status: u16) -> Result<()> {
    let url = response.url().path().to_owned();
    ensure!(response.status() == status, "{url}: {}", response.status());
    ensure!(
        value(response, "access-control-allow-origin") == "*",
        "{url}: no CORS"
    );
    let exposed = value(response, "access-control-expose-headers");
    ensure!(
        EXPOSED.iter().all(|name| exposed.contains(name)),
        "{exposed}"
    );
    Ok(())
}

async fn post(stream: &Stream) -> Result<Response> {
    let request = Client::new().post(format!("{}?width=1280&height=720&odd=%20", stream.whip));
    let request = request.header(header::CONTENT_TYPE, "application/sdp; charset=utf-8");
    // As one SDK really sends it: it spoils nothing.
    let request = request.header(header::AUTHORIZATION, "Beader nonsense");
    Ok(request.body(OFFER).send().await?)
}

fn links(response: &Response) -> Vec<String> {
    let links = response.headers().get_all(header::LINK).iter();
    let links = links.filter_map(|link| link.to_str().ok());
    links.map(str::to_owned).collect()
}

/// Each names one server in the form that clients' simple parsers split: at commas
/// between links, at semicolons between parameters. TURN has a credential of the
/// stream that lasts.
fn are_fit_for_clients(links: &[String], stream: i64) -> Result<()> {
    for link in links {
        let (url, parameters) = link.split_once("; ").context("no parameters")?;
        ensure!(!link.contains(','), "{link}");
        let url = url.strip_prefix('<').and_then(|url| url.strip_suffix('>'));
        let url = url.with_context(|| link.clone())?;
        let parameters: Vec<&str> = parameters.split("; ").collect();
        ensure!(parameters[0] == "rel=\"ice-server\"", "{link}");
        if url.starts_with("stun:") {
            ensure!(parameters.len() == 1, "{link}");
            continue;
        }
        let transport = url.rsplit_once("?transport=").map(|(_, name)| name);
        ensure!(matches!(transport, Some("udp" | "tcp")), "{link}");
        let quoted = |at: usize, name: &str| {
            let text: Option<&&str> = parameters.get(at);
            let text = text.and_then(|text| text.strip_prefix(name)?.strip_prefix("=\""));
            let value = text.and_then(|text| text.strip_suffix('"'));
            value.with_context(|| format!("no {name} in {link}"))
        };
        let (expiry, bound) = quoted(1, "username")?.split_once(':').context("unbound")?;
        let left = expiry.parse::<i64>()? - clock::utc().as_unix_micros() / 1_000_000;
        ensure!((600..=7 * 86_400).contains(&left), "for {left} s");
        ensure!(bound.parse() == Ok(stream), "{link}");
        ensure!(!quoted(2, "credential")?.is_empty());
        ensure!(quoted(3, "credential-type")? == "password");
    }
    Ok(())
}

/// A session, by its URL and entity tag.
async fn session(stream: &Stream) -> Result<(reqwest::Url, String)> {
    let response = post(stream).await?;
    check(&response, 201)?;
    let location = value(&response, "location").to_owned();
    Ok((
        response.url().join(&location)?,
        value(&response, "etag").to_owned(),
    ))
}

async fn patch(url: &reqwest::Url, tag: Option<&str>, body: String) -> Result<Response> {
    let mut request = Client::new().patch(url.clone());
    request = request.header(header::CONTENT_TYPE, FRAGMENT);
    if let Some(tag) = tag {
        request = request.header(header::IF_MATCH, tag);
    }
    Ok(request.body(body).send().await?)
}

fn credentials(ufrag: &str) -> String {
    format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_answered_as_clients_need_it() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("answer").await?;
        let response = post(&stream).await?;
        check(&response, 201)?;
        ensure!(value(&response, "content-type") == SDP);
        let location = value(&response, "location");
        ensure!(
            location.starts_with("/session/") && !location.contains('?'),
            "{location}"
        );
        ensure!(
            location.len() >= "/session/".len() + 32,
            "guessable: {location}"
        );
        ensure!(value(&response, "accept-patch") == FRAGMENT);
        ensure!(value(&response, "protocol-version") == "RFC9725");
        ensure!(value(&response, "etag").starts_with('"'));
        let told = links(&response);
        ensure!((2..=4).contains(&told.len()), "{told:?}");
        are_fit_for_clients(&told, stream.id)?;
        let url = response.url().join(location)?;
        let answer = response.text().await?;
        ensure!(answer.starts_with("v=0\r\n") && answer.len() < 8_192);
        for line in ["a=recvonly", "a=rtcp-mux", "a=group:BUNDLE", "a=ice-lite"] {
            ensure!(answer.contains(line), "no {line}");
        }
        let kinds: Vec<&str> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("a=candidate:")?.split(' ').nth(2))
            .collect();
        ensure!(
            kinds
                .first()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("udp")),
            "{kinds:?}"
        );
        ensure!(answer.contains("tcptype passive"), "no ICE-TCP");

        let client = Client::new();
        for method in [Method::GET, Method::HEAD] {
            for url in [url.as_str(), &stream.whip] {
                let asked = client.request(method.clone(), url).send().await?;
                check(&asked, 204)?;
            }
        }
        let other = client.put(url.clone()).send().await?;
        check(&other, 405)?;
        ensure!(value(&other, "allow") == "OPTIONS, PATCH, DELETE, GET, HEAD");
        let stale = client
            .delete(url.clone())
            .header(header::IF_MATCH, "\"stale\"");
        check(&stale.send().await?, 200)?;
        check(&client.delete(url).send().await?, 404)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_and_restarts_come_by_patch() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("patch").await?;
        let (url, etag) = session(&stream).await?;
        let candidate = "a=mid:0\r\na=candidate:1 1 udp 1 x.local 9 typ host\r\n".to_owned();
        for tag in [Some(etag.as_str()), None] {
            let trickled = patch(&url, tag, candidate.clone()).await?;
            check(&trickled, 204)?;
            ensure!(value(&trickled, "etag").is_empty());
        }
        check(
            &patch(&url, Some("\"wrong\""), candidate.clone()).await?,
            412,
        )?;
        let restarted = patch(&url, Some("*"), credentials("anew")).await?;
        check(&restarted, 200)?;
        ensure!(value(&restarted, "content-type") == FRAGMENT);
        ensure!(value(&restarted, "etag") != etag);
        let fragment = restarted.text().await?;
        for line in [
            "a=ice-lite\r\n",
            "a=ice-ufrag:",
            "a=ice-pwd:",
            "a=candidate:",
        ] {
            ensure!(fragment.contains(line), "no {line} in {fragment}");
        }
        ensure!(fragment.ends_with("\r\n"));
        check(&patch(&url, Some(&etag), candidate.clone()).await?, 412)?;
        let wrong = Client::new()
            .patch(url.clone())
            .header(header::CONTENT_TYPE, SDP);
        check(&wrong.body(candidate.clone()).send().await?, 415)?;
        check(&Client::new().delete(url.clone()).send().await?, 200)?;
        check(&patch(&url, None, candidate).await?, 404)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_tell_ice_servers_to_whoever_has_the_token() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("options").await?;
        let client = Client::new();
        let ask = |url: String| client.request(Method::OPTIONS, url).send();
        let right = ask(stream.whip.clone()).await?;
        check(&right, 204)?;
        ensure!(value(&right, "accept-post") == SDP);
        let right = links(&right);
        ensure!((2..=4).contains(&right.len()), "{right:?}");
        are_fit_for_clients(&right, stream.id)?;
        let (base, _) = stream.whip.rsplit_once('_').context("a URL with a token")?;
        let wrong = links(&ask(format!("{base}_{:032}/whip", 0)).await?);
        ensure!(
            wrong.len() == 1 && wrong[0].starts_with("<stun:"),
            "{wrong:?}"
        );
        let preflight = client.request(Method::OPTIONS, &stream.whip);
        let preflight = preflight.header("access-control-request-method", "POST");
        let preflight = preflight.send().await?;
        check(&preflight, 204)?;
        ensure!(links(&preflight).is_empty());
        ensure!(
            value(&preflight, "access-control-allow-methods") == "OPTIONS, POST, PATCH, DELETE"
        );
        ensure!(
            value(&preflight, "access-control-allow-headers")
                == "authorization, content-type, if-match, etag"
        );
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_as_a_whole_and_told() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("refusals").await?;
        let client = Client::new();
        let send = |kind: &'static str, body: String| {
            let request = client.post(&stream.whip).header(header::CONTENT_TYPE, kind);
            request.body(body).send()
        };
        let received = OFFER
            .replace("a=sendrecv", "a=recvonly")
            .replace("a=sendonly", "a=recvonly");
        let (_, video) = OFFER.split_once("m=video").context("a picture")?;
        let video = format!("m=video{video}").replace("a=mid:1", "a=mid:2");
        for (kind, body, status, code) in [
            ("text/plain", OFFER.to_owned(), 415, "2100"),
            (SDP, "hello".to_owned(), 400, "2100"),
            (SDP, "a=x\r\n".repeat(20_000), 413, "2100"),
            (
                SDP,
                OFFER
                    .replace("H264", "H265")
                    .replace("VP8", "AV1")
                    .replace("VP9", "X"),
                422,
                "2101",
            ),
            (SDP, OFFER.replace("opus", "speex"), 422, "2102"),
            (SDP, received.clone(), 422, "2104"),
            (
                SDP,
                received.replace("a=recvonly", "a=inactive"),
                422,
                "2104",
            ),
            (SDP, format!("{OFFER}{video}"), 422, "2103"),
            (SDP, format!("{OFFER}{DATA_CHANNEL}"), 422, "2103"),
        ] {
            let refused = send(kind, body).await?;
            check(&refused, status)?;
            ensure!(value(&refused, "x-reason-code") == code, "{status}: {code}");
            let body: serde_json::Value = refused.json().await?;
            ensure!(body["error"].is_string(), "{body}");
        }
        for (method, allow) in [(Method::PUT, "OPTIONS, POST, GET, HEAD")] {
            let refused = client.request(method, &stream.whip).send().await?;
            check(&refused, 405)?;
            ensure!(value(&refused, "allow") == allow);
        }
        let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
        let refused = metrics.sum("inlet_edge_whip_requests_total", &["code=\"2101\""]);
        ensure!(refused >= 1.0, "not counted");
        Ok(())
    })
    .await;
}
