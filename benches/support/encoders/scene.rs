//! Pictures with the statistics of a camera's: dead leaves.
//!
//! Discs of all sizes that cover each other have the edges, the spectrum and the
//! occlusions of natural images, which is why cameras' texture is measured with
//! them (ISO/TS 19567-2). A camera's noise lies on top, so that no two pictures
//! are alike, and all of it is computed, so that it is the same everywhere.

use std::{
    f64::consts::TAU,
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::Result;
use inlet_origin::transcode::ladder::Resolution;

use super::{FPS, FRAMES};

/// What is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A head that sways and speaks in front of a room that stands.
    Talk,
    /// A camera that pans over things that move, with a cut now and then.
    Action,
    /// The same in the dark, with the noise of that, and two cuts a second: more
    /// than the rates have room for.
    Hard,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Talk, Self::Action, Self::Hard];

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Action => "action",
            Self::Hard => "hard",
        }
    }

    /// Writes its frames one behind the other, in planes of 4:2:0.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(self, size: Resolution, path: &Path) -> Result<()> {
        let mut random = Random(0x5eed_1e77);
        let (back, front) = (Leaves::fall(&mut random), Leaves::fall(&mut random));
        let mut file = BufWriter::new(File::create(path)?);
        for frame in 0..FRAMES {
            let time = f64::from(frame) / f64::from(FPS);
            let layers = self.layers(time, size);
            for plane in 0..3 {
                let step = if plane == 0 { 1 } else { 2 };
                for y in (0..size.height).step_by(step) {
                    let row = (0..size.width).step_by(step).map(|x| {
                        let (x, y) = (f64::from(x), f64::from(y));
                        let shape = layers.shapes.iter().find(|shape| shape.holds(x, y));
                        let value = match shape {
                            Some(shape) => front.at(plane, x - shape.moved.0, y - shape.moved.1),
                            None => back.at(plane, x + layers.pan.0, y + layers.pan.1),
                        };
                        (value + self.noise() * random.noise(plane))
                            .round()
                            .clamp(16.0, 235.0) as u8
                    });
                    file.write_all(&row.collect::<Vec<_>>())?;
                }
            }
        }
        Ok(file.flush()?)
    }

    /// Times that of a sensor in a lit room.
    fn noise(self) -> f64 {
        match self {
            Self::Talk | Self::Action => 1.0,
            Self::Hard => 15.0,
        }
    }

    fn layers(self, time: f64, size: Resolution) -> Layers {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let wave = |period: f64, height: f64| height * (TAU * time / period).sin();
        match self {
            Self::Talk => {
                let moved = (wave(3.1, 14.0), wave(1.9, 5.0));
                let middle = (width / 2.0 + moved.0, height / 2.4 + moved.1);
                let mouth = Shape {
                    middle: (middle.0, middle.1 + height / 9.0),
                    radii: (height / 18.0, height / 60.0 * (1.5 + wave(0.24, 1.0))),
                    moved: (moved.0 + 333.0, moved.1),
                };
                let head = Shape {
                    middle,
                    radii: (height / 5.0, height / 3.7),
                    moved,
                };
                let shoulders = Shape {
                    middle: (width / 2.0 + moved.0 / 2.0, height * 1.05),
                    radii: (height / 2.1, height / 2.9),
                    moved: (moved.0 / 2.0 + 777.0, 0.0),
                };
                Layers {
                    pan: (0.0, 0.0),
                    shapes: vec![mouth, head, shoulders],
                }
            }
            Self::Action | Self::Hard => {
                let shots_per_second = match self {
                    Self::Hard => 2.0,
                    _ => 3.0 * f64::from(FPS) / f64::from(FRAMES),
                };
                let cut = 901.0 * (time * shots_per_second).floor();
                let shapes = (0..8_u32).map(|index| {
                    let (index, begin) = (f64::from(index), f64::from(index) * 1.7);
                    let speed = 60.0 + 35.0 * index;
                    let x = (begin * 200.0 + speed * time).rem_euclid(width * 1.2) - width / 10.0;
                    let y = height * (0.1 + 0.1 * index) + 40.0 * (time * 3.0 + begin).sin();
                    Shape {
                        middle: (x, y),
                        radii: (30.0 + 8.0 * index, 24.0 + 7.0 * index),
                        moved: (x + 97.0 * index, y),
                    }
                });
                Layers {
                    pan: (
                        190.0 * time + cut + wave(0.7, 2.0),
                        50.0 * time + wave(0.5, 1.5),
                    ),
                    shapes: shapes.collect(),
                }
            }
        }
    }
}

