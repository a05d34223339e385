// Players whose rung is shed because the machine cannot keep up: they go on.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, screenshot } from "../support/browser.js";
import { PLAYERS, servePlayers } from "../support/players.js";
import { Fatal, RUNGS, Stage, until } from "../support/stage.js";

/**
 * What is left to the worker of what it takes for both rungs: the lower one is less than half
 * of it.
 */
const SHARE = 0.7;

/**
 * Longest that a picture may stand. A rung that is about to go has five pictures a second.
 */
const STILL_MS = 1_500;

/** Streams that are tried on a busy machine. */
const ATTEMPTS = 3;

let stage, browser, pages;
let failed = false;

before(async () => {
  stage = await Stage.open("--shed-rungs");
  browser = await Browser.open();
  pages = await servePlayers();
});

after(async () => {
  await browser?.close();
  await pages?.close();
  await stage?.close(failed);
});

/** In the page: notes for how long each picture stood, and how tall it was. */
function watchPictures() {
  const video = document.querySelector("video");
  let last = null;
  window.shown = { height: 0, still: 0, pictures: 0, stoodAt: [] };
  const note = (now) => {
    const { shown } = window;
    if (last !== null && now - last > 400) shown.stoodAt.push([Math.round(now - last), video.videoHeight]);
    if (last !== null) shown.still = Math.max(shown.still, now - last);
    last = now;
    shown.pictures += 1;
    shown.height = video.videoHeight;
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}

async function shown(page) {
  const failure = await page.evaluate(() => window.failure);
  if (failure !== null) throw new Fatal(failure);
  return page.evaluate(() => window.shown);
}

/** A stream that lost its rung by itself, on a machine that is busy with other things. */
class TooSoon extends Fatal {}

async function goesOn(player, field) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await goesOnOnce(player, field);
    } catch (error) {
      if (!(error instanceof TooSoon) || attempt === ATTEMPTS) {
        failed = true;
        throw error;
      }
    }
  }
}

async function rungs(stream) {
  const { body } = await stage.api("GET", `/${stream.id}`);
  return body.transcoded_qualities.length;
}

async function goesOnOnce(player, field) {
  // The next stream gets the spare worker.
  const worker = await until("a spare worker", 10_000, () => stage.workers().at(-1));
  const stream = await stage.createStream(`${player} ${field}`);
  const publisher = await stage.publish(stream);
  // Shaka gives up on a playlist of parts alone.
  const media = new URL(`${RUNGS[0]}p/media.m3u8`, stream.hls_cmaf_url);
  await until("segments", 10_000, async () => (await (await fetch(media)).text()).split("#EXTINF").length > 4);
  const page = await browser.page(pages.url(player, stream[field]));
  let release = async () => {};
  try {
    await page.evaluate(watchPictures);
    await until("the tallest rung", 20_000, async () => {
      if ((await rungs(stream)) < RUNGS.length) throw new TooSoon("shed before its time");
      return (await shown(page)).height === RUNGS[0];
    });
    await until("a steady picture", 20_000, async () => (await shown(page)).pictures > 150);
    await page.evaluate(() => Object.assign(window.shown, { still: 0, stoodAt: [] }));
    release = await stage.brake(worker, SHARE);
    await until("the rung to go", 15_000, async () => (await rungs(stream)) < RUNGS.length);
    // It is gone for half a minute; what follows is the player's part.
    await release();
    release = async () => {};
    await until("the next rung", 20_000, async () => (await shown(page)).height === RUNGS[1]);
    const { pictures } = await shown(page);
    await until("its pictures", 20_000, async () => (await shown(page)).pictures > pictures + 150);
    const { still, stoodAt } = await shown(page);
    console.log(`${player} ${field}: a picture stood ${Math.round(still)} ms at most ${JSON.stringify(stoodAt)}`);
    assert.ok(still < STILL_MS, `a picture stood for ${still} ms`);
  } catch (error) {
    const state = () => {
      const { currentTime, buffered, readyState, paused, error } = document.querySelector("video");
      const ranges = Array.from({ length: buffered.length }, (_, i) => [buffered.start(i), buffered.end(i)]);
      return { currentTime, ranges, readyState, paused, shown: window.shown, failure: window.failure, error: error?.message };
    };
    console.log(player, field, JSON.stringify(await page.evaluate(state)));
    await screenshot(page, `failed overload ${player}`);
    throw error;
  } finally {
    await release();
    publisher.kill("SIGKILL");
    // While a stream lacks a rung no other is let in.
    await stage.api("DELETE", `/${stream.id}`);
    await page.close();
  }
}

/** About one time in five Shaka ends with 3014 or 3016 at the switch; why is not known yet. */
const SKIP = { shaka: process.env.INLET_SHAKA === "1" ? false : "ends now and then: INLET_SHAKA=1 runs it" };

for (const player of PLAYERS) {
  const options = { skip: SKIP[player] ?? false };
  if (player !== "dash.js") {
    test(`${player} goes on when its LL-HLS rung is shed`, options, () => goesOn(player, "hls_cmaf_url"));
  }
  if (player !== "hls.js") {
    test(`${player} goes on when its LL-DASH rung is shed`, options, () => goesOn(player, "dash_url"));
  }
}
