// The frame strip: a frame counter and a capture time that survive scaling and H.264.
//
// The test picture draws it, the player reads it back off the displayed video and so
// measures capture to display on one clock. The Rust publisher of the demo draws the
// same strip: a change here is a change of the format for both.
//
// Layout. Two rows of 26 black or white blocks cover the top of the frame: column i
// spans x from round(i·W/26) to round((i+1)·W/26), row r spans y from round(r·H/15) to
// round((r+1)·H/15), so a block is about 48 px at 1280x720. White is full luma, black
// none, chroma neutral, edges hard.
//
//     column  0      1      2 … 23                    24          25
//     row 0   white  black  counter, Gray, MSB first  odd parity  even parity
//     row 1   black  white  time, Gray, MSB first     odd parity  even parity
//
// - Row 0: index of the frame in a constant schedule, mod 2^22. A frame that was not
//   made leaves a gap in the numbers.
// - Row 1: Unix time in milliseconds when the frame was drawn, mod 2^22 (70 minutes).
// - Gray code g = v ^ (v >> 1); column 2 is bit 21 of g. Neighbouring values differ in
//   one block, so a blend of two frames reads as one of them.
// - Column 24 is the XOR of the bits of g at odd positions (1, 3, …, 21), column 25
//   that of the even ones. White is 1.
// - Reading: luma of a block is the mean over its central half; the first two blocks
//   give white and black and so the threshold. Contrast under MIN_CONTRAST, or a block
//   nearer to the threshold than MIN_MARGIN of the contrast, means there is no strip.
// - Sound: on each multiple of BEEP_EVERY a 1 kHz sine of 60 ms begins.

/** Blocks in a row. */
export const COLUMNS = 26;
/** Rows: the counter, then the time. */
export const ROWS = 2;
/** A row is one part in this many of the frame's height. */
export const ROW_FRACTION = 15;
/** Bits of a value. */
const DATA = 22;
/** Both values are taken modulo this. */
export const MODULUS = 2 ** DATA;
/** Frames between two beeps. */
export const BEEP_EVERY = 30;
/** Pitch of the beep, Hz. */
export const BEEP_HZ = 1000;
/** Length of the beep, seconds. */
export const BEEP_SECONDS = 0.06;

/** White minus black, in luma steps, below which a picture carries no strip. */
const MIN_CONTRAST = 80;
/** How far from the threshold a block must lie, as a part of the contrast. */
const MIN_MARGIN = 0.15;

/** What one frame says. */
export interface StripReading {
  /** Index of the frame, mod {@link MODULUS}. */
  counter: number;
  /** Capture time in milliseconds, mod {@link MODULUS}. */
  time: number;
}

/** Pixels as `ImageData` has them: RGBA, row by row. */
export interface Pixels {
  data: Uint8ClampedArray | Uint8Array;
  width: number;
  height: number;
}

/** A row of the strip; `true` is white. `row` 0 carries the counter, 1 the time. */
export function encodeRow(row: 0 | 1, value: number): boolean[] {
  const wrapped = ((Math.round(value) % MODULUS) + MODULUS) % MODULUS;
  const gray = wrapped ^ (wrapped >>> 1);
  const blocks = row === 0 ? [true, false] : [false, true];
  const parity = [false, false];
  for (let bit = DATA - 1; bit >= 0; bit--) {
    const isSet = ((gray >>> bit) & 1) === 1;
    blocks.push(isSet);
    if (isSet) parity[bit % 2] = !parity[bit % 2];
  }
  blocks.push(parity[1] === true, parity[0] === true);
  return blocks;
}

/** Height of the strip in a frame of the given height, in pixels. */
export function stripHeight(frameHeight: number): number {
  return Math.round((ROWS * frameHeight) / ROW_FRACTION);
}

/** Draws the strip over the top of a `width` × `height` canvas. */
export function drawStrip(
  context: Pick<CanvasRenderingContext2D, "fillRect" | "fillStyle">,
  width: number,
  height: number,
  counter: number,
  timeMs: number,
): void {
  const rows = [encodeRow(0, counter), encodeRow(1, timeMs)];
  rows.forEach((blocks, row) => {
    const top = Math.round((row * height) / ROW_FRACTION);
    const bottom = Math.round(((row + 1) * height) / ROW_FRACTION);
    blocks.forEach((isWhite, column) => {
      const left = Math.round((column * width) / COLUMNS);
      const right = Math.round(((column + 1) * width) / COLUMNS);
      context.fillStyle = isWhite ? "#fff" : "#000";
      context.fillRect(left, top, right - left, bottom - top);
    });
  });
}

/**
 * Reads a strip that fills `image` (the top {@link stripHeight} lines of a frame, at any
 * scale). `null` when there is none, or when a block cannot be told for sure.
 */
export function readStrip(image: Pixels): StripReading | null {
  const counter = readRow(image, 0);
  if (counter === null) return null;
  const time = readRow(image, 1);
  return time === null ? null : { counter, time };
}

/** `a − b` for two values of the strip, taken the short way round the modulus. */
export function stripDifference(a: number, b: number): number {
  const difference = (((a - b) % MODULUS) + MODULUS) % MODULUS;
  return difference >= MODULUS / 2 ? difference - MODULUS : difference;
}

function readRow(image: Pixels, row: 0 | 1): number | null {
  const luma = Array.from({ length: COLUMNS }, (_, column) => blockLuma(image, row, column));
  const white = luma[row] ?? 0;
  const black = luma[1 - row] ?? 0;
  const contrast = white - black;
  if (contrast < MIN_CONTRAST) return null;
  const threshold = (white + black) / 2;

  let gray = 0;
  const parity = [0, 0];
  for (let bit = DATA - 1; bit >= 0; bit--) {
    const distance = (luma[2 + DATA - 1 - bit] ?? threshold) - threshold;
    if (Math.abs(distance) < MIN_MARGIN * contrast) return null;
    if (distance > 0) {
      gray |= 1 << bit;
      parity[bit % 2] = (parity[bit % 2] ?? 0) ^ 1;
    }
  }
  for (const [column, expected] of [
    [COLUMNS - 2, parity[1]],
    [COLUMNS - 1, parity[0]],
  ] as const) {
    const distance = (luma[column] ?? threshold) - threshold;
    if (Math.abs(distance) < MIN_MARGIN * contrast) return null;
    if ((distance > 0 ? 1 : 0) !== expected) return null;
  }
  return fromGray(gray);
}

function fromGray(gray: number): number {
  let value = gray;
  for (let shift = 1; shift < DATA; shift *= 2) value ^= value >>> shift;
  return value;
}

function blockLuma(image: Pixels, row: number, column: number): number {
  const blockWidth = image.width / COLUMNS;
  const blockHeight = image.height / ROWS;
  const left = Math.round((column + 0.25) * blockWidth);
  const right = Math.max(left + 1, Math.round((column + 0.75) * blockWidth));
  const top = Math.round((row + 0.25) * blockHeight);
  const bottom = Math.max(top + 1, Math.round((row + 0.75) * blockHeight));
  let sum = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = (y * image.width + x) * 4;
      sum +=
        0.299 * (image.data[at] ?? 0) +
        0.587 * (image.data[at + 1] ?? 0) +
        0.114 * (image.data[at + 2] ?? 0);
    }
  }
  return sum / ((right - left) * (bottom - top));
}
