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
  /** A playlist told for the first time of media that are so many seconds old. */
  onAnnounced(age: number): void;
  /** The buffer grew by media that are so many seconds old. */
  onAppended(age: number): void;
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
  /** The latency that is aimed at, see `InletPlayer.target`; `null` when unknown. */
  target(): number | null;
  /** What the network is taken for, bits per second; `null` when unknown. */
  bandwidth(): number | null;
  /** Moves to the newest playable position. */
  goLive(): void;
  destroy(): void;
}
