// A viewer in Chromium for the benchmarks: opens a player page, and tells what it sees.
//
//   node viewer.mjs URL SETTLE_S MEASURE_S
//
// Prints one JSON object per line: `{"event": "waiting"}` when nobody is live yet and the
// page waits, `{"event": "first_frame", "at": unix_ms}` when the first frame is on the
// screen, and `{"event": "measured", "inlet": {…}}` after MEASURE_S seconds of playback that
// begin SETTLE_S seconds later. With a MEASURE_S of 0 it ends after the first frame.

import { Browser, inlet } from "../../tests/browser/support/browser.js";
import { until } from "../../tests/browser/support/stage.js";

const PATIENCE_MS = 30_000;

const [url, settle, measure] = process.argv.slice(2);
const tell = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const seconds = (count) => new Promise((done) => setTimeout(done, Number(count) * 1000));

const browser = await Browser.open();
try {
  const page = await browser.page();
  await page.goto(url);
  await page.evaluate(() => {
    // The frame's own time of display, which is later than that of this callback.
    document.querySelector("video").requestVideoFrameCallback((now, { expectedDisplayTime }) => {
      const shown = Math.max(now, expectedDisplayTime);
      window.firstFrameAt = Date.now() + shown - performance.now();
    });
  });
  if ((await inlet(page)).state === "waiting") {
    // One look at the stream has been taken and answered before anybody goes live.
    await seconds(1);
    tell("waiting");
  }
  const at = await until("a first frame", PATIENCE_MS, () => page.evaluate(() => window.firstFrameAt));
  tell("first_frame", { at });
  if (Number(measure) > 0) {
    await until("playback", PATIENCE_MS, async () => (await inlet(page)).state === "playing");
    await seconds(settle);
    await page.evaluate(() => window.inletMeasure.reset());
    await seconds(measure);
    tell("measured", { inlet: await inlet(page) });
  }
} finally {
  await browser.close();
}
