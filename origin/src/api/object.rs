//! The stream object, as every call returns it; pure.
//!
//! Live facts (`transcoded_qualities`, `transcoding_speed`, `frame_rate`,
//! `active_ingest_region_primary`, `pass_through_state`, `pass_through_reason`) describe
//! the running session and are empty without one; `stream_source_type`, `video_width` and `video_height` stay
//! after the session for the record. A field whose feature does not exist yet
//! is absent, never a dead link.

use inlet_common::clock::UtcTime;
use serde::Serialize;
use serde_json::Value;

use super::Urls;
use crate::{
    live::{Progress, Reason, Status},
    registry::{QualitySet, Stream},
};

/// How a presenter publishes. WHIP is the only way so far.
const SOURCE_TYPE: &str = "webrtc";

/// The stream object. Without `Debug`: it holds the push token.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    id: i64,
    name: &'a str,
    active: bool,
    live: bool,
    token: &'a str,
    push_url_whip: String,
    iframe_url: String,
    hls_cmaf_url: String,
    hls_mpegts_url: String,
    dash_url: String,
    screenshot: String,
    stream_source_type: Option<&'static str>,
    transcoded_qualities: Vec<String>,
    transcoding_speed: Option<f64>,
    frame_rate: Option<u32>,
    video_width: Option<u32>,
    video_height: Option<u32>,
    active_ingest_region_primary: Option<String>,
    created_at: String,
    started_at_primary: Option<String>,
    finished_at_primary: Option<String>,
    client_entity_data: Option<&'a Value>,
    quality_set: Option<&'a QualitySet>,
    pass_through: bool,
    pass_through_state: Option<&'static str>,
    pass_through_reason: Option<&'static str>,
}

impl<'a> Object<'a> {
    /// Names of all its fields: what a request may not set is refused as
    /// read-only, and not as unknown.
    pub(super) const FIELDS: [&'static str; 26] = [
        "id",
        "name",
        "active",
        "live",
        "token",
        "push_url_whip",
        "iframe_url",
        "hls_cmaf_url",
        "hls_mpegts_url",
        "dash_url",
        "screenshot",
        "stream_source_type",
        "transcoded_qualities",
        "transcoding_speed",
        "frame_rate",
        "video_width",
        "video_height",
        "active_ingest_region_primary",
        "created_at",
        "started_at_primary",
        "finished_at_primary",
        "client_entity_data",
        "quality_set",
        "pass_through",
        "pass_through_state",
        "pass_through_reason",
    ];

    /// Puts together what the registry and the live directory know.
    pub(super) fn new(stream: &'a Stream, live: Option<Status>, urls: &Urls) -> Self {
        let token = stream.token.expose();
        let id = stream.id;
        let output = format!("{}_{id}", stream.client);
        let (whip, web) = (&urls.whip, &urls.web);
        let source = live.as_ref().and_then(|live| live.source).or(stream.source);
        let passing = live.as_ref().and_then(|live| live.pass_through);
        let started_at = live
            .as_ref()
            .map(|live| live.started_at)
            .or(stream.started_at);
        let finished_at = if live.is_some() {
            None
        } else {
            stream.finished_at
        };
        Self {
            id: id.0,
            name: &stream.name,
            active: stream.active,
            live: live.is_some(),
            token,
            push_url_whip: format!("{whip}/{id}_{token}/whip"),
            iframe_url: format!("{web}/streams/{output}"),
            hls_cmaf_url: format!("{web}/cmaf/{output}/master.m3u8"),
            hls_mpegts_url: format!("{web}/mpegts/{output}/master_mpegts.m3u8"),
            dash_url: format!("{web}/cmaf/{output}/index.mpd"),
            screenshot: format!("{web}/cmaf/{output}/screenshot.jpg"),
            stream_source_type: started_at.map(|_| SOURCE_TYPE),
            transcoding_speed: live.as_ref().and_then(|live| live.speed),
            frame_rate: live.as_ref().and_then(|live| live.frame_rate),
            video_width: source.map(|source| source.width),
            video_height: source.map(|source| source.height),
            created_at: rfc3339(stream.created_at),
            started_at_primary: started_at.map(rfc3339),
            finished_at_primary: finished_at.map(rfc3339),
            client_entity_data: stream.client_entity_data.as_ref(),
            quality_set: stream.quality_set.as_ref(),
            pass_through: stream.pass_through,
            pass_through_state: passing.map(Progress::as_str),
            pass_through_reason: passing.and_then(Progress::reason).map(Reason::as_str),
            active_ingest_region_primary: live.as_ref().map(|live| live.region.clone()),
            transcoded_qualities: live.map_or_else(Vec::new, |live| live.qualities),
        }
    }
}

/// A moment as RFC 3339 in UTC, with milliseconds.
fn rfc3339(at: UtcTime) -> String {
    // RFC 3339 §1 ends with the year 9999.
    const LAST_MICROS: i64 = 253_402_300_799_999_999;
    let at = UtcTime::from_unix_micros(at.as_unix_micros().min(LAST_MICROS));
    humantime::format_rfc3339_millis(at.to_system_time()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_in_utc() {
        let at = |micros| rfc3339(UtcTime::from_unix_micros(micros));
        assert_eq!(at(1_790_000_000_123_456), "2026-09-21T14:13:20.123Z");
        assert_eq!(at(-1), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(i64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
