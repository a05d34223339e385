// HLS by the browser itself: Safari on phones without Media Source Extensions.
//
// The browser chooses the rung and the latency; we only watch.

import type { Engine, EngineEvents } from "./engine";
import type { ClockSkew } from "./skew";

/** Safari tells the date of the media timeline's zero. */
type DatedVideo = HTMLVideoElement & { getStartDate?: () => Date };

/** Whether the browser plays HLS by itself. */
export function isNativeSupported(video: HTMLVideoElement): boolean {
  return video.canPlayType("application/vnd.apple.mpegurl") !== "";
}

/** An attachment of the browser's own player. */
export class NativeEngine implements Engine {
  readonly protocol = "native";
  readonly #abort = new AbortController();

  constructor(
    private readonly video: DatedVideo,
    manifest: string,
    private readonly skew: ClockSkew,
    events: EngineEvents,
  ) {
    const { signal } = this.#abort;
    video.addEventListener(
      "error",
      () => events.onFatal(`media error ${video.error?.code ?? ""} ${video.error?.message ?? ""}`.trim()),
      { signal },
    );
    video.addEventListener("ended", () => events.onFatal("the playlist has ended"), { signal });
    video.addEventListener(
      "resize",
      () => events.onLevels([{ width: video.videoWidth, height: video.videoHeight, bitrate: 0 }]),
      { signal },
    );
    video.src = manifest;
  }

  latency(): number | null {
    const start = this.video.getStartDate?.().getTime() ?? Number.NaN;
    if (Number.isNaN(start)) return null;
    return (Date.now() + this.skew.offsetMs - start) / 1000 - this.video.currentTime;
  }

  currentLevel(): number {
    return this.video.videoWidth > 0 ? 0 : -1;
  }

  chooseLevel(): void {
    // The browser chooses.
  }

  target(): number | null {
    return null;
  }

  bandwidth(): number | null {
    return null;
  }

  tick(): void {
    // The browser holds its own latency.
  }

  goLive(): void {
    const { seekable } = this.video;
    if (seekable.length > 0) this.video.currentTime = seekable.end(seekable.length - 1);
  }

  destroy(): void {
    this.#abort.abort();
    this.video.removeAttribute("src");
    this.video.load();
  }
}
