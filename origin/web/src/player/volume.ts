// How loud the viewer left it the last time. Only what the viewer did is kept: a start
// without sound that the browser forced must not silence the next one.

/** Volume from 0 to 1, and whether the sound is off. */
export interface Loudness {
  volume: number;
  isMuted: boolean;
}

/** One step of the arrow keys. */
export const VOLUME_STEP = 0.05;
const KEY = "inlet.volume";

/** What was kept, or full volume. */
export function recallVolume(store: () => Storage = () => localStorage): Loudness {
  const loud: Loudness = { volume: 1, isMuted: false };
  try {
    // A frame without storage of its own throws at the mere look.
    const kept: unknown = JSON.parse(store().getItem(KEY) ?? "null");
    if (typeof kept !== "object" || kept === null) return loud;
    const { volume, isMuted } = kept as Partial<Record<keyof Loudness, unknown>>;
    if (typeof volume === "number" && volume >= 0 && volume <= 1) loud.volume = volume;
    loud.isMuted = isMuted === true;
  } catch {
    // Full volume then.
  }
  return loud;
}

export function rememberVolume(loudness: Loudness, store: () => Storage = () => localStorage): void {
  try {
    store().setItem(KEY, JSON.stringify(loudness));
  } catch {
    // Forgotten with the page.
  }
}

/** The volume some steps louder, or quieter, in whole steps. */
export function steppedVolume(volume: number, steps: number): number {
  const at = Math.round(volume / VOLUME_STEP) + steps;
  return Math.min(1, Math.max(0, Number((at * VOLUME_STEP).toFixed(2))));
}
