//! What the registry is told of sessions, without making a stream wait for it.

use inlet_common::{
    clock::{self, UtcTime},
    ids::StreamId,
};
use tracing::Instrument;

use super::broadcast::Settings;
use crate::{
    registry::{Canvas, Registry},
    transcode::ladder::Resolution,
};

/// Notes that a session began.
pub(super) fn started(settings: &Settings, stream: StreamId, at: UtcTime, region: &str) {
    let region = region.to_owned();
    write(settings, move |registry| async move {
        registry.mark_started(stream, at, &region).await
    });
}

/// Notes the size of the picture of the session that began at `started_at`, and
/// what its playlist is made for.
pub(super) fn source(
    settings: &Settings,
    stream: StreamId,
    started_at: UtcTime,
    source: Resolution,
    canvas: Canvas,
) {
    write(settings, move |registry| async move {
        registry
            .mark_source(stream, started_at, source, &canvas)
            .await
    });
}

/// Notes that the playlist has ended.
pub(super) fn ended(settings: &Settings, stream: StreamId) {
    write(settings, move |registry| async move {
        registry.mark_ended(stream).await
    });
}

/// Notes that what began at `started_at` comes in by another region.
pub(super) fn moved(settings: &Settings, stream: StreamId, started_at: UtcTime, region: &str) {
    let region = region.to_owned();
    write(settings, move |registry| async move {
        registry.mark_region(stream, started_at, &region).await
    });
}

/// Notes that the session that began at `started_at` has ended.
pub(super) fn finished(settings: &Settings, stream: StreamId, started_at: UtcTime) {
    let finished_at = clock::steady(clock::now());
    write(settings, move |registry| async move {
        registry
            .mark_finished(stream, started_at, finished_at)
            .await
    });
}

fn write<F>(settings: &Settings, write: impl FnOnce(Registry) -> F)
where
    F: Future<Output = Result<(), crate::registry::Error>> + Send + 'static,
{
    let write = write(settings.registry.clone());
    settings.tasks.spawn(
        async move {
            if let Err(error) = write.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "session not noted in the registry");
            }
        }
        .in_current_span(),
    );
}
