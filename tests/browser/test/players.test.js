// Other people's players, as an application developer would embed them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, advances, screenshot } from "../support/browser.js";
import { PLAYERS, servePlayers } from "../support/players.js";
import { Fatal, RUNGS, Stage, ffprobe, until } from "../support/stage.js";

let stage, browser, stream, pages;
let failed = false;

/** What tells the manifests' file names apart. */
const KIND = /(master|index|mpegts)(?=\.)/;

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open();
  pages = await servePlayers();
  stream = await stage.createStream("players");
  await stage.publish(stream);
});

after(async () => {
  await browser?.close();
  await pages?.close();
  await stage?.close(failed);
});

async function plays(player, manifest) {
  const page = await browser.page(pages.url(player, manifest));
  try {
    await until("the first frame", 20_000, async () => {
      const failure = await page.evaluate(() => window.failure);
      if (failure !== null) throw new Fatal(failure);
      return page.evaluate(() => document.querySelector("video").currentTime > 0);
    });
    await advances(page, 300);
    const heights = await page.evaluate(() => window.qualities().map(({ height }) => height));
    assert.deepEqual([...new Set(heights)].sort((a, b) => b - a), RUNGS);
    assert.equal(await page.evaluate(() => window.failure), null);
    await screenshot(page, `${player} ${KIND.exec(manifest)[0]}`);
  } catch (error) {
    failed = true;
    await screenshot(page, `failed ${player}`);
    throw error;
  } finally {
    await page.close();
  }
}

for (const player of PLAYERS) {
  if (player !== "dash.js") {
    test(`${player} plays LL-HLS`, () => plays(player, stream.hls_cmaf_url));
    test(`${player} plays HLS MPEG-TS`, () => plays(player, stream.hls_mpegts_url));
  }
  if (player !== "hls.js") {
    test(`${player} plays LL-DASH`, () => plays(player, stream.dash_url));
  }
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
