// The test picture: something to send without a camera, and to measure with.
//
// A canvas at a constant rate with the frame strip, a sweeping hand and a bouncing ball,
// and a beep on every 30th frame. The ticks come from a worker, since a page in the
// background is woken once a second only.

import { BEEP_EVERY, BEEP_HZ, BEEP_SECONDS, drawStrip } from "./strip";
import TickWorker from "./tick.worker?worker";
import type { Size } from "./urls";

const FPS = 30;
/** How far ahead of its frame a beep is scheduled: longer than any hiccup of the page. */
const BEEP_AHEAD_FRAMES = 6;
const BEEP_AMPLITUDE = 0.5;
const BEEP_RAMP_SECONDS = 0.001;
const BARS = ["#c8c8c8", "#c8c800", "#00c8c8", "#00c800", "#c800c8", "#c80000", "#0000c8"];

/** A running test picture. */
export class TestPicture {
  readonly stream: MediaStream;
  /** Index of the last frame drawn. */
  counter = 0;

  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #audio: AudioContext;
  readonly #destination: MediaStreamAudioDestinationNode;
  readonly #worker = new TickWorker();
  readonly #startedAt = performance.now();
  #nextBeep = BEEP_EVERY;

  constructor(readonly size: Size) {
    this.#canvas = document.createElement("canvas");
    this.#canvas.width = size.width;
    this.#canvas.height = size.height;
    const context = this.#canvas.getContext("2d", { alpha: false });
    if (context === null) throw new DOMException("no 2D canvas", "NotSupportedError");
    this.#context = context;
    this.#audio = new AudioContext({ latencyHint: "interactive" });
    this.#destination = this.#audio.createMediaStreamDestination();
    // Chromium renders a destination only while something feeds it. Without this the track
    // would stop between two beeps, and its RTP time with it.
    const quiet = this.#audio.createConstantSource();
    quiet.offset.value = 0;
    quiet.connect(this.#destination);
    quiet.start();
    this.resume();

    // At 0 fps a frame is taken exactly when it has been drawn.
    this.stream = this.#canvas.captureStream(0);
    for (const track of this.#destination.stream.getAudioTracks()) this.stream.addTrack(track);
    for (const track of this.stream.getVideoTracks()) track.contentHint = "motion";
    this.#draw(0);
    this.#worker.onmessage = () => this.#tick();
    this.#worker.postMessage(1000 / FPS);
  }

  /** Lets the beep be heard: without a click on the page the browser keeps it silent. */
  resume(): void {
    void this.#audio.resume();
  }

  /** Draws in another size from now on, in the middle of a session. */
  resize(size: Size): void {
    this.#canvas.width = size.width;
    this.#canvas.height = size.height;
  }

  stop(): void {
    this.#worker.terminate();
    for (const track of this.stream.getTracks()) track.stop();
    void this.#audio.close();
  }

  #tick(): void {
    const counter = Math.floor(((performance.now() - this.#startedAt) * FPS) / 1000);
    if (counter <= this.counter) return;
    this.#draw(counter);
    while (this.#nextBeep <= counter + BEEP_AHEAD_FRAMES) {
      if (this.#nextBeep >= counter) this.#beep(this.#nextBeep);
      this.#nextBeep += BEEP_EVERY;
    }
  }

  #beep(counter: number): void {
    if (this.#audio.state !== "running") return;
    const due = this.#startedAt + (counter * 1000) / FPS;
    const at = this.#audio.currentTime + Math.max(0, due - performance.now()) / 1000;
    const tone = this.#audio.createOscillator();
    const gain = this.#audio.createGain();
    tone.frequency.value = BEEP_HZ;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(BEEP_AMPLITUDE, at + BEEP_RAMP_SECONDS);
    gain.gain.setValueAtTime(BEEP_AMPLITUDE, at + BEEP_SECONDS - BEEP_RAMP_SECONDS);
    gain.gain.linearRampToValueAtTime(0, at + BEEP_SECONDS);
    tone.connect(gain).connect(this.#destination);
    tone.start(at);
    tone.stop(at + BEEP_SECONDS);
  }

  #draw(counter: number): void {
    const { width, height } = this.#canvas;
    const context = this.#context;
    const unit = height / 15;
    BARS.forEach((color, index) => {
      context.fillStyle = color;
      const left = Math.floor((index * width) / BARS.length);
      context.fillRect(left, 0, Math.ceil(width / BARS.length), height);
    });
    this.#drawBall(counter, unit);
    this.#drawClock(counter, unit);

    const now = Date.now();
    context.fillStyle = "#101418";
    context.fillRect(0, height - 2.4 * unit, width, 2.4 * unit);
    context.fillStyle = "#fff";
    context.font = `600 ${Math.round(1.1 * unit)}px ui-monospace, monospace`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    const clock = new Date(now).toISOString().slice(11, 23);
    context.fillText(`${clock} UTC`, unit, height - 1.2 * unit);
    context.textAlign = "right";
    context.fillText(`#${counter}`, width - unit, height - 1.2 * unit);

    drawStrip(context, width, height, counter, now);
    this.counter = counter;
    // The standard has it on the track, Firefox on the stream.
    const takers: (object | undefined)[] = [this.stream?.getVideoTracks()[0], this.stream];
    const taker = takers.find((one) => one !== undefined && "requestFrame" in one);
    if (taker !== undefined) (taker as CanvasCaptureMediaStreamTrack).requestFrame();
  }

  /** Motion that shows a dropped or repeated frame to the eye. */
  #drawBall(counter: number, unit: number): void {
    const { width } = this.#canvas;
    const context = this.#context;
    const phase = (counter % 120) / 60;
    const x = unit + (width - 2 * unit) * (phase < 1 ? phase : 2 - phase);
    context.fillStyle = "#fff";
    context.strokeStyle = "#101418";
    context.lineWidth = unit / 6;
    context.beginPath();
    context.arc(x, 10.8 * unit, 0.8 * unit, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }

  /** A hand that goes round once a second, beep at the top. */
  #drawClock(counter: number, unit: number): void {
    const context = this.#context;
    const [x, y] = [this.#canvas.width / 2, 6 * unit];
    const angle = ((counter % BEEP_EVERY) / BEEP_EVERY) * 2 * Math.PI - Math.PI / 2;
    context.fillStyle = counter % BEEP_EVERY === 0 ? "#fff" : "#101418";
    context.beginPath();
    context.arc(x, y, 3 * unit, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = "#4cc2ff";
    context.lineWidth = unit / 3;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + 2.6 * unit * Math.cos(angle), y + 2.6 * unit * Math.sin(angle));
    context.stroke();
  }
}
