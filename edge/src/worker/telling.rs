//! What workers tell the rest of the process: one channel, so that what they tell of
//! a session stays in order.
//!
//! Ends are never lost: there is one per session, and sessions are bounded. Notices
//! are for traces and presenters, and are left out while [`MAX_PENDING`] of them wait.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use metrics::{Counter, counter};
use tokio::sync::mpsc;

use super::Event;

/// Notices that may wait: a second's worth of a full edge whose runtime stands still.
const MAX_PENDING: usize = 8_192;

/// The workers' end.
#[derive(Clone, Debug)]
pub struct Telling {
    events: mpsc::UnboundedSender<Event>,
    pending: Arc<AtomicUsize>,
    left_out: Counter,
}

/// The other end.
#[derive(Debug)]
pub struct Hearing {
    events: mpsc::UnboundedReceiver<Event>,
    pending: Arc<AtomicUsize>,
}

/// Makes both ends.
pub fn telling() -> (Telling, Hearing) {
    let (sender, events) = mpsc::unbounded_channel();
    let pending = Arc::<AtomicUsize>::default();
    let telling = Telling {
        events: sender,
        pending: Arc::clone(&pending),
        left_out: counter!(crate::trace::book::LEFT_OUT),
    };
    (telling, Hearing { events, pending })
}

impl Telling {
    /// Tells it.
    pub fn tell(&self, event: Event) {
        if may_be_left_out(&event) {
            if self.pending.load(Ordering::Relaxed) >= MAX_PENDING {
                self.left_out.increment(1);
                return;
            }
            self.pending.fetch_add(1, Ordering::Relaxed);
        }
        // Nobody listens any more when the process is about to end.
        if self.events.send(event).is_err() {
            tracing::debug!("nobody hears of it");
        }
    }
}

impl Hearing {
    /// The next event; `None` when all workers have ended.
    pub async fn recv(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.note(event.as_ref());
        event
    }

    /// The next event that waits already.
    pub fn try_recv(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok();
        self.note(event.as_ref());
        event
    }

    fn note(&self, event: Option<&Event>) {
        if event.is_some_and(may_be_left_out) {
            self.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

const fn may_be_left_out(event: &Event) -> bool {
    matches!(
        event,
        Event::Noticed { .. } | Event::Allotted { .. } | Event::Fleet { .. }
    )
}

#[cfg(test)]
mod tests {
    use inlet_common::{clock, ids::SessionId, roq::control::CloseReason};

    use super::*;
    use crate::trace::Notice;

    #[test]
    fn notices_are_bounded_and_ends_are_not() {
        let (telling, mut hearing) = telling();
        let session = SessionId::random();
        let noticed = || Event::Noticed {
            session,
            at: clock::utc(),
            notice: Notice::IceUp,
        };
        for _ in 0..MAX_PENDING + 10 {
            telling.tell(noticed());
        }
        let end = Event::Ended {
            session,
            reason: CloseReason::Deleted,
        };
        telling.tell(end.clone());
        for _ in 0..MAX_PENDING {
            let event = hearing.try_recv();
            assert!(matches!(event, Some(Event::Noticed { .. })));
        }
        assert_eq!(hearing.try_recv(), Some(end));
        telling.tell(noticed());
        assert!(hearing.try_recv().is_some(), "there is room again");
    }
}
