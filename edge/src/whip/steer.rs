//! Sending presenters elsewhere: the one question that is asked before an offer
//! is read, and whoever has an answer to it.
//!
//! The redirect is a 307 with the whole path and query kept, and only where the
//! token stands in the URL: browsers drop `Authorization` on the way to another
//! host. A mark in the query keeps a request from being sent around twice, and
//! tells its target to answer with absolute URLs.

use std::fmt;

use axum::http::Uri;
use inlet_common::ids::StreamId;

/// Stands in the query of a request that was sent here from elsewhere.
const MARK: &str = "redirected=1";

/// What is known of a request when it may be sent elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The stream that is to be published.
    pub stream: StreamId,
    /// This point of presence cannot take it now: it drains, or is full.
    pub is_refused: bool,
}

/// Decides where presenters go.
pub trait Steering: Send + Sync + fmt::Debug {
    /// The base URL of another point of presence, such as `https://b.example`;
    /// `None` to take the presenter here.
    fn elsewhere(&self, asked: &Asked) -> Option<String>;
}

/// Sends those elsewhere, to one fixed place, who cannot be taken here.
#[derive(Clone, Debug)]
pub struct Overflow(pub String);

impl Steering for Overflow {
    fn elsewhere(&self, asked: &Asked) -> Option<String> {
        asked.is_refused.then(|| self.0.clone())
    }
}

/// Whether a request has come from another point of presence.
pub(super) fn is_redirected(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair == MARK)
}

/// Where a request goes on at `base`.
pub(super) fn target(base: &str, uri: &Uri) -> String {
    let base = base.trim_end_matches('/');
    let path = uri.path();
    match uri.query() {
        Some(query) if !query.is_empty() => format!("{base}{path}?{query}&{MARK}"),
        _ => format!("{base}{path}?{MARK}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_kept_and_marked_once() {
        let uri: Uri = "/17_abc/whip?width=1280&x=%20".parse().unwrap();
        assert!(!is_redirected(&uri));
        let target = target("https://b.example/", &uri);
        assert_eq!(
            target,
            "https://b.example/17_abc/whip?width=1280&x=%20&redirected=1"
        );
        assert!(is_redirected(&target.parse().unwrap()));
    }

    #[test]
    fn overflow_takes_only_who_cannot_be_taken_here() {
        let overflow = Overflow("https://b.example".to_owned());
        let asked = |is_refused| Asked {
            stream: StreamId(1),
            is_refused,
        };
        assert_eq!(overflow.elsewhere(&asked(false)), None);
        assert!(overflow.elsewhere(&asked(true)).is_some());
    }
}
