//! Which rungs a stream gets, from the resolution its presenter started with.
//!
//! Pure. A rung is named by its *short* side, so a portrait source gets the
//! same rungs turned by 90°. No rung ever goes or changes: what the source does
//! later is the scaler's business, but for a picture that grows in its first
//! seconds, which adds taller rungs once ([`Ladder::enlarged`]).

/// A picture's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Resolution {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl From<inlet_common::video::Size> for Resolution {
    fn from(size: inlet_common::video::Size) -> Self {
        Self {
            width: size.width,
            height: size.height,
        }
    }
}

impl Resolution {
    /// The smaller one of width and height.
    pub fn short_side(self) -> u32 {
        self.width.min(self.height)
    }

    /// Whether it has the aspect of another, but for what rounding makes of it.
    pub fn is_shaped_like(self, other: Self) -> bool {
        let (one, two) = (
            u64::from(self.width) * u64::from(other.height),
            u64::from(self.height) * u64::from(other.width),
        );
        one.abs_diff(two) * 100 <= one * 3
    }

    fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// One rendition of the ladder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rung {
    /// Its size, with the source's aspect and even numbers.
    pub resolution: Resolution,
    /// Target rate of its encoder, in bits per second.
    pub bitrate: u32,
}

impl Rung {
    /// The rung's name in URLs, labels and the API: its short side and a `p`.
    pub fn name(&self) -> String {
        format!("{}p", self.resolution.short_side())
    }
}

/// A rung as it is asked for, before the source is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quality {
    /// Its short side in pixels.
    pub short_side: u32,
    /// Target rate of its encoder, in bits per second.
    pub bitrate: u32,
}

/// The qualities a stream may get; what it does get depends on its source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Ladder {
    qualities: Vec<Quality>,
}

impl Ladder {
    /// The product's default.
    pub const DEFAULT: [Quality; 4] = [
        Quality {
            short_side: 1080,
            bitrate: 4_050_000,
        },
        Quality {
            short_side: 720,
            bitrate: 1_800_000,
        },
        Quality {
            short_side: 468,
            bitrate: 800_000,
        },
        Quality {
            short_side: 360,
            bitrate: 450_000,
        },
    ];

    /// A ladder of the given qualities in any order. Of two with the same
    /// short side the first counts; more than [`MAX_RUNGS`] are cut from the
    /// bottom. An empty set means [`Self::DEFAULT`].
    pub fn new(qualities: &[Quality]) -> Self {
        if qualities.is_empty() {
            return Self::default();
        }
        let mut qualities = qualities.to_vec();
        qualities.sort_by_key(|quality| std::cmp::Reverse(quality.short_side));
        qualities.dedup_by_key(|quality| quality.short_side);
        qualities.truncate(MAX_RUNGS);
        Self { qualities }
    }

    /// The rungs for a source that starts at `source`, tallest first; never
    /// empty, and none is larger than the source.
    ///
    /// A source smaller than the smallest quality gets one rung of its own
    /// size, with that quality's rate scaled down by area.
    pub fn for_source(&self, source: Resolution) -> Vec<Rung> {
        let source = Resolution {
            width: source.width.clamp(MIN_SIDE, MAX_SIDE),
            height: source.height.clamp(MIN_SIDE, MAX_SIDE),
        };
        let rungs: Vec<Rung> = self
            .qualities
            .iter()
            .filter(|quality| (MIN_SIDE..=source.short_side()).contains(&quality.short_side))
            .map(|quality| Rung {
                resolution: scaled(source, quality.short_side),
                bitrate: quality.bitrate,
            })
            .collect();
        if rungs.is_empty() {
            vec![self.own_size(source)]
        } else {
            rungs
        }
    }

    /// `rungs` with those that a larger source gets beside, tallest first; no
    /// rung goes or changes. `None` when none would be taller than there are, or
    /// when the source has another shape.
    pub fn enlarged(&self, rungs: &[Rung], source: Resolution) -> Option<Vec<Rung>> {
        let tallest = rungs.first()?.resolution;
        let mut wanted = self.for_source(source);
        if wanted.first()?.resolution.short_side() <= tallest.short_side()
            || !tallest.is_shaped_like(source)
        {
            return None;
        }
        wanted.retain(|rung| rungs.iter().all(|known| known.name() != rung.name()));
        wanted.truncate(MAX_RUNGS.saturating_sub(rungs.len()));
        let mut all = [rungs, &wanted].concat();
        all.sort_by_key(|rung| std::cmp::Reverse(rung.resolution.short_side()));
        Some(all).filter(|all| all.len() > rungs.len())
    }

