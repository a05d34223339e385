//! SIGTERM and SIGINT drain, the second one ends at once; SIGHUP reloads.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::systemd;
use crate::lifecycle::{Lifecycle, Phase};

/// What an operator asked by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals of this process, from [`Signals::install`] on.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hang_up: Stream,
}

impl Signals {
    /// Takes the signals over; call it before anything that should not die of
    /// them begins.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }

    /// Drives `lifecycle` and calls `reload` until the process closes.
    ///
    /// `reload` must keep what it has when what it reads is bad, and log why.
    pub async fn drive(mut self, lifecycle: Lifecycle, mut reload: impl AsyncFnMut()) {
        let closing = lifecycle.closing();
        loop {
            let signal = tokio::select! {
                () = closing.cancelled() => return,
                signal = self.next() => signal,
            };
            match signal {
                Signal::Stop => stop(&lifecycle),
                // READY=1, which ends a reload, would be a lie before and after.
                Signal::Reload if !lifecycle.is_ready() => {
                    tracing::warn!("not reloading: the process is starting or stopping");
                }
                Signal::Reload => {
                    tracing::info!("reloading");
                    systemd::reloading();
                    reload().await;
                    systemd::ready();
                }
            }
        }
    }
}

fn stop(lifecycle: &Lifecycle) {
    if lifecycle.phase() < Phase::Draining {
        tracing::info!("draining; a second signal ends at once");
        systemd::stopping();
        lifecycle.advance(Phase::Draining);
    } else {
        tracing::warn!("told twice: ending at once");
        lifecycle.advance(Phase::Closing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_drains_and_the_second_closes() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Ready);
        stop(&lifecycle);
        assert_eq!(lifecycle.phase(), Phase::Draining);
        stop(&lifecycle);
        assert_eq!(lifecycle.phase(), Phase::Closing);
    }
}
