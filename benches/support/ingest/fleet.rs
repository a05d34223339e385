//! Many presenters on one thread, and what they have sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use inlet_common::clock;
use reqwest::Client;

use super::presenter::Presenter;

/// How often presenters are asked what is due.
pub(super) const TURN: Duration = Duration::from_millis(1);

/// What a fleet has sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// RTP packets, retransmissions not counted.
    pub rtp: AtomicU64,
    /// Presenters whose ICE and DTLS are up.
    pub connected: AtomicU64,
    /// Presenters whose connection has ended.
    pub closed: AtomicU64,
    /// Key frames that were asked for.
    pub key_requests: AtomicU64,
    /// How late a packet was at most, in microseconds: a fleet that cannot keep
    /// its tempo measures itself.
    pub late: AtomicU64,
    /// Whether media shall flow; transport goes on without.
    pub is_live: AtomicBool,
    pub(super) stop: AtomicBool,
}

impl Sent {
    pub(super) fn note_late(&self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.late.fetch_max(micros, Relaxed);
    }
}

/// A running fleet; dropping it stops it.
#[derive(Debug)]
pub struct Fleet {
    /// What it has sent so far.
    pub sent: Arc<Sent>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Fleet {
    /// Brings `count` presenters on air at an edge that takes any token.
    ///
    /// # Errors
    ///
    /// When one of them is refused.
    pub async fn start(edge_http: u16, count: usize) -> Result<Self> {
        let client = Client::new();
        let mut presenters = Vec::new();
        for number in 0..count {
            let url = format!("http://127.0.0.1:{edge_http}/{}_bench/whip", number + 1);
            presenters.push(Presenter::connect(&client, &url, number).await?);
        }
        Self::run(move |sent| {
            while !sent.stop.load(Relaxed) {
                for presenter in &mut presenters {
                    presenter.turn(clock::now(), sent)?;
                }
                std::thread::sleep(TURN);
            }
            presenters.iter_mut().try_for_each(|it| it.close(sent))
        })
    }

    /// Runs `body` on a thread of its own.
    pub(super) fn run(body: impl FnOnce(&Sent) -> Result<()> + Send + 'static) -> Result<Self> {
        let sent = Arc::new(Sent::default());
        let shared = Arc::clone(&sent);
        let thread = std::thread::Builder::new()
            .name("fleet".to_owned())
            .spawn(move || body(&shared))?;
        Ok(Self {
            sent,
            thread: Some(thread),
        })
    }

    /// Ends all connections by DTLS.
    ///
    /// # Errors
    ///
    /// What a presenter's engine complained of.
    pub fn stop(mut self) -> Result<()> {
        self.sent.stop.store(true, Relaxed);
        let thread = self.thread.take().context("stopped twice")?;
        thread.join().map_err(|_| anyhow!("the fleet panicked"))?
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.sent.stop.store(true, Relaxed);
    }
}
