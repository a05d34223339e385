// Other people's players, as an application developer would embed them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, advances, displayed, screenshot } from "../support/browser.js";
import { judge } from "../support/judge.js";
import { servePlayers } from "../support/players.js";
import { Fatal, RUNGS, Stage, ffprobe, until } from "../support/stage.js";

let stage, browser, stream, pages, publisher;
let failed = false;

/** What tells the manifests' file names apart. */
const KIND = /(master|index|mpegts)(?=\.)/;
const NAME = { hls_cmaf_url: "LL-HLS", dash_url: "LL-DASH", hls_mpegts_url: "HLS MPEG-TS" };
/** As the player page names them in its address. */
const PROTOCOL = { hls_cmaf_url: "hls", dash_url: "dash", hls_mpegts_url: "ts" };

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open();
  pages = await servePlayers();
  stream = await stage.createStream("players");
  publisher = await stage.publish(stream);
});

after(async () => {
  await browser?.close();
  await pages?.close();
  await stage?.close(failed);
});

/** What each player may be behind the camera, in milliseconds: the product's aims. */
const LATENCY_MS = {
  hls_cmaf_url: { "hls.js": 1_600, shaka: 1_200, page: 1_200 },
  dash_url: { "dash.js": 900, shaka: 900, page: 900 },
  hls_mpegts_url: { "hls.js": 5_000, shaka: 5_000, page: 5_000 },
};
/** Sound and picture of the stream differ by 40 ms at most; the browser adds its own. */
const MAX_SKEW_MS = 100;
/**
 * How long each is watched, how far it may miss the aim for latency, and how often it is
 * looked at before what is wrong counts.
 */
const [SECONDS, LENIENCE, MAX_TRIES] = process.env.INLET_SOAK ? [180, 1, 1] : [20, 2, 3];
/** What it takes a player to settle at its distance from the edge. */
const SETTLE_MS = 3_000;

/** A page in which `player` plays, and the rungs that it knows. */
async function open(player, kind) {
  if (player !== "page") {
    const page = await browser.page(pages.url(player, stream[kind]));
    return { page, qualities: () => window.qualities().map(({ height }) => height) };
  }
  const page = await browser.page();
  // The judge is no script of ours.
  const session = await page.context().newCDPSession(page);
  await session.send("Page.setBypassCSP", { enabled: true });
  await page.goto(`${stream.iframe_url}?protocol=${PROTOCOL[kind]}`);
  return { page, qualities: () => window.inlet.levels.map(({ height }) => height) };
}

/** What of a verdict is not as it should be. */
function faults({ latency, skew, gap, stalls, unreadable }, maxLatency) {
  const is = {
    stalls: stalls > 0,
    gap: gap >= 1_000,
    latency: !(latency.p50 < maxLatency),
    skew: !(skew.samples > SECONDS / 2 && Math.abs(skew.p50) < MAX_SKEW_MS),
    frames: !(latency.samples > SECONDS * 20 && unreadable < SECONDS),
  };
  return Object.keys(is).filter((name) => is[name]);
}

/** A machine that has other things to do disturbs a player once, but not each time. */
async function ensureGood(context, page, maxLatency) {
  for (let tries = 1; ; tries++) {
    const verdict = await judge(page, SECONDS);
    const notes = await page.evaluate(() => window.notes ?? []);
    const seen = `${context.name}: ${JSON.stringify(verdict)} ${notes}`;
    context.diagnostic(seen);
    const wrong = faults(verdict, maxLatency);
    if (wrong.length === 0) return;
    if (tries === MAX_TRIES) assert.fail(`${wrong}: ${seen}`);
  }
}

async function plays(context, player, kind) {
  const { page, qualities } = await open(player, kind);
  try {
    await until("the first frame", 20_000, async () => {
      const failure = await page.evaluate(() => window.failure);
      if (failure) throw new Fatal(failure);
      return page.evaluate(() => document.querySelector("video").currentTime > 0);
    });
    const heights = await page.evaluate(qualities);
    assert.deepEqual([...new Set(heights)].sort((a, b) => b - a), RUNGS);
    await new Promise((done) => setTimeout(done, SETTLE_MS));
    await ensureGood(context, page, LATENCY_MS[kind][player] * LENIENCE);
    await screenshot(page, `${player} ${KIND.exec(stream[kind])[0]}`);
    const failure = await page.evaluate(() => window.failure);
    assert.ok(!failure, failure);
  } catch (error) {
    failed = true;
    await screenshot(page, `failed ${player}`);
    throw error;
  } finally {
    await page.close();
  }
}

for (const [kind, players] of Object.entries(LATENCY_MS)) {
  for (const player of Object.keys(players)) {
    test(`${player} plays ${NAME[kind]} for ${SECONDS} s without a stall`, (context) =>
      plays(context, player, kind));
  }
}

/** Plays on in the same page, whatever `disturb` does meanwhile. */
async function playsOn(player, manifest, disturb) {
  const page = await browser.page(pages.url(player, manifest));
  try {
    await until("the first frame", 20_000, () =>
      page.evaluate(() => document.querySelector("video").currentTime > 0),
    );
    const before = (await advances(page, 60)).at(-1).counter;
    const isNews = await disturb();
    await until("playback after it", 30_000, async () => {
      const reading = await displayed(page);
      return reading !== null && isNews(reading.counter, before);
    });
    await advances(page, 90);
  } catch (error) {
    failed = true;
    await screenshot(page, `failed ${player}`);
    throw error;
  } finally {
    await page.close();
  }
}

/** The presenter leaves, and comes back after longer than a request is held for. */
async function leaveAndReturn() {
  publisher.kill("SIGTERM");
  await new Promise((done) => publisher.once("exit", done));
  await new Promise((done) => setTimeout(done, 20_000));
  publisher = await stage.publish(stream);
  // Its counter begins anew.
  return (counter, before) => counter < before;
}

/** The origin dies, and is back at once; resolves when it has segments again. */
async function crash() {
  const discontinuity = async () => {
    const media = await fetch(new URL(`${RUNGS[0]}p/media.m3u8`, stream.hls_cmaf_url));
    const text = await media.text();
    return text.includes("#EXTINF") ? Number(/DISCONTINUITY-SEQUENCE:(\d+)/.exec(text)[1]) : null;
  };
  const before = await discontinuity();
  stage.crashOrigin();
  await until("the new origin", 20_000, async () => (await discontinuity()) > before);
  // No player holds six seconds.
  return (counter, last) => counter > last + 180;
}

for (const [player, kind] of [
  ["hls.js", "hls_cmaf_url"],
  ["dash.js", "dash_url"],
  ["shaka", "hls_cmaf_url"],
  ["shaka", "dash_url"],
  ["hls.js", "hls_mpegts_url"],
]) {
  test(`${player} goes on with a presenter who returns: ${kind}`, () =>
    playsOn(player, stream[kind], leaveAndReturn));
  test(`${player} goes on after a crash of the origin: ${kind}`, () =>
    playsOn(player, stream[kind], crash));
}

for (const kind of ["hls_cmaf_url", "dash_url", "hls_mpegts_url"]) {
  test(`ffprobe understands ${kind}`, async () => {
    const streams = await ffprobe(stream[kind]);
    const video = streams.filter(({ codec_type }) => codec_type === "video");
    assert.deepEqual(video.map(({ height }) => height).sort((a, b) => b - a), RUNGS);
    assert.ok(video.every(({ codec_name }) => codec_name === "h264"));
    assert.ok(streams.some(({ codec_name }) => codec_name === "aac"));
  });
}
