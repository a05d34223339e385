//! What one user, and all of them together, may hold at once.
//!
//! Counts are atomics, shared by all workers; a [`Hold`] gives back what it
//! stands for when it is dropped, so nothing can be forgotten. A user's entry
//! lives as long as one of its allocations.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::auth::Username;

/// How much may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Allocations of the whole process.
    pub allocations: u32,
    /// Allocations of one user.
    pub allocations_per_user: u32,
    /// Permissions of all allocations of one user.
    pub permissions_per_user: u32,
    /// Channels of all allocations of one user.
    pub channels_per_user: u32,
    /// Bits per second of one user, both directions together; `None` is
    /// without limit.
    pub bitrate_per_user: Option<u64>,
}

/// A burst that a user may send at once, beyond its rate.
const BURST: Duration = Duration::from_millis(250);

/// Counts of the whole process.
#[derive(Debug, Default)]
pub struct Quotas {
    totals: Arc<Counts>,
    users: Mutex<HashMap<Username, Weak<Share>>>,
}

#[derive(Debug, Default)]
struct Counts {
    allocations: AtomicU32,
    permissions: AtomicU32,
    channels: AtomicU32,
}

impl Counts {
    const fn of(&self, kind: Kind) -> &AtomicU32 {
        match kind {
            Kind::Allocation => &self.allocations,
            Kind::Permission => &self.permissions,
            Kind::Channel => &self.channels,
        }
    }
}

/// What one user holds.
#[derive(Debug, Default)]
pub struct Share {
    held: Counts,
    totals: Arc<Counts>,
    /// When the user's bucket is empty again, in nanoseconds since the process
    /// began (GCRA).
    busy_until: AtomicU64,
}

/// One unit of something that a user holds; dropping it gives it back.
#[derive(Debug)]
pub struct Hold {
    share: Arc<Share>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Allocation,
    Permission,
    Channel,
}

impl Hold {
    /// Takes one more, if that stays within `limit`.
    fn take(share: &Arc<Share>, kind: Kind, limit: u32) -> Option<Self> {
        let more = |held: u32| (held < limit).then(|| held + 1);
        let (of_user, of_all) = share.counts(kind);
        of_user
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        of_all.fetch_add(1, Ordering::AcqRel);
        Some(Self {
            share: Arc::clone(share),
            kind,
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (of_user, of_all) = self.share.counts(self.kind);
        of_user.fetch_sub(1, Ordering::AcqRel);
        of_all.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What an allocation holds: one of its user's places.
#[derive(Debug)]
pub struct Place(Hold);

impl Place {
    /// The user's share, kept alive by its allocations.
    pub const fn share(&self) -> &Arc<Share> {
        &self.0.share
    }
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The user's own: 486.
    User,
    /// The process's: 508, or 300.
    Process,
}

impl Quotas {
    /// Takes a place for one more allocation of `user`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] tells whose limit was met.
    pub fn allocate(&self, user: &Username, limits: &Limits) -> Result<Place, Exhausted> {
        // Workers that allocate at the same moment may go over by one each.
        if self.allocations() >= limits.allocations {
            return Err(Exhausted::Process);
        }
        let share = self.share(user);
        Hold::take(&share, Kind::Allocation, limits.allocations_per_user)
            .map(Place)
            .ok_or(Exhausted::User)
    }

    /// Allocations of the whole process.
    pub fn allocations(&self) -> u32 {
        self.totals.allocations.load(Ordering::Relaxed)
    }

    /// Permissions of the whole process.
    pub fn permissions(&self) -> u32 {
        self.totals.permissions.load(Ordering::Relaxed)
    }

    /// Channels of the whole process.
    pub fn channels(&self) -> u32 {
        self.totals.channels.load(Ordering::Relaxed)
    }

    fn share(&self, user: &Username) -> Arc<Share> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = users.get(user).and_then(Weak::upgrade) {
            return share;
        }
        // As many entries as there are users with allocations, and as many dead
        // ones again: then the dead are cleared away.
        if users.len() == users.capacity() {
            users.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share {
            totals: Arc::clone(&self.totals),
            ..Share::default()
        });
        users.insert(user.clone(), Arc::downgrade(&share));
        share
    }
}

impl Share {
    /// Takes one more permission.
    pub fn permission(self: &Arc<Self>, limits: &Limits) -> Option<Hold> {
        Hold::take(self, Kind::Permission, limits.permissions_per_user)
    }

    /// Takes one more channel.
    pub fn channel(self: &Arc<Self>, limits: &Limits) -> Option<Hold> {
        Hold::take(self, Kind::Channel, limits.channels_per_user)
    }

    fn counts(&self, kind: Kind) -> (&AtomicU32, &AtomicU32) {
        (self.held.of(kind), self.totals.of(kind))
    }

    /// Whether `bytes` more may pass at `now`, the time since the process began.
    pub fn may_pass(&self, now: Duration, bytes: usize, limits: &Limits) -> bool {
        let Some(rate) = limits.bitrate_per_user else {
            return true;
        };
        let cost = (bytes as u64).saturating_mul(8_000_000_000) / rate.max(1);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let latest = now.saturating_add(BURST.as_nanos() as u64);
        self.busy_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| {
                let next = until.max(now).saturating_add(cost);
                // One packet always fits into an empty bucket.
                (next <= latest || until <= now).then_some(next)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        allocations: 3,
        allocations_per_user: 2,
        permissions_per_user: 2,
        channels_per_user: 1,
        bitrate_per_user: Some(8_000_000),
    };

    #[test]
    fn what_is_dropped_is_given_back() {
        let quotas = Quotas::default();
        let (anna, bert) = (Username::new(b"anna"), Username::new(b"bert"));
        for _ in 0..3 {
            let first = quotas.allocate(&anna, &LIMITS).unwrap();
            let second = quotas.allocate(&anna, &LIMITS).unwrap();
            assert_eq!(
                quotas.allocate(&anna, &LIMITS).unwrap_err(),
                Exhausted::User
            );
            let third = quotas.allocate(&bert, &LIMITS).unwrap();
            assert_eq!(
                quotas.allocate(&bert, &LIMITS).unwrap_err(),
                Exhausted::Process
            );
            let held = [
                first.share().permission(&LIMITS),
                second.share().permission(&LIMITS),
            ];
            assert!(held.iter().all(Option::is_some));
            assert!(first.share().permission(&LIMITS).is_none());
            assert!(third.share().permission(&LIMITS).is_some());
            drop((first, second, third, held));
            assert_eq!(quotas.allocations(), 0);
        }
    }

    #[test]
    fn users_that_are_gone_are_forgotten() {
        let quotas = Quotas::default();
        for index in 0..10_000_u32 {
            let user = Username::new(&index.to_be_bytes());
            quotas.allocate(&user, &LIMITS).unwrap();
        }
        assert!(quotas.users.lock().unwrap().len() < 16);
    }

    #[test]
    fn a_user_gets_its_rate_and_a_burst() {
        let share = Share::default();
        // A megabyte per second, in packets of 1,000 bytes, offered at twice that.
        let offered = (0..20_000_u64).map(|at| Duration::from_micros(at * 500));
        let passed = offered.filter(|now| share.may_pass(*now, 1_000, &LIMITS));
        let passed = passed.count();
        assert!((10_200..=10_300).contains(&passed), "{passed}");
    }
}
