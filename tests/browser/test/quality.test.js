// What Chromium sends from the go-live page: the whole picture from the start, at its
// target within seconds, and more as soon as it may. All of it hangs on the edge's answer
// (where to begin) and on its feedback (what the network carries).

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Browser, onAir } from "../support/browser.js";
import { Stage, until } from "../support/stage.js";
import { steps } from "../support/steps.js";

const [WIDTH, HEIGHT] = [1280, 720];
/** From "connected" to the whole picture at its target: promised, and on a busy machine. */
const CLIMB_MS = 10_000;
const SLOW_CLIMB_MS = 3 * CLIMB_MS;
/** How long it is waited for. */
const PATIENCE_MS = 4 * CLIMB_MS;
/** The picture's start: what a busy machine makes of it later is its own affair. */
const START_MS = 1_000;
/** Part of the ceiling that counts as reached. */
const REACHED = 0.8;
/** Frames in a second that still run, on a machine that transcodes as well. */
const MIN_FPS = 20;

let stage, browser, page;
const step = steps(() => page);

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open();
});

after(async () => {
  await browser?.close();
  await stage?.close(step.failed);
});

/** Runs in the page, ahead of its own code: looks at the picture ten times a second. */
function watchSender() {
  const Plain = RTCPeerConnection;
  window.looks = [];
  window.RTCPeerConnection = class extends Plain {
    constructor(...parameters) {
      super(...parameters);
      this.addEventListener("connectionstatechange", () => {
        if (this.connectionState !== "connected" || window.sender !== undefined) return;
        window.publishing = this;
        window.sender = this.getSenders().find(({ track }) => track?.kind === "video");
        const connected = performance.now();
        setInterval(async () => {
          for (const line of (await this.getStats()).values()) {
            if (line.type !== "outbound-rtp" || line.kind !== "video") continue;
            window.looks.push({
              at: performance.now() - connected,
              size: `${line.frameWidth}x${line.frameHeight}`,
              fps: line.framesPerSecond ?? 0,
              target: line.targetBitrate ?? 0,
              limit: line.qualityLimitationReason,
              frames: line.framesEncoded,
            });
          }
        }, 100);
      });
    }
  };
}

/** The looks so far, and the ceiling in bits per second. */
function looks() {
  return page.evaluate(() => {
    const [{ maxBitrate }] = window.sender.getParameters().encodings;
    return { all: window.looks, ceiling: maxBitrate };
  });
}

const isWhole = ({ size }) => size === `${WIDTH}x${HEIGHT}`;

/** The first look that has it all. */
function reached({ all, ceiling }) {
  return all.find((look) => {
    const isFast = look.target >= REACHED * ceiling && look.fps >= MIN_FPS;
    return isWhole(look) && isFast && look.limit !== "bandwidth";
  });
}

step("the whole picture comes from the start, and at its target within seconds", async () => {
  const stream = await stage.createStream("quality");
  page = await browser.page();
  await page.addInitScript(watchSender);
  await page.goto(stream.goLive().replace(/resolution=\d+x\d+/, `resolution=${WIDTH}x${HEIGHT}`));
  await onAir(page, 40_000);
  const look = await until("the target", PATIENCE_MS, async () => reached(await looks()));
  assert.ok(look.at < SLOW_CLIMB_MS, `it took ${look.at} ms: ${JSON.stringify((await looks()).all)}`);
  // Chromium by itself would begin at half the size, and stay there for seconds.
  const { all } = await looks();
  const first = all.find((look) => look.frames > 0);
  const start = all.filter((look) => look.frames > 0 && look.at < first.at + START_MS);
  const small = start.find((look) => !isWhole(look));
  assert.equal(small, undefined, JSON.stringify(small));
});

step("receiver reports tell loss, jitter and round trip of both", async () => {
  const told = await until("reports", 10_000, () =>
    page.evaluate(async () => {
      const reports = [];
      for (const line of (await window.publishing.getStats()).values()) {
        if (line.type === "remote-inbound-rtp" && line.roundTripTime > 0) reports.push(line);
      }
      return reports.length >= 2 && reports;
    }),
  );
  assert.deepEqual(told.map(({ kind }) => kind).sort(), ["audio", "video"]);
  for (const { kind, roundTripTime, jitter, packetsLost } of told) {
    assert.ok(roundTripTime < 1, `${kind}: a round trip of ${roundTripTime} s on one machine`);
    assert.ok(jitter >= 0 && packetsLost >= 0, `${kind}: ${jitter}, ${packetsLost}`);
  }
});

step("a higher ceiling is reached within seconds too", async () => {
  const { ceiling, all } = await looks();
  const raised = 2 * ceiling;
  await page.evaluate(async (maxBitrate) => {
    const parameters = window.sender.getParameters();
    parameters.encodings[0].maxBitrate = maxBitrate;
    await window.sender.setParameters(parameters);
  }, raised);
  const from = all.at(-1).at;
  const look = await until("the new target", PATIENCE_MS, async () => {
    const now = await looks();
    return reached({ ceiling: raised, all: now.all.filter(({ at }) => at > from) });
  });
  assert.ok(look.at - from < SLOW_CLIMB_MS, `it took ${look.at - from} ms`);
});

step("a slow uplink gets a smaller picture rather than a slower one", async () => {
  const slow = 300_000;
  await page.evaluate(async (maxBitrate) => {
    const parameters = window.sender.getParameters();
    parameters.encodings[0].maxBitrate = maxBitrate;
    await window.sender.setParameters(parameters);
  }, slow);
  const [from] = (await looks()).all.slice(-1);
  await until("a smaller picture at its rate", PATIENCE_MS, async () => {
    const last = (await looks()).all.at(-1);
    return last.at > from.at && !isWhole(last) && last.fps >= MIN_FPS && last.target <= slow;
  });
  await page.evaluate(() => window.inlet.stop());
  await page.close();
});