    /// Short side of the tallest quality.
    pub fn tallest(&self) -> u32 {
        let sides = self.qualities.iter().map(|quality| quality.short_side);
        sides.max().unwrap_or(0)
    }

    fn own_size(&self, source: Resolution) -> Rung {
        let resolution = scaled(source, source.short_side());
        let smallest = self.qualities.last().copied().unwrap_or(Self::DEFAULT[3]);
        let side = u64::from(smallest.short_side.max(MIN_SIDE));
        let area = side * side * u64::from(source.width.max(source.height))
            / u64::from(source.short_side());
        let bitrate = u64::from(smallest.bitrate) * resolution.pixels() / area.max(1);
        let bitrate = u32::try_from(bitrate).unwrap_or(smallest.bitrate);
        let floor = MIN_BITRATE.min(smallest.bitrate);
        Rung {
            resolution,
            bitrate: bitrate.clamp(floor, smallest.bitrate),
        }
    }
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            qualities: Self::DEFAULT.to_vec(),
        }
    }
}

/// The size of a rung's thumbnails: the rung's shape within [`THUMBNAIL_SIDE`], each
/// side even.
pub fn thumbnail(rung: Resolution) -> Resolution {
    let long = rung.width.max(rung.height).max(1);
    let short = rung.short_side() * THUMBNAIL_SIDE.min(long) / long;
    scaled(rung, short)
}

/// Longest side of a thumbnail, in pixels: what a preview over a seek bar shows on a
/// common screen. A larger one would cost memory with each second of the window.
pub const THUMBNAIL_SIDE: u32 = 192;

/// Most rungs of one stream: each costs a thread and an encoder.
pub const MAX_RUNGS: usize = 8;

/// Smallest side that is encoded; 4:2:0 needs two pixels, x264 is at ease
/// with a macroblock.
const MIN_SIDE: u32 = 16;

/// Largest side of a rung, twice that of 4K.
const MAX_SIDE: u32 = 8192;

/// Below this, H.264 has nothing left to show whatever the size.
const MIN_BITRATE: u32 = 100_000;

