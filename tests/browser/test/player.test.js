// The player page in a viewer's hands: its numbers, keys, memory, frames of other people's
// pages, and several of it side by side.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Browser, advances, inlet, screenshot } from "../support/browser.js";
import { serveEmbedder } from "../support/embedder.js";
import { Stage, until } from "../support/stage.js";
import { steps } from "../support/steps.js";

let stage, browser, application, stream, page;
const step = steps(() => page);

/** What the strip says is counted by another clock than what the page adds up. */
const MAX_DIFFERENCE = 0.15;
/** The product's promise for MPEG-TS. */
const MAX_TS_LATENCY = 10;
/** How often players are looked at before a stall counts. */
const MAX_TRIES = 3;

/** Checks that the steps of the latency make up the whole. */
function addUp({ published, fetch, buffer, display, total }) {
  const steps = { published, fetch, buffer, display, total };
  assert.ok(Math.abs(published + fetch + buffer + (display ?? 0) - total) < 0.02, JSON.stringify(steps));
  assert.ok(published > 0 && buffer > 0.1 && fetch >= 0, JSON.stringify(steps));
}

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open();
  application = await serveEmbedder();
  stream = await stage.createStream("player");
  await stage.publish(stream);
});

after(async () => {
  await browser?.close();
  await application?.close();
  await stage?.close(step.failed);
});

/** Opens the player alone, and waits until it plays. */
async function open(query = "", state = "playing") {
  await page?.close();
  page = await browser.page(stream.iframe_url + query);
  await until(state, 20_000, async () => (await inlet(page)).state === state);
}

/** The media element of the page, by these properties. */
const video = (...names) =>
  page.evaluate((wanted) => {
    const element = document.querySelector("video");
    return Object.fromEntries(wanted.map((name) => [name, element[name]]));
  }, names);

step("the numbers add up to what the picture says", async (context) => {
  for (const protocol of ["hls", "dash"]) {
    await open(`?protocol=${protocol}&measure=1`);
    await advances(page, 150);
    await page.evaluate(() => window.inletMeasure.reset());
    await page.keyboard.press("i");
    const { breakdown, measure } = await until("numbers", 10_000, async () => {
      const state = await inlet(page);
      return state.measure.samples > 100 && state.breakdown?.total > 0 ? state : null;
    });
    await screenshot(page, `player-numbers-${protocol}`);
    context.diagnostic(`${protocol}: ${JSON.stringify(breakdown)}, off the picture ${measure.p50} ms`);
    addUp(breakdown);
    const difference = breakdown.total - measure.p50 / 1000;
    assert.ok(Math.abs(difference) < MAX_DIFFERENCE, `${breakdown.total} s, ${measure.p50} ms`);
    const shown = await page.locator("#numbers").innerText();
    for (const name of ["Capture to published", "Fetch", "Buffer ahead", "Display", "Target", "Dropped frames", "Stalls"]) {
      assert.match(shown, new RegExp(`${name}\\s+[\\d×.]+`), shown);
    }
    assert.match(shown, /Bandwidth estimate\s+[\d.]+ Mbps/);
    await page.keyboard.press("i");
    assert.equal(await page.locator("#numbers").isVisible(), false);
  }
});

step("the panel opens by its button too, and closes by Escape", async () => {
  await page.mouse.move(300, 300);
  await page.getByRole("button", { name: "Latency and playback" }).click();
  assert.equal(await page.locator("#numbers").isVisible(), true);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#numbers").isVisible(), false);
});

step("each key does what the help says", async () => {
  await open();
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys" });
  await help.waitFor();
  assert.match(await help.innerText(), /Full screen/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "help-close");
  await page.keyboard.press("Escape");
  assert.equal(await help.isVisible(), false);

  await page.keyboard.press("k");
  await until("a pause", 5_000, async () => (await inlet(page)).state === "paused");
  await page.keyboard.press("k");
  await until("playback", 5_000, async () => (await inlet(page)).state === "playing");
  for (const key of ["ArrowDown", "ArrowDown", "m"]) await page.keyboard.press(key);
  assert.deepEqual(await video("volume", "muted"), { volume: 0.9, muted: true });
  await page.keyboard.press("ArrowUp");
  assert.deepEqual(await video("volume", "muted"), { volume: 0.95, muted: false });
  await page.keyboard.press("f");
  await until("full screen", 5_000, () => page.evaluate(() => document.fullscreenElement?.id === "player"));
  await page.keyboard.press("f");
  await until("no full screen", 5_000, () => page.evaluate(() => document.fullscreenElement === null));
});

