//! A bad network in user space: a UDP relay between a presenter and an edge that
//! delays, jitters and loses datagrams, repeatably.
//!
//! Datagrams keep their order within one direction where the delay lets them: jitter
//! puts them out of order, as real networks do. Each way has half of the round trip.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{net::UdpSocket, task::JoinSet, time::Instant};

/// Longest datagram.
const DATAGRAM: usize = 2_048;

/// What happens to datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// There and back.
    pub round_trip: Duration,
    /// Up to so much more, evenly spread, each way.
    pub jitter: Duration,
    /// Share that is lost each way, from 0 to 1.
    pub loss: f64,
}

/// A running relay; dropping it cuts the presenter off.
#[derive(Debug)]
pub struct Impairment {
    address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    _tasks: JoinSet<()>,
}

impl Impairment {
    /// Relays between whoever sends here and `target`; the same `seed` loses the same
    /// datagrams.
    ///
    /// # Errors
    ///
    /// When there is no socket.
    pub async fn start(target: SocketAddr, weather: Weather, seed: u64) -> Result<Self> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        back.connect(target).await?;
        let address = front.local_addr()?;
        let weather = Arc::new(Mutex::new(weather));
        let presenter = Arc::<Mutex<Option<SocketAddr>>>::default();
        let mut tasks = JoinSet::new();
        let there = Way::new(Arc::clone(&weather), seed);
        let back_again = Way::new(Arc::clone(&weather), seed.wrapping_add(1));
        tasks.spawn({
            let (front, back) = (Arc::clone(&front), Arc::clone(&back));
            let presenter = Arc::clone(&presenter);
            async move { there.carry(&front, &back, &presenter, true).await }
        });
        tasks.spawn(async move { back_again.carry(&back, &front, &presenter, false).await });
        Ok(Self {
            address,
            weather,
            _tasks: tasks,
        })
    }

    /// Where the presenter sends.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather from now on.
    pub fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }
}

/// One direction.
struct Way {
    weather: Arc<Mutex<Weather>>,
    random: StdRng,
    /// What is under way, by when it arrives.
    under_way: BTreeMap<(Instant, u64), Vec<u8>>,
    count: u64,
}

impl Way {
    fn new(weather: Arc<Mutex<Weather>>, seed: u64) -> Self {
        Self {
            weather,
            random: StdRng::seed_from_u64(seed),
            under_way: BTreeMap::new(),
            count: 0,
        }
    }

    async fn carry(
        mut self,
        from: &UdpSocket,
        to: &UdpSocket,
        presenter: &Mutex<Option<SocketAddr>>,
        is_from_presenter: bool,
    ) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let next = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                received = from.recv_from(&mut buffer) => {
                    let Ok((len, source)) = received else { continue };
                    if is_from_presenter {
                        *presenter.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
                    }
                    self.take(buffer.get(..len).unwrap_or_default());
                }
                () = tokio::time::sleep_until(next.unwrap_or(far)) => {}
            }
            let known = *presenter.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(datagram) = self.arrived() {
                // A full socket is a loss, as anywhere.
                let _sent = match (is_from_presenter, known) {
                    (true, _) => to.send(&datagram).await,
                    (false, Some(presenter)) => to.send_to(&datagram, presenter).await,
                    (false, None) => continue,
                };
            }
        }
    }

    fn take(&mut self, datagram: &[u8]) {
        let weather = *self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        if weather.loss > 0.0 && self.random.random_bool(weather.loss.min(1.0)) {
            return;
        }
        let jitter = weather.jitter.mul_f64(self.random.random_range(0.0..1.0));
        self.count += 1;
        let at = Instant::now() + weather.round_trip / 2 + jitter;
        self.under_way.insert((at, self.count), datagram.to_vec());
    }

    fn arrived(&mut self) -> Option<Vec<u8>> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= Instant::now()).then(|| entry.remove())
    }
}
