// Firefox goes live with VP8, from a namespace of its own: it gathers nothing on loopback.
// Playwright cannot drive Debian's Firefox; WebDriver BiDi can.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import puppeteer from "puppeteer-core";

import { Network, whyNoNamespace } from "../support/network.js";
import { Stage, ffprobe, until } from "../support/stage.js";

const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
const why = whyNoNamespace() ?? (existsSync(FIREFOX) ? null : `no ${FIREFOX}`);

/** Preferences of the profile: nothing asks, and addresses are told as they are. */
const PREFERENCES = {
  "media.autoplay.default": 0,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.navigator.permission.disabled": true,
  "dom.disable_beforeunload": true,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "app.update.enabled": false,
};

/** A Firefox inside, driven from outside. */
async function firefox(network, profile) {
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${value});`);
  writeFileSync(join(profile, "user.js"), lines.join("\n"));
  const port = 20_000 + (process.pid % 10_000);
  await network.expose(port);
  network.spawn(FIREFOX, [
    "--headless",
    "--no-remote",
    "--profile",
    profile,
    "--remote-debugging-port",
    String(port),
  ]);
  return until("Firefox", 30_000, () =>
    puppeteer.connect({
      browserWSEndpoint: `ws://127.0.0.1:${port}/session`,
      protocol: "webDriverBiDi",
    }),
  );
}

test("Firefox publishes VP8 and frees the stream when it stops", { skip: why ?? false }, async () => {
  const network = new Network();
  const profile = mkdtempSync(join(tmpdir(), "inlet-firefox-"));
  let stage, browser;
  let failed = true;
  try {
    stage = await Stage.open("--address", network.host);
    const stream = await stage.createStream("firefox");
    browser = await firefox(network, profile);
    const page = await browser.newPage();
    await page.goto(stream.goLive());
    const state = () => page.evaluate(() => JSON.parse(JSON.stringify(window.inlet)));
    await until("on air", 40_000, async () => {
      const { state: now, error } = await state();
      if (now !== "live") throw new Error(`${now}: ${JSON.stringify(error)}`);
      return true;
    });
    await until("the codec", 15_000, async () => (await state()).stats?.codec === "VP8");
    const { server } = await until("media at the server", 15_000, async () => {
      const now = await state();
      return now.server?.state === "live" && now;
    });
    assert.equal(server.path, "host_udp");
    await until("picture and sound that play", 30_000, async () => {
      const kinds = new Set((await ffprobe(stream.hls_cmaf_url)).map(({ codec_type }) => codec_type));
      return kinds.has("video") && kinds.has("audio");
    });
    await page.evaluate(() => window.inlet.stop());
    await until("the stream to be free", 5_000, async () => {
      const { body } = await stage.api("GET", `/${stream.id}`);
      return body.live === false;
    });
    failed = false;
  } finally {
    await browser?.close();
    await stage?.close(failed);
    network.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
