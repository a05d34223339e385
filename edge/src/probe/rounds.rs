//! Every target, again and again.
//!
//! One task for each, so that no target has two runs at once and a slow one holds up
//! nobody. Runs begin at random within the first interval and drift apart by a tenth of
//! it, or all points of presence would ask one of them at the same moment.
//!
//! A run has up to nine sockets open for each address, and keeps six allocations of a TURN
//! server for as long as it takes, a fraction of a second where all is well.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use inlet_common::clock;
use rand::RngExt as _;
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{Canary, Credentials, Findings, Metrics, Target};

/// How often a target is probed.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// How far an interval may be shorter or longer: a tenth.
const JITTER: RangeInclusive<f64> = 0.9..=1.1;

/// Who probes, whom, and as whom.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// Who probes.
    pub canary: Canary,
    /// Whom.
    pub targets: Vec<Target>,
    /// As whom TURN is asked.
    pub credentials: Credentials,
    /// From the begin of a run to that of the next, see [`INTERVAL`]; a run that takes
    /// longer holds the next one up.
    pub interval: Duration,
}

impl Rounds {
    /// Probes until it is dropped, which ends all runs, and tells `tell` the target and
    /// what each run has found. Metrics are kept as well.
    ///
    /// # Panics
    ///
    /// When `tell` does.
    pub async fn run<T>(self, tell: T)
    where
        T: Fn(&Target, Findings) + Send + Sync + 'static,
    {
        let metrics = Arc::new(Metrics::register());
        let (rounds, tell) = (Arc::new((self.canary, self.credentials)), Arc::new(tell));
        let interval = self.interval;
        let mut tasks = JoinSet::new();
        for target in self.targets {
            let (rounds, tell) = (Arc::clone(&rounds), Arc::clone(&tell));
            let metrics = Arc::clone(&metrics);
            tasks.spawn(async move {
                let (canary, credentials) = &*rounds;
                sleep(interval.mul_f64(random(0.0..=1.0))).await;
                loop {
                    let next = clock::now() + interval.mul_f64(random(JITTER));
                    let found = canary.run(&target, credentials).await;
                    metrics.note(&target, &found);
                    tell(&target, found);
                    sleep_until(next.into()).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn random(range: RangeInclusive<f64>) -> f64 {
    rand::rng().random_range(range)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        net::{Ipv4Addr, UdpSocket},
        sync::{Mutex, PoisonError},
    };

    use tokio::sync::mpsc;

    use super::*;
    use crate::probe::{Error, Patience};

    /// Longest wait for what must come.
    const PATIENCE: Duration = Duration::from_secs(5);

    fn target(pop: &str, stun: u16) -> Target {
        Target {
            pop: pop.to_owned(),
            host: "edge.test".to_owned(),
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            whip: None,
            stun: Some(stun),
            turn_udp: None,
            turn_tcp: None,
            turn_tls: None,
        }
    }

    fn canary() -> Canary {
        let made = rcgen::generate_simple_self_signed(["edge.test".to_owned()]).unwrap();
        let path = std::env::temp_dir().join(format!("inlet-rounds-{}", std::process::id()));
        std::fs::write(&path, made.cert.pem()).unwrap();
        let canary = Canary::new(Some(&path), Patience::USUAL).unwrap();
        std::fs::remove_file(&path).unwrap();
        canary
    }

    /// A socket whose port no outgoing one takes when it is closed.
    fn below_ephemeral() -> UdpSocket {
        let mut ports = (0..100).map(|_| rand::rng().random_range(10_000..30_000));
        let bound = ports.find_map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok());
        bound.expect("a free port")
    }

    #[tokio::test]
    async fn a_slow_target_holds_up_nobody_and_has_one_run_at_a_time() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let closed = below_ephemeral();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let targets = vec![target("slow", port(&silent)), target("gone", port(&closed))];
        drop(closed);
        let rounds = Rounds {
            canary: canary(),
            targets,
            credentials: Credentials::None,
            interval: Duration::from_millis(20),
        };
        let (told, mut heard) = mpsc::unbounded_channel();
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let counts = Arc::clone(&seen);
        let running = tokio::spawn(rounds.run(move |target, found| {
            let pop = &target.pop;
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(pop.clone()).or_insert(0) += 1;
            told.send((pop.clone(), found.stun)).ok();
        }));
        // Until the slow one is told: the other one is many times by then.
        loop {
            let (pop, stun) = heard.recv().await.unwrap();
            match pop.as_str() {
                "slow" => {
                    assert_eq!(stun, Some(Err(Error::Timeout)));
                    break;
                }
                _ => assert_eq!(stun, Some(Err(Error::Refused))),
            }
        }
        let seen = seen.lock().unwrap().clone();
        assert!(seen["slow"] == 1 && seen["gone"] > 3, "{seen:?}");
        // At most one run at a time: one socket has spoken to the silent one.
        silent.set_nonblocking(true).unwrap();
        let mut sources = std::collections::BTreeSet::new();
        while let Ok((_, source)) = silent.recv_from(&mut [0; 64]) {
            sources.insert(source);
        }
        assert!(sources.len() <= 2, "{sources:?}");
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        // Behind what was told meanwhile nobody is left who tells.
        let silence = async { while heard.recv().await.is_some() {} };
        tokio::time::timeout(PATIENCE, silence).await.unwrap();
    }
}