step("the quality is chosen by menu and by number, and stays until it is given back", async () => {
  const height = async () => {
    const { levels, currentLevel } = await inlet(page);
    return levels[currentLevel]?.height;
  };
  await page.keyboard.press("2");
  await until("the smaller rung", 10_000, async () => (await height()) === 360);
  await page.mouse.move(300, 310);
  await page.getByRole("button", { name: "Quality" }).click();
  await page.getByRole("menuitemradio", { name: /468p/ }).click();
  await until("the larger rung", 10_000, async () => (await height()) === 468);
  await page.keyboard.press("0");
  assert.equal(await page.locator("#quality-menu [aria-checked=true]").textContent(), "Auto");
});

step("the volume is as the viewer left it, unless the address says otherwise", async () => {
  await page.locator("#volume").fill("0.4");
  await page.keyboard.press("m");
  await open();
  assert.deepEqual(await video("volume", "muted"), { volume: 0.4, muted: true });
  await open("?muted=0");
  assert.deepEqual(await video("volume", "muted"), { volume: 0.4, muted: false });
});

step("without autoplay it shows a button to start by", async () => {
  await open("?autoplay=0", "loading");
  const start = page.locator("#start");
  await start.waitFor();
  await screenshot(page, "player-start");
  assert.equal((await video("paused")).paused, true);
  await start.click();
  await until("playback", 10_000, async () => (await inlet(page)).state === "playing");
  assert.equal(await start.isVisible(), false);
});

step("it plays MPEG-TS three segments behind", async (context) => {
  await open("?protocol=ts&measure=1");
  await advances(page, 150);
  const { protocol, measure, levels, target } = await inlet(page);
  context.diagnostic(`latency p50 ${measure.p50} ms`);
  assert.equal(protocol, "ts");
  assert.equal(levels.length, 2);
  assert.equal(target, 3);
  assert.ok(measure.p50 < 1000 * MAX_TS_LATENCY, `${measure.p50} ms`);
  assert.equal(await page.locator("#protocol-label").textContent(), "HLS (MPEG-TS)");
  await page.close();
});

step("it passes playback tokens on, and offers what they open", async () => {
  const token = `${"t".repeat(43)}/4000000000`;
  page = await browser.page();
  const paths = [];
  page.on("request", (request) => paths.push(new URL(request.url()).pathname));
  // Where everyone may watch, tokens are not looked at.
  await page.goto(`${stream.iframe_url}?cmaf=${token}`);
  await advances(page, 60);
  const media = paths.filter((path) => path.startsWith("/cmaf/"));
  assert.ok(media.length > 10);
  assert.deepEqual(media.filter((path) => !path.startsWith(`/cmaf/1_${stream.id}/${token}/`)), []);
  const offered = await page.locator("#protocol-menu").textContent();
  assert.ok(offered.includes("LL-DASH") && !offered.includes("MPEG-TS"), offered);
  await page.close();
});

step("in a frame of another origin it fills it, plays and tells how it goes", async () => {
  for (const attributes of ['allow="autoplay; fullscreen"', 'sandbox="allow-scripts"']) {
    page = await browser.page(application.url(`${stream.iframe_url}?muted=1`, attributes));
    const frame = await until("the frame", 10_000, () => page.frames()[1]);
    await advances(frame, 90);
    await screenshot(page, `player-embedded ${attributes.split("=")[0]}`);
    const box = await frame.evaluate(() => {
      const { x, y, width, height } = document.querySelector("video").getBoundingClientRect();
      return { x, y, width, height, scrolls: document.scrollingElement.scrollHeight > innerHeight };
    });
    assert.deepEqual(box, { x: 0, y: 0, width: 640, height: 360, scrolls: false });
    const full = await frame.evaluate(() => !document.getElementById("full").hidden);
    assert.equal(full, attributes.includes("fullscreen"), "no button that does nothing");
    await page.evaluate(() => window.ask());
    const { data } = await until("an answer", 5_000, () => page.evaluate(() => window.answer));
    assert.equal(data.inlet.state, "playing");
    assert.ok(data.inlet.latency > 0);
    await page.close();
  }
});

