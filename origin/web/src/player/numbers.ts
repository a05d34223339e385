// The player's numbers in words, as the overlay and the comparison show them. Pure.

import type { Protocol } from "../urls";
import type { Breakdown } from "./journey";
import type { InletPlayer, Level } from "./state";

/** Names of the protocols, as viewers read them. */
export const PROTOCOL_NAMES: Record<Protocol, string> = {
  hls: "LL-HLS",
  dash: "LL-DASH",
  ts: "HLS (MPEG-TS)",
  native: "HLS (browser)",
};

/** A step of the latency. */
export type Step = Exclude<keyof Breakdown, "total">;

/** The steps from the camera to the screen, with what they mean. */
export const STEPS: readonly { step: Step; name: string; title: string }[] = [
  { step: "published", name: "Capture to published", title: "The way to the origin, transcoding, and the making of a part" },
  { step: "fetch", name: "Fetch", title: "From the origin's announcement into the buffer" },
  { step: "buffer", name: "Buffer ahead", title: "Media kept so that playback does not stop" },
  { step: "display", name: "Display", title: "From the playback position to the screen" },
];

/** A line of the overlay. */
export interface Line {
  name: string;
  text: string;
}

const UNKNOWN = "–";

/** Everything beside the latency's steps. `chosen` is the chosen level, −1 for automatic. */
export function lines(state: InletPlayer, chosen: number): Line[] {
  const { decodedFrames, droppedFrames, stalls, attaches, startupMs, measure } = state;
  const all = [
    { name: "Target", text: target(state) },
    { name: "Playback rate", text: `× ${state.playbackRate.toFixed(2)}` },
    { name: "Quality", text: quality(state, chosen) },
    { name: "Bandwidth estimate", text: state.bandwidth === null ? UNKNOWN : megabits(state.bandwidth) },
    { name: "Dropped frames", text: `${droppedFrames} of ${decodedFrames}` },
    { name: "Stalls", text: attaches > 1 ? `${stalls}, attached ${attaches} times` : String(stalls) },
    { name: "First frame after", text: startupMs === null ? UNKNOWN : `${(startupMs / 1000).toFixed(2)} s` },
    { name: "Protocol", text: [PROTOCOL_NAMES[state.protocol], transport(state.transport)].filter(Boolean).join(" · ") },
  ];
  if (measure !== null && measure.p50 !== null) {
    all.push({ name: "Read off the picture", text: seconds(measure.p50 / 1000) });
  }
  return all;
}

/** `0.42 s`, or a dash. */
export function seconds(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : `${value.toFixed(2)} s`;
}

/** `468p`: the short side names a rung, also when the picture stands upright. */
export function levelName({ width, height }: Level): string {
  return width > 0 && height > 0 ? `${Math.min(width, height)}p` : "Auto";
}

export function megabits(bitrate: number): string {
  return `${(bitrate / 1e6).toFixed(1)} Mbps`;
}

function target({ target, protocol }: InletPlayer): string {
  if (target === null) return UNKNOWN;
  const from = { hls: "behind the newest part", ts: "behind the newest segment", dash: "from capture", native: "" };
  return `${seconds(target)} ${from[protocol]}`.trim();
}

function quality({ levels, currentLevel }: InletPlayer, chosen: number): string {
  const level = levels[currentLevel];
  if (level === undefined) return UNKNOWN;
  const rate = level.bitrate > 0 ? ` · ${megabits(level.bitrate)}` : "";
  return `${levelName(level)}${rate}${chosen < 0 ? " · automatic" : ""}`;
}

function transport(protocol: string): string {
  return { h2: "HTTP/2", h3: "HTTP/3" }[protocol] ?? protocol.toUpperCase();
}
