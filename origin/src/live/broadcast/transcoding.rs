//! The broadcast and its worker: what it is to make, and what becomes of it.

use inlet_common::{
    clock::{self, UtcTime},
    config::Bitrate,
    roq::control::CloseReason,
};

use super::{
    Broadcast, notes,
    passing::{candidate, parameter_sets, rhythm},
};
use crate::{
    config,
    live::{programme::Programme, room},
    transcode::{
        self, cost,
        ladder::{Resolution, Rung},
        supervisor::Supervisor,
    },
};

impl Broadcast {
    /// Makes the ladder, or continues with the one there is, and starts a
    /// worker for it.
    pub(super) fn start(&mut self, source: Resolution, utc: UtcTime) {
        if self.programme.as_ref().is_some_and(Programme::has_ended) {
            self.retire_programme();
            self.ended_at = Some(utc);
            self.authorised.canvas = None;
        }
        if self.programme.is_none() {
            // What was made before, here or by another process, is not made again.
            let taken = self.ended_at.unwrap_or(self.settings.started_at);
            match Programme::new(&self.authorised, &self.settings, source, taken, utc) {
                Ok(programme) => self.programme = Some(programme),
                Err(error) => {
                    tracing::error!(%error, "no playlist can be made for this stream");
                    self.finish(CloseReason::Internal);
                    return;
                }
            }
        }
        let (Some(programme), Some(on_air)) = (&mut self.programme, &mut self.on_air) else {
            return;
        };
        programme.expect_all_rungs();
        let media = &self.settings.media;
        let asks = self.authorised.pass_through;
        let (ladder, canvas) = (programme.ladder().to_vec(), programme.canvas().size);
        let candidate = asks.then(|| candidate(on_air, &ladder, canvas, media.encoder));
        programme.expect_passed(parameter_sets(candidate.as_ref()));
        programme.resume();
        let rate = programme.rate();
        let spec = transcode::Spec {
            may_pass: matches!(candidate, Some(Ok(_))),
            ..worker_spec(media, programme, ladder)
        };
        let cores = cost::cores(source, &spec);
        warn_of_slow_rungs(&spec);
        let (worker, outputs) = Supervisor::start(&self.settings.workers, spec);
        self.outputs = Some(outputs);
        on_air.start(worker, rate, self.schedule.as_ref(), utc);
        if programme.may_grow(utc) {
            on_air.watch_growth(programme.canvas().size, programme.tallest_quality());
        }
        if let Some(candidate) = candidate {
            on_air.begin_passage(rhythm(programme), candidate);
        }
        let qualities: Vec<_> = programme.ladder().iter().map(Rung::name).collect();
        tracing::info!(
            ?qualities,
            width = source.width,
            height = source.height,
            "on air"
        );
        let (stream, session) = (self.authorised.stream, on_air.session);
        self.directory.update(stream, session, |status| {
            status.source = Some(source);
            status.qualities = qualities;
            status.is_shedding = false;
            status.is_starving = false;
            status.frame_rate = Some(rate.as_u32());
            status.cores = cores;
        });
        let (settings, canvas) = (&self.settings, programme.canvas().clone());
        notes::source(settings, stream, on_air.started_at, source, canvas);
    }

    pub(super) fn handle_output(&mut self, output: &transcode::Output) {
        match output {
            transcode::Output::Report(report) => self.handle_report(report),
            transcode::Output::RungPlanned {
                rung,
                is_made,
                from,
            } => self.handle_rung(*rung, *is_made, *from),
            transcode::Output::Restarted => {
                tracing::warn!("worker replaced");
                self.ask_key_frame();
            }
            transcode::Output::KeyFrameNeeded => self.ask_key_frame(),
            _ => {}
        }
        let Some(programme) = &mut self.programme else {
            return;
        };
        let is_first = programme.handle_output(output);
        if is_first && let Some(on_air) = &self.on_air {
            let micros = clock::steady(clock::now()).micros_since(on_air.started_at);
            self.settings
                .metrics
                .first_frame_seconds
                .record(micros as f64 / 1e6);
        }
    }

    fn handle_report(&mut self, report: &transcode::Report) {
        self.settings.metrics.speed.record(report.speed);
        if let Some(on_air) = &self.on_air {
            let speed = report.speed;
            self.directory
                .update(self.authorised.stream, on_air.session, |status| {
                    status.speed = Some(speed);
                });
        }
    }

    /// The packager knows when; whoever asks the API is told at once.
    fn handle_rung(&mut self, rung: usize, is_made: bool, from: u64) {
        let (Some(programme), Some(on_air)) = (&mut self.programme, &mut self.on_air) else {
            return;
        };
        if !is_made {
            // There is no room for more rungs where there is none for these.
            on_air.give_up_growth();
        }
        on_air.hold_back(from);
        if rung == 0 {
            on_air.suspend_passage(if is_made { from } else { u64::MAX });
        }
        let qualities = programme.set_made(rung, is_made);
        let is_shedding = qualities.len() < programme.ladder().len();
        let media = &self.settings.media;
        let work = (media.encoder, media.preset);
        let is_starving = room::starves(programme.rungs(false), programme.rate(), work);
        let made: Vec<_> = programme.rungs(true).cloned().collect();
        let cores = cost::of(programme.canvas().size, &made, programme.rate(), work);
        // What a larger ladder has taken that has not begun is given back with it.
        let cores = on_air.growing_to().unwrap_or(cores);
        let quality = programme.ladder().get(rung).map(Rung::name);
        if is_made {
            tracing::info!(
                quality,
                ?qualities,
                "the machine has room again: rung restored"
            );
        } else {
            tracing::warn!(quality, ?qualities, "the machine cannot keep up: rung shed");
        }
        self.directory
            .update(self.authorised.stream, on_air.session, |status| {
                status.qualities = qualities;
                status.is_shedding = is_shedding;
                status.is_starving = is_starving;
                status.cores = cores;
            });
    }

    pub(super) fn ask_key_frame(&mut self) {
        if let Some(on_air) = &mut self.on_air {
            let now = clock::now();
            on_air.want_key_frame(now, clock::steady(now));
        }
    }
}

/// A rate, which configuration keeps far below the limit.
pub(in crate::live) fn bits(rate: Bitrate) -> u32 {
    u32::try_from(rate.as_bps()).unwrap_or(u32::MAX)
}

/// What a worker is to make for a programme with this ladder.
pub(super) fn worker_spec(
    media: &config::Media,
    programme: &Programme,
    ladder: Vec<Rung>,
) -> transcode::Spec {
    transcode::Spec {
        encoder: media.encoder,
        preset: media.preset,
        audio_bitrate: bits(media.audio_bitrate),
        opus_bitrate: media.opus_bitrate.map(bits),
        thumbnail_frames: programme.thumbnail_frames(),
        memory_limit: media.worker_memory.as_u64(),
        shedding: media.shed_rungs.then(|| programme.beat()),
        ..transcode::Spec::new(ladder, programme.rate())
    }
}

/// Tells of rungs that the one thread that makes them can hardly make here: those are
/// lost under load, whatever else the machine could do.
pub(super) fn warn_of_slow_rungs(spec: &transcode::Spec) {
    let work = (spec.encoder, spec.preset);
    for rung in &spec.ladder {
        if !room::fits_a_thread(rung, spec.rate, work) {
            tracing::warn!(
                quality = rung.name(),
                cores = cost::thread(rung, spec.rate, work),
                "one thread makes this rung and may be too slow for it: \
                 a faster preset or fewer frames per second would help"
            );
        }
    }
}
