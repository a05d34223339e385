// A presenter behind firewalls, in a namespace of its own: which path Chromium takes, as
// the edge's metrics have it, and what becomes of a session when the address changes.

import assert from "node:assert/strict";
import { X509Certificate, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Browser, inlet, onAir, screenshot } from "../support/browser.js";
import { Network, whyNoNamespace } from "../support/network.js";
import { Stage, until } from "../support/stage.js";

const why = whyNoNamespace();

/** The edge's gauge of sessions by path. */
async function sessionsBy(stage, path) {
  const text = await (await fetch(stage.urls.metrics.edge)).text();
  const name = `inlet_edge_sessions_by_path{path="${path}"} `;
  const line = text.split("\n").find((other) => other.startsWith(name));
  return line === undefined ? 0 : Number(line.slice(name.length));
}

/** Runs `body` with a network, a stage on it, and a page that is on air. */
function scene(name, { args = [], firewall = () => [] }, body) {
  test(name, { skip: why ?? false }, async (context) => {
    const network = new Network();
    let stage, browser, page;
    let failed = true;
    try {
      stage = await Stage.open("--address", network.host, ...args);
      network.firewall(...firewall(stage));
      // The authority is the demonstration's own; nothing else becomes trusted by this.
      const certificate = readFileSync(join(stage.folder, "certificates", "turn.pem"));
      const key = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
      const pin = createHash("sha256").update(key).digest("base64");
      const stream = await stage.createStream("firewall");
      browser = await Browser.open(
        [
          `--ignore-certificate-errors-spki-list=${pin}`,
          `--unsafely-treat-insecure-origin-as-secure=${stream.web}`,
        ],
        network.wrapper("/usr/bin/chromium"),
      );
      page = await browser.page(stream.goLive());
      await onAir(page, 60_000);
      await body({ context, network, stage, stream, page });
      await page.evaluate(() => window.inlet.stop());
      failed = false;
    } finally {
      if (failed && page !== undefined) {
        await screenshot(page, `failed ${name}`).catch(() => {});
        console.error(JSON.stringify(await inlet(page).catch(() => null)));
      }
      await browser?.close();
      await stage?.close(failed);
      network.close();
    }
  });
}

/** Ports that the presenter needs for the page and the offer. */
const pages = (stage, more = []) => {
  const ports = [stage.urls.go_live, stage.urls.whip].map((url) => new URL(url).port);
  return [...ports, ...more].join(", ");
};
const port = (url) => /:(\d+)(\?|$)/.exec(url)[1];

scene("with UDP open it comes by UDP", {}, async ({ stage, page }) => {
  assert.equal(await until("the path", 10_000, async () => (await inlet(page)).server?.path), "host_udp");
  assert.equal(await sessionsBy(stage, "host_udp"), 1);
});

scene(
  "where all UDP is dropped it comes by ICE-TCP",
  { firewall: () => ["meta l4proto udp drop"] },
  async ({ stage, page }) => {
    assert.equal(await until("the path", 10_000, async () => (await inlet(page)).server?.path), "host_tcp");
    assert.equal(await sessionsBy(stage, "host_tcp"), 1);
  },
);

scene(
  "where one TLS port alone is open it is relayed by TLS",
  {
    args: ["--no-ice-tcp"],
    firewall: (stage) => {
      const tls = stage.urls.turn.urls.find((url) => url.startsWith("turns:"));
      return [
        'oifname "lo" accept',
        `tcp dport { ${pages(stage, [port(tls)])} } accept`,
        "drop",
      ];
    },
  },
  async ({ stage, page }) => {
    assert.equal(await until("the path", 10_000, async () => (await inlet(page)).server?.path), "relay_tls");
    assert.equal(await sessionsBy(stage, "relay_tls"), 1);
  },
);

scene("a change of address keeps the session and the playlist", {}, async ({ network, stage, stream, page }) => {
  const before = await inlet(page);
  const sequence = async () => {
    const master = await (await fetch(stream.hls_cmaf_url)).text();
    const variant = master.split("\n").find((line) => line !== "" && !line.startsWith("#"));
    const media = await (await fetch(new URL(variant, stream.hls_cmaf_url))).text();
    return { discontinuities: media.split("#EXT-X-DISCONTINUITY\n").length - 1, media };
  };
  await until("a playlist", 20_000, async () => (await sequence()).media.includes("#EXTINF"));
  network.readdress();
  await until("media from the new address", 30_000, async () => {
    const text = await (await fetch(stage.urls.metrics.edge)).text();
    return /inlet_edge_ice_restarts_total\{result="used"\} [1-9]/.test(text);
  });
  await until("live again", 20_000, async () => {
    const { state, connection } = await inlet(page);
    return state === "live" && connection === "connected";
  });
  const after = await inlet(page);
  assert.equal(after.server.session, before.server.session);
  assert.equal(after.sessions, before.sessions);
  assert.ok(after.restarts >= 1);
  assert.equal((await sequence()).discontinuities, 0);
});
