// What there is beside the picture and AAC: Opus, and small pictures of the window.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import HLS from "hls-parser";
import { Parser } from "m3u8-parser";
import { parse as parseManifest } from "mpd-parser";

import { Browser, advances, inlet, screenshot } from "../support/browser.js";
import { servePlayers } from "../support/players.js";
import { Fatal, RUNGS, Stage, until } from "../support/stage.js";
import { steps } from "../support/steps.js";

let stage, browser, stream, pages;
const step = steps();

before(async () => {
  stage = await Stage.open("--opus");
  browser = await Browser.open();
  pages = await servePlayers();
  stream = await stage.createStream("renditions");
  await stage.publish(stream);
  await until("a window to look back into", 30_000, async () => {
    const list = await fetch(new URL("thumbnails.vtt", stream.hls_cmaf_url));
    return list.ok && (await list.text()).split(".jpg").length > 6;
  });
});

after(async () => {
  await browser?.close();
  await pages?.close();
  await stage?.close(step.failed);
});

/** How a player codes the sound that it plays. */
const CODING = {
  "hls.js": () => hls.levels[hls.currentLevel]?.audioCodec,
  "dash.js": () => player.getCurrentTrackFor("audio")?.codec,
  shaka: () => player.getVariantTracks().find(({ active }) => active)?.audioCodec,
};

/** A page in which a player plays; `change` is made to what the manifest says. */
async function playing(player, manifest, change, look) {
  const page = await browser.page();
  await page.route(manifest, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: change(await response.text()) });
  });
  try {
    await page.goto(pages.url(player, manifest));
    await until("the first frame", 20_000, async () => {
      const failure = await page.evaluate(() => window.failure);
      if (failure !== null) throw new Fatal(failure);
      return page.evaluate(() => document.querySelector("video").currentTime > 0);
    });
    await advances(page, 60);
    await look(page);
    assert.equal(await page.evaluate(() => window.failure), null);
  } catch (error) {
    await screenshot(page, `failed ${player} renditions`);
    throw error;
  } finally {
    await page.close();
  }
}

const whole = (text) => text;

/** Without AAC: its variants are the first half, its adaptation set has the id 1. */
function opusAlone(text) {
  if (text.startsWith("#EXTM3U")) {
    return text.replace(/#EXT-X-(MEDIA:TYPE=AUDIO,GROUP-ID="audio".*\n|STREAM-INF:.*mp4a.*\n.*\n)/g, "");
  }
  return text.replace(/<AdaptationSet id="1"[^]*?<\/AdaptationSet>\n/g, "");
}

for (const [player, kind, coding] of [
  // hls.js puts variants of one size in order of their rate, and Opus has less; Shaka
  // takes what its estimate of the bandwidth allows.
  ["hls.js", "hls_cmaf_url", "opus"],
  ["shaka", "hls_cmaf_url", "mp4a|opus"],
  ["shaka", "dash_url", "mp4a|opus"],
  ["dash.js", "dash_url", "mp4a"],
]) {
  step(`${player} plays where Opus is on offer: ${kind}`, () =>
    playing(player, stream[kind], whole, async (page) => {
      assert.match((await page.evaluate(CODING[player])).toLowerCase(), new RegExp(coding));
    }),
  );
  step(`${player} plays Opus: ${kind}`, () =>
    playing(player, stream[kind], opusAlone, async (page) => {
      assert.match((await page.evaluate(CODING[player])).toLowerCase(), /opus/);
      const heard = () => page.evaluate(() => document.querySelector("video").webkitAudioDecodedByteCount);
      const before = await heard();
      await until("more sound", 5_000, async () => (await heard()) > before);
    }),
  );
}

for (const protocol of ["hls", "dash"]) {
  step(`our page has each rung once: ${protocol}`, async () => {
    const page = await browser.page(`${stream.iframe_url}?protocol=${protocol}`);
    try {
      await until("the first frame", 20_000, () =>
        page.evaluate(() => document.querySelector("video").currentTime > 0),
      );
      await advances(page, 60);
      const { levels, attaches } = await inlet(page);
      assert.deepEqual(levels.map(({ height }) => height), RUNGS.toReversed());
      assert.equal(attaches, 1);
    } finally {
      await page.close();
    }
  });
}

/** Size of a picture, as the page loads it. */
function load(page, url) {
  return page.evaluate(async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  }, url);
}