/// `source` brought to a short side of `short`, each side even and no larger
/// than the source's.
fn scaled(source: Resolution, short: u32) -> Resolution {
    let side = |length: u32| {
        let exact = u64::from(length) * u64::from(short);
        let by = u64::from(source.short_side());
        // The nearest even number, but never above the source.
        let even = (exact + by) / (2 * by) * 2;
        let cap = u64::from(length) / 2 * 2;
        u32::try_from(even.min(cap)).unwrap_or(MAX_SIDE).max(2)
    };
    Resolution {
        width: side(source.width),
        height: side(source.height),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn default_ladder_of_common_sources() {
        assert_eq!(
            names(1920, 1080),
            ["1920x1080", "1280x720", "832x468", "640x360"]
        );
        assert_eq!(names(1280, 720), ["1280x720", "832x468", "640x360"]);
        assert_eq!(names(854, 480), ["832x468", "640x360"]);
        assert_eq!(names(640, 360), ["640x360"]);
        assert_eq!(
            names(3840, 2160),
            ["1920x1080", "1280x720", "832x468", "640x360"]
        );
    }

    #[test]
    fn thumbnails_are_small_and_shaped_like_the_rung() {
        for (rung, expected) in [
            ((640, 360), (192, 108)),
            ((360, 640), (108, 192)),
            ((480, 360), (192, 144)),
            ((64, 36), (64, 36)),
            ((8192, 360), (182, 8)),
        ] {
            let [rung, expected] =
                [rung, expected].map(|(width, height)| Resolution { width, height });
            assert_eq!(thumbnail(rung), expected, "{rung:?}");
        }
    }

    #[test]
    fn portrait_gets_the_same_rungs_upright() {
        assert_eq!(names(720, 1280), ["720x1280", "468x832", "360x640"]);
    }

    #[test]
    fn small_source_gets_one_rung_of_its_own_size() {
        let rungs = Ladder::default().for_source(Resolution {
            width: 320,
            height: 180,
        });
        assert_eq!(rungs.len(), 1);
        assert_eq!(
            rungs[0].resolution,
            Resolution {
                width: 320,
                height: 180
            }
        );
        assert_eq!(rungs[0].name(), "180p");
        assert!((100_000..450_000).contains(&rungs[0].bitrate));
    }

    #[test]
    fn a_larger_source_adds_rungs_and_takes_none() {
        let ladder = Ladder::default();
        let enlarged = |from: (u32, u32), to: (u32, u32)| {
            let size = |(width, height)| Resolution { width, height };
            let before = ladder.for_source(size(from));
            let after = ladder.enlarged(&before, size(to))?;
            assert!(before.iter().all(|rung| after.contains(rung)));
            Some(after.iter().map(Rung::name).collect::<Vec<_>>())
        };
        let of = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        assert_eq!(
            enlarged((640, 360), (1280, 720)),
            of(&["720p", "468p", "360p"])
        );
        // Too small for any quality at first: it stays.
        assert_eq!(
            enlarged((480, 270), (960, 540)),
            of(&["468p", "360p", "270p"])
        );
        assert_eq!(enlarged((1280, 720), (1600, 900)), None, "the same rungs");
        assert_eq!(enlarged((1280, 720), (640, 360)), None, "smaller");
        assert_eq!(enlarged((640, 360), (720, 1280)), None, "turned");
    }

    #[test]
    fn an_enlarged_ladder_is_bounded() {
        let quality = |short_side| Quality {
            short_side,
            bitrate: 100_000,
        };
        let all: Vec<_> = (0..8).map(|n| quality(400 + n * 40)).collect();
        let ladder = Ladder::new(&all);
        let size = |width, height| Resolution { width, height };
        let before = ladder.for_source(size(640, 360));
        let after = ladder.enlarged(&before, size(1280, 720)).unwrap();
        assert_eq!(after.len(), MAX_RUNGS);
        assert_eq!(after[0].name(), "680p");
        assert_eq!(after.last(), before.last());
    }

    #[test]
    fn order_and_duplicates_of_the_configuration_do_not_matter() {
        let quality = |short_side, bitrate| Quality {
            short_side,
            bitrate,
        };
        let ladder = Ladder::new(&[quality(360, 1), quality(720, 2), quality(360, 3)]);
        let rungs = ladder.for_source(Resolution {
            width: 1280,
            height: 720,
        });
        assert_eq!(
            rungs.iter().map(|rung| rung.bitrate).collect::<Vec<_>>(),
            [2, 1]
        );
    }

    proptest! {
        #[test]
        fn rungs_are_even_within_the_source_and_keep_its_aspect(
            width in 0u32..9000,
            height in 0u32..9000,
            shorts in proptest::collection::vec((1u32..3000, 1u32..20_000_000), 0..12),
        ) {
            let qualities: Vec<_> = shorts
                .iter()
                .map(|&(short_side, bitrate)| Quality { short_side, bitrate })
                .collect();
            let rungs = Ladder::new(&qualities).for_source(Resolution { width, height });
            prop_assert!((1..=MAX_RUNGS).contains(&rungs.len()));
            let (width, height) = (width.clamp(16, 8192), height.clamp(16, 8192));
            for rung in &rungs {
                let size = rung.resolution;
                prop_assert!(size.width % 2 == 0 && size.height % 2 == 0);
                prop_assert!(size.width >= 2 && size.width <= width);
                prop_assert!(size.height >= 2 && size.height <= height);
                prop_assert!(rung.bitrate > 0);
                // Both sides follow one factor, to the even number.
                let factor = f64::from(size.short_side()) / f64::from(width.min(height));
                let long = f64::from(width.max(height)) * factor;
                let slack = 2.0 + f64::from(width.max(height)) / f64::from(width.min(height)) * 2.0;
                prop_assert!((f64::from(size.width.max(size.height)) - long).abs() <= slack);
            }
            for pair in rungs.windows(2) {
                prop_assert!(pair[0].resolution.short_side() >= pair[1].resolution.short_side());
            }
        }
    }

    fn names(width: u32, height: u32) -> Vec<String> {
        Ladder::default()
            .for_source(Resolution { width, height })
            .iter()
            .map(|rung| format!("{}x{}", rung.resolution.width, rung.resolution.height))
            .collect()
    }
}
