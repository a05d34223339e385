// What hurts the picture, out of a report a second. Pure.
//
// A warning begins when it has been so for some seconds and ends when it has been well
// for longer, so that the page does not flicker.

import { explainLimitation, type SenderStats } from "./stats";
import type { Size } from "./urls";

/** What a presenter is warned of. */
export interface QualityWarning {
  kind: "limitation" | "resolution" | "loss" | "delay";
  message: string;
}

const BEGIN_AFTER = 3;
const END_AFTER = 5;
const MUCH_LOSS = 0.03;
const LONG_MS = 500;
/** Below this part of the source's pixels the picture is visibly smaller. */
const SMALLER = 0.6;

interface Memory {
  bad: number;
  good: number;
  message: string | null;
}

/** Judges one report after another. */
export class QualityWatch {
  readonly #memory = new Map<QualityWarning["kind"], Memory>();

  /** Takes a report; returns the warnings that hold. */
  judge(stats: SenderStats, source: Size | null): QualityWarning[] {
    const found = new Map(causes(stats, source).map(({ kind, message }) => [kind, message]));
    const warnings: QualityWarning[] = [];
    for (const kind of ["limitation", "resolution", "loss", "delay"] as const) {
      const message = this.#remember(kind, found.get(kind) ?? null);
      if (message !== null) warnings.push({ kind, message });
    }
    return warnings;
  }

  #remember(kind: QualityWarning["kind"], message: string | null): string | null {
    const memory = this.#memory.get(kind) ?? { bad: 0, good: 0, message: null };
    this.#memory.set(kind, memory);
    if (message === null) {
      memory.bad = 0;
      memory.good++;
      if (memory.good >= END_AFTER) memory.message = null;
    } else {
      memory.good = 0;
      memory.bad++;
      if (memory.bad >= BEGIN_AFTER || memory.message !== null) memory.message = message;
    }
    return memory.message;
  }
}

function causes(stats: SenderStats, source: Size | null): QualityWarning[] {
  const causes: QualityWarning[] = [];
  const limitation = explainLimitation(stats.limitation);
  if (limitation !== null) causes.push({ kind: "limitation", message: limitation });
  const { width, height, loss, rttMs } = stats;
  if (source !== null && width !== null && height !== null) {
    if (width * height < SMALLER * source.width * source.height) {
      const message = `The picture is sent at ${width}×${height} instead of ${source.width}×${source.height}.`;
      causes.push({ kind: "resolution", message });
    }
  }
  if (loss !== null && loss > MUCH_LOSS) {
    const message = `${Math.round(loss * 100)} % of the packets get lost on the way.`;
    causes.push({ kind: "loss", message });
  }
  if (rttMs !== null && rttMs > LONG_MS) {
    const message = `The way to the server takes ${Math.round(rttMs)} ms: repairs come late.`;
    causes.push({ kind: "delay", message });
  }
  return causes;
}
