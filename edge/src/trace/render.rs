//! A trace as JSON, and as RTCStatsDump, version 3, which importers of browsers'
//! dumps read: a line with the format's name, one with an object, and then one array
//! `[method, id, arguments…, milliseconds]` per event. The milliseconds of the first
//! are Unix time, those of each other are since the one before.

use inlet_common::{clock::UtcTime, roq::control::Kind};
use serde_json::{Value, json};

use super::{
    ending, mask,
    notice::{Interval, Notice},
    story::{Entry, Story},
    verdict,
};
use crate::whip::session::dtls::Outcome;

/// The whole trace.
pub fn json(story: &Story) -> Value {
    let events: Vec<Value> = story
        .entries
        .iter()
        .map(|entry| {
            let (name, data) = event(&entry.notice);
            json!({ "at": millis(entry.at), "event": name, "data": data })
        })
        .collect();
    let mut trace = summary(story);
    if let Some(fields) = trace.as_object_mut() {
        fields.insert("events".to_owned(), Value::Array(events));
        fields.insert("left_out".to_owned(), story.left_out.into());
    }
    trace
}

/// What stands in a list of sessions.
pub fn summary(story: &Story) -> Value {
    let end = story.end.map(|(at, reason, totals)| {
        json!({
            "at": millis(at),
            "reason": reason.as_str(),
            "message": ending::of(reason).message,
            "packets": totals.packets,
            "bytes": totals.bytes,
            "lost": totals.lost,
            "dropped": totals.dropped,
        })
    });
    json!({
        "session": story.session.to_string(),
        "stream": story.stream.0,
        "began": millis(story.began),
        "state": story.state.as_str(),
        "path": story.path.map(crate::whip::session::Path::as_str),
        "end": end,
        "verdict": verdict::of(story),
    })
}

/// The same as RTCStatsDump.
pub fn rtcstats(story: &Story) -> String {
    let id = story.session.to_string();
    let user_agent = story.entries.iter().find_map(|entry| match &entry.notice {
        Notice::Posted { user_agent, .. } => user_agent.clone(),
        _ => None,
    });
    let head = json!({
        "fileFormat": 3,
        "userAgent": user_agent.unwrap_or_default(),
        "origin": "inlet-edge",
        "startTime": millis(story.began),
    });
    let mut out = format!("RTCStatsDump\n{head}\n");
    let mut line = |value: Value| out.push_str(&format!("{value}\n"));
    line(json!(["create", id, { "iceServers": [] }, millis(story.began)]));
    let mut before = millis(story.began);
    for Entry { at, notice } in &story.entries {
        // An allocation may have been made before the offer came.
        let at = millis(*at).max(before);
        let (method, argument) = rtcstats_event(notice);
        line(json!([method, id, argument, at - before]));
        before = at;
    }
    if story.end.is_some() {
        line(json!(["close", id, null, 0]));
    }
    out
}

fn millis(at: UtcTime) -> i64 {
    at.as_unix_micros() / 1_000
}

/// An event's name and data in JSON.
fn event(notice: &Notice) -> (&'static str, Value) {
    match notice {
        Notice::Posted {
            source,
            user_agent,
            offer,
        } => (
            "whip.post",
            json!({ "source": source, "user_agent": user_agent, "offer": offer }),
        ),
        Notice::Answered { answer } => ("createAnswer", json!({ "answer": answer })),
        Notice::LinksIssued { urls } => ("link.issued", json!({ "urls": urls })),
        Notice::Trickled { candidates } => ("icecandidate", json!({ "count": candidates })),
        Notice::Allocated { transport } => ("turn.allocate", json!({ "transport": transport })),
        Notice::Released {
            transport,
            age,
            to_peer,
            to_client,
        } => (
            "turn.end",
            json!({
                "transport": transport,
                "seconds": age.as_secs_f64(),
                "to_peer_bytes": to_peer,
                "to_client_bytes": to_client,
            }),
        ),
        Notice::IceUp => ("iceconnectionstatechange", json!("connected")),
        Notice::Moved { path, remote } => (
            "selected pair",
            json!({ "path": path.as_str(), "remote": mask::address(remote.ip()) }),
        ),
        Notice::Handshake(Outcome::Established(version, profile)) => (
            "dtls",
            json!({ "version": version.as_str(), "profile": profile.as_str() }),
        ),
        Notice::Handshake(Outcome::Failed(failure)) => {
            ("dtls", json!({ "failed": failure.as_str() }))
        }
        Notice::Connected => ("connectionstatechange", json!("connected")),
        Notice::Restarted => ("ice.restart", Value::Null),
        Notice::FirstRtp { kind, ssrc } => (
            "rtp.first",
            json!({ "kind": kind_name(*kind), "ssrc": ssrc }),
        ),
        Notice::Limited(limit) => ("rate.target", json!({ "bps": limit })),
        Notice::Interval(interval) => ("rtp", interval_data(interval)),
        Notice::Warned { warning, is_over } => (
            "warning",
            json!({ "kind": warning.as_str(), "over": is_over }),
        ),
        Notice::Ended { reason, .. } => ("end", json!({ "reason": reason.as_str() })),
    }
}

/// An event as browsers' dumps name it, where they have one like it.
fn rtcstats_event(notice: &Notice) -> (&'static str, Value) {
    match notice {
        Notice::Posted { offer, .. } => (
            "setRemoteDescription",
            json!({ "type": "offer", "sdp": offer }),
        ),
        Notice::Answered { answer } => (
            "setLocalDescription",
            json!({ "type": "answer", "sdp": answer }),
        ),
        Notice::Interval(interval) => (
            "getStats",
            json!({ "edge": {
                "type": "inbound-rtp",
                "packetsReceived": interval.packets,
                "packetsLost": interval.lost,
                "bytesReceived": interval.bytes,
                "nackCount": interval.nacks,
                "pliCount": interval.keyframe_requests,
                "roundTripTime": interval.rtt.map(|rtt| rtt.as_secs_f64()),
            } }),
        ),
        other => event(other),
    }
}

fn interval_data(interval: &Interval) -> Value {
    json!({
        "seconds": interval.span.as_secs_f64(),
        "packets": interval.packets,
        "lost": interval.lost,
        "bps": interval.bitrate().round(),
        "nacks": interval.nacks,
        "keyframe_requests": interval.keyframe_requests,
        "rtt": interval.rtt.map(|rtt| rtt.as_secs_f64()),
    })
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "audio",
        Kind::Video => "video",
    }
}