step("where sound needs a click it starts without, and offers it", async () => {
  const strict = await Browser.open(["--autoplay-policy=document-user-activation-required"]);
  try {
    page = await strict.page();
    // Looking into a page counts as a viewer's gesture there, so that has to wait until
    // it has tried to play.
    let media = 0;
    page.on("response", (response) => (media += response.url().endsWith(".m4s") ? 1 : 0));
    await page.goto(application.url(stream.iframe_url, 'allow="autoplay"'));
    await until("media", 10_000, () => media > 8);
    const frame = await until("the frame", 10_000, () => page.frames()[1]);
    await advances(frame, 60);
    assert.equal(await frame.evaluate(() => document.querySelector("video").muted), true);
    await frame.locator("#unmute").click();
    assert.equal(await frame.evaluate(() => document.querySelector("video").muted), false);
    assert.equal(await frame.locator("#unmute").isVisible(), false);
    await advances(frame, 30);
  } finally {
    await strict.close();
  }
});

step("protocols play side by side, and none makes another stall", async (context) => {
  page = await browser.page(`${stream.iframe_url}/compare`);
  const states = () => page.evaluate(() => window.inlet.players.map(({ state }) => JSON.parse(JSON.stringify(state))));
  /** What they say once each has so many frames more than `before`. */
  const further = (before, frames) =>
    until(`${frames} frames of each`, 40_000, async () => {
      const now = await states();
      const are = now.map((state, index) => {
        const decoded = state?.decodedFrames - (before?.[index].decodedFrames ?? 0);
        return state?.state === "playing" && decoded > frames;
      });
      return are.every((is) => is) ? now : null;
    });
  let players = await further(null, 30);
  let stalls;
  for (let tries = 1; ; tries++) {
    const before = players;
    players = await further(before, 300);
    stalls = players.map((state, index) => state.stalls - before[index].stalls);
    // A machine that has other things to do makes a player wait once, but not each time.
    if (stalls.every((count) => count === 0) || tries === MAX_TRIES) break;
  }
  await screenshot(page, "compare");
  assert.deepEqual(stalls, [0, 0, 0]);
  for (const { protocol, breakdown, attaches } of players) {
    context.diagnostic(`${protocol}: ${breakdown.total.toFixed(2)} s`);
    assert.deepEqual({ protocol, attaches }, { protocol, attaches: 1 });
    addUp(breakdown);
  }
  assert.deepEqual(players.map(({ protocol }) => protocol), ["hls", "dash", "ts"]);
  const hosts = page.frames().slice(1).map((frame) => new URL(frame.url()).hostname);
  assert.deepEqual(hosts, ["hls.localhost", "dash.localhost", "ts.localhost"]);
  assert.match(await page.locator("figure").first().innerText(), /LL-HLS\s+[\d.]+ s/);
  assert.equal(await page.locator("#crowded").isVisible(), false);
  await page.close();
});

step("by HTTP/1.1 from elsewhere the comparison of three warns, and that of two does not", async () => {
  const far = await Browser.open(["--host-resolver-rules=MAP media.example 127.0.0.1"]);
  try {
    const { port } = new URL(stream.iframe_url);
    page = await far.page(`http://media.example:${port}/streams/1_${stream.id}/compare`);
    await page.locator("#crowded").waitFor({ timeout: 5_000 });
    await page.goto(`${page.url()}?protocols=hls,dash`);
    await until("a player", 10_000, () => page.evaluate(() => window.inlet.players[0].state?.protocol === "hls"));
    assert.equal(await page.locator("#crowded").isVisible(), false);
  } finally {
    await far.close();
  }
});

step("no page complained", () => {
  assert.deepEqual(browser.complaints, []);
});
