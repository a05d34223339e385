//! The directory of session URLs: which secret leads to which session, and
//! which worker has it.
//!
//! A session is entered before its worker hears of it, so that its end can
//! never come before its beginning; an entry that no 201 has named yet is
//! known to nobody. The secret in the URL is 128 random bits and has nothing
//! to do with the [`SessionId`], which stands in logs.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use inlet_common::{
    ids::{SessionId, SessionKey},
    roq::pop::Load,
};

use super::trickle::{IceSession, SharedIce};

/// What stands in a session's URL, as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Draws a secret from the operating system's generator.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// What the origin knows of it.
    pub fn key(&self) -> SessionKey {
        SessionKey::of(&self.0)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Secret {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

// Whoever knows it may end the session.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The session.
    pub session: SessionId,
    /// Index of its worker.
    pub worker: usize,
}

/// All sessions of this edge, by their URL.
#[derive(Debug)]
pub struct Directory {
    max_sessions: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    // By secret and by session; both have the same entries.
    places: HashMap<Secret, Place>,
    secrets: BTreeMap<uuid::Uuid, Secret>,
    /// The ICE of sessions that were answered, and whose turn it is to change it.
    ice: HashMap<Secret, (Turn, SharedIce)>,
    /// Sessions on each worker.
    loads: Vec<usize>,
}

/// Held by the one PATCH of a session that is being taken.
pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;

/// As many sessions as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another session")]
pub struct Full;

impl Directory {
    /// Makes an empty directory for `workers` workers, at least one.
    pub fn new(workers: usize, max_sessions: usize) -> Self {
        Self {
            max_sessions,
            entries: Mutex::new(Entries {
                places: HashMap::new(),
                secrets: BTreeMap::new(),
                ice: HashMap::new(),
                loads: vec![0; workers.max(1)],
            }),
        }
    }

    /// Enters a session on the worker that has the fewest, and returns its
    /// secret and place. A worker that is not `fit` is taken only when none is.
    ///
    /// # Errors
    ///
    /// [`Full`] at the bound that was given.
    pub fn enter(
        &self,
        session: SessionId,
        fit: impl Fn(usize) -> bool,
    ) -> Result<(Secret, Place), Full> {
        let mut entries = self.entries();
        if entries.places.len() >= self.max_sessions {
            return Err(Full);
        }
        let loads = entries.loads.iter_mut().enumerate();
        let fewest = |(worker, load): &(usize, &mut usize)| (!fit(*worker), **load);
        let (worker, load) = loads.min_by_key(fewest).ok_or(Full)?;
        *load += 1;
        let (secret, place) = (Secret::random(), Place { session, worker });
        entries.places.insert(secret, place);
        entries.secrets.insert(session.0, secret);
        Ok((secret, place))
    }

    /// Whether there is no room for another session.
    pub fn is_full(&self) -> bool {
        self.entries().places.len() >= self.max_sessions
    }

    /// Share of the sessions that there may be.
    pub fn load(&self) -> Load {
        Load::of(self.entries().places.len(), self.max_sessions)
    }

    /// Keeps the ICE of a session that was answered.
    pub(super) fn keep_ice(&self, secret: &Secret, ice: IceSession) {
        let mut entries = self.entries();
        if entries.places.contains_key(secret) {
            let ice = (Turn::default(), Arc::new(Mutex::new(ice)));
            entries.ice.insert(*secret, ice);
        }
    }

    /// Where a session is, whose turn it is, and its ICE.
    pub(super) fn ice(&self, secret: &Secret) -> Option<(Place, Turn, SharedIce)> {
        let entries = self.entries();
        let (turn, ice) = entries.ice.get(secret)?;
        let place = *entries.places.get(secret)?;
        Some((place, Arc::clone(turn), Arc::clone(ice)))
    }

    /// Finds a session by the secret in its URL.
    pub fn find(&self, secret: &Secret) -> Option<Place> {
        self.entries().places.get(secret).copied()
    }

    /// Takes a session out by the secret in its URL; `None` when it is gone.
    pub fn take(&self, secret: &Secret) -> Option<Place> {
        let mut entries = self.entries();
        let place = entries.places.remove(secret)?;
        entries.forget(secret, place);
        Some(place)
    }

    /// Takes a session out that has ended. Nothing happens when it is gone.
    pub fn remove(&self, session: SessionId) {
        let mut entries = self.entries();
        let Some(secret) = entries.secrets.get(&session.0).copied() else {
            return;
        };
        if let Some(place) = entries.places.remove(&secret) {
            entries.forget(&secret, place);
        }
    }

    /// How many sessions each worker has.
    pub fn loads(&self) -> Vec<usize> {
        self.entries().loads.clone()
    }

    /// Every session and its worker, in the order of their ids.
    pub fn places(&self) -> Vec<Place> {
        let entries = self.entries();
        let secrets = entries.secrets.values();
        secrets
            .filter_map(|secret| entries.places.get(secret).copied())
            .collect()
    }

    /// Nothing in here leaves the entries half done, so a panic elsewhere does
    /// not make them wrong.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn forget(&mut self, secret: &Secret, place: Place) {
        self.ice.remove(secret);
        self.secrets.remove(&place.session.0);
        if let Some(load) = self.loads.get_mut(place.worker) {
            *load = load.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_32_digits_and_nothing_of_the_session() {
        let directory = Directory::new(1, 8);
        let session = SessionId::random();
        let (secret, _) = directory.enter(session, |_| true).unwrap();
        let text = secret.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(secret));
        assert_ne!(text, session.0.simple().to_string());
        assert!(!format!("{secret:?}").contains(&text));
        for junk in ["", "zz", &text[1..], &format!("{text}0")] {
            assert!(junk.parse::<Secret>().is_err(), "{junk}");
        }
    }

    #[test]
    fn sessions_go_to_the_worker_with_the_fewest() {
        let directory = Directory::new(2, 8);
        let enter = || directory.enter(SessionId::random(), |_| true).unwrap();
        let (first, _) = enter();
        enter();
        enter();
        assert_eq!(directory.loads(), [2, 1]);
        directory.take(&first);
        enter();
        enter();
        assert_eq!(directory.loads(), [2, 2]);
    }

    #[test]
    fn a_worker_without_origin_is_taken_only_when_none_has_one() {
        let directory = Directory::new(3, 8);
        let worker = |fit: usize| {
            let entered = directory.enter(SessionId::random(), |worker| worker == fit);
            entered.unwrap().1.worker
        };
        assert_eq!([worker(2), worker(2), worker(9), worker(1)], [2, 2, 0, 1]);
    }

    #[test]
    fn the_bound_holds_until_a_session_ends() {
        let directory = Directory::new(1, 1);
        let session = SessionId::random();
        directory.enter(session, |_| true).unwrap();
        assert_eq!(directory.enter(SessionId::random(), |_| true), Err(Full));
        directory.remove(session);
        directory.remove(session);
        assert_eq!(directory.loads(), [0]);
        assert!(directory.enter(SessionId::random(), |_| true).is_ok());
    }

    #[test]
    fn a_session_can_be_taken_once() {
        let directory = Directory::new(1, 8);
        let (secret, place) = directory.enter(SessionId::random(), |_| true).unwrap();
        assert_eq!(directory.find(&secret), Some(place));
        assert_eq!(directory.take(&secret), Some(place));
        assert_eq!(directory.take(&secret), None);
        assert!(directory.places().is_empty());
    }
}
