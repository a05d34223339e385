//! A ladder that grows with its presenter's picture, once.
//!
//! A worker with the larger ladder is started and given the media beside the
//! running one, so that it takes the running one's place at a segment's first
//! frame and viewers miss no more than what was on its way.

use std::time::Instant;

use inlet_common::clock::UtcTime;

use super::{
    Broadcast, notes,
    passing::{candidate, parameter_sets, rhythm},
    transcoding::{warn_of_slow_rungs, worker_spec},
};
use crate::{
    live::{gate, on_air::Enlarged},
    transcode::{
        self, cost,
        ladder::{Resolution, Rung},
        supervisor::Supervisor,
    },
};

impl Broadcast {
    /// Prepares a larger ladder when the picture has grown, and goes on with it
    /// when its worker has begun.
    pub(super) fn grow(&mut self, now: Instant, utc: UtcTime) {
        let Some(on_air) = &mut self.on_air else {
            return;
        };
        if let Some(enlarged) = on_air.take_enlarged() {
            self.enlarge(enlarged);
        } else if let Some(source) = on_air.wants_growth(now) {
            let ladder = self.programme.as_ref().and_then(|it| it.enlarged(source));
            match ladder {
                Some(ladder) => self.prepare(source, ladder, now, utc),
                None => on_air.settle_passage(),
            }
        }
    }

    fn prepare(&mut self, source: Resolution, ladder: Vec<Rung>, now: Instant, utc: UtcTime) {
        let Some(programme) = &self.programme else {
            return;
        };
        let Some(on_air) = &mut self.on_air else {
            return;
        };
        let media = &self.settings.media;
        let asks = self.authorised.pass_through;
        let candidate = asks.then(|| candidate(on_air, &ladder, source, media.encoder));
        let spec = transcode::Spec {
            may_pass: matches!(candidate, Some(Ok(_))),
            ..worker_spec(media, programme, ladder.clone())
        };
        let cores = cost::cores(source, &spec);
        // They are its own from now on, though the larger ladder begins later.
        let session = (self.authorised.stream, on_air.session);
        let room = &self.settings.room;
        if let Err(full) = self.directory.reserve(session, room, cores) {
            let why = gate::Refused::from(full);
            let reason = why.as_str();
            tracing::warn!(
                reason,
                cores,
                "the picture has grown, and there is no room for more rungs"
            );
            self.settings.metrics.growth_refused(why);
            return on_air.settle_passage();
        }
        warn_of_slow_rungs(&spec);
        let (worker, outputs) = Supervisor::start(&self.settings.workers, spec);
        let enlarged = Enlarged {
            ladder,
            source,
            cores,
            candidate,
            outputs,
        };
        on_air.prepare(worker, enlarged, now, utc);
    }

    fn enlarge(&mut self, enlarged: Enlarged) {
        let Enlarged {
            ladder,
            source,
            cores,
            candidate,
            outputs,
        } = enlarged;
        let former = self.outputs.replace(outputs);
        let (Some(programme), Some(on_air)) = (&mut self.programme, &mut self.on_air) else {
            return;
        };
        // What the former worker has made already is seen.
        if let Some(mut former) = former {
            while let Ok(output) = former.try_recv() {
                programme.handle_output(&output);
            }
        }
        let qualities: Vec<_> = ladder.iter().map(Rung::name).collect();
        programme.expect_passed(parameter_sets(candidate.as_ref()));
        programme.enlarge(ladder, source);
        if let Some(candidate) = candidate {
            on_air.begin_passage(rhythm(programme), candidate);
        }
        let (width, height) = (source.width, source.height);
        tracing::info!(?qualities, width, height, "ladder enlarged");
        let (stream, session) = (self.authorised.stream, on_air.session);
        self.directory.update(stream, session, |status| {
            status.source = Some(source);
            status.qualities = qualities;
            status.is_shedding = false;
            status.is_starving = false;
            status.cores = cores;
        });
        let canvas = programme.canvas().clone();
        notes::source(&self.settings, stream, on_air.started_at, source, canvas);
    }
}
