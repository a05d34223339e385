// Latency from capture to display, read off the picture (`?measure=1` only).
//
// Sender and player must share a clock, so this is for one machine or well-kept ones.
// Only frames that were really presented are read, at the time they were presented.

import { BEEP_EVERY, COLUMNS, MODULUS, ROWS, readStrip, stripDifference, stripHeight } from "../strip";
import beepWorklet from "./beep.worklet?worker&url";
import { Percentiles } from "./percentiles";
import { log, type InletPlayer } from "./state";

/** Pixels per block in the reader's canvas. */
const BLOCK = 8;
/** A value outside of this comes from clocks that differ, or from a misread strip. */
const MAX_LATENCY_MS = 120_000;
/** A beep and its frame further apart than this do not belong together. */
const MAX_SKEW_MS = 500;
const FPS = 30;

/** Reads the strip off every presented frame into `state.measure`. */
export class Measure {
  readonly #canvas = document.createElement("canvas");
  readonly #context: CanvasRenderingContext2D | null;
  readonly #latency = new Percentiles();
  readonly #skew = new Percentiles();
  #undecoded = 0;
  #skipped = 0;
  /** The last displayed frame: its counter, and when it was shown, on the page's clock. */
  #shown: { counter: number; at: number } | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly state: InletPlayer,
    hearsBeep: boolean,
  ) {
    this.#canvas.width = COLUMNS * BLOCK;
    this.#canvas.height = ROWS * BLOCK;
    this.#context = this.#canvas.getContext("2d", { willReadFrequently: true });
    this.#publish();
    this.#next();
    if (hearsBeep) void this.#listen();
  }

  /** Starts over, so that the samples of the start do not count. */
  reset(): void {
    this.#latency.clear();
    this.#skew.clear();
    this.#undecoded = 0;
    this.#skipped = 0;
    this.#publish();
  }

  #next(): void {
    this.video.requestVideoFrameCallback((now, metadata) => {
      this.#frame(Math.max(now, metadata.expectedDisplayTime));
      this.#next();
    });
  }

  #frame(shownAt: number): void {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (this.#context === null || width === 0) return;
    const strip = stripHeight(height);
    this.#context.drawImage(this.video, 0, 0, width, strip, 0, 0, this.#canvas.width, this.#canvas.height);
    const pixels = this.#context.getImageData(0, 0, this.#canvas.width, this.#canvas.height);
    const reading = readStrip(pixels);
    if (reading === null) {
      this.#undecoded++;
    } else {
      const wall = Date.now() + shownAt - performance.now();
      const latency = stripDifference(Math.round(wall) % MODULUS, reading.time);
      if (Math.abs(latency) < MAX_LATENCY_MS) this.#latency.add(latency);
      const step = this.#shown === null ? 1 : stripDifference(reading.counter, this.#shown.counter);
      if (step > 1 && step < 10 * FPS) this.#skipped += step - 1;
      this.#shown = { counter: reading.counter, at: shownAt };
      this.state.frames = reading.counter;
    }
    this.#publish();
  }

  /**
   * Hears the beeps, as soon as the browser lets the page make sound. The detour through
   * the audio graph adds some tens of milliseconds to the sound and so to the skew, and a
   * short stall when playback runs already.
   */
  async #listen(): Promise<void> {
    const audio = new AudioContext({ latencyHint: "interactive" });
    if (audio.audioWorklet === undefined) return;
    await running(audio);
    // From here on the element's sound goes through the context alone.
    const source = audio.createMediaElementSource(this.video);
    source.connect(audio.destination);
    try {
      await audio.audioWorklet.addModule(beepWorklet);
    } catch {
      log(this.state, performance.now(), "the beep detector could not be loaded");
      return;
    }
    const detector = new AudioWorkletNode(audio, "beep-detector");
    detector.port.onmessage = (message: MessageEvent<number>) => this.#beep(audio, message.data);
    source.connect(detector);
  }

  #beep(audio: AudioContext, heardAt: number): void {
    const shown = this.#shown;
    if (shown === null) return;
    const { contextTime, performanceTime } = audio.getOutputTimestamp();
    if (contextTime === undefined || performanceTime === undefined) return;
    const heard = performanceTime + (heardAt - contextTime) * 1000;
    // When the frame nearest to the beep is or was shown, from the last one that was.
    const phase = shown.counter % BEEP_EVERY;
    const ahead = phase > BEEP_EVERY / 2 ? BEEP_EVERY - phase : -phase;
    const frameAt = shown.at + (ahead * 1000) / FPS / this.video.playbackRate;
    const skew = heard - frameAt;
    if (Math.abs(skew) < MAX_SKEW_MS) this.#skew.add(skew);
  }

  #publish(): void {
    this.state.measure = {
      ...this.#latency.summary(),
      undecoded: this.#undecoded,
      skipped: this.#skipped,
      skew: this.#skew.summary(),
    };
  }
}

/**
 * Resolves when the context runs, which may take a click. An element whose sound goes
 * into a context that does not run stands still.
 */
function running(audio: AudioContext): Promise<void> {
  const resume = (): void => void audio.resume();
  return new Promise((resolve) => {
    const check = (): void => {
      if (audio.state !== "running") return;
      removeEventListener("pointerdown", resume);
      resolve();
    };
    audio.addEventListener("statechange", check);
    addEventListener("pointerdown", resume);
    resume();
    check();
  });
}
