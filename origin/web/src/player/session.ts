// Keeps one stream on the screen: waits, attaches, watches, starts over, for ever.
//
// One rule carries all recoveries: an engine that is in trouble is thrown away, and a
// probe decides when the next one is attached. No engine is asked to survive a presenter
// who leaves and comes back; a fresh one costs half a second.

import { explainAbsence, type Explanation } from "../reasons";
import { viewerRetryDelay } from "../retry";
import { isOpen, manifestPath, type Protocol, type Tokens } from "../urls";
import { attach } from "./attach";
import { bufferAhead, nextRange } from "./buffer";
import type { Engine } from "./engine";
import { Journey } from "./journey";
import { Display, watchTrips } from "./page_clock";
import { Probe, type Finding } from "./probe";
import type { ClockSkew } from "./skew";
import { log, type InletPlayer, type PlayerState } from "./state";
import { Watchdog } from "./watchdog";

/** What the page is told. */
export interface SessionEvents {
  /** `why` is set while nothing can be shown. */
  onState(state: PlayerState, why: Explanation | null): void;
  onLevels(): void;
  /** Once per attachment: the media element may be played now. */
  onAttached(): void;
}

const TICK_MS = 250;
const AWAY: Explanation = {
  title: "The presenter is away",
  advice: "Playback goes on by itself as soon as the stream is back.",
};
/** The start of an attachment that never shows a frame is given up after this. */
const START_TIMEOUT = 10;