/** In the middle of a second three seconds back; segments are seconds of media time. */
async function shows(page, { url, time }) {
  assert.match(url, new RegExp(`/thumbnails/${Math.floor(time)}\\.jpg$`));
  assert.deepEqual(await load(page, url), [192, 108]);
}

step("dash.js finds the thumbnail of a moment", () =>
  playing("dash.js", stream.dash_url, whole, async (page) => {
    const found = await page.evaluate(async () => {
      const { start } = player.getDvrWindow();
      const time = Math.floor(document.querySelector("video").currentTime) - 2.5;
      const { url } = await new Promise((done) => player.provideThumbnail(time - start, done));
      return { url, time };
    });
    await shows(page, found);
  }),
);

step("Shaka finds the thumbnail of a moment", () =>
  playing("shaka", stream.dash_url, whole, async (page) => {
    const found = await page.evaluate(async () => {
      const [track] = player.getImageTracks();
      const time = Math.floor(document.querySelector("video").currentTime) - 2.5;
      const { uris } = await player.getThumbnails(track.id, time);
      return { url: uris[0], time };
    });
    await shows(page, found);
  }),
);

async function text(url) {
  const response = await fetch(url);
  assert.equal(response.status, 200, url);
  return response.text();
}

step("hls-parser reads both codings, AAC's variants first", async () => {
  const { variants } = HLS.parse(await text(stream.hls_cmaf_url));
  const said = variants.map(({ resolution, codecs, audio }) => [
    resolution.height,
    codecs.split(",")[1],
    audio[0].uri,
  ]);
  assert.deepEqual(said, [
    ...RUNGS.map((rung) => [rung, "mp4a.40.2", "audio/media.m3u8"]),
    ...RUNGS.map((rung) => [rung, "opus", "opus/media.m3u8"]),
  ]);
});

step("both parsers read Opus's playlist", async () => {
  const playlist = await text(new URL("opus/media.m3u8", stream.hls_cmaf_url));
  const { partTargetDuration, renditionReports, segments } = HLS.parse(playlist);
  assert.equal(renditionReports.length, RUNGS.length + 1);
  const parts = segments.flatMap((segment) => segment.parts).filter(({ hint }) => !hint);
  assert.ok(parts.length > 5 && parts.every(({ duration }) => duration === partTargetDuration));
  const parser = new Parser();
  parser.push(playlist);
  parser.end();
  assert.match(parser.manifest.segments[0].map.uri, /^init-[0-9a-f]+\.mp4$/);
  const aac = HLS.parse(await text(new URL("audio/media.m3u8", stream.hls_cmaf_url)));
  const pdt = (playlist) => playlist.segments[0].programDateTime.getTime();
  assert.ok(Math.abs(pdt(aac) - pdt(HLS.parse(playlist))) < 1_100);
});

step("mpd-parser reads the manifest with both and the pictures", async () => {
  const manifest = parseManifest(await text(stream.dash_url), { manifestUri: stream.dash_url });
  const heights = manifest.playlists.map(({ attributes }) => attributes.RESOLUTION.height);
  assert.deepEqual(heights.sort((a, b) => b - a), RUNGS);
  const sounds = Object.values(manifest.mediaGroups.AUDIO.audio).flatMap(({ playlists }) => playlists);
  const codecs = sounds.map(({ attributes }) => attributes.CODECS);
  assert.ok(codecs.includes("mp4a.40.2"), `${codecs}`);
});
