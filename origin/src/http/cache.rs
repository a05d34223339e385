//! How long caches between us and viewers may keep an answer.
//!
//! | answer | a CDN | a browser |
//! |---|---|---|
//! | playlist, MPD or `thumbnails.vtt` without directives | half a target duration, at least 1 s | not |
//! | playlist after a blocking request | six target durations | not |
//! | picture | 2 s | not |
//! | init segment, segment, part, thumbnail | an hour, as `immutable` | likewise |
//! | 404 for what never was or is gone | one target duration | not |
//! | 404 with a code: nobody live, not ready yet | 1 s | not |
//! | 404 for what is still to come | not | not |
//! | any other refusal, `time` | not | not |
//!
//! The spans are those of RFC 8216bis, appendix on low-latency delivery. Browsers
//! are left out, because a player that asks the same again wants something newer.
//! A 404 must never outlive its truth: whoever asked early for what others are
//! about to ask for would take it from all who share the cache.

use std::{sync::LazyLock, time::Duration};

use http::HeaderValue;

/// Names are used once and content never changes.
pub(super) const IMMUTABLE: HeaderValue =
    HeaderValue::from_static("public, max-age=3600, immutable");

/// Kept nowhere.
pub(super) const NOWHERE: HeaderValue = HeaderValue::from_static("no-store");

/// What changes at any time, for a stream with this target duration.
pub(super) fn momentary(target: Duration) -> HeaderValue {
    shared(target.as_secs() / 2)
}

/// What answers a blocking request, and stays right.
pub(super) fn answered(target: Duration) -> HeaderValue {
    shared(target.as_secs() * 6)
}

/// For shared caches alone; less than a second cannot be said.
pub(super) fn shared(seconds: u64) -> HeaderValue {
    let longest = COMMON.len().saturating_sub(1);
    let seconds = usize::try_from(seconds).unwrap_or(longest);
    COMMON[seconds.clamp(1, longest)].clone()
}

/// Made once, since every answer has one; as far as [`answered`] goes with the
/// longest segments there are.
static COMMON: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let value = |seconds| {
        let text = format!("public, max-age=0, s-maxage={seconds}");
        HeaderValue::try_from(text).unwrap_or(NOWHERE)
    };
    (0..=MAX_SECONDS).map(value).collect()
});

/// Six target durations of 10 s.
const MAX_SECONDS: u64 = 60;
