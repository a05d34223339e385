// What the go-live page shows. Knows the document and the words, decides nothing.

import type { Explanation } from "../reasons";
import { formatBitrate, type SenderStats } from "../stats";
import type { PublisherState } from "../whip";

const STATES: Record<PublisherState, string> = {
  idle: "Off air",
  requesting: "Asking the server",
  connecting: "Connecting",
  live: "Live",
  waiting: "Trying again soon",
  failed: "Not live",
};

const CONNECTIONS: Record<RTCPeerConnectionState, string> = {
  new: "not connected",
  connecting: "checking paths",
  connected: "connected",
  disconnected: "interrupted",
  failed: "failed",
  closed: "closed",
};

/** Finds an element that the page is known to have. */
export function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

export function showState(state: PublisherState): void {
  const chip = element("status");
  chip.textContent = STATES[state];
  chip.dataset["state"] = state;
  const isOn = state !== "idle" && state !== "failed";
  const go = element<HTMLButtonElement>("go");
  go.textContent = isOn ? "Stop" : "Go live";
  go.classList.toggle("stop", isOn);
  element("clock").hidden = state !== "live";
  // The ladder is fixed by the first resolution, and the stream by its address.
  for (const id of ["whip", "resolution"]) element<HTMLInputElement>(id).disabled = isOn;
  for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=source]")) {
    radio.disabled = isOn;
  }
}

export function showConnection(state: RTCPeerConnectionState): void {
  set("stat-connection", CONNECTIONS[state]);
}

export function showStats(stats: SenderStats | null): void {
  const total =
    stats === null || (stats.videoBitrate === null && stats.audioBitrate === null)
      ? null
      : (stats.videoBitrate ?? 0) + (stats.audioBitrate ?? 0);
  set("stat-bitrate", formatBitrate(total));
  const hasSize = stats?.width != null && stats.height != null;
  set("stat-size", hasSize ? `${stats.width}×${stats.height}` : "–");
  set("stat-fps", stats?.fps == null ? "–" : `${Math.round(stats.fps)} fps`);
  set("stat-rtt", stats?.rttMs == null ? "–" : `${Math.round(stats.rttMs)} ms`);
  set("stat-loss", stats?.loss == null ? "–" : `${(stats.loss * 100).toFixed(1)} %`);
  set("stat-codec", stats?.codec ?? "–");
}

/** Shows what hurts the picture; an empty list is good news. */
export function showWarnings(messages: readonly string[]): void {
  const list = element("warnings");
  const shown = [...list.children].map((item) => item.textContent);
  // Unchanged text is left alone: a screen reader would read it again.
  if (shown.join("\n") === messages.join("\n")) return;
  list.hidden = messages.length === 0;
  list.replaceChildren(
    ...messages.map((message) => {
      const item = document.createElement("li");
      item.textContent = message;
      return item;
    }),
  );
}

/** Shows the id of the running session; `null` takes it away. */
export function showSession(id: string | null): void {
  element("session-line").hidden = id === null;
  set("session-id", id ?? "");
}

/** Shows how media reach the server, in words. */
export function showPath(path: string | null): void {
  set("stat-path", path ?? "–");
}

/** Shows how long the stream has been on air. */
export function showClock(seconds: number): void {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  const clock = `${Math.floor(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
  set("clock", clock);
}

/** Shows a problem; `mild` when the page goes on by itself. `null` takes it away. */
export function showProblem(problem: Explanation | null, detail = "", mild = false): void {
  const box = element("alert");
  box.hidden = problem === null;
  box.classList.toggle("mild", mild);
  set("alert-title", problem?.title ?? "");
  set("alert-advice", problem?.advice ?? "");
  set("alert-detail", detail);
}

/** Shows a stream in the preview; a camera is mirrored, as people know themselves. */
export function showPreview(stream: MediaStream | null, isCamera: boolean): void {
  const video = element<HTMLVideoElement>("preview");
  video.srcObject = stream;
  video.classList.toggle("mirrored", isCamera);
  element("preview-note").hidden = stream !== null && stream.getVideoTracks().length > 0;
}

function set(id: string, text: string): void {
  const target = element(id);
  // Unchanged text is left alone: a screen reader would read it again.
  if (target.textContent !== text) target.textContent = text;
}