/// What lies in front of what.
struct Layers {
    /// How far the camera has turned, in pixels.
    pan: (f64, f64),
    /// The first one that holds a point is seen there.
    shapes: Vec<Shape>,
}

/// An ellipse that carries its texture along.
struct Shape {
    middle: (f64, f64),
    radii: (f64, f64),
    moved: (f64, f64),
}

impl Shape {
    fn holds(&self, x: f64, y: f64) -> bool {
        let (x, y) = (
            (x - self.middle.0) / self.radii.0,
            (y - self.middle.1) / self.radii.1,
        );
        x * x + y * y < 1.0
    }
}

/// A texture without end: it repeats after [`SIDE`] pixels.
struct Leaves {
    planes: [Vec<u8>; 3],
}

/// A power of two, and more than a picture is wide.
const SIDE: usize = 2_048;
const DISCS: usize = 60_000;
/// Radii, in pixels; as many of each as makes every size equally visible.
const RADII: (f64, f64) = (2.5, 220.0);

impl Leaves {
    fn fall(random: &mut Random) -> Self {
        let mut planes = [128; 3].map(|grey| vec![grey; SIDE * SIDE]);
        for _ in 0..DISCS {
            // The inverse of the distribution of r^-3 between the two.
            let (small, large) = (RADII.0.powi(-2), RADII.1.powi(-2));
            let radius = (small - random.unit() * (small - large)).powf(-0.5);
            let (x, y) = (random.below(SIDE), random.below(SIDE));
            let colour = [
                40.0 + 170.0 * random.unit(),
                128.0 + 50.0 * (random.unit() - 0.5),
                128.0 + 50.0 * (random.unit() - 0.5),
            ];
            for (plane, value) in planes.iter_mut().zip(colour) {
                disc(plane, (x, y), radius, value as u8);
            }
        }
        Self {
            planes: planes.map(|plane| softened(&plane)),
        }
    }

    /// The value at a point, between the pixels around it.
    fn at(&self, plane: usize, x: f64, y: f64) -> f64 {
        let (left, top) = (x.floor(), y.floor());
        let (right_part, lower_part) = (x - left, y - top);
        let pixel = |dx: i64, dy: i64| {
            let wrap = |place: i64| place.rem_euclid(SIDE as i64) as usize;
            let index = wrap(top as i64 + dy) * SIDE + wrap(left as i64 + dx);
            f64::from(self.planes[plane][index])
        };
        let upper = pixel(0, 0) * (1.0 - right_part) + pixel(1, 0) * right_part;
        let lower = pixel(0, 1) * (1.0 - right_part) + pixel(1, 1) * right_part;
        upper * (1.0 - lower_part) + lower * lower_part
    }
}

fn disc(plane: &mut [u8], (x, y): (usize, usize), radius: f64, value: u8) {
    let reach = radius as usize;
    for dy in 0..=2 * reach {
        let off = dy as f64 - reach as f64;
        let half = (radius * radius - off * off).max(0.0).sqrt() as usize;
        let row = (y + SIDE + dy - reach) % SIDE * SIDE;
        for dx in 0..=2 * half {
            plane[row + (x + SIDE + dx - half) % SIDE] = value;
        }
    }
}

/// As a lens does it: edges a pixel wide.
fn softened(plane: &[u8]) -> Vec<u8> {
    let mean = |index: usize| {
        let (row, column) = (index / SIDE, index % SIDE);
        let sum: u32 = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .map(|(dy, dx)| plane[(row + dy) % SIDE * SIDE + (column + dx) % SIDE])
            .map(u32::from)
            .iter()
            .sum();
        (sum / 4) as u8
    };
    (0..plane.len()).map(mean).collect()
}

/// A small generator (xorshift), so that each run sees the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A sensor's noise in a lit room, σ = 1.6 in luma: nearly normal.
    fn noise(&mut self, plane: usize) -> f64 {
        let bits = self.next();
        let sum: u32 = bits
            .to_be_bytes()
            .iter()
            .take(4)
            .map(|byte| u32::from(*byte))
            .sum();
        let sigma = if plane == 0 { 1.6 } else { 0.8 };
        sigma * (f64::from(sum) - 510.0) / 147.8
    }
}
