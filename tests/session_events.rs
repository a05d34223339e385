//! What a presenter hears of its session, and what is kept of it for whoever looks
//! for the fault.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tests::{
    rig::{Rig, Stream, scenario, until},
    stage,
};

/// Promised is a second; a busy machine gets three.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A drain of two seconds, and what is ended then.
const DRAIN: Duration = Duration::from_secs(10);

/// Name and data of an event.
type Event = (String, Value);

/// Listens to a session's events: the headers are there when it does.
async fn listen(url: &str) -> Result<Response> {
    let response = Client::new().get(url).send().await?;
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    Ok(response)
}

/// Events that have come; the stream ends by itself.
async fn events(response: Response) -> Result<Vec<Event>> {
    let body = response.text().await?;
    let events = body.split("\n\n").filter(|event| event.contains("event:"));
    events
        .map(|event| {
            let field = |name: &str| {
                let mut lines = event.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            let data = serde_json::from_str(field("data").context("no data")?)?;
            Ok((field("event").context("no name")?.to_owned(), data))
        })
        .collect()
}

/// Ends a running session by the API and returns what its presenter hears.
async fn ended_by(
    rig: &mut Rig,
    name: &str,
    end: impl AsyncFnOnce(&Rig, &Stream) -> Result<()>,
) -> Result<(Value, Vec<(String, Value)>)> {
    let (stream, mut publisher, _) = stage::on_air(rig, name).await?;
    let url = format!("{}/events", publisher.session_url());
    let hearing = tokio::spawn(events(listen(&url).await?));
    let asked = clock::now();
    end(rig, &stream).await?;
    tokio::time::timeout(AT_ONCE, publisher.lost())
        .await
        .context("the session goes on")?;
    let heard = hearing.await??;
    ensure!(clock::now().duration_since(asked) < AT_ONCE, "told late");
    let (name, end) = heard.last().context("nothing was told")?.clone();
    ensure!(name == "end", "{heard:?}");
    let again = events(listen(&url).await?).await?;
    ensure!(again == [(name, end.clone())], "told again: {again:?}");
    Ok((end, heard))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_ended_by_the_api_hears_why_at_once() {
    scenario(async |rig: &mut Rig| {
        let (end, heard) = ended_by(rig, "reset", async |rig, stream| {
            let path = format!("/{}/reset_push_token", stream.id);
            let (status, _) = rig.api.call(Method::POST, &path, None).await?;
            ensure!(status == StatusCode::OK, "{status}");
            Ok(())
        })
        .await?;
        ensure!(
            end["reason"] == "token_reset" && end["code"] == 2002,
            "{end}"
        );
        let states: Vec<&Value> = heard
            .iter()
            .filter(|(name, _)| name == "session")
            .map(|(_, data)| &data["state"])
            .collect();
        ensure!(states.contains(&&json!("live")), "{states:?}");
        let paths = heard.iter().filter(|(_, data)| data["path"] == "host_udp");
        ensure!(paths.count() > 0, "{heard:?}");

        let (end, _) = ended_by(rig, "off", async |rig, stream| {
            rig.api.patch(stream.id, json!({ "active": false })).await?;
            Ok(())
        })
        .await?;
        ensure!(
            end["reason"] == "deactivated" && end["code"] == 2004,
            "{end}"
        );

        let (end, _) = ended_by(rig, "gone", async |rig, stream| {
            let path = format!("/{}", stream.id);
            let (status, _) = rig.api.call(Method::DELETE, &path, None).await?;
            ensure!(status == StatusCode::NO_CONTENT, "{status}");
            Ok(())
        })
        .await?;
        ensure!(
            end["reason"] == "stream_deleted" && end["code"] == 2001,
            "{end}"
        );
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_leaves_a_trace_with_a_verdict_and_no_secret() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, _) = stage::on_air(rig, "traced").await?;
        publisher.stop().await?;
        // The worker ends it a moment after the DELETE is answered.
        let session = until("the session's end", AT_ONCE, async || {
            let list: Value = serde_json::from_str(&rig.edge_admin("/traces").await?)?;
            let sessions = list["sessions"].as_array().context("no list")?;
            let mut sessions = sessions.iter();
            let session = sessions.find(|session| session["stream"] == stream.id);
            let session = session.context("not listed")?;
            ensure!(session["state"] == "ended", "{session}");
            Ok(session.clone())
        })
        .await?;
        ensure!(session["path"] == "host_udp", "{session}");
        let id = session["session"].as_str().context("no id")?;
        let trace = rig.edge_admin(&format!("/sessions/{id}/trace")).await?;
        let dump = rig
            .edge_admin(&format!("/sessions/{id}/trace?format=rtcstats"))
            .await?;
        let token = stream.whip.rsplit(['_', '/']).nth(1).context("a token")?;
        for text in [&trace, &dump] {
            ensure!(!text.contains(token), "the token is in it");
            ensure!(!text.contains("127.0.0.1"), "an address is in it");
        }
        let trace: Value = serde_json::from_str(&trace)?;
        let events = trace["events"].as_array().context("no events")?;
        for name in [
            "whip.post",
            "createAnswer",
            "dtls",
            "selected pair",
            "rtp.first",
            "end",
        ] {
            ensure!(
                events.iter().any(|event| event["event"] == name),
                "no {name}"
            );
        }
        let verdict = trace["verdict"].as_str().context("no verdict")?;
        ensure!(verdict.starts_with("nothing wrong"), "{verdict}");
        ensure!(dump.starts_with("RTCStatsDump\n{"), "{dump}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_does_not_hold_up_a_server_that_drains() {
    scenario(async |rig: &mut Rig| {
        let (_, publisher, _) = stage::on_air(rig, "drained").await?;
        let url = format!("{}/events", publisher.session_url());
        // Its headers are there when it listens.
        let listening = Client::new().get(url).send().await?;
        let (stopped, left, heard) =
            tokio::join!(rig.edge.stop(AT_ONCE), publisher.stop(), listening.text());
        ensure!(stopped?.success(), "the edge did not stop cleanly");
        left?;
        let heard = heard?;
        ensure!(heard.contains("\"reason\":\"deleted\""), "{heard}");
        let log = rig.edge.tail(5);
        ensure!(log.contains("ended=Drained"), "{log}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_to_the_end_of_a_drain_is_told_of_it() {
    scenario(async |rig: &mut Rig| {
        let (_, publisher, _) = stage::on_air(rig, "stays").await?;
        let url = format!("{}/events", publisher.session_url());
        let listening = Client::new().get(url).send().await?;
        let (stopped, heard) = tokio::join!(rig.edge.stop(DRAIN), listening.text());
        ensure!(stopped?.success(), "the edge did not stop cleanly");
        let heard = heard?;
        ensure!(heard.contains("\"reason\":\"draining\""), "{heard}");
        let log = rig.edge.tail(10);
        ensure!(!log.contains("did not return in time"), "{log}");
        Ok(())
    })
    .await;
}
