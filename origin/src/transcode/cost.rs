//! What a stream's transcoding takes of the machine, before it has begun.
//!
//! Pure. Work grows with the pixels per second that are decoded and encoded, so
//! two rates and a factor per preset give the figures measured for 30 frames
//! per second within 5 %, and all but one within 2 % (a core being that of the
//! machine they were measured on):
//!
//! | source | rungs | preset | measured | estimated |
//! |---|---|---|---|---|
//! | 720p | – | – | 0.085 | 0.085 |
//! | 720p | 720, 480, 360 | ultrafast | 0.38 | 0.38 |
//! | 720p | 720, 480, 360 | superfast | 0.53 | 0.53 |
//! | 720p | 720, 480, 360 | veryfast | 0.67 | 0.67 |
//! | 1080p | 1080, 720, 480, 360 | superfast | 1.28 | 1.23 |
//!
//! An encoder in hardware leaves scaling, the conversion to NV12 and the upload to
//! the cores.

use super::{
    Encoder, Preset, Spec,
    ladder::{Resolution, Rung},
};
use crate::timeline::FrameRate;

/// Cores that decode a million pixels per second: 0.085 for 720p30.
const DECODE: f64 = 0.085 / 27.648;

/// Millions of pixels in the largest picture that is decoded: a worker's
/// `max_pixels`.
const MAX_DECODED: f64 = 9.437_184;

/// Cores that scale and encode a million pixels per second with `superfast`:
/// 0.53 - 0.085 for 720p, 480p and 360p at 30 frames per second.
const ENCODE: f64 = (0.53 - 0.085) / 46.86;

/// The cores that a stream takes whose source has this size. A source is taken
/// to have the rungs' frame rate: what comes faster is decoded all the same,
/// but hardly any does.
pub fn cores(source: Resolution, spec: &Spec) -> f64 {
    let work = (spec.encoder, spec.preset);
    of(source, &spec.ladder, spec.rate, work)
}

/// The cores that a worker may have and no more, where that can be said: what would
/// keep a worker in need from shedding rungs must be far away, and one that a stranger's
/// bytes have made run wild is stopped long before it has a whole large machine.
pub fn bound(spec: &Spec) -> f64 {
    let tallest = spec.ladder.first().map(|rung| rung.resolution);
    1.0 + 3.0 * tallest.map_or(0.0, |source| cores(source, spec))
}

/// The share of a core that scaling and encoding one rung take. One thread does it, so
/// that it has a core and no more.
pub fn thread(rung: &Rung, rate: FrameRate, work: (Encoder, Preset)) -> f64 {
    millions(rung.resolution, rate) * ENCODE * weight(work)
}

/// The cores that a ladder takes; see [`cores`].
pub fn of(source: Resolution, ladder: &[Rung], rate: FrameRate, work: (Encoder, Preset)) -> f64 {
    let encoded: f64 = ladder.iter().map(|rung| thread(rung, rate, work)).sum();
    // A larger picture is refused by the decoder, whatever was announced.
    let decoded = millions(source, rate).min(MAX_DECODED * f64::from(rate.as_u32()));
    decoded * DECODE + encoded
}

/// Millions of pixels per second.
fn millions(size: Resolution, rate: FrameRate) -> f64 {
    f64::from(size.width) * f64::from(size.height) * f64::from(rate.as_u32()) / 1e6
}

/// An encoder's work beside that of x264's `superfast`. The first three presets are
/// measured; for the others x264's own figures are continued, on the safe side.
fn weight((encoder, preset): (Encoder, Preset)) -> f64 {
    if encoder != Encoder::Libx264 {
        return IN_HARDWARE;
    }
    match preset {
        Preset::Ultrafast => 0.295 / 0.445,
        Preset::Superfast => 1.0,
        Preset::Veryfast => 0.585 / 0.445,
        Preset::Faster => 2.0,
        Preset::Fast => 2.8,
        Preset::Medium => 3.5,
    }
}

/// Scaling a 720p picture to three rungs and converting them to NV12 takes 0.030
/// cores at 30 frames per second; twice as much for the upload, which nobody has
/// measured yet.
const IN_HARDWARE: f64 = 2.0 * 0.030 / 0.445;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_figures_come_out() {
        let three = [(1280, 720), (854, 480), (640, 360)];
        let four = [(1920, 1080), (1280, 720), (854, 480), (640, 360)];
        for (sizes, preset, measured) in [
            (&three[..], Preset::Ultrafast, 0.38),
            (&three[..], Preset::Superfast, 0.53),
            (&three[..], Preset::Veryfast, 0.67),
            (&four[..], Preset::Superfast, 1.28),
        ] {
            let sizes: Vec<_> = sizes.iter().map(|&size| resolution(size)).collect();
            let rung = |&resolution: &Resolution| Rung {
                resolution,
                bitrate: 1,
            };
            let ladder: Vec<_> = sizes.iter().map(rung).collect();
            let estimate = of(sizes[0], &ladder, FrameRate::DEFAULT, by_x264(preset));
            assert!(
                (estimate / measured - 1.0).abs() < 0.05,
                "{preset:?}: {estimate}"
            );
        }
        let decoding = of(
            resolution((1280, 720)),
            &[],
            FrameRate::DEFAULT,
            by_x264(Preset::Medium),
        );
        assert!((decoding - 0.085).abs() < 1e-3, "{decoding}");
    }

    #[test]
    fn later_presets_and_more_frames_cost_more() {
        let size = resolution((1280, 720));
        let ladder = [Rung {
            resolution: size,
            bitrate: 1,
        }];
        let cost = |work| of(size, &ladder, FrameRate::DEFAULT, work);
        let costs = Preset::ALL.map(|preset| cost(by_x264(preset)));
        assert!(costs.windows(2).all(|pair| pair[0] < pair[1]), "{costs:?}");
        for encoder in Encoder::ALL.into_iter().skip(1) {
            let in_hardware = Preset::ALL.map(|preset| cost((encoder, preset)));
            assert!(
                in_hardware.iter().all(|cost| *cost < costs[0]),
                "{encoder:?}"
            );
        }
        let fast = FrameRate::try_from(60).unwrap();
        let doubled = of(size, &ladder, fast, by_x264(Preset::Ultrafast));
        assert!((doubled / costs[0] - 2.0).abs() < 1e-9);
    }

    #[test]
    fn one_thread_has_a_core_and_a_rung_may_need_more() {
        let full = Rung {
            resolution: resolution((1920, 1080)),
            bitrate: 1,
        };
        let fast = FrameRate::try_from(60).unwrap();
        let work = by_x264(Preset::Superfast);
        assert!(thread(&full, FrameRate::DEFAULT, work) < 0.7);
        assert!(thread(&full, fast, work) > 1.0);
    }

    fn by_x264(preset: Preset) -> (Encoder, Preset) {
        (Encoder::Libx264, preset)
    }

    fn resolution((width, height): (u32, u32)) -> Resolution {
        Resolution { width, height }
    }
}
