//! What a PATCH does: trickled candidates, and ICE restarts (RFC 9725 §4.3).
//!
//! An ICE-lite edge with every candidate in its answer needs none of the
//! presenter's: it learns addresses from Binding requests. So trickling is read
//! and passed over, and only new credentials mean something. PATCHes of one
//! session are taken one after another. The trap: a fragment of before a restart
//! may come after it, and must not lead back to credentials that nobody uses any
//! more; so those are remembered.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use inlet_common::{clock, ids::SessionId};
use str0m::IceCreds;
use tokio::sync::oneshot;

use super::{
    admission::Gateway,
    fragment::Fragment,
    metrics,
    resource::{Place, Secret},
    session::{Ice, Restart},
};
use crate::{trace::Notice, worker::Command};

/// How long a worker may take to note a restart; it empties its channel once a
/// turn.
const WORKER_TIMEOUT: Duration = Duration::from_secs(2);

/// Credentials of before a restart that are remembered.
const MAX_FORMER: usize = 8;

/// ICE restarts in a row of one session, for a presenter between two networks.
const RESTART_BURST: u32 = 10;

/// Time after which one more may be made: each costs the worker a millisecond.
const RESTART_INTERVAL: Duration = Duration::from_secs(1);

/// Entity tags of an `If-Match` that are looked at.
const MAX_TAGS: usize = 8;

/// A session's ICE, as HTTP sees it.
#[derive(Debug)]
pub struct IceSession {
    /// The entity tag, without quotes; another one after each restart.
    pub etag: String,
    ice: Ice,
    /// The presenter's ufrags of before, oldest first.
    former: VecDeque<String>,
    /// When a whole burst of restarts may be made again.
    rested_at: Option<Instant>,
}

/// Shared by the directory and whoever restarts.
pub type SharedIce = Arc<Mutex<IceSession>>;

/// What stands in `If-Match` (RFC 9110 §13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing.
    Absent,
    /// `*`.
    Any,
    /// Some entity tags, without quotes and `W/`.
    Tags(Vec<String>),
}

/// What became of a PATCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// Candidates were read.
    Trickled,
    /// ICE begins anew.
    Restarted {
        /// The new entity tag, without quotes.
        etag: String,
        /// What the presenter needs of it.
        fragment: String,
    },
}

/// Why a PATCH changed nothing; the session goes on as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The session has ended.
    #[error("no such session")]
    Gone,
    /// `If-Match` names another ICE session.
    #[error("If-Match names another ICE session: take the ETag of the last 201 or 200, or *")]
    Precondition,
    /// The new credentials are of no use.
    #[error(
        "an ICE restart takes a new a=ice-ufrag (4 to 256 characters) and a=ice-pwd (22 to 256): \
         the session goes on with the old ones"
    )]
    Credentials,
    /// Too many restarts; how long until the next may be made.
    #[error("too many ICE restarts: the session goes on with the last")]
    TooMany(Duration),
    /// The worker does not answer.
    #[error("the session's worker does not answer: try again")]
    Busy,
}

impl IceSession {
    /// The ICE session of an answer.
    pub fn new(ice: Ice) -> Self {
        Self {
            etag: random_tag(),
            ice,
            former: VecDeque::new(),
            rested_at: None,
        }
    }

    /// What a PATCH asks for: the worker's part of a restart, the ICE session of
    /// after it and the presenter's part; `None` when it only trickles.
    fn judge(
        &self,
        if_match: &IfMatch,
        fragment: &Fragment<'_>,
        now: Instant,
    ) -> Result<Option<(Restart, Ice, String)>, PatchError> {
        if !if_match.matches(&self.etag) {
            return Err(PatchError::Precondition);
        }
        let Some(offered) = self.restarts_with(fragment) else {
            // RFC 9725 §4.3.3: with `*` a restart is meant.
            let is_meant = *if_match == IfMatch::Any
                && fragment.has_credentials
                && fragment.credentials().is_none()
                && fragment.candidates.is_empty();
            return match is_meant {
                true => Err(PatchError::Credentials),
                false => Ok(None),
            };
        };
        if let Some(wait) = self.wait(now) {
            return Err(PatchError::TooMany(wait));
        }
        let mut next = self.ice.clone();
        let made = next.restart(offered, &mut rand::rng());
        let (restart, text) = made.map_err(|error| {
            tracing::debug!(%error, "restart refused");
            PatchError::Credentials
        })?;
        Ok(Some((restart, next, text)))
    }

    /// The new credentials in a fragment, if it has any.
    fn restarts_with(&self, fragment: &Fragment<'_>) -> Option<IceCreds> {
        let offered = fragment.credentials()?;
        let is_former = self.former.contains(&offered.ufrag);
        (offered != *self.ice.remote() && !is_former).then_some(offered)
    }

