//! What a PATCH does: trickled candidates, and ICE restarts (RFC 9725 §4.3).
//!
//! An ICE-lite edge with every candidate in its answer needs none of the
//! presenter's: it learns addresses from Binding requests. So trickling is read
//! and passed over, and only new credentials mean something. PATCHes of one
//! session are taken one after another. The trap: a fragment of before a restart
//! may come after it, and must not lead back to credentials that nobody uses any
//! more; so those are remembered. And the answer to a restart may be lost, so it is
//! given again to who asks with the same credentials.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use inlet_common::clock;
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
    /// How the last restart was answered.
    last: Option<LastRestart>,
    /// When a whole burst of restarts may be made again.
    rested_at: Option<Instant>,
}

/// A restart that has been answered, as far as we know.
#[derive(Debug)]
struct LastRestart {
    /// The entity tag of before.
    former_etag: String,
    fragment: String,
}

/// What a PATCH asks for.
enum Judged {
    /// Nothing but to be read.
    Trickle,
    /// What has been done already: the answer again.
    Again(Patched),
    /// A restart: the worker's part, the ICE session of after it, and the
    /// presenter's part.
    Restart {
        handed: Box<Restart>,
        next: Box<Ice>,
        fragment: String,
    },
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
            last: None,
            rested_at: None,
        }
    }

    fn judge(
        &self,
        if_match: &IfMatch,
        fragment: &Fragment<'_>,
        now: Instant,
    ) -> Result<Judged, PatchError> {
        if let Some(again) = self.repeated(if_match, fragment) {
            return Ok(Judged::Again(again));
        }
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
                false => Ok(Judged::Trickle),
            };
        };
        if let Some(wait) = self.wait(now) {
            return Err(PatchError::TooMany(wait));
        }
        let mut next = self.ice.clone();
        let made = next.restart(offered, &mut rand::rng());
        let (handed, fragment) = made.map_err(|error| {
            tracing::debug!(%error, "restart refused");
            PatchError::Credentials
        })?;
        Ok(Judged::Restart {
            handed: Box::new(handed),
            next: Box::new(next),
            fragment,
        })
    }

    /// The answer to the last restart, for who asks for that one again: with the
    /// credentials that hold, under the condition of before, and without the
    /// candidates that a trickled fragment would have.
    fn repeated(&self, if_match: &IfMatch, fragment: &Fragment<'_>) -> Option<Patched> {
        let last = self.last.as_ref()?;
        let is_condition = match if_match {
            IfMatch::Any => true,
            IfMatch::Tags(_) => if_match.matches(&last.former_etag),
            IfMatch::Absent => false,
        };
        let is_same = fragment.credentials().as_ref() == Some(self.ice.remote());
        (is_condition && is_same && fragment.candidates.is_empty()).then(|| Patched::Restarted {
            etag: self.etag.clone(),
            fragment: last.fragment.clone(),
        })
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

    /// One of the restarts that may be made has been.
    fn charge(&mut self, now: Instant) {
        let rested_at = self.rested_at.map_or(now, |at| at.max(now));
        self.rested_at = Some(rested_at + RESTART_INTERVAL);
    }

    /// The worker has taken a restart; returns the answer to it.
    fn restarted(&mut self, ice: Ice, fragment: String) -> Patched {
        self.former.push_back(self.ice.remote().ufrag.clone());
        if self.former.len() > MAX_FORMER {
            self.former.pop_front();
        }
        self.ice = ice;
        let former_etag = std::mem::replace(&mut self.etag, random_tag());
        self.last = Some(LastRestart {
            former_etag,
            fragment: fragment.clone(),
        });
        Patched::Restarted {
            etag: self.etag.clone(),
            fragment,
        }
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
        let turn = turn.lock_owned().await;
        let judged = lock(&shared).judge(if_match, fragment, clock::now());
        let (handed, next, text) = match judged.inspect_err(note_refused)? {
            Judged::Trickle => {
                let candidates = fragment.candidates.len();
                self.note(place.session, Notice::Trickled { candidates });
                return Ok(Patched::Trickled);
            }
            Judged::Again(patched) => return Ok(patched),
            Judged::Restart {
                handed,
                next,
                fragment,
            } => (handed, next, fragment),
        };
        lock(&shared).charge(clock::now());
        let told = self.hand_restart(place, handed);
        let told = told.inspect_err(note_refused)?;
        // Not a part of the request: when the presenter hangs up, the worker has
        // restarted all the same.
        let finish = async move {
            let _turn = turn;
            match tokio::time::timeout(WORKER_TIMEOUT, told).await {
                Ok(Ok(true)) => Ok(lock(&shared).restarted(*next, text)),
                Ok(Ok(false)) => Err(PatchError::Gone),
                Ok(Err(_)) | Err(_) => Err(PatchError::Busy),
            }
        };
        let finished = tokio::spawn(finish).await;
        let finished = finished.unwrap_or(Err(PatchError::Busy));
        finished.inspect_err(note_refused)
    }

    /// Gives a restart to the session's worker, which tells whether it has taken it.
    fn hand_restart(
        &self,
        place: Place,
        restart: Box<Restart>,
    ) -> Result<oneshot::Receiver<bool>, PatchError> {
        let worker = self.workers.get(place.worker).ok_or(PatchError::Gone)?;
        let (reply, told) = oneshot::channel();
        let command = Command::Restart {
            session: place.session,
            restart,
            reply,
        };
        worker.send(command).map_err(|_| PatchError::Busy)?;
        Ok(told)
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
