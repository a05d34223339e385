import { describe, expect, it } from "vitest";
import {
  COLUMNS,
  MODULUS,
  drawStrip,
  encodeRow,
  readStrip,
  stripDifference,
  stripHeight,
  type Pixels,
} from "../src/strip";

/** A canvas context that can do the one thing the strip needs. */
class GrayCanvas {
  fillStyle = "#000";
  readonly pixels: Float64Array;
  constructor(
    readonly width: number,
    readonly height: number,
    background: (x: number, y: number) => number,
  ) {
    this.pixels = Float64Array.from({ length: width * height }, (_, i) =>
      background(i % width, Math.floor(i / width)),
    );
  }
  fillRect(left: number, top: number, width: number, height: number): void {
    const luma = this.fillStyle === "#fff" ? 255 : 0;
    for (let y = top; y < top + height; y++)
      this.pixels.fill(luma, y * this.width + left, y * this.width + left + width);
  }
}

/** Bilinear scaling, as a scaler in the ladder and the reader's own canvas do it. */
function scaled(source: GrayCanvas, width: number, height: number): GrayCanvas {
  const at = (x: number, y: number): number =>
    source.pixels[
      Math.min(source.height - 1, Math.max(0, y)) * source.width +
        Math.min(source.width - 1, Math.max(0, x))
    ] ?? 0;
  return new GrayCanvas(width, height, (x, y) => {
    const sx = ((x + 0.5) * source.width) / width - 0.5;
    const sy = ((y + 0.5) * source.height) / height - 0.5;
    const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
    const [fx, fy] = [sx - x0, sy - y0];
    return (
      at(x0, y0) * (1 - fx) * (1 - fy) +
      at(x0 + 1, y0) * fx * (1 - fy) +
      at(x0, y0 + 1) * (1 - fx) * fy +
      at(x0 + 1, y0 + 1) * fx * fy
    );
  });
}

/** Deterministic noise in −1…1. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

function stripPixels(frame: GrayCanvas, change: (luma: number) => number = (l) => l): Pixels {
  const height = stripHeight(frame.height);
  const data = new Uint8ClampedArray(frame.width * height * 4);
  for (let i = 0; i < frame.width * height; i++) {
    data.fill(change(frame.pixels[i] ?? 0), i * 4, i * 4 + 3);
    data[i * 4 + 3] = 255;
  }
  return { data, width: frame.width, height };
}

function picture(width: number, height: number, counter: number, time: number): GrayCanvas {
  const canvas = new GrayCanvas(width, height, (x, y) => (x * 7 + y * 3) % 256);
  drawStrip(canvas as unknown as CanvasRenderingContext2D, width, height, counter, time);
  return canvas;
}

const NOW = 1_767_225_600_123;

describe("strip", () => {
  it("has the layout that the other publisher draws", () => {
    const text = (blocks: boolean[]): string => blocks.map((b) => (b ? "1" : "0")).join("");
    expect(text(encodeRow(0, 0))).toBe("10000000000000000000000000");
    expect(text(encodeRow(0, 2))).toBe("10000000000000000000001111");
    expect(text(encodeRow(0, 123456))).toBe("10000001000100110110000000");
    expect(text(encodeRow(0, MODULUS - 1))).toBe("10100000000000000000000010");
    expect(text(encodeRow(1, NOW))).toBe("01010111111111000100011010");
  });

  it.each([
    [1920, 1080],
    [1280, 720],
    [854, 480],
    [640, 360],
    [480, 360],
    [360, 640],
  ])("reads back what was drawn at %ix%i", (width, height) => {
    for (const counter of [0, 29, 4096, 1_234_567, MODULUS - 1, MODULUS + 5]) {
      expect(readStrip(stripPixels(picture(width, height, counter, NOW + counter)))).toEqual({
        counter: counter % MODULUS,
        time: (NOW + counter) % MODULUS,
      });
    }
  });

  it.each([
    [832, 468],
    [640, 360],
    [426, 240],
  ])("survives scaling to %ix%i, limited range and heavy noise", (width, height) => {
    const random = noise(width);
    for (let counter = 0; counter < 8; counter++) {
      const frame = scaled(picture(1280, 720, counter * 997, NOW), width, height);
      const image = stripPixels(frame, (luma) => 16 + (luma * 219) / 255 + 60 * random());
      expect(readStrip(image)).toEqual({ counter: counter * 997, time: NOW % MODULUS });
    }
  });

  it("survives the reader's own small canvas", () => {
    const frame = scaled(picture(1280, 720, 77, NOW), 640, 360);
    const strip = new GrayCanvas(640, stripHeight(360), () => 0);
    strip.pixels.set(frame.pixels.subarray(0, strip.pixels.length));
    const small = scaled(strip, COLUMNS * 8, 16);
    const data = new Uint8ClampedArray(small.width * small.height * 4);
    small.pixels.forEach((luma, i) => data.fill(luma, i * 4, i * 4 + 3));
    expect(readStrip({ data, width: small.width, height: small.height })).toEqual({
      counter: 77,
      time: NOW % MODULUS,
    });
  });

  it("says nothing about a picture without a strip", () => {
    const random = noise(1);
    const flat = new GrayCanvas(640, 360, () => 0);
    expect(readStrip(stripPixels(flat))).toBeNull();
    for (let i = 0; i < 50; i++)
      expect(readStrip(stripPixels(flat, () => 128 + 127 * random()))).toBeNull();
  });

  it("refuses a strip with one block flipped, wherever it is", () => {
    for (let column = 0; column < COLUMNS; column++) {
      const frame = picture(1280, 720, 123456, NOW);
      const left = Math.round((column * 1280) / COLUMNS);
      const was = frame.pixels[24 * 1280 + left + 10];
      frame.fillStyle = was === 255 ? "#000" : "#fff";
      frame.fillRect(left, 0, 49, 48);
      expect(readStrip(stripPixels(frame))).toBeNull();
    }
  });

  it("reads a half-way blend of two neighbours as one of them or not at all", () => {
    const first = picture(1280, 720, 1023, NOW);
    const second = picture(1280, 720, 1024, NOW);
    for (const weight of [0.1, 0.3, 0.5, 0.7, 0.9]) {
      const blend = new GrayCanvas(1280, 720, (x, y) => {
        const i = y * 1280 + x;
        return (first.pixels[i] ?? 0) * (1 - weight) + (second.pixels[i] ?? 0) * weight;
      });
      const reading = readStrip(stripPixels(blend));
      if (reading !== null) expect([1023, 1024]).toContain(reading.counter);
      else expect(weight).toBe(0.5);
    }
  });

  it("takes differences the short way round", () => {
    expect(stripDifference(5, MODULUS - 5)).toBe(10);
    expect(stripDifference(MODULUS - 5, 5)).toBe(-10);
    expect(stripDifference(1000, 250)).toBe(750);
  });
});
