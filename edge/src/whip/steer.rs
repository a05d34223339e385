//! Sending presenters elsewhere: the one question that is asked before an offer
//! is read, and whoever has an answer to it.
//!
//! The redirect is a 307 with the whole path and query kept. A mark in the query keeps
//! a request from being sent around twice, and tells its target to answer with absolute
//! URLs. Where the fleet shares a secret the mark is sealed ([`pass`](super::pass)) and
//! brings the token with it: browsers drop `Authorization` on the way to another host.
//! Without a secret only a token in the URL gets there.

use std::{fmt, net::IpAddr};

use axum::http::Uri;
use inlet_common::ids::StreamId;

/// Stands in the query of a request that was sent here from elsewhere.
const MARK: &str = "redirected";

/// What marks a request where nothing is sealed.
pub(super) const UNSEALED: &str = "1";

/// What is known of a request when it may be sent elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The stream that is to be published.
    pub stream: StreamId,
    /// Where the presenter is.
    pub client: IpAddr,
    /// This point of presence cannot take it now: it drains, or is full.
    pub is_refused: bool,
}

/// Where a presenter goes instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The base URL, such as `https://b.example`.
    pub base: String,
    /// The name of the point of presence, for which a mark can be sealed; `None` when
    /// only its URL is known.
    pub pop: Option<String>,
}

/// Decides where presenters go.
pub trait Steering: Send + Sync + fmt::Debug {
    /// Where this one goes; `None` to take it here.
    fn elsewhere(&self, asked: &Asked) -> Option<Elsewhere>;
}

/// Knows where this point of presence alone is reached.
///
/// The trap: the name that a presenter came by may lead elsewhere next time, when DNS
/// sends it to another, and that one knows nothing of its session.
pub trait Home: Send + Sync + fmt::Debug {
    /// Its own base URL, such as `https://a.example`; `None` where the fleet does not
    /// have it.
    fn base(&self) -> Option<String>;
}

/// Sends those elsewhere, to one fixed place, who cannot be taken here.
#[derive(Clone, Debug)]
pub struct Overflow(pub String);

impl Steering for Overflow {
    fn elsewhere(&self, asked: &Asked) -> Option<Elsewhere> {
        asked.is_refused.then(|| Elsewhere {
            base: self.0.clone(),
            pop: None,
        })
    }
}

/// The mark of a request that has come from another point of presence.
pub(super) fn mark(uri: &Uri) -> Option<&str> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.find_map(|pair| pair.strip_prefix(MARK)?.strip_prefix('='))
}

/// Where a request goes on at `base`, with its mark.
pub(super) fn target(base: &str, uri: &Uri, mark: &str) -> String {
    let base = base.trim_end_matches('/');
    let path = uri.path();
    match uri.query() {
        Some(query) if !query.is_empty() => format!("{base}{path}?{query}&{MARK}={mark}"),
        _ => format!("{base}{path}?{MARK}={mark}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_kept_and_marked_once() {
        let uri: Uri = "/17_abc/whip?width=1280&x=%20".parse().unwrap();
        assert_eq!(mark(&uri), None);
        let target = target("https://b.example/", &uri, UNSEALED);
        assert_eq!(
            target,
            "https://b.example/17_abc/whip?width=1280&x=%20&redirected=1"
        );
        assert_eq!(mark(&target.parse().unwrap()), Some(UNSEALED));
        for other in [
            "/17/whip?undirected=1",
            "/17/whip?redirectedly=1",
            "/redirected=1",
        ] {
            assert_eq!(mark(&other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn overflow_takes_only_who_cannot_be_taken_here() {
        let overflow = Overflow("https://b.example".to_owned());
        let asked = |is_refused| Asked {
            stream: StreamId(1),
            client: [192, 0, 2, 1].into(),
            is_refused,
        };
        assert_eq!(overflow.elsewhere(&asked(false)), None);
        assert!(overflow.elsewhere(&asked(true)).is_some());
    }
}
