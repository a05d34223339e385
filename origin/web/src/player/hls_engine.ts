// LL-HLS and HLS of MPEG-TS by hls.js, with our own rate controller in place of its
// latency control.

import Hls, { ErrorDetails, Events, type ErrorData, type HlsConfig, type LoadPolicy } from "hls.js";
import { bufferAhead } from "./buffer";
import type { Engine, EngineEvents } from "./engine";
import { RateController } from "./rate";
import type { ClockSkew } from "./skew";

/** Where playback begins; the controller takes over from there. */
const START_BEHIND = 0.7;
/** Without parts, in target durations. */
const SEGMENTS_BEHIND = 3;
/** Seconds under which positions are the same. */
const MOVED = 0.001;
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

const SHARED: Partial<HlsConfig> = {
  // 1 means: leave the rate alone. The controller below owns it.
  maxLiveSyncPlaybackRate: 1,
  liveSyncOnStallIncrease: 0.2,
  liveDurationInfinity: true,
  // The streams have no captions; these would look for some in every frame.
  enableCEA708Captions: false,
  enableWebVTT: false,
  enableIMSC1: false,
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

const CONFIGS: Record<"hls" | "ts", Partial<HlsConfig>> = {
  hls: { ...SHARED, lowLatencyMode: true, liveSyncDuration: START_BEHIND },
  // Whole segments, and playlists that are asked for in vain now and then: a player without
  // parts stays three target durations behind (RFC 8216bis §6.3.3).
  ts: { ...SHARED, lowLatencyMode: false, liveSyncDurationCount: SEGMENTS_BEHIND },
};

/** Whether hls.js can play here: the browser has Media Source Extensions. */
export function isHlsSupported(): boolean {
  return Hls.isSupported();
}

/** An attachment of hls.js. */
export class HlsEngine implements Engine {
  readonly #hls: Hls;
  readonly #rate = new RateController();
  /** The newest media that were announced, on the media timeline. */
  #edge = 0;
  /** The newest media that have come. */
  #end = 0;

  constructor(
    readonly protocol: "hls" | "ts",
    private readonly video: HTMLVideoElement,
    manifest: string,
    private readonly skew: ClockSkew,
    private readonly events: EngineEvents,
  ) {
    this.#hls = new Hls(CONFIGS[protocol]);
    this.#hls.on(Events.MANIFEST_PARSED, () => {
      this.#leaveOneCoding();
      this.#levels();
    });
    this.#hls.on(Events.LEVELS_UPDATED, () => this.#levels());
    this.#hls.on(Events.LEVEL_SWITCHED, (_, { level }) => events.onNote(`level ${level}`));
    this.#hls.on(Events.LEVEL_LOADED, (_, { networkDetails, stats, details }) => {
      this.#observeClock(networkDetails, stats.loading);
      // hls.js has put it on the media timeline by now: its own listeners come first.
      this.#announced(details.edge, stats.loading.first);
      if (!details.live) events.onFatal("the playlist has ended");
    });
    this.#hls.on(Events.BUFFER_APPENDED, (_, { parent, type, timeRanges }) => {
      // The picture's alone: sound comes in parts of its own length.
      if (parent === "main") this.#appended(timeRanges[type]);
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

  bandwidth(): number | null {
    const bits = this.#hls.bandwidthEstimate;
    return Number.isFinite(bits) ? bits : null;
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

  #announced(edge: number, heardAt: number): void {
    const isNew = edge > this.#edge + MOVED;
    this.#edge = edge;
    const age = this.#age(edge);
    const since = (performance.now() - heardAt) / 1000;
    if (isNew && age !== null) this.events.onAnnounced(age - since);
  }

  #appended(ranges: TimeRanges | undefined): void {
    const end = ranges === undefined || ranges.length === 0 ? 0 : ranges.end(ranges.length - 1);
    const isNew = end > this.#end + MOVED;
    this.#end = end;
    const age = this.#age(end);
    if (isNew && age !== null) this.events.onAppended(age);
  }

  /** How long ago what is at this position was captured, by the playlist's dates. */
  #age(position: number): number | null {
    // Before something was played the position is on no timeline, or on another one.
    if (this.#hls.playingDate === null || this.video.played.length === 0) return null;
    const latency = this.latency();
    return latency === null ? null : latency - (position - this.video.currentTime);
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

  /** Each rung may be there once more with Opus: the menu should have it once. */
  #leaveOneCoding(): void {
    const { levels } = this.#hls;
    const isAac = levels.map(({ audioCodec }) => audioCodec?.startsWith("mp4a") ?? false);
    if (!isAac.includes(true)) return;
    // From the end on, so that what stands before keeps its index.
    for (let index = levels.length - 1; index >= 0; index -= 1) {
      if (!isAac[index]) this.#hls.removeLevel(index);
    }
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

  /**
   * A playlist without media is one that is about to begin, and so is one that ends with
   * a presenter's absence just where playback would: asking again is faster, and hls.js
   * begins nowhere any more once it has met a gap there.
   */
  #isTooEarly(details: ErrorDetails): boolean {
    if (details === ErrorDetails.LEVEL_EMPTY_ERROR) return true;
    return details === ErrorDetails.FRAG_GAP && this.#end === 0;
  }

  #error(data: ErrorData): void {
    const status = data.response?.code;
    const what = `${data.details}${status === undefined ? "" : ` ${status}`}`;
    if (data.fatal || this.#isTooEarly(data.details)) this.events.onFatal(what);
    else if (data.details !== ErrorDetails.BUFFER_STALLED_ERROR) this.events.onNote(what);
  }
}
