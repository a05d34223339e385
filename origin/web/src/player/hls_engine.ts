// LL-HLS by hls.js, with our own rate controller in place of its latency control.

import Hls, { ErrorDetails, Events, type ErrorData, type HlsConfig, type LoadPolicy } from "hls.js";
import type { Engine, EngineEvents } from "./engine";
import { RateController } from "./rate";
import type { ClockSkew } from "./skew";

/** Where playback begins; the controller takes over from there. */
const START_BEHIND = 0.7;
/** A playlist older than this many parts does not grow just now. */
const MAX_BEATS = 2;
/** What the network is taken for before anything is known: start near the top rung. */
const FIRST_ESTIMATE = 4_000_000;

/** A 404 is final here: the page asks again, and attaches a fresh engine. */
function policy(timeToFirstByteMs: number, retries: number): LoadPolicy {
  const retry = { maxNumRetry: retries, retryDelayMs: 200, maxRetryDelayMs: 800 };
  return {
    default: {
      maxTimeToFirstByteMs: timeToFirstByteMs,
      maxLoadTimeMs: 10_000,
      timeoutRetry: { ...retry, retryDelayMs: 0 },
      errorRetry: { ...retry, backoff: "linear" },
    },
  };
}

const CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  liveSyncDuration: START_BEHIND,
  // 1 means: leave the rate alone. The controller below owns it.
  maxLiveSyncPlaybackRate: 1,
  liveSyncOnStallIncrease: 0.2,
  liveDurationInfinity: true,
  // Left to the browser. When hls.js 1.7 trims the back buffer while a part is on its way
  // to the source buffer, it forgets that part, and loads nothing more until a seek: seen
  // about every two minutes with a length of 6.
  backBufferLength: Infinity,
  maxBufferLength: 8,
  abrEwmaDefaultEstimate: FIRST_ESTIMATE,
  testBandwidth: false,
  capLevelToPlayerSize: true,
  // CMAF needs no transmuxing worth a worker, and a worker would cost the start 50 ms.
  enableWorker: false,
  manifestLoadPolicy: policy(4_000, 2),
  // A blocked reload is held for up to three target durations.
  playlistLoadPolicy: policy(8_000, 3),
  fragLoadPolicy: policy(4_000, 3),
};

/** Whether hls.js can play here: the browser has Media Source Extensions. */
export function isHlsSupported(): boolean {
  return Hls.isSupported();
}

/** An attachment of hls.js. */
export class HlsEngine implements Engine {
  readonly protocol = "hls";
  readonly #hls: Hls;
  readonly #rate = new RateController();

  constructor(
    private readonly video: HTMLVideoElement,
    manifest: string,
    private readonly skew: ClockSkew,
    private readonly events: EngineEvents,
  ) {
    this.#hls = new Hls(CONFIG);
    this.#hls.on(Events.MANIFEST_PARSED, () => this.#levels());
    this.#hls.on(Events.LEVELS_UPDATED, () => this.#levels());
    this.#hls.on(Events.LEVEL_SWITCHED, (_, { level }) => events.onNote(`level ${level}`));
    this.#hls.on(Events.LEVEL_LOADED, (_, { networkDetails, stats, details }) => {
      this.#observeClock(networkDetails, stats.loading);
      if (!details.live) events.onFatal("the playlist has ended");
    });
    this.#hls.on(Events.ERROR, (_, data) => this.#error(data));
    this.#hls.loadSource(manifest);
    this.#hls.attachMedia(video);
  }

  latency(): number | null {
    const date = this.#hls.playingDate;
    if (date !== null) return (Date.now() + this.skew.offsetMs - date.getTime()) / 1000;
    return this.#distance();
  }

  currentLevel(): number {
    return this.#hls.currentLevel;
  }

  chooseLevel(index: number): void {
    // Takes effect with the next part; nothing that is buffered is thrown away.
    this.#hls.loadLevel = index;
  }

  target(): number | null {
    return this.#rate.target;
  }

  tick(nowMs: number, stalls: number): void {
    const distance = this.#distance();
    const details = this.#hls.latestLevelDetails;
    if (distance === null || details === null || this.video.paused || this.video.seeking) return;
    const now = nowMs / 1000;
    this.#rate.setPacing(details.partTarget || null, details.holdBack || 3 * details.targetduration);
    this.#rate.noteStalls(stalls, now);
    const { rate, jump } = this.#rate.step({ now, distance, buffer: bufferAhead(this.video) });
    if (jump !== null) {
      this.events.onNote(`jump by ${jump.toFixed(2)} s`);
      this.video.currentTime += jump;
    }
    if (this.video.playbackRate !== rate) this.video.playbackRate = rate;
  }

  goLive(): void {
    const distance = this.#distance();
    if (distance === null) return;
    const ahead = distance - this.#rate.target;
    if (ahead > 0.3) this.video.currentTime += ahead;
  }

  destroy(): void {
    this.#hls.destroy();
    this.video.playbackRate = 1;
  }

  /** From the newest part's end, moved on by the clock, back to what is displayed. */
  #distance(): number | null {
    const details = this.#hls.latestLevelDetails;
    // Before the first frame the position is not yet where playback will start.
    if (details === null || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    // A playlist that does not grow has no newer media: then the clock moves nothing on.
    const beat = details.partTarget || details.targetduration;
    return details.edge + Math.min(details.age, MAX_BEATS * beat) - this.video.currentTime;
  }

  #levels(): void {
    this.events.onLevels(
      this.#hls.levels.map(({ width, height, bitrate }) => ({ width, height, bitrate })),
    );
  }

  #observeClock(response: unknown, loading: { start: number; end: number }): void {
    if (!(response instanceof XMLHttpRequest)) return;
    // hls.js times its requests on the page's clock.
    const toWall = Date.now() - performance.now();
    this.skew.observe(
      response.getResponseHeader("Date"),
      response.getResponseHeader("Age"),
      loading.start + toWall,
      loading.end + toWall,
    );
  }

  #error(data: ErrorData): void {
    const status = data.response?.code;
    const what = `${data.details}${status === undefined ? "" : ` ${status}`}`;
    // A playlist without media is one that is about to begin: asking again is faster.
    if (data.fatal || data.details === ErrorDetails.LEVEL_EMPTY_ERROR) this.events.onFatal(what);
    else if (data.details !== ErrorDetails.BUFFER_STALLED_ERROR) this.events.onNote(what);
  }
}

/** Media ahead of the playback position without a gap, seconds. */
export function bufferAhead(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime + 0.05 && buffered.end(i) > currentTime) {
      return buffered.end(i) - currentTime;
    }
  }
  return 0;
}

/** Where the next buffered range begins, or `null` when there is none ahead. */
export function nextRange(video: HTMLVideoElement): number | null {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) > currentTime + 0.05) return buffered.start(i);
  }
  return null;
}
