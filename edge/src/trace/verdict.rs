//! Which hop was guilty, by which numbers, as far as this edge sees: the presenter's
//! network, the relay, or the link to the origin.

use inlet_common::roq::control::CloseReason;

use super::{notice::Notice, story::Story};
use crate::whip::session::dtls::Outcome;

/// Loss above this share shows in the picture.
const MUCH_LOSS: f64 = 0.02;

/// Packets given up in front of the link above this share show as well.
const MUCH_DROPPED: f64 = 0.001;

/// A round trip above this makes retransmission late.
const LONG_MILLIS: u128 = 400;

/// Says it in plain words.
pub fn of(story: &Story) -> String {
    if let Some(failed) = failed_to_connect(story) {
        return failed;
    }
    let mut findings = Vec::new();
    let uplink = match story.path {
        Some(path) if path.is_relayed() => "presenter's uplink or its relay",
        _ => "presenter's uplink",
    };
    let (lost, all) = (story.sum.lost, story.sum.lost + story.sum.packets);
    if story.sum.loss() > MUCH_LOSS {
        let percent = 100.0 * story.sum.loss();
        findings.push(format!(
            "{uplink}: {lost} of {all} packets were lost ({percent:.1} %)"
        ));
    }
    if let Some(rtt) = story.sum.rtt.filter(|rtt| rtt.as_millis() > LONG_MILLIS) {
        findings.push(format!(
            "{uplink}: a round trip took {} ms",
            rtt.as_millis()
        ));
    }
    if let Some((_, reason, totals)) = story.end {
        let share = totals.dropped as f64 / (totals.packets.max(1)) as f64;
        if share > MUCH_DROPPED {
            let (dropped, all) = (totals.dropped, totals.packets);
            findings.push(format!(
                "link to the origin: {dropped} of {all} packets were given up there"
            ));
        }
        if reason == CloseReason::LinkLost {
            findings.push("link to the origin: it broke and did not come back".to_owned());
        }
        if reason == CloseReason::Timeout {
            findings.push(format!("{uplink}: nothing came any more"));
        }
    }
    match findings.is_empty() {
        true => format!("nothing wrong seen here: {lost} of {all} packets were lost"),
        false => findings.join("; "),
    }
}

/// Why there never were any media.
fn failed_to_connect(story: &Story) -> Option<String> {
    let (_, reason, _) = story.end?;
    let has = |wanted: fn(&Notice) -> bool| story.entries.iter().any(|it| wanted(&it.notice));
    if has(|notice| matches!(notice, Notice::Connected)) {
        return None;
    }
    let failure = story.entries.iter().find_map(|it| match it.notice {
        Notice::Handshake(Outcome::Failed(failure)) => Some(failure.as_str()),
        _ => None,
    });
    if let Some(failure) = failure {
        return Some(format!("presenter: the DTLS handshake failed ({failure})"));
    }
    if reason != CloseReason::NeverConnected {
        return Some("it was ended before it was connected".to_owned());
    }
    Some(match has(|notice| matches!(notice, Notice::IceUp)) {
        true => "presenter's network: ICE came up and no DTLS followed".to_owned(),
        false => "presenter's network: no ICE check of the presenter passed, by UDP, TCP or relay"
            .to_owned(),
    })
}
