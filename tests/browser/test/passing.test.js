// Chromium's own picture as the top rung: from the go-live page, past the worker, to hls.js.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Browser, onAir, screenshot } from "../support/browser.js";
import { judge } from "../support/judge.js";
import { servePlayers } from "../support/players.js";
import { Stage, until } from "../support/stage.js";
import { steps } from "../support/steps.js";

/** The whole picture that the page sends, so that its rung needs no scaling. */
const HEIGHT = 480;
/** Three key frames in time, and two segments around them; a busy machine has more. */
const PASSES_MS = 30_000;
/** How long hls.js is watched, and how often it is looked at before a stall counts. */
const [SECONDS, MAX_TRIES] = [20, 3];
/**
 * What a busy machine makes of a presenter for the rest of its session, who is tried again then:
 * a key frame is a third of a second late, and what was held up comes all at once.
 */
const DISTURBED = ["key_frames", "stall", "frame_rate"];
/** What it takes hls.js to settle at its distance from the edge. */
const SETTLE_MS = 3_000;

let stage, browser, pages, page, stream;
const step = steps(() => page);

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open();
  pages = await servePlayers();
});

after(async () => {
  await browser?.close();
  await pages?.close();
  await stage?.close(step.failed);
});

const state = async () => (await stage.api("GET", `/${stream.id}`)).body;

const isDisturbed = async () => DISTURBED.includes((await state()).pass_through_reason);

/** Goes live; resolves when the picture is the top rung, or a busy machine prevented it. */
async function goLive() {
  stream = await stage.createStream("passed");
  const rungs = [
    { height: HEIGHT, bitrate: 1_000_000 },
    { height: 360, bitrate: 450_000 },
  ];
  const fields = { pass_through: true, quality_set: { rungs } };
  const { status } = await stage.api("PATCH", `/${stream.id}`, fields);
  assert.equal(status, 200);
  page = await browser.page(stream.goLive());
  await onAir(page, 40_000);
  await until("passing through", PASSES_MS, async () => {
    const { pass_through_state, pass_through_reason } = await state();
    if (pass_through_state === "passing" || (await isDisturbed())) return true;
    throw new Error(`${pass_through_state} ${pass_through_reason}`);
  });
}

/** Goes live until the picture is the top rung. */
async function passes() {
  for (let tries = 1; ; tries++) {
    await goLive();
    if (!(await isDisturbed())) return;
    assert.ok(tries < MAX_TRIES, "encoded each time");
    await leave();
  }
}

/** Ends the stream. */
async function leave() {
  await page.close();
  await stage.api("DELETE", `/${stream.id}`);
}

step("the go-live page's picture becomes the top rung", passes);

step(`hls.js plays it for ${SECONDS} s without a stall`, async (context) => {
  for (let tries = 1; ; tries++) {
    const publishing = page;
    try {
      await plays(context);
      await page.close();
      page = publishing;
      return;
    } catch (error) {
      if (!(await isDisturbed()) || tries === MAX_TRIES) throw error;
      if (page !== publishing) await page.close();
      page = publishing;
    }
    await leave();
    await passes();
  }
});

async function plays(context) {
  page = await browser.page(pages.url("hls.js", stream.hls_cmaf_url));
  await until("the first frame", 20_000, () =>
    page.evaluate(() => window.failure === null && document.querySelector("video").currentTime > 0),
  );
  const top = await page.evaluate(() => window.holdTop());
  assert.equal(top, HEIGHT);
  await until("the top rung", 20_000, () =>
    page.evaluate((height) => document.querySelector("video").videoHeight === height, HEIGHT),
  );
  await new Promise((done) => setTimeout(done, SETTLE_MS));
  let verdict;
  for (let tries = 1; ; tries++) {
    verdict = await judge(page, SECONDS);
    context.diagnostic(JSON.stringify(verdict));
    if (verdict.stalls === 0 || tries === MAX_TRIES) break;
  }
  const metrics = await (await fetch(stage.urls.metrics.origin)).text();
  const name = "inlet_origin_pass_through_key_frame_offset_seconds";
  for (const line of metrics.split("\n")) if (line.startsWith(name)) context.diagnostic(line);
  await screenshot(page, "hls.js passed through");
  assert.equal(verdict.stalls, 0);
  assert.ok(verdict.latency.samples > SECONDS * 20 && verdict.unreadable < SECONDS);
  assert.equal(await page.evaluate(() => window.failure), null);
  const height = await page.evaluate(() => document.querySelector("video").videoHeight);
  assert.equal(height, HEIGHT);
  const { pass_through_state } = await state();
  assert.equal(pass_through_state, "passing");
}
