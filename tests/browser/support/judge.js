// What a viewer gets from a player: stalls, latency, and how far sound and picture are
// apart. It reads the frame strip and hears the beeps by itself, whatever the player.

import { readDisplayed } from "./strip.js";
import { until } from "./stage.js";

/**
 * Watches a page that plays for `seconds`.
 *
 * Returns times in milliseconds: `latency` and `skew` (sound after picture) as medians
 * with the count of their samples, the longest time between two frames, and the stalls.
 */
export async function judge(page, seconds) {
  if (!(await page.evaluate(() => "judge" in window))) {
    await page.addScriptTag({ content: `window.judge = (${inPage})(${readDisplayed});` });
  }
  await until("the ears", 10_000, () => page.evaluate(() => window.judge.listens));
  await page.evaluate(() => window.judge.begin());
  await new Promise((done) => setTimeout(done, seconds * 1_000));
  return page.evaluate(() => window.judge.verdict());
}

/** Runs inside the page: it must not refer to anything outside itself. */
function inPage(read) {
  const MODULUS = 2 ** 22;
  const BEEP_HZ = 1000;
  const BEEP_EVERY = 30;
  const FRAME_MS = 1000 / 30;
  /** A beep and a frame further apart do not belong together. */
  const MAX_SKEW_MS = 500;

  const video = document.querySelector("video");
  const judge = { listens: false, begin, verdict };
  let latencies, skews, gap, stalls, unreadable;
  /** The last frame on display: its counter, and when it was shown, on the page's clock. */
  let shown = null;

  function begin() {
    [latencies, skews, stalls, gap, unreadable] = [[], [], 0, 0, 0];
    shown = null;
  }

  function verdict() {
    const median = (values) => {
      const sorted = values.toSorted((a, b) => a - b);
      return { p50: Math.round(sorted[sorted.length >> 1] ?? NaN), samples: values.length };
    };
    return { latency: median(latencies), skew: median(skews), gap: Math.round(gap), stalls, unreadable };
  }

  function frame(now, { expectedDisplayTime }) {
    video.requestVideoFrameCallback(frame);
    const at = Math.max(now, expectedDisplayTime);
    const reading = read();
    if (reading === null) {
      unreadable += 1;
      return;
    }
    const wall = Date.now() + at - performance.now();
    const late = (Math.round(wall) - reading.time) % MODULUS;
    latencies.push((late + MODULUS) % MODULUS);
    if (shown !== null) gap = Math.max(gap, at - shown.at);
    shown = { at, counter: reading.counter };
  }

  function heard(at) {
    if (shown === null) return;
    // The beep's frame is the nearest of each thirty.
    const phase = shown.counter % BEEP_EVERY;
    const ahead = phase > BEEP_EVERY / 2 ? BEEP_EVERY - phase : -phase;
    const skew = at - shown.at - (ahead * FRAME_MS) / video.playbackRate;
    if (Math.abs(skew) < MAX_SKEW_MS) skews.push(skew);
  }

  /** Tells when a block of samples is the first of a beep. */
  const detector = `registerProcessor("beeps", class extends AudioWorkletProcessor {
    last = -1;
    process([[samples]]) {
      if (samples === undefined) return true;
      let [real, imaginary, power] = [0, 0, 0];
      samples.forEach((sample, index) => {
        const angle = (2 * Math.PI * ${BEEP_HZ} * index) / sampleRate;
        real += sample * Math.cos(angle);
        imaginary += sample * Math.sin(angle);
        power += sample * sample;
      });
      const pure = (2 * (real ** 2 + imaginary ** 2)) / (samples.length * power);
      if (power / samples.length > 0.002 && pure > 0.4) {
        if (currentTime - this.last > 0.2) this.port.postMessage(currentTime);
        this.last = currentTime;
      }
      return true;
    }
  });`;

  async function listen() {
    const context = new AudioContext({ latencyHint: "interactive" });
    await context.resume();
    const module = URL.createObjectURL(new Blob([detector], { type: "text/javascript" }));
    await context.audioWorklet.addModule(module);
    const ears = new AudioWorkletNode(context, "beeps");
    const source = context.createMediaElementSource(video);
    source.connect(context.destination);
    source.connect(ears);
    ears.port.onmessage = ({ data }) => {
      const { contextTime, performanceTime } = context.getOutputTimestamp();
      heard(performanceTime + (data - contextTime) * 1000);
    };
    video.muted = false;
    judge.listens = true;
  }

  begin();
  video.addEventListener("waiting", () => (stalls += 1));
  video.requestVideoFrameCallback(frame);
  void listen();
  return judge;
}
