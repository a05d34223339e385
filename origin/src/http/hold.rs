//! Holding a request until what it asks for exists.

use std::time::Duration;

use inlet_common::clock;
use tokio::sync::watch;

use super::{Shared, respond::Refusal};

/// What a look at the store finds.
pub(super) enum Look<T> {
    /// The answer.
    Found(T),
    /// It is still to come.
    NotYet,
}

/// Looks again after every change until the look finds something, at most
/// `limit` long; then the answer is `too_late`. `changes` must have been
/// subscribed to before the call.
///
/// Returns how long the request was held beside the answer.
pub(super) async fn hold<T>(
    shared: &Shared,
    mut changes: watch::Receiver<()>,
    limit: Duration,
    too_late: Refusal,
    mut look: impl FnMut() -> Result<Look<T>, Refusal>,
) -> Result<(T, Duration), Refusal> {
    if let Look::Found(found) = look()? {
        return Ok((found, Duration::ZERO));
    }
    let _permit = shared
        .held
        .try_acquire()
        .map_err(|_| Refusal::overloaded())?;
    let begun = clock::now();
    let waited = tokio::time::timeout(limit, async {
        // The sender lives as long as the stream, which the caller holds.
        while changes.changed().await.is_ok() {
            if let Look::Found(found) = look()? {
                return Ok(found);
            }
        }
        Err(too_late)
    });
    let found = waited.await.unwrap_or(Err(too_late))?;
    Ok((found, clock::now().saturating_duration_since(begun)))
}
