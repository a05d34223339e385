//! The table between the links. Each link has a [`Subscription`] of its own and asks
//! it for the next FLEET only when it has written the one before: one that does not
//! read holds up nobody, and nothing queues for it.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use inlet_common::roq::pop::{Fleet, Name, REPORT_INTERVAL, Report, SILENCE};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Outcome, Table, metrics::Metrics};

/// Least time between two FLEETs on one link, however much there is to tell: with
/// [`MAX_POPS`](inlet_common::roq::pop::MAX_POPS) a FLEET has tens of kilobytes.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// All reports, and who waits for them.
#[derive(Debug)]
pub struct Exchange {
    table: Mutex<Table>,
    news: watch::Sender<()>,
    metrics: Metrics,
}

impl Exchange {
    /// Begins without any report, and registers its metrics.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            news: watch::Sender::new(()),
            metrics: Metrics::new(),
        })
    }

    /// Takes the report of the edge whose HELLO had this name.
    pub fn handle_report(&self, name: &str, report: Report) {
        let Some(name) = Name::new(name) else {
            self.metrics.note(None);
            tracing::debug!("report passed over: its sender's name is none");
            return;
        };
        let now = Instant::now().into_std();
        let (outcome, counts) = {
            let mut table = self.table();
            let outcome = table.handle_report(now, name, report);
            (outcome, table.counts(now))
        };
        self.metrics.note(Some(outcome));
        self.metrics.set(counts);
        if outcome == (Outcome::Taken { is_news: true }) {
            self.news.send_replace(());
        }
    }

    /// What one link is told from now on, once it has reported.
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        Subscription {
            news: self.news.subscribe(),
            exchange: Arc::clone(self),
            wanted_until: None,
            last: None,
        }
    }

    /// Keeps the metrics right, also when nobody reports any more.
    pub async fn watch(self: Arc<Self>, closing: CancellationToken) {
        let mut tick = tokio::time::interval(REPORT_INTERVAL);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = tick.tick() => {}
            }
            let counts = self.table().counts(Instant::now().into_std());
            self.metrics.set(counts);
        }
    }

    /// Nothing leaves the table half done, so a panic elsewhere does not make it
    /// wrong.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one link is told: FLEET at its first report, every [`REPORT_INTERVAL`], and
/// soon after news; nothing any more when it has not reported for [`SILENCE`], as
/// when the edge has chosen another of its links.
#[derive(Debug)]
pub struct Subscription {
    exchange: Arc<Exchange>,
    news: watch::Receiver<()>,
    wanted_until: Option<Instant>,
    last: Option<Instant>,
}

impl Subscription {
    /// The link has reported.
    pub fn renew(&mut self) {
        self.wanted_until = Some(Instant::now() + SILENCE);
    }

    /// The next FLEET, when it is due. May be dropped at any time.
    pub async fn next(&mut self) -> Fleet {
        while let Some(until) = self.wanted_until {
            if let Some(last) = self.last {
                tokio::time::sleep_until(last + MIN_INTERVAL).await;
                tokio::select! {
                    // The sender lives in `self.exchange`, so waiting cannot fail.
                    _ = self.news.changed() => {}
                    () = tokio::time::sleep_until(last + REPORT_INTERVAL) => {}
                }
            }
            let now = Instant::now();
            if now <= until {
                self.news.mark_unchanged();
                self.last = Some(now);
                return self.exchange.table().snapshot(now.into_std());
            }
            (self.wanted_until, self.last) = (None, None);
        }
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::{
        clock::UtcTime,
        roq::pop::{Load, Loads},
    };
    use tokio::time::{advance, timeout};

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn report(made: i64, is_draining: bool) -> Report {
        Report {
            made: UtcTime::from_unix_micros(made),
            is_draining,
            is_cut_off: false,
            down: Default::default(),
            loads: Loads {
                whip: Some(Load::IDLE),
                turn: None,
            },
        }
    }

    /// How long the next FLEET takes, and who is in it.
    async fn next(subscription: &mut Subscription) -> Option<(Duration, Vec<String>)> {
        let begin = Instant::now();
        let fleet = timeout(Duration::from_secs(60), subscription.next());
        let fleet = fleet.await.ok()?;
        let names = fleet.pops().iter().map(|of| of.name.to_string());
        Some((begin.elapsed(), names.collect()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_reported_is_told_nothing() {
        let exchange = Exchange::new();
        exchange.handle_report("ams", report(1, false));
        let mut silent = exchange.subscribe();
        assert_eq!(next(&mut silent).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reports_is_told_at_once_and_then_regularly() {
        let exchange = Exchange::new();
        exchange.handle_report("ams", report(1, false));
        let mut link = exchange.subscribe();
        link.renew();
        let (after, names) = next(&mut link).await.unwrap();
        assert_eq!((after, names), (Duration::ZERO, vec!["ams".to_owned()]));
        for _ in 0..2 {
            let (after, _) = next(&mut link).await.unwrap();
            assert!(after <= REPORT_INTERVAL + MILLI, "{after:?}");
            assert!(after >= REPORT_INTERVAL, "{after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn news_are_told_soon_and_what_is_none_with_the_next() {
        let exchange = Exchange::new();
        exchange.handle_report("ams", report(1, false));
        let mut link = exchange.subscribe();
        link.renew();
        next(&mut link).await.unwrap();
        exchange.handle_report("ams", report(2, false));
        let (after, _) = next(&mut link).await.unwrap();
        assert!(after >= REPORT_INTERVAL, "{after:?}");
        exchange.handle_report("ams", report(3, true));
        let (after, _) = next(&mut link).await.unwrap();
        assert!(after >= MIN_INTERVAL, "{after:?}");
        assert!(after <= MIN_INTERVAL + MILLI, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_ceases_to_report_is_told_nothing_any_more() {
        let exchange = Exchange::new();
        let mut link = exchange.subscribe();
        link.renew();
        let mut told = 0;
        while next(&mut link).await.is_some() {
            told += 1;
            assert!(told < 10, "it goes on");
        }
        assert!(told >= 3, "{told}");
        link.renew();
        let (after, _) = next(&mut link).await.unwrap();
        assert_eq!(after, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_is_not_written_to_holds_up_no_other() {
        let exchange = Exchange::new();
        let (mut slow, mut quick) = (exchange.subscribe(), exchange.subscribe());
        slow.renew();
        quick.renew();
        next(&mut slow).await.unwrap();
        for made in 1..10 {
            exchange.handle_report("ams", report(made, made % 2 == 0));
            quick.renew();
            let (after, names) = next(&mut quick).await.unwrap();
            assert!(after <= MIN_INTERVAL + MILLI, "{after:?}");
            assert_eq!(names, ["ams"]);
        }
        slow.renew();
        exchange.handle_report("fra", report(1, false));
        let (_, names) = next(&mut slow).await.unwrap();
        assert_eq!(names, ["ams", "fra"], "the latest, once");
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_are_none_are_not_told_of() {
        let exchange = Exchange::new();
        exchange.handle_report("", report(1, false));
        exchange.handle_report("a\nb", report(1, false));
        let mut link = exchange.subscribe();
        link.renew();
        advance(MILLI).await;
        let (_, names) = next(&mut link).await.unwrap();
        assert!(names.is_empty(), "{names:?}");
    }
}
