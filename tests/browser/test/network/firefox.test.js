// Firefox goes live from the page and watches itself in the player.
//
// It speaks WebDriver BiDi over a socket on loopback, so it runs where this process does;
// the servers are at the other end. It gathers no candidates on loopback.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import puppeteer from "puppeteer-core";

import { advances, inlet, onAir } from "../../support/browser.js";
import { Network, SERVERS, leftOut } from "../../support/network.js";
import { moreSegments } from "../../support/playlist.js";
import { Stage, ffprobe, until } from "../../support/stage.js";

const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
const RESULTS = resolve(import.meta.dirname, "../../results");
const skip = leftOut();

let network, stage, firefox;
let failed = false;

before(async () => {
  if (skip) return;
  assert.ok(existsSync(FIREFOX), `no ${FIREFOX}: run \`make packages-test\``);
  network = await Network.open("servers");
  stage = await Stage.openAt(network, SERVERS);
  firefox = await puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    headless: true,
    // WHIP's certificate is of an authority that exists for this test alone.
    acceptInsecureCerts: true,
    extraPrefsFirefox: {
      "media.autoplay.default": 0,
      "media.autoplay.blocking_policy": 0,
      "media.autoplay.block-webaudio": false,
      // No updates, no experiments, no reports: there is nobody out there.
      "app.update.enabled": false,
      "datareporting.policy.dataSubmissionEnabled": false,
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
    },
  });
});

after(async () => {
  await firefox?.close();
  await stage?.close(failed);
  network?.close();
});

async function open(url) {
  // A window of its own: what is in the back is slowed down.
  const page = await firefox.newPage({ type: "window" });
  await page.goto(url);
  return page;
}

/** A test whose failure makes the logs appear, and shows what Firefox shows. */
function step(name, body) {
  test(name, { skip }, async (context) => {
    try {
      await body(context);
    } catch (error) {
      failed = true;
      mkdirSync(RESULTS, { recursive: true });
      for (const [at, page] of (await firefox.pages()).entries()) {
        await page.screenshot({ path: join(RESULTS, `firefox-${at}.png`) }).catch(() => {});
        console.error(page.url(), JSON.stringify(await inlet(page).catch(() => null)));
      }
      throw error;
    }
  });
}

step("Firefox publishes VP8 and Opus, and sees itself move by every protocol", async (context) => {
  const stream = await stage.createStream("Firefox");
  const page = await open(stream.goLive());
  await onAir(page, 30_000);
  await moreSegments(stream.hls_cmaf_url, 2, 30_000);
  const { stats, server } = await inlet(page);
  context.diagnostic(JSON.stringify({ ...stats, path: server?.path }));
  assert.equal(stats.codec, "VP8");
  assert.equal(server.path, "host_udp");
  const kinds = (await ffprobe(stream.hls_cmaf_url)).map(({ codec_type }) => codec_type);
  assert.deepEqual([...new Set(kinds)].sort(), ["audio", "video"]);

  for (const protocol of ["hls", "dash", "ts"]) {
    const player = await open(`${stream.iframe_url}?protocol=${protocol}`);
    const readings = await advances(player, 60);
    context.diagnostic(`${protocol}: ${readings.length} frames read`);
    assert.equal((await inlet(player)).protocol, protocol);
    await player.close();
  }
});

step("closing Firefox's tab frees the stream at once", async (context) => {
  const stream = await stage.createStream("closed tab");
  const first = await open(stream.goLive());
  await onAir(first, 30_000);
  const began = performance.now();
  await first.close();
  // A second presenter is refused (2003) as long as the first one holds the stream.
  const second = await open(stream.goLive());
  await onAir(second, 10_000);
  const tookMs = Math.round(performance.now() - began);
  context.diagnostic(`on air from another tab ${tookMs} ms after the first one was closed`);
  const { error } = await inlet(second);
  assert.equal(error, null);
  await second.evaluate(() => window.inlet.stop());
  await until("nobody", 5_000, async () => {
    const { body } = await stage.api("GET", `/${stream.id}`);
    return body.live === false;
  });
});
