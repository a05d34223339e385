//! Tells systemd what goes on, and that it goes on.

use std::{sync::Arc, time::Duration};

use inlet_common::service::systemd;
use tokio_util::sync::CancellationToken;

use crate::live::Gate;

/// How often the streams' tasks are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often what `systemctl status` shows is renewed, in looks.
const STATUS_EVERY: u32 = 5;

/// Feeds the watchdog while the streams' tasks turn, or while there is none.
pub(super) async fn run(gate: Arc<Gate>, closing: CancellationToken) {
    let progress = systemd::Progress::new("streams");
    let watchdog = systemd::watchdog(vec![progress.clone()], closing.clone());
    let look = async {
        let mut tick = tokio::time::interval(LOOK);
        let (mut turns, mut looks) = (0, 0_u32);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = tick.tick() => {}
            }
            let live = gate.live_count();
            let now = gate.turns();
            if live == 0 || now != turns {
                progress.advance();
            }
            turns = now;
            if looks.is_multiple_of(STATUS_EVERY) {
                systemd::status(&format!("{live} live streams"));
            }
            looks = looks.wrapping_add(1);
        }
    };
    tokio::join!(watchdog, look);
}
