// A transcode worker dies under a viewer's eyes; another stream does not notice.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, advances, displayed, inlet } from "../support/browser.js";
import { Fatal, Stage, until } from "../support/stage.js";

/** What a viewer may miss: promised are two seconds, and a busy machine gets three times that. */
const AWAY_MS = 6_000;
/** Streams that are tried before a stall beside them counts. */
const MAX_TRIES = 3;

let stage, browser;
let failed = true;

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open();
});

after(async () => {
  await browser?.close();
  await stage?.close(failed);
});

test("after SIGKILL the stream resumes soon in the same playlist", async () => {
  for (let tries = 1; ; tries++) {
    const stalls = await kill(tries);
    // A machine that has other things to do makes a player wait once, but not each time.
    if (stalls === 0) break;
    assert.ok(tries < MAX_TRIES, "the other stream noticed");
  }
  failed = false;
});

/** Kills the worker of a stream, the so-manieth time; returns the stalls of another one. */
async function kill(tries) {
  // The worker that waits now is the one that the next stream gets.
  const [spare] = await until("a spare worker", 10_000, () => {
    const workers = stage.workers();
    return workers.length === 1 && workers;
  });
  // Two publishers, two viewers and a worker that starts share two cores: small pictures,
  // so that a stall tells of isolation and not of the machine.
  const small = ["--size", "640x360"];
  const victim = await stage.createStream("victim");
  const publishers = [await stage.publish(victim, ...small)];
  const bystander = await stage.createStream("bystander");
  publishers.push(await stage.publish(bystander, ...small));
  const viewers = [];
  for (const stream of [victim, bystander]) {
    viewers.push(await browser.page(`${stream.iframe_url}?measure=1&muted=1`));
  }
  const [watching, beside] = viewers;
  await Promise.all(viewers.map((page) => advances(page, 90)));
  await watching.evaluate(() => { window.notReloaded = true; });

  const before = await displayed(watching);
  const stallsBeside = (await inlet(beside)).stalls;
  process.kill(spare, "SIGKILL");
  const killed = Date.now() % 2 ** 22;
  // A frame captured after the kill, and soon after it.
  const resumed = await until("a picture from after the kill", 15_000, async () => {
    const reading = await displayed(watching);
    if (reading === null) return null;
    if (reading.counter < before.counter) throw new Fatal("the counter went back");
    const since = (reading.time - killed + 2 ** 22) % 2 ** 22;
    return since < 2 ** 21 && { ...reading, since };
  });
  assert.ok(resumed.since <= AWAY_MS, `the first picture is from ${resumed.since} ms after the kill`);
  await advances(watching, 90);
  await advances(beside, 90);
  assert.equal(await watching.evaluate(() => window.notReloaded), true);
  const stalls = (await inlet(beside)).stalls - stallsBeside;
  // One stream had its worker replaced, and it was not the bystander's.
  const metrics = await (await fetch(stage.urls.metrics.origin)).text();
  const restarts = [...metrics.matchAll(/^inlet_origin_worker_restarts_total\S* (\d+)$/gm)];
  assert.equal(restarts.reduce((sum, [, count]) => sum + Number(count), 0), tries);
  for (const publisher of publishers) publisher.kill("SIGKILL");
  for (const { id } of [victim, bystander]) await stage.api("DELETE", `/${id}`);
  for (const page of viewers) await page.close();
  return stalls;
}
