// `window.inlet`: what the player tells tests and embedding pages. Read only by promise.

import type { Protocol } from "../urls";
import type { Breakdown } from "./journey";

/** What the viewer sees. */
export type PlayerState =
  /** Nobody is live; playback starts by itself when somebody is. */
  | "waiting"
  /** The manifest is there, the first frame is not. */
  | "loading"
  | "playing"
  /** It was playing and ran dry. */
  | "stalled"
  /** Paused by the viewer. */
  | "paused";

/** A rung of the ladder. */
export interface Level {
  width: number;
  height: number;
  /** Bits per second. */
  bitrate: number;
}

/** A distribution of samples in milliseconds. */
export interface Samples {
  samples: number;
  p50: number | null;
  p95: number | null;
  last: number | null;
}

/** What the frame strip says; only with `?measure=1`. */
export interface Measurement extends Samples {
  /** Frames whose strip could not be read. */
  undecoded: number;
  /** Counters that were never displayed between two that were. */
  skipped: number;
  /** Beep heard minus its frame displayed, only with `&beep=1`; positive when the sound is late. */
  skew: Samples;
}

/** The state of the player page. */
export interface InletPlayer {
  page: "player";
  /** `{client}_{id}`. */
  stream: string;
  state: PlayerState;
  protocol: Protocol;
  /** Seconds from capture to display, from the manifest's clock; `null` when unknown. */
  latency: number | null;
  /** The steps that the latency consists of; `null` while nothing is played. */
  breakdown: Breakdown | null;
  /**
   * Seconds that are aimed at: behind the newest part or segment with HLS, behind the
   * capture with DASH; `null` where the browser decides.
   */
  target: number | null;
  playbackRate: number;
  levels: Level[];
  /** Index into `levels` of what is displayed, or −1. */
  currentLevel: number;
  /** What the network is taken for, bits per second. */
  bandwidth: number | null;
  /** Frames that were decoded and those of them that came too late to be shown. */
  decodedFrames: number;
  droppedFrames: number;
  /** HTTP version of the media: `h2`, `http/1.1`, or empty. */
  transport: string;
  /** Times that playback ran dry since the page was loaded. */
  stalls: number;
  /** Times that an engine was attached: 1 unless something had to be recovered. */
  attaches: number;
  /** Milliseconds from the first attachment to the first displayed frame. */
  startupMs: number | null;
  /** Counter of the last displayed frame, or `null` without a strip. */
  frames: number | null;
  measure: Measurement | null;
  /** What happened, newest last, at most {@link MAX_EVENTS}. */
  events: PlayerEvent[];
}

/** One line of the log. */
export interface PlayerEvent {
  /** Milliseconds since the page was opened. */
  at: number;
  what: string;
}

/** The log keeps this many lines. */
export const MAX_EVENTS = 200;

export function newPlayerState(stream: string, protocol: Protocol): InletPlayer {
  return {
    page: "player",
    stream,
    state: "waiting",
    protocol,
    latency: null,
    breakdown: null,
    target: null,
    playbackRate: 1,
    levels: [],
    currentLevel: -1,
    bandwidth: null,
    decodedFrames: 0,
    droppedFrames: 0,
    transport: "",
    stalls: 0,
    attaches: 0,
    startupMs: null,
    frames: null,
    measure: null,
    events: [],
  };
}

/** Adds a line to the log, dropping the oldest. */
export function log(state: InletPlayer, at: number, what: string): void {
  state.events.push({ at: Math.round(at), what });
  if (state.events.length > MAX_EVENTS) state.events.shift();
}
