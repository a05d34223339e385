// Chromium goes live through firewalls, by the best way that each leaves, and through a
// change of its own address.
//
// The firewalls drop without a word, as most do. Their rules tell which ways are open.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, inlet, onAir, screenshot } from "../../support/browser.js";
import { Network, SERVERS, leftOut } from "../../support/network.js";
import { media, moreSegments } from "../../support/playlist.js";
import { Stage, until } from "../../support/stage.js";

const skip = leftOut();
/** Which media ports the edge has; one per worker. */
const MEDIA = [40_000, 40_001];

let network, stage, browser, page;
let failed = false;

before(async () => {
  if (skip) return;
  network = await Network.open("presenter");
  stage = await Stage.openAt(network, SERVERS);
});

/** A new one each time: connections kept alive have begun before the firewall's rules. */
function open() {
  const flags = [
    `--ignore-certificate-errors-spki-list=${stage.pin()}`,
    // The page has no certificate; WHIP has.
    `--unsafely-treat-insecure-origin-as-secure=http://${SERVERS}`,
  ];
  return Browser.open(flags, network.enter("presenter"));
}

after(async () => {
  await stage?.close(failed);
  network?.close();
});

/** A test whose failure makes the logs appear at the end. */
function step(name, body) {
  test(name, { skip }, async (context) => {
    browser = await open();
    try {
      await body(context);
    } catch (error) {
      failed = true;
      if (page !== undefined) {
        await screenshot(page, `failed ${name}`).catch(() => {});
        console.error(JSON.stringify(await inlet(page).catch(() => null)));
        console.error(browser.complaints.join("\n"));
      }
      throw error;
    } finally {
      network.firewall();
      await browser.close();
    }
  });
}

/** Runs in the page: keeps the connections, so that the test can look at their pairs. */
function keepConnections(without) {
  const Plain = window.RTCPeerConnection;
  window.connections = [];
  window.RTCPeerConnection = function (configuration) {
    const connection = new Plain(configuration);
    window.connections.push(connection);
    return connection;
  };
  window.RTCPeerConnection.prototype = Plain.prototype;
  const capabilities = RTCRtpSender.getCapabilities.bind(RTCRtpSender);
  RTCRtpSender.getCapabilities = (kind) => {
    const all = capabilities(kind);
    return { ...all, codecs: all.codecs.filter(({ mimeType }) => mimeType !== without) };
  };
}

/** The pair of candidates in use. */
function chosen() {
  return page.evaluate(async () => {
    const all = [...(await window.connections.at(-1).getStats()).values()];
    const byId = (id) => all.find((one) => one.id === id);
    const pair = byId(all.find(({ type }) => type === "transport").selectedCandidatePairId);
    const { candidateType, relayProtocol, url } = byId(pair.localCandidateId);
    const { address, port, protocol } = byId(pair.remoteCandidateId);
    return { candidateType, relayProtocol, url, address, port, protocol };
  });
}

/** Goes live and waits until viewers have it; resolves with what the server says. */
async function goLive(name, without = null) {
  const stream = await stage.createStream(name);
  page = await browser.page();
  await page.addInitScript(keepConnections, without);
  const began = performance.now();
  await page.goto(stream.goLive());
  // Each set of paths that leads nowhere has its time.
  await onAir(page, 60_000);
  const tookMs = Math.round(performance.now() - began);
  const server = await until("the server's word", 10_000, async () => {
    const { server } = await inlet(page);
    return server?.state === "live" && server.path !== null && server;
  });
  await moreSegments(stream.hls_cmaf_url, 2, 30_000);
  return { stream, server, tookMs };
}

async function isBy(context, name, path) {
  const { server, tookMs } = await goLive(name);
  const pair = await chosen();
  context.diagnostic(`on air after ${tookMs} ms by ${JSON.stringify(pair)}`);
  assert.equal(server.path, path);
  assert.equal(await stage.metric(`inlet_edge_sessions_by_path{path="${path}"}`), 1);
  await page.evaluate(() => window.inlet.stop());
  await until("the end in the metrics", 5_000, async () => {
    return (await stage.metric(`inlet_edge_sessions_by_path{path="${path}"}`)) === 0;
  });
  return pair;
}

step("an open network is crossed by UDP", async (context) => {
  const pair = await isBy(context, "open", "host_udp");
  assert.ok(MEDIA.includes(pair.port), JSON.stringify(pair));
});

step("a network without UDP is crossed by TCP to the ports of media", async (context) => {
  network.firewall("meta l4proto tcp accept");
  const pair = await isBy(context, "without UDP", "host_tcp");
  assert.equal(pair.protocol, "tcp");
});

step("a network that passes the ports of the web alone is crossed by TCP to that of HTTPS", async (context) => {
  network.firewall("tcp dport { 80, 443 } accept");
  const pair = await isBy(context, "web ports", "host_tcp");
  assert.equal(pair.protocol, "tcp");
  assert.equal(pair.port, 443);
});

step("a middlebox that passes nothing but TLS at the port of HTTPS is crossed by TURN over TLS", async (context) => {
  network.firewall(
    "tcp dport 80 accept",
    // The first byte a client sends tells: 22 is a TLS handshake. What follows on the
    // connection is not looked at; one that begins otherwise never gets a byte through.
    "tcp dport 443 ip saddr . tcp sport @tls accept",
    "tcp dport 443 @ih,0,8 22 add @tls { ip saddr . tcp sport } accept",
    "tcp dport 443 @ih,0,8 0-255 drop",
    "tcp dport 443 accept",
  );
  const pair = await isBy(context, "TLS alone", "relay_tls");
  assert.equal(pair.candidateType, "relay");
  assert.equal(pair.relayProtocol, "tls");
  assert.match(pair.url, /^turns:198\.51\.100\.1:443\b/);
});

for (const [codec, without] of [["H264", "video/VP8"], ["VP8", "video/H264"]]) {
  step(`${codec} comes from Chromium`, async () => {
    await goLive(codec, without);
    await until("the codec's name", 5_000, async () => {
      const { stats } = await inlet(page);
      return stats?.codec === codec;
    });
    await page.evaluate(() => window.inlet.stop());
  });
}

step("another address keeps the session and the playlist", async (context) => {
  const { stream, server } = await goLive("moves");
  const before = await media(stream.hls_cmaf_url);
  const packets = await stage.metric("inlet_edge_rtp_packets_total");
  const began = performance.now();
  network.move();
  // What was under way is less than this.
  await until("media from elsewhere", 20_000, async () => {
    return (await stage.metric("inlet_edge_rtp_packets_total")) > packets + 200;
  });
  const gapMs = Math.round(performance.now() - began);
  const later = await moreSegments(stream.hls_cmaf_url, 3, 30_000, before);
  const state = await inlet(page);
  context.diagnostic(`media again ${gapMs} ms after the move; ${state.restarts} ICE restarts`);
  assert.equal(state.state, "live");
  assert.equal(state.sessions, 1);
  assert.equal(await page.textContent("#session-id"), server.session);
  assert.equal(later.discontinuities, 0);
  assert.ok(later.first >= before.first);
});
