//! The broadcast and a presenter whose own picture is the top rung.

use metrics::Gauge;

use super::Broadcast;
use crate::{
    live::{
        gate,
        on_air::OnAir,
        pass::{Event, Progress, Reason, Rhythm, Sets},
        programme::Programme,
    },
    package::ParameterSets,
    transcode::{
        Encoder,
        ladder::{Resolution, Rung},
    },
};

/// Sound beside the top rung's rate, in bits per second.
const SOUND: u64 = 256_000;

/// One stream of a gauge, as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Broadcast {
    /// Does what the session on air has told of pictures that are passed through.
    pub(super) fn pass(&mut self) {
        while let Some(event) = self.on_air.as_mut().and_then(OnAir::poll_passed) {
            match event {
                Event::Passed(passed) => {
                    if let Some(programme) = &mut self.programme {
                        programme.handle_passed(passed);
                    }
                }
                Event::Changed(progress) => self.note_progress(progress),
                Event::KeyFrame(micros) => {
                    tracing::debug!(micros, "a presenter's key frame after its place");
                    let offset = micros.unsigned_abs() as f64 / 1e6;
                    let metrics = &self.settings.metrics;
                    metrics.key_frame_offset_seconds.record(offset);
                }
            }
        }
    }

    /// Nothing of this session is passed through any more: what is held goes out.
    pub(super) fn end_passing(&mut self, gone: &mut OnAir) {
        gone.end_passage();
        while let Some(event) = gone.poll_passed() {
            if let (Event::Passed(passed), Some(programme)) = (event, &mut self.programme) {
                programme.handle_passed(passed);
            }
        }
        self.passing = None;
    }

    fn note_progress(&mut self, progress: Progress) {
        let Some(on_air) = &self.on_air else { return };
        let (stream, session) = (self.authorised.stream, on_air.session);
        self.directory.update(stream, session, |status| {
            status.pass_through = Some(progress);
        });
        let was_passing = self.passing.take().is_some();
        match progress {
            Progress::Starting => {}
            Progress::Passing => {
                tracing::info!("the top rung is passed through");
                self.passing = Some(Counted::new(&self.settings.metrics.passing));
                // What comes is what viewers get: as much as they are told.
                let top = self.programme.as_ref().and_then(|it| it.ladder().first());
                let rate = top.map_or(0, |rung| u64::from(rung.bitrate));
                on_air.link.target_rate(session, rate + SOUND);
            }
            Progress::Encoded(reason) => {
                let reason_name = reason.as_str();
                tracing::warn!(reason = reason_name, "the top rung is encoded");
                self.settings.metrics.pass_through_refused(reason);
            }
        }
        if was_passing && progress != Progress::Passing {
            let usual = gate::max_bitrate(&self.authorised);
            on_air.link.target_rate(session, usual);
        }
    }
}

/// Whether the picture that has come in so far may become the top rung of this ladder,
/// made for a picture of size `canvas`.
pub(super) fn candidate(
    on_air: &mut OnAir,
    ladder: &[Rung],
    canvas: Resolution,
    encoder: Encoder,
) -> Result<Sets, Reason> {
    // The last rung is always made: small pictures are made of it.
    let [top, _, ..] = ladder else {
        return Err(Reason::Ladder);
    };
    if encoder != Encoder::Libx264 {
        return Err(Reason::Encoder);
    }
    let sets = on_air.parameter_sets()?;
    let fits = sets.size == canvas && sets.size == top.resolution;
    fits.then_some(sets).ok_or(Reason::Size)
}

/// What the packager is to know of a candidate.
pub(super) fn parameter_sets(candidate: Option<&Result<Sets, Reason>>) -> Option<ParameterSets> {
    let sets = candidate?.as_ref().ok()?;
    Some(sets.sets.clone())
}

pub(super) fn rhythm(programme: &Programme) -> Rhythm {
    let beat = programme.beat();
    let top = programme.ladder().first();
    Rhythm {
        bitrate: top.map_or(0, |rung| rung.bitrate),
        rate: programme.rate(),
        segment_frames: beat.segment_frames,
        part_frames: beat.part_frames,
    }
}
