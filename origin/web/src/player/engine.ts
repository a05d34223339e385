// What the page needs from whatever plays the stream: hls.js, dash.js or the browser.

import type { Protocol } from "../urls";
import type { Level } from "./state";

/** What an engine reports. */
export interface EngineEvents {
  /** It cannot go on; the page detaches it and starts over. */
  onFatal(what: string): void;
  onLevels(levels: Level[]): void;
  /** Something for the log. */
  onNote(what: string): void;
}

/** One attachment to one manifest. An engine is never reused. */
export interface Engine {
  readonly protocol: Protocol;
  /** Seconds from capture to display, or `null`. */
  latency(): number | null;
  /** Index of the displayed level, or −1. */
  currentLevel(): number;
  /** Chooses a level, or −1 for automatic. */
  chooseLevel(index: number): void;
  /** Called four times a second; the place for rate control. `stalls` counts since attaching. */
  tick(nowMs: number, stalls: number): void;
  /** What the rate controller aims at, or `null` when the engine has its own. */
  target(): number | null;
  /** Moves to the newest playable position. */
  goLive(): void;
  destroy(): void;
}
