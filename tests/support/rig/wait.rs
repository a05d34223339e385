//! Waiting for a condition, with a deadline and a reason when it passes.

use std::time::Duration;

use anyhow::{Result, anyhow};
use inlet_common::clock;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `probe` until it has an answer.
///
/// # Errors
///
/// After `patience`, with the last reason why there was none.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let start = clock::now();
    loop {
        let error = match probe().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if clock::now().duration_since(start) > patience {
            return Err(anyhow!("{what}: not within {patience:?}: {error:#}"));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
