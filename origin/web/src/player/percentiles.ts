// A bounded window of samples and its percentiles. Pure.

import type { Samples } from "./state";

/** Two minutes at 30 frames a second. */
const MAX_SAMPLES = 3600;

/** The newest samples, oldest dropped first. */
export class Percentiles {
  #values: number[] = [];
  #last: number | null = null;

  add(value: number): void {
    this.#last = value;
    this.#values.push(value);
    if (this.#values.length > MAX_SAMPLES) this.#values.shift();
  }

  /** Forgets everything, for a measurement that starts after warming up. */
  clear(): void {
    this.#values = [];
    this.#last = null;
  }

  summary(): Samples {
    const sorted = this.#values.toSorted((a, b) => a - b);
    const at = (part: number): number | null =>
      sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? null;
    return { samples: sorted.length, p50: at(0.5), p95: at(0.95), last: this.#last };
  }
}
