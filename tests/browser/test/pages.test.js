// Our own pages: a tab goes live, another one plays it, and neither is disturbed by what
// happens to presenters.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Browser, advances, displayed, inlet, onAir, screenshot } from "../support/browser.js";
import { RUNGS, Stage, until, variants } from "../support/stage.js";
import { steps } from "../support/steps.js";

let stage, browser, stream, presenter, player;
const step = steps(() => player);

/** The product's promise from capture to display; the aim is far below it. */
const MAX_LATENCY_MS = 2_000;
/** Sound and picture of the stream differ by 40 ms at most; the browser adds its own. */
const MAX_SKEW_MS = 100;
/**
 * Different frames that are read off the screen while 300 pass: a busy machine looks seldom, and
 * a picture that stands has one.
 */
const MIN_READINGS = 30;

/** Checks what the player measured by the strip and the beeps, and tells it. */
function checkMeasure(context, measure) {
  const { p50, p95, undecoded, skipped, samples, skew } = measure;
  context.diagnostic(`latency p50 ${p50} ms, p95 ${p95} ms over ${samples} frames, ${skipped} skipped`);
  context.diagnostic(`sound after picture p50 ${skew.p50} ms over ${skew.samples} beeps`);
  assert.ok(p50 < MAX_LATENCY_MS, `latency ${p50} ms`);
  assert.ok(undecoded <= samples / 10, `${undecoded} frames without a strip`);
  assert.ok(skew.samples >= 3, `only ${skew.samples} beeps were heard`);
  assert.ok(Math.abs(skew.p50) < MAX_SKEW_MS, `sound and picture are ${skew.p50} ms apart`);
}

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open();
  stream = await stage.createStream("pages");
});

after(async () => {
  await browser?.close();
  await stage?.close(step.failed);
});

step("the player waits politely while nobody is live", async () => {
  player = await browser.page(`${stream.iframe_url}?measure=1&beep=1`);
  await until("waiting", 5_000, async () => (await inlet(player)).state === "waiting");
  await screenshot(player, "player-waiting");
});

step("the go-live page publishes its test picture", async () => {
  presenter = await browser.page(stream.goLive());
  const state = await onAir(presenter);
  assert.equal(state.error, null);
  await until("what the sender achieves", 10_000, async () => {
    const { stats } = await inlet(presenter);
    return stats !== null && stats.width === 854 && stats.fps > 20;
  });
  await screenshot(presenter, "go-live");
});

step("the waiting player starts by itself and plays LL-HLS, with sound", async (context) => {
  // A page in the background shows no frames; one that publishes goes on there.
  await player.bringToFront();
  const readings = await advances(player, 300);
  await screenshot(player, "player-hls");
  const state = await inlet(player);
  assert.equal(state.protocol, "hls");
  assert.ok(state.levels.length === RUNGS.length, JSON.stringify(state.levels));
  assert.ok(readings.length > MIN_READINGS, `only ${readings.length} different frames were seen`);
  checkMeasure(context, state.measure);
});

step("all rungs exist with the right size", async () => {
  const sizes = await variants(stream.hls_cmaf_url);
  assert.deepEqual(sizes.map(({ height }) => height).sort((a, b) => b - a), RUNGS);
  for (const { width, height } of sizes) {
    assert.ok(Math.abs(width - (height * 854) / 480) <= 2, `${width}x${height} is distorted`);
    assert.equal(width % 2, 0);
  }
  const manifest = await (await fetch(stream.dash_url)).text();
  for (const { width, height } of sizes) {
    assert.match(manifest, new RegExp(`<Representation[^>]*width="${width}"[^>]*height="${height}"`));
  }
});

step("a second publisher gets 400 with 2003, and the first keeps playing", async () => {
  const second = await browser.page(stream.goLive());
  const error = await until("the refusal", 10_000, async () => (await inlet(second)).error);
  assert.equal(error.status, 400);
  assert.equal(error.reason, 2003);
  assert.notEqual(error.title, "");
  await screenshot(second, "go-live-refused");
  await second.close();
  await advances(player, 60);
  assert.equal((await inlet(presenter)).state, "live");
});

step("a wrong token gets 403 with 2002", async () => {
  const wrong = stream.goLive().replace(/_[^_/]+\/whip$/, "_0123456789abcdef0123456789abcdef/whip");
  assert.notEqual(wrong, stream.goLive());
  const page = await browser.page(wrong);
  const error = await until("the refusal", 10_000, async () => (await inlet(page)).error);
  assert.equal(error.status, 403);
  assert.equal(error.reason, 2002);
  await page.close();
});

step("a change of the sender's size does not stop playback", async () => {
  const levels = JSON.stringify((await inlet(player)).levels);
  const change = async (width, height) => {
    await presenter.evaluate((size) => window.inlet.resize(size), { width, height });
    await until(`${width}x${height}`, 15_000, async () => (await inlet(presenter)).stats?.width === width);
    await advances(player, 90);
  };
  let stalls;
  // A machine that has other things to do makes a player wait once, but not each time.
  for (let tries = 0; tries < 2 && stalls !== 0; tries++) {
    const before = await inlet(player);
    await change(426, 240);
    await change(854, 480);
    const state = await inlet(player);
    stalls = state.stalls - before.stalls;
    assert.equal(JSON.stringify(state.levels), levels, "every rung keeps its size");
  }
  assert.equal(stalls, 0, "playback stopped");
});

step("after closing the tab and going live again the player goes on without a reload", async () => {
  await player.evaluate(() => { window.notReloaded = true; });
  await presenter.close();
  const last = await displayed(player);
  await until("silence", 10_000, async () => (await stage.api("GET", `/${stream.id}`)).body.live === false);
  // Longer than a request is held, and than a player asks again by itself.
  await new Promise((done) => setTimeout(done, 20_000));
  presenter = await browser.page(stream.goLive());
  await onAir(presenter);
  // Whoever begins anew in the background shows no frames there.
  await player.bringToFront();
  // The new tab counts its frames from 0.
  await until("the new session's picture", 20_000, async () => {
    const reading = await displayed(player);
    return reading !== null && last !== null && reading.counter < last.counter;
  });
  await advances(player, 90);
  assert.equal(await player.evaluate(() => window.notReloaded), true);
});

step("the player page plays LL-DASH, with sound", async (context) => {
  await player.close();
  player = await browser.page(`${stream.iframe_url}?protocol=dash&measure=1&beep=1`);
  const readings = await advances(player, 300, 30_000);
  await screenshot(player, "player-dash");
  const state = await inlet(player);
  assert.equal(state.protocol, "dash");
  assert.ok(readings.length > MIN_READINGS, `only ${readings.length} different frames were seen`);
  checkMeasure(context, state.measure);
});

step("no page complained", () => {
  const expected = /40[03] \(|net::ERR_|404/;
  assert.deepEqual(browser.complaints.filter((complaint) => !expected.test(complaint)), []);
});
