// LL-DASH by dash.js, which holds the latency that the manifest asks for by itself.
//
// dash.js is large and loaded only when somebody wants it: see `attach.ts`.

import {
  MediaPlayer,
  type MediaPlayerClass,
  type MediaPlayerErrorEvent,
  type MediaPlayerSettingClass,
} from "dashjs";
import type { Engine, EngineEvents } from "./engine";

/** A segment that is not there is skipped by dash.js; the watchdog sees if that fails. */
const SURVIVED_ERRORS = new Set([17, 18, 27, 28, 16, 19]);

/** Listeners of one attachment that are remembered. */
const MAX_LISTENERS = 1000;

const SETTINGS: MediaPlayerSettingClass = {
  debug: { logLevel: 0 },
  streaming: {
    // Target latency and catch-up rates are the manifest's ServiceDescription.
    applyServiceDescription: true,
    buffer: { bufferToKeep: 6, bufferPruningInterval: 4, fastSwitchEnabled: true },
    abr: { limitBitrateByPortal: false, initialBitrate: { video: 3_000 } },
    // The page asks again by itself, and attaches a fresh engine.
    retryAttempts: { MPD: 2, MediaSegment: 3, InitializationSegment: 3 },
    retryIntervals: { MPD: 300, MediaSegment: 200, InitializationSegment: 200 },
  },
};

/** An attachment of dash.js. */
export class DashEngine implements Engine {
  readonly protocol = "dash";
  readonly #player: MediaPlayerClass;
  readonly #leash: Leash;

  constructor(
    private readonly video: HTMLVideoElement,
    manifest: string,
    private readonly events: EngineEvents,
  ) {
    this.#leash = new Leash(video);
    this.#player = MediaPlayer().create();
    this.#player.updateSettings(SETTINGS);
    const names = MediaPlayer.events;
    this.#player.on(names.STREAM_INITIALIZED, () => this.#levels());
    this.#player.on(names.QUALITY_CHANGE_RENDERED, () =>
      events.onNote(`level ${this.currentLevel()}`),
    );
    this.#player.on(names.ERROR, (event) => this.#error(event as MediaPlayerErrorEvent));
    this.#player.on(names.PLAYBACK_ERROR, () => events.onFatal(mediaError(video)));
    this.#player.initialize(video, manifest, false);
  }

  latency(): number | null {
    const latency = this.#player.getCurrentLiveLatency();
    return Number.isFinite(latency) && latency > 0 ? latency : null;
  }

  currentLevel(): number {
    if (!this.#player.isReady()) return -1;
    const current = this.#player.getCurrentRepresentationForType("video");
    return current === null || current === undefined ? -1 : this.#ladder().indexOf(current.id);
  }

  chooseLevel(index: number): void {
    this.#player.updateSettings({
      streaming: { abr: { autoSwitchBitrate: { video: index < 0 } } },
    });
    if (index < 0) return;
    const id = this.#ladder()[index];
    if (id !== undefined) this.#player.setRepresentationForTypeById("video", id);
  }

  target(): number | null {
    // Before the manifest is there it throws.
    if (!this.#player.isReady()) return null;
    const target = this.#player.getTargetLiveDelay();
    return target > 0 ? target : null;
  }

  bandwidth(): number | null {
    const kilobits = this.#player.getAverageThroughput("video");
    return kilobits > 0 ? 1000 * kilobits : null;
  }

  tick(): void {
    // dash.js has a controller of its own.
  }

  goLive(): void {
    this.#player.seekToOriginalLive();
  }

  destroy(): void {
    this.#player.destroy();
    this.#leash.release();
    this.video.playbackRate = 1;
  }

  #ladder(): string[] {
    return this.#player.getRepresentationsByType("video").map(({ id }) => id);
  }

  #levels(): void {
    this.events.onLevels(
      this.#player
        .getRepresentationsByType("video")
        .map(({ width, height, bandwidth }) => ({ width, height, bitrate: bandwidth })),
    );
  }

  #error(event: MediaPlayerErrorEvent): void {
    const { code, message } = event.error;
    const what = `dash.js ${code}: ${message}`.slice(0, 160);
    if (SURVIVED_ERRORS.has(code)) this.events.onNote(what);
    else this.events.onFatal(what);
  }
}

/**
 * Takes back every listener that was put on an element meanwhile.
 *
 * dash.js 5.2 leaves those behind with which it waits for `canplay`; after `destroy()`
 * they throw on every later event, since their own element is gone.
 */
class Leash {
  readonly #added: [string, EventListenerOrEventListenerObject][] = [];

  constructor(private readonly video: HTMLVideoElement) {
    const { addEventListener } = EventTarget.prototype;
    video.addEventListener = (
      type: string,
      listener: EventListenerOrEventListenerObject,
      options?: boolean | AddEventListenerOptions,
    ): void => {
      this.#added.push([type, listener]);
      // One that waits for an event adds itself many times: the oldest have fired.
      if (this.#added.length > MAX_LISTENERS) this.#added.shift();
      addEventListener.call(video, type, listener, options);
    };
  }

  release(): void {
    Reflect.deleteProperty(this.video, "addEventListener");
    for (const [type, listener] of this.#added) this.video.removeEventListener(type, listener);
  }
}

/** What the media element says about its error. */
export function mediaError(video: HTMLVideoElement): string {
  return `media error ${video.error?.code ?? ""} ${video.error?.message ?? ""}`.trim().slice(0, 160);
}
