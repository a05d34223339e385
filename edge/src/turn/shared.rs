//! What the workers' relays share. Nothing of it is touched for a packet but
//! the owner of a port, which is an atomic.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use super::{
    auth::Username,
    nonce::Nonces,
    ports::Ports,
    quota::Quotas,
    wire::{Family, ReservationToken},
};

/// How long a reserved port is kept (RFC 8656 §7.2).
pub const RESERVATION_LIFETIME: std::time::Duration = std::time::Duration::from_secs(30);

/// Ports that one user may have in reserve.
const MAX_RESERVATIONS: usize = 16;

/// The state of the whole appliance.
#[derive(Debug)]
pub struct Shared {
    /// When the process began; nonces and rates count from here.
    pub started: Instant,
    /// How many workers there are.
    pub workers: u16,
    /// Relayed ports and whose they are.
    pub ports: Ports,
    /// What users hold.
    pub quotas: Quotas,
    /// Makes and checks nonces.
    pub nonces: Nonces,
    media: OnceLock<Media>,
    reservations: Mutex<BTreeMap<ReservationToken, Reservation>>,
}

/// Media addresses of this process, and the worker of each.
#[derive(Debug)]
struct Media {
    workers: HashMap<SocketAddr, u16>,
    /// Looked at first: most peers are elsewhere.
    ips: Vec<IpAddr>,
}

/// A port that waits for its owner.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Of which family.
    pub family: Family,
    /// The port, which the pool counts as taken.
    pub port: u16,
    /// Who may have it.
    pub username: Username,
    /// When it goes back.
    pub expires: Instant,
}

impl Shared {
    /// Begins with nothing held.
    pub fn new(started: Instant, workers: u16, ports: Ports, nonces: Nonces) -> Self {
        Self {
            started,
            workers,
            ports,
            quotas: Quotas::default(),
            nonces,
            media: OnceLock::new(),
            reservations: Mutex::default(),
        }
    }

    /// Tells, once, where media of this process are: when all workers have
    /// bound theirs.
    pub fn set_media(&self, workers: HashMap<SocketAddr, u16>) {
        let mut ips: Vec<IpAddr> = workers.keys().map(SocketAddr::ip).collect();
        ips.sort_unstable();
        ips.dedup();
        if self.media.set(Media { workers, ips }).is_err() {
            tracing::debug!("media addresses are known already");
        }
    }

    /// The worker that serves media at `address`.
    pub fn media_worker(&self, address: &SocketAddr) -> Option<u16> {
        let media = self.media.get()?;
        let is_near = media.ips.contains(&address.ip());
        is_near.then(|| media.workers.get(address).copied())?
    }

    /// Whether media of this process are at this address, on some port.
    pub fn is_media_ip(&self, ip: IpAddr) -> bool {
        self.media
            .get()
            .is_some_and(|media| media.ips.contains(&ip))
    }

    /// Keeps a port for whoever shows `token`. A user who has many in reserve
    /// loses the oldest.
    pub fn reserve(&self, token: ReservationToken, reservation: Reservation) {
        let mut reservations = self.reservations();
        let theirs = reservations.iter();
        let theirs = theirs.filter(|(_, other)| other.username == reservation.username);
        if theirs.clone().count() >= MAX_RESERVATIONS {
            let oldest = theirs.min_by_key(|(_, other)| other.expires);
            let oldest = oldest.map(|(token, _)| *token);
            if let Some(lost) = oldest.and_then(|token| reservations.remove(&token)) {
                self.ports.give_back(lost.family, lost.port);
            }
        }
        reservations.insert(token, reservation);
    }

    /// Hands out a reserved port to its user, once.
    pub fn claim(
        &self,
        now: Instant,
        token: ReservationToken,
        username: &Username,
    ) -> Option<Reservation> {
        let mut reservations = self.reservations();
        let reservation = reservations.get(&token)?;
        let is_theirs = reservation.username == *username && reservation.expires > now;
        is_theirs.then(|| reservations.remove(&token)).flatten()
    }

    /// Gives back the ports that nobody came for. At most one reservation per
    /// port waits here, for half a minute, so all of them are looked at.
    pub fn expire_reservations(&self, now: Instant) {
        self.reservations().retain(|_, reservation| {
            let is_kept = reservation.expires > now;
            if !is_kept {
                self.ports.give_back(reservation.family, reservation.port);
            }
            is_kept
        });
    }

    fn reservations(&self) -> MutexGuard<'_, BTreeMap<ReservationToken, Reservation>> {
        self.reservations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
