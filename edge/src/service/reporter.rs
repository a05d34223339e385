//! Tells the other points of presence how this one does: by way of the origin, and those
//! who ask.
//!
//! One link of the process is enough, whichever is up: the first of them, so that it
//! changes only when it must. A point of presence that does not take presenters has no
//! link, and is neither told of nor asked.

use std::sync::Arc;

use inlet_common::{
    clock,
    lifecycle::{Lifecycle, Phase},
    roq::pop::{Down, Loads, REPORT_INTERVAL, Report},
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{appliance::Appliance, fleet::Known};
use crate::{
    fleet::ask::{Secrets, Teller},
    whip::admission::Gateway,
    worker::{Command, Handle},
};

/// What reports are made of, and who carries them.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    pub(super) gateway: Arc<Gateway>,
    pub(super) appliance: Option<Arc<Appliance>>,
    pub(super) workers: Vec<Handle>,
    pub(super) lifecycle: Lifecycle,
    /// What is known of the others; `None` where nothing is.
    pub(super) known: Option<Arc<Known>>,
}

impl Reporter {
    /// Reports again and again, until closing: who has ended draining has said so, and
    /// says nothing else any more.
    pub(super) async fn run(self, closing: CancellationToken) {
        let mut tick = tokio::time::interval(REPORT_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = tick.tick() => self.report(),
            }
        }
    }

    /// Reports now.
    pub(super) fn report(&self) {
        let mut workers = self.workers.iter();
        // Without any, nobody could be told.
        let Some(worker) = workers.find(|worker| worker.is_link_up()) else {
            return;
        };
        if let Err(error) = worker.send(Command::Report(self.state())) {
            tracing::debug!(worker = worker.index(), %error, "not reported");
        }
    }

    /// How this point of presence does now.
    pub(super) fn state(&self) -> Report {
        Report {
            made: clock::utc(),
            is_draining: self.lifecycle.phase() >= Phase::Draining,
            is_cut_off: self.gateway.is_cut_off(),
            loads: Loads {
                whip: Some(self.gateway.load()),
                turn: self.appliance.as_ref().map(|appliance| appliance.load()),
            },
            down: self.down(),
        }
    }

    /// What its probes find down of the others.
    fn down(&self) -> Down {
        let known = self.known.as_ref();
        known.map_or_else(Down::default, |known| known.down(clock::now()))
    }
}

/// Tells those who ask.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) secrets: Arc<Secrets>,
    /// This point of presence.
    pub(super) own: String,
    pub(super) reporter: Reporter,
}

impl Teller for Telling {
    fn answer(&self, question: &str) -> Option<Vec<u8>> {
        let report = || self.reporter.state();
        self.secrets
            .answer(&self.own, question, clock::utc(), report)
    }
}
