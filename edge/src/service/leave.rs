//! What an edge does before it ends: it takes nothing new, and stays while anything runs
//! or anybody may still come.

use std::{sync::Arc, time::Duration};

use super::{appliance::Appliance, fleet::Known, reporter::Reporter};
use crate::whip::admission::Gateway;

/// Whoever stays as long as it may has not been ended by the deadline.
const BEFORE_DEADLINE: Duration = Duration::from_secs(1);

/// What a drain needs.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) gateway: Option<Arc<Gateway>>,
    pub(super) appliance: Option<Arc<Appliance>>,
    pub(super) reporter: Option<Reporter>,
    /// Base URL of another one, to which presenters move.
    pub(super) elsewhere: Option<String>,
    pub(super) fleet: Option<Arc<Known>>,
    /// This point of presence.
    pub(super) pop: String,
    /// The longest that all of it may take.
    pub(super) timeout: Duration,
}

impl Leave {
    /// Takes nothing new, and returns when nothing runs any more and nobody comes.
    pub(super) async fn run(self) {
        // Before anything of it shows, and before an idle process has ended.
        if let Some(reporter) = &self.reporter {
            reporter.report();
        }
        tokio::join!(self.sessions(), self.allocations(), self.latecomers());
    }

    async fn sessions(&self) {
        if let Some(gateway) = &self.gateway {
            if let Some(base) = &self.elsewhere {
                gateway.book().move_on(base);
            }
            gateway.drain().await;
        }
    }

    async fn allocations(&self) {
        if let Some(appliance) = &self.appliance {
            appliance.drain().await;
        }
    }

    /// Whoever comes by an answer from before is sent on; to somebody who had ended they
    /// would come in vain. To a name server alone nobody comes.
    async fn latecomers(&self) {
        if self.gateway.is_none() && self.appliance.is_none() {
            return;
        }
        let fleet = self.fleet.as_ref();
        let lingers = fleet.map_or(Duration::ZERO, |fleet| fleet.lingers(&self.pop));
        let lingers = lingers.min(self.timeout.saturating_sub(BEFORE_DEADLINE));
        if !lingers.is_zero() {
            let seconds = lingers.as_secs_f64();
            tracing::info!(seconds, "stays while resolvers keep its address");
            tokio::time::sleep(lingers).await;
        }
    }
}