/** Plays one stream by one protocol. */
export class Session {
  #engine: Engine | null = null;
  #watchdog = new Watchdog();
  #journey = new Journey(false);
  readonly #display: Display;
  readonly #probe: Probe;
  /** Counts attachments and protocol changes: what belongs to an earlier one is dropped. */
  #generation = 0;
  #attachedAt = 0;
  #isInquiring = false;
  /** The stall that is being inquired into, by its number. */
  #inquired = 0;
  #stallsBefore = 0;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #level = -1;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly state: InletPlayer,
    private readonly tokens: Tokens,
    private readonly skew: ClockSkew,
    private readonly events: SessionEvents,
  ) {
    // Liveness is read off the HLS playlists whatever is played: a DASH manifest with
    // numbered segments does not say whether anybody still makes them.
    const readable = isOpen("hls", tokens) ? "hls" : "ts";
    const master = new URL(manifestPath(state.stream, readable, tokens), location.href).href;
    this.#probe = new Probe(master, skew);
    this.#display = new Display(video);
    watchTrips(({ firstByte, protocol }) => {
      this.#journey.noteRoundTrip(firstByte);
      state.transport = protocol;
    });
    setInterval(() => this.#tick(), TICK_MS);
    video.addEventListener("seeking", () => this.#watchdog.noteSeek(video.currentTime));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#engine === null) this.#lookAfter(0);
    });
    addEventListener("online", () => {
      if (this.#engine === null) this.#lookAfter(0);
    });
    this.#wait(null, 0);
  }

  /** Plays by another protocol from now on. */
  setProtocol(protocol: Protocol): void {
    this.state.protocol = protocol;
    this.#detach("protocol changed");
    this.#wait(null, 0);
  }

  /** Chooses a level, or −1 for automatic; kept over attachments. */
  chooseLevel(index: number): void {
    this.#level = index;
    this.#engine?.chooseLevel(index);
  }

  get chosenLevel(): number {
    return this.#level;
  }

  goLive(): void {
    this.#engine?.goLive();
  }

  #wait(why: Explanation | null, delayMs: number): void {
    this.#setState("waiting", why);
    this.#lookAfter(delayMs);
  }

  #lookAfter(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), delayMs);
  }

  async #look(): Promise<void> {
    const generation = this.#generation;
    const finding = await this.#probe.look();
    if (generation !== this.#generation || this.#engine !== null) return;
    if (finding.kind === "live") {
      this.#attempt = 0;
      await this.#attach();
      return;
    }
    this.#wait(explain(finding), viewerRetryDelay(this.#attempt++, document.hidden, Math.random()));
  }

  async #attach(): Promise<void> {
    const generation = ++this.#generation;
    const { protocol, stream } = this.state;
    this.#setState("loading", null);
    this.#watchdog = new Watchdog();
    this.#journey = new Journey(protocol === "ts");
    this.#attachedAt = performance.now();
    this.state.attaches++;
    this.#note(`attach ${protocol}`);
    const engine = await attach(protocol, stream, this.tokens, this.video, this.skew, {
      onFatal: (what) => {
        if (generation !== this.#generation) return;
        // Not from within the engine's own call: destroying it there breaks some.
        queueMicrotask(() => generation === this.#generation && this.#startOver(what));
      },
      onLevels: (levels) => {
        if (generation !== this.#generation) return;
        this.state.levels = levels;
        if (this.#level >= 0) this.#engine?.chooseLevel(this.#level);
        this.events.onLevels();
      },
      onNote: (what) => this.#note(what),
      onAnnounced: (age) => generation === this.#generation && this.#journey.noteAnnounced(age),
      onAppended: (age) => generation === this.#generation && this.#journey.noteAppended(age),
    });
    if (generation !== this.#generation) {
      engine.destroy();
      return;
    }
    this.#engine = engine;
    const attachedAt = this.#attachedAt;
    this.video.requestVideoFrameCallback?.((now) => {
      this.state.startupMs ??= Math.round(now - attachedAt);
    });
    this.events.onAttached();
  }

  #detach(why: string): void {
    this.#note(`detach: ${why}`);
    this.#generation++;
    this.#stallsBefore += this.#watchdog.stalls;
    this.#watchdog = new Watchdog();
    this.#engine?.destroy();
    this.#engine = null;
    this.state.latency = null;
    this.state.breakdown = null;
    this.state.target = null;
    this.state.bandwidth = null;
    this.state.playbackRate = 1;
    this.state.currentLevel = -1;
  }

  #startOver(why: string): void {
    const hasPlayed = this.#watchdog.hasPlayed;
    this.#detach(why);
    // An engine that fails at once, on the first manifest, must not spin.
    const delay = hasPlayed ? 0 : viewerRetryDelay(this.#attempt++, document.hidden, Math.random());
    this.#wait(null, delay);
  }

  #tick(): void {
    const engine = this.#engine;
    if (engine === null) return;
    const now = performance.now();
    const { video, state } = this;
    engine.tick(now, this.#watchdog.stalls);
    const buffer = bufferAhead(video);
    this.#showNumbers(engine, buffer);

    const remedy = this.#watchdog.step({
      now: now / 1000,
      position: video.currentTime,
      isIdle: video.paused,
      buffer,
      nextRange: nextRange(video),
    });
    state.stalls = this.#stallsBefore + this.#watchdog.stalls;
    this.#showProgress();
    switch (remedy.kind) {
      case "jump":
        this.#note(`jump to ${remedy.to.toFixed(2)}`);
        video.currentTime = remedy.to;
        break;
      case "reattach":
        this.#startOver("playback does not move");
        break;
      case "inquire":
        void this.#inquire();
        break;
      case "none":
        if (!this.#watchdog.hasPlayed && !video.paused && now - this.#attachedAt > START_TIMEOUT * 1000) {
          this.#startOver("no first frame");
        }
    }
  }

  #showNumbers(engine: Engine, buffer: number): void {
    const { state, video } = this;
    state.latency = round(engine.latency());
    state.target = round(engine.target());
    state.currentLevel = engine.currentLevel();
    state.playbackRate = video.playbackRate;
    state.bandwidth = engine.bandwidth();
    const quality = video.getVideoPlaybackQuality();
    state.decodedFrames = quality.totalVideoFrames;
    state.droppedFrames = quality.droppedVideoFrames;
    this.#display.ask();
    state.breakdown = this.#watchdog.hasPlayed
      ? this.#journey.step({ latency: state.latency, buffer, display: this.#display.lag })
      : null;
  }

  #showProgress(): void {
    if (this.video.paused) {
      if (this.#watchdog.hasPlayed) this.#setState("paused", null);
    } else if (this.#watchdog.isStalled) {
      // While somebody may still be there it is a stall; the inquiry finds out.
      if (this.state.state !== "waiting") this.#setState("stalled", null);
    } else if (this.#watchdog.hasPlayed) {
      this.#attempt = 0;
      this.#setState("playing", null);
    }
  }

  /** The buffer has been empty for seconds: find out why, and start over when it pays. */
  async #inquire(): Promise<void> {
    if (this.#isInquiring) return;
    this.#isInquiring = true;
    if (this.#inquired !== this.state.stalls) {
      // What was seen before the stall proves nothing about now.
      this.#inquired = this.state.stalls;
      this.#probe.forget();
    }
    const generation = this.#generation;
    const finding = await this.#probe.look(true);
    this.#isInquiring = false;
    if (generation !== this.#generation || !this.#watchdog.isStalled) return;
    if (finding.kind === "unsure") return;
    if (finding.kind === "live") {
      // There is something to play, and this engine has not found it in 3 s.
      this.#startOver("live again");
    } else {
      this.#detach("nobody is live");
      this.#wait(explain(finding), viewerRetryDelay(0, document.hidden, Math.random()));
    }
  }

  #setState(next: PlayerState, why: Explanation | null): void {
    if (this.state.state !== next) this.#note(next);
    this.state.state = next;
    this.events.onState(next, why);
  }

  #note(what: string): void {
    log(this.state, performance.now(), what);
  }
}

function explain(finding: Finding): Explanation {
  return finding.kind === "absent" ? explainAbsence(finding.code, finding.status) : AWAY;
}

function round(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1000) / 1000;
}
