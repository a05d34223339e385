//! What the driver does about overload: looks, and carries out what [`Load`]
//! decides.

use std::time::Instant;

use super::{
    ledger::Ledger,
    load::{Change, Load},
    roster::{Roster, Rungs},
};
use crate::transcode::{
    Output, Report, Spec,
    metrics::{RungsShed, ShedCounters},
};

/// Sheds and restores one stream's rungs; without [`Spec::shedding`] it never
/// does.
#[derive(Debug)]
pub(super) struct Relief {
    parts: Option<(Load, Roster)>,
    all: Rungs,
    /// The top rung's frames are the presenter's own.
    is_passing: bool,
    newest: u64,
    counters: ShedCounters,
    shed: RungsShed,
}

impl Relief {
    pub(super) fn new(now: Instant, spec: &Spec) -> Self {
        let parts = spec.shedding.map(|beat| {
            let rungs = spec.ladder.len();
            let roster = Roster::new(rungs, spec.rate, beat);
            (Load::new(now, &spec.ladder), roster)
        });
        Self {
            parts,
            all: Rungs::all(spec.ladder.len()),
            is_passing: false,
            newest: 0,
            counters: ShedCounters::default(),
            shed: RungsShed::default(),
        }
    }

    /// Whether rungs may be shed, or skipped when they are slow.
    pub(super) fn is_on(&self) -> bool {
        self.parts.is_some()
    }

    /// Whether the top rung has nothing to do from now on, because the presenter's own
    /// frames are shown there. It is no rung then that could be shed; and it is shed at
    /// once where it has to be made again while there is no room for the others.
    pub(super) fn handle_passing(&mut self, now: Instant, is_passing: bool) -> Option<Output> {
        if std::mem::replace(&mut self.is_passing, is_passing) == is_passing {
            return None;
        }
        let (load, _) = self.parts.as_mut()?;
        let change = load.set_passing(now, is_passing)?;
        self.carry_out(change)
    }

    /// The rungs that a tick asks.
    pub(super) fn asked(&mut self, number: u64, idr: bool) -> Rungs {
        self.newest = self.newest.max(number);
        let all = self.all;
        let parts = self.parts.as_mut();
        let mut rungs = parts.map_or(all, |(_, roster)| roster.asked(number, idr));
        if self.is_passing {
            rungs.remove(0);
        }
        rungs
    }

    /// Looks at the ledger.
    pub(super) fn look(&mut self, now: Instant, ledger: &mut Ledger) -> Option<Output> {
        let (load, _) = self.parts.as_mut()?;
        let look = ledger.look(now);
        self.counters.skipped.increment(look.skipped);
        load.handle_look(now, look);
        self.change(now)
    }

    /// Takes a report of the worker.
    pub(super) fn handle_report(&mut self, now: Instant, report: &Report) -> Option<Output> {
        let (load, _) = self.parts.as_mut()?;
        load.handle_report(now, report);
        self.change(now)
    }

    /// A new worker takes over, with the same rungs.
    pub(super) fn handle_restart(&mut self, now: Instant) {
        if let Some((load, _)) = &mut self.parts {
            load.handle_restart(now);
        }
    }

    fn change(&mut self, now: Instant) -> Option<Output> {
        let (load, _) = self.parts.as_mut()?;
        let change = load.poll(now)?;
        self.carry_out(change)
    }

    fn carry_out(&mut self, change: Change) -> Option<Output> {
        let (load, roster) = self.parts.as_mut()?;
        let (rung, is_made, from) = match change {
            Change::Shed(rung) => (rung, false, roster.shed(rung, self.newest)),
            Change::Restore(rung) => (rung, true, roster.restore(rung, self.newest)),
        };
        let counter = if is_made {
            &self.counters.restored
        } else {
            &self.counters.shed
        };
        counter.increment(1);
        self.shed.set(load.shed());
        Some(Output::RungPlanned {
            rung,
            is_made,
            from,
        })
    }
}
