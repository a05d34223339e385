// Chromium as the tests want it, and what they look at in a page.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { chromium } from "playwright-core";

import { readDisplayed } from "./strip.js";
import { Fatal, until } from "./stage.js";

const RESULTS = resolve(import.meta.dirname, "../results");

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--allow-loopback-in-peer-connection",
  // Several pages are open at once, and the one in the back must publish on.
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

/** A Chromium with a profile of its own; `flags` are more of its command line. */
export class Browser {
  /** `enter` stands before its command: see `Network.enter`. */
  static async open(flags = [], enter = []) {
    const profile = mkdtempSync(join(tmpdir(), "inlet-chromium-"));
    const chromiumPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    const wrapper = join(profile, "chromium");
    writeFileSync(wrapper, `#!/bin/sh\nexec ${enter.join(" ")} ${chromiumPath} "$@"\n`, { mode: 0o755 });
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: wrapper,
      headless: true,
      args: [...FLAGS, ...flags],
      viewport: { width: 1280, height: 720 },
    });
    return new Browser(profile, context);
  }

  constructor(profile, context) {
    this.profile = profile;
    this.context = context;
    this.complaints = [];
  }

  /** A page; what it complains of is kept. */
  async page(url) {
    const page = await this.context.newPage();
    page.on("pageerror", (error) => this.complaints.push(`${page.url()}: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") this.complaints.push(`${page.url()}: ${message.text()}`);
    });
    if (url !== undefined) await page.goto(url);
    return page;
  }

  async close() {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}

/** Saves what a page looks like under `results/`. */
export async function screenshot(page, name) {
  mkdirSync(RESULTS, { recursive: true });
  await page.screenshot({ path: join(RESULTS, `${name}.png`) });
}

/** The page's own `window.inlet`, without its functions. */
export function inlet(page) {
  return page.evaluate(() => JSON.parse(JSON.stringify(window.inlet)));
}

/** Waits until the go-live page is on air. */
export function onAir(page, patienceMs = 15_000) {
  return until("on air", patienceMs, async () => {
    const state = await inlet(page);
    if (state.state === "live") return state;
    throw new Error(`${state.state}: ${JSON.stringify(state.error)}`);
  });
}

/** The strip of the frame that the page's video shows now. */
export function displayed(page) {
  return page.evaluate(readDisplayed);
}

/**
 * Watches the displayed video until its counter has advanced by `frames`.
 *
 * Returns every reading, in order. The counter may skip, since a page is looked at more
 * seldom than it shows frames, but it never goes back.
 */
export async function advances(page, frames, patienceMs = 20_000) {
  const readings = [];
  const first = await until("a readable frame", patienceMs, () => displayed(page));
  readings.push(first);
  await until(`${frames} more frames`, patienceMs, async () => {
    const reading = await displayed(page);
    if (reading === null) return null;
    const last = readings.at(-1);
    if (reading.counter < last.counter) {
      throw new Fatal(`the counter went back from ${last.counter} to ${reading.counter}`);
    }
    if (reading.counter > last.counter) readings.push(reading);
    return reading.counter - first.counter >= frames;
  });
  return readings;
}