    /// How long until another restart may be made; `None` when it may now.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let needed = self.rested_at?.saturating_duration_since(now);
        let wait = needed.checked_sub(RESTART_INTERVAL * (RESTART_BURST - 1));
        wait.filter(|wait| *wait > Duration::ZERO)
    }

    fn note_restart(&mut self, ice: Ice, now: Instant) {
        let rested_at = self.rested_at.map_or(now, |at| at.max(now));
        self.rested_at = Some(rested_at + RESTART_INTERVAL);
        self.former.push_back(self.ice.remote().ufrag.clone());
        if self.former.len() > MAX_FORMER {
            self.former.pop_front();
        }
        self.ice = ice;
        self.etag = random_tag();
    }
}

impl IfMatch {
    /// Reads it as leniently as clients write it.
    pub fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::IF_MATCH).iter();
        let words = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
            .filter(|tag| !tag.is_empty());
        let tags: Vec<String> = words.take(MAX_TAGS).map(str::to_owned).collect();
        match tags.as_slice() {
            [] => Self::Absent,
            tags if tags.iter().any(|tag| tag == "*") => Self::Any,
            _ => Self::Tags(tags),
        }
    }

    /// Whether a request that was made for this entity is meant. RFC 9725 §4.3.1
    /// wants 428 where it is missing; browsers' clients leave it out.
    fn matches(&self, etag: &str) -> bool {
        match self {
            Self::Absent | Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

impl Gateway {
    /// Takes a trickled fragment of the session of this URL.
    ///
    /// # Errors
    ///
    /// See [`PatchError`]; nothing has changed then.
    pub async fn patch(
        &self,
        secret: &Secret,
        if_match: &IfMatch,
        fragment: &Fragment<'_>,
    ) -> Result<Patched, PatchError> {
        let (place, turn, shared) = self.directory.ice(secret).ok_or(PatchError::Gone)?;
        // One after another, in the order in which they came.
        let _turn = turn.lock().await;
        let judged = lock(&shared).judge(if_match, fragment, clock::now());
        let Some((restart, next, text)) = judged.inspect_err(note_refused)? else {
            let candidates = fragment.candidates.len();
            self.note(place.session, Notice::Trickled { candidates });
            return Ok(Patched::Trickled);
        };
        let handed = self.hand_restart(place, restart).await;
        handed.inspect_err(note_refused)?;
        let mut session = lock(&shared);
        session.note_restart(next, clock::now());
        Ok(Patched::Restarted {
            etag: session.etag.clone(),
            fragment: text,
        })
    }

    async fn hand_restart(&self, place: Place, restart: Restart) -> Result<(), PatchError> {
        let worker = self.workers.get(place.worker).ok_or(PatchError::Gone)?;
        let (reply, told) = oneshot::channel();
        let session: SessionId = place.session;
        let command = Command::Restart {
            session,
            restart: Box::new(restart),
            reply,
        };
        worker.send(command).map_err(|_| PatchError::Busy)?;
        match tokio::time::timeout(WORKER_TIMEOUT, told).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(PatchError::Gone),
            Ok(Err(_)) | Err(_) => Err(PatchError::Busy),
        }
    }
}

/// A stale condition asks for no restart that could be refused.
fn note_refused(error: &PatchError) {
    if *error != PatchError::Precondition {
        metrics::restart_refused();
    }
}

/// Whoever panicked held no half-done change.
fn lock(shared: &SharedIce) -> std::sync::MutexGuard<'_, IceSession> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random_tag() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(values: &[&str]) -> IfMatch {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        IfMatch::of(&headers)
    }

    #[test]
    fn if_match_is_read_as_clients_write_it() {
        let tags =
            |tags: &[&str]| IfMatch::Tags(tags.iter().map(|tag| (*tag).to_owned()).collect());
        assert_eq!(if_match(&[]), IfMatch::Absent);
        assert_eq!(if_match(&[" "]), IfMatch::Absent);
        assert_eq!(if_match(&["*"]), IfMatch::Any);
        assert_eq!(if_match(&["\"*\""]), IfMatch::Any);
        assert_eq!(if_match(&["\"a\""]), tags(&["a"]));
        assert_eq!(if_match(&["a"]), tags(&["a"]));
        assert_eq!(if_match(&["W/\"a\", \"b\"", "c"]), tags(&["a", "b", "c"]));
        assert!(IfMatch::Absent.matches("x") && IfMatch::Any.matches("x"));
        assert!(tags(&["a", "x"]).matches("x") && !tags(&["a"]).matches("x"));
    }
}
