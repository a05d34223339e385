//! Who may watch: everyone, or whoever shows a playback token.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use inlet_common::clock::UtcTime;

use super::{respond::Refusal, target::Target};
use crate::playback::{Denied, Grant, Keys};

/// Who may fetch media.
#[derive(Clone, Debug, Default)]
pub struct Access {
    keys: Option<Arc<Keys>>,
    address_header: Option<HeaderName>,
}

impl Access {
    /// Everyone may. Tokens in URLs are not looked at.
    pub fn free() -> Self {
        Self::default()
    }

    /// Whoever shows a token made with one of these keys. `address_header`
    /// is where a proxy in front tells the viewer's address; `None` takes the
    /// connection's own.
    pub fn by_token(keys: Arc<Keys>, address_header: Option<HeaderName>) -> Self {
        Self {
            keys: Some(keys),
            address_header,
        }
    }

    /// What a request from `address` is allowed; `None` when everything is.
    pub(super) fn check(
        &self,
        target: &Target<'_>,
        address: Option<IpAddr>,
        now: UtcTime,
    ) -> Result<Option<Grant>, Refusal> {
        let Some(keys) = &self.keys else {
            return Ok(None);
        };
        let credentials = target.credentials.ok_or(Refusal::forbidden())?;
        match credentials.check(keys, target.prefix, address, now) {
            Ok(grant) => Ok(Some(grant)),
            Err(Denied::Invalid) => Err(Refusal::forbidden()),
            Err(Denied::Expired) => Err(Refusal::gone()),
        }
    }

    /// Where a request comes from.
    pub(super) fn address(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let Some(name) = &self.address_header else {
            return peer.map(|peer| peer.ip());
        };
        // The last entry is the proxy's own word; those before it are whatever
        // the viewer sent.
        let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    }
}

/// Keeps an answer in caches no longer than its token is good, and out of
/// shared ones when it is for one address.
pub(super) fn limit(headers: &mut HeaderMap, grant: &Grant) {
    let Some(cache) = headers.get(header::CACHE_CONTROL) else {
        return;
    };
    let Ok(cache) = cache.to_str() else { return };
    let remaining = grant.remaining.as_secs();
    let directives = cache.split(", ").map(|directive| {
        match directive.split_once('=') {
            // Alone in its kind: a shared cache's time means nothing to a private one.
            Some(("s-maxage", _)) if grant.is_bound => None,
            Some((name, seconds)) => {
                let seconds: u64 = seconds.parse().unwrap_or(0);
                Some(format!("{name}={}", seconds.min(remaining)))
            }
            None if directive == "public" && grant.is_bound => Some("private".to_owned()),
            None => Some(directive.to_owned()),
        }
    });
    let limited = directives.flatten().collect::<Vec<_>>().join(", ");
    if let Ok(limited) = HeaderValue::from_str(&limited) {
        headers.insert(header::CACHE_CONTROL, limited);
    }
}
