//! The frame strip: a frame counter and a capture time that survive scaling
//! and H.264.
//!
//! Two rows of 26 black or white blocks along the top of the frame. The player
//! page reads the same layout (`origin/web/src/strip.ts`): a change here is a
//! change of the format for both.
//!
//! ```text
//! column  0      1      2 … 23                    24          25
//! row 0   white  black  counter, Gray, MSB first  odd parity  even parity
//! row 1   black  white  time, Gray, MSB first     odd parity  even parity
//! ```
//!
//! Column i spans x from round(i·W/26) to round((i+1)·W/26), row r spans y from
//! round(r·H/15) to round((r+1)·H/15). Neighbouring values differ in one block,
//! so that a blend of two frames still reads as one of them.

/// Blocks in a row.
pub const COLUMNS: usize = 26;
/// Rows: the counter, then the time.
pub const ROWS: usize = 2;
/// Both values are taken modulo this.
pub const MODULUS: u32 = 1 << DATA_BITS;
/// Frames between two beeps.
pub const BEEP_EVERY: u64 = 30;

const DATA_BITS: u32 = 22;
/// A row is one part in this many of the frame's height.
const ROW_FRACTION: usize = 15;
/// Luma of a white block, limited range.
const WHITE: u8 = 235;
/// Luma of a black block, limited range.
const BLACK: u8 = 16;
/// White minus black, in full-range steps, below which there is no strip.
const MIN_CONTRAST: f32 = 80.0;
/// Distance of a block from the threshold, as a part of the contrast.
const MIN_MARGIN: f32 = 0.15;

/// What one frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Index of the frame in its constant schedule, mod [`MODULUS`].
    pub counter: u32,
    /// Unix time in milliseconds at capture, mod [`MODULUS`].
    pub time: u32,
}

/// A plane of samples, one byte each, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The samples; row `y` begins at `y * stride`.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Samples in a row that belong to the picture.
    pub width: usize,
    /// Rows of the picture.
    pub height: usize,
}

impl Plane<'_> {
    /// The middle of a lying plane, as wide as the same picture standing upright would
    /// be at its height; `None` of a plane that is not lying.
    pub fn upright(self) -> Option<Self> {
        let width = self.height * self.height / self.width.max(1);
        let left = self.width.checked_sub(width)? / 2;
        (left > 0).then(|| Self {
            data: &self.data[left..],
            width,
            ..self
        })
    }
}

/// The blocks of a row, `true` for white; row 0 carries the counter, 1 the time.
pub fn encode_row(row: usize, value: u64) -> [bool; COLUMNS] {
    let value = u32::try_from(value % u64::from(MODULUS)).unwrap_or(0);
    let gray = value ^ (value >> 1);
    let mut blocks = [false; COLUMNS];
    blocks[row] = true;
    for (column, bit) in (0..DATA_BITS).rev().enumerate() {
        blocks[2 + column] = (gray >> bit) & 1 == 1;
    }
    blocks[COLUMNS - 2] = parity(gray & ODD_BITS);
    blocks[COLUMNS - 1] = parity(gray & EVEN_BITS);
    blocks
}

const ODD_BITS: u32 = 0xAAAA_AAAA;
const EVEN_BITS: u32 = 0x5555_5555;

fn parity(bits: u32) -> bool {
    bits.count_ones() % 2 == 1
}

/// Draws the strip into the luma plane of a `width` × `height` frame.
///
/// Chroma of the same area is the caller's: it must be neutral (128).
pub fn draw(luma: &mut [u8], stride: usize, (width, height): (usize, usize), reading: [u64; ROWS]) {
    for (row, value) in reading.into_iter().enumerate() {
        let blocks = encode_row(row, value);
        for y in edge(row, height, ROW_FRACTION)..edge(row + 1, height, ROW_FRACTION) {
            let line = &mut luma[y * stride..y * stride + width];
            for (column, &is_white) in blocks.iter().enumerate() {
                let span = edge(column, width, COLUMNS)..edge(column + 1, width, COLUMNS);
                line[span].fill(if is_white { WHITE } else { BLACK });
            }
        }
    }
}

/// Height of the strip in a frame of this height, in samples.
pub fn height_in(frame_height: usize) -> usize {
    edge(ROWS, frame_height, ROW_FRACTION)
}

/// round(index · length / parts)
fn edge(index: usize, length: usize, parts: usize) -> usize {
    (2 * index * length + parts) / (2 * parts)
}

/// Reads the strip off a limited-range luma plane.
///
/// `None` when there is none, or when a block cannot be told for sure.
pub fn read(luma: Plane<'_>) -> Option<Reading> {
    Some(Reading {
        counter: read_row(luma, 0)?,
        time: read_row(luma, 1)?,
    })
}

/// `a − b`, taken the short way round the modulus.
pub fn difference(a: u32, b: u32) -> i64 {
    let modulus = i64::from(MODULUS);
    let forward = (i64::from(a) - i64::from(b)).rem_euclid(modulus);
    if forward >= modulus / 2 {
        forward - modulus
    } else {
        forward
    }
}

fn read_row(luma: Plane<'_>, row: usize) -> Option<u32> {
    let blocks: Vec<f32> = (0..COLUMNS)
        .map(|column| block(luma, row, column))
        .collect();
    let (white, black) = (blocks[row], blocks[1 - row]);
    let contrast = white - black;
    if contrast < MIN_CONTRAST {
        return None;
    }
    let threshold = f32::midpoint(white, black);
    let mut gray = 0;
    let mut check = 0;
    for (column, value) in blocks.iter().enumerate().skip(2) {
        let distance = value - threshold;
        if distance.abs() < MIN_MARGIN * contrast {
            return None;
        }
        let bit = u32::from(distance > 0.0);
        if column < COLUMNS - 2 {
            gray = (gray << 1) | bit;
        } else {
            check = (check << 1) | bit;
        }
    }
    let expected = (u32::from(parity(gray & ODD_BITS)) << 1) | u32::from(parity(gray & EVEN_BITS));
    (check == expected).then(|| from_gray(gray))
}

fn from_gray(gray: u32) -> u32 {
    let mut value = gray;
    let mut shift = 1;
    while shift < DATA_BITS {
        value ^= value >> shift;
        shift *= 2;
    }
    value
}

/// Mean of a block's central half, as full-range luma.
fn block(luma: Plane<'_>, row: usize, column: usize) -> f32 {
    let (left, right) = centre(column, luma.width, COLUMNS);
    let (top, bottom) = centre(row, luma.height, ROW_FRACTION);
    let mut sum = 0.0;
    for y in top..bottom {
        for sample in &luma.data[y * luma.stride + left..y * luma.stride + right] {
            sum += f32::from(*sample);
        }
    }
    let mean = sum / ((right - left) * (bottom - top)) as f32;
    (mean - f32::from(BLACK)) * 255.0 / f32::from(WHITE - BLACK)
}

fn centre(index: usize, length: usize, parts: usize) -> (usize, usize) {
    let low = ((4 * index + 1) * length + 2 * parts) / (4 * parts);
    let high = ((4 * index + 3) * length + 2 * parts) / (4 * parts);
    (low, high.max(low + 1))
}

#[cfg(test)]
mod tests;
