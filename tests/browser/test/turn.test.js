// Two tabs that may use nothing but relayed addresses talk by each transport of the TURN
// server. The policy is the appliance's, so each one's peer is the other's relayed address.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser } from "../support/browser.js";
import { Stage, until } from "../support/stage.js";

/** Messages that each tab sends; enough to be seen in the edge's counters. */
const MESSAGES = 50;
const RELAYED = "inlet_edge_turn_relayed_packets_total";

let stage, browser;
let failed = false;

before(async () => {
  stage = await Stage.open();
  // The authority is the demonstration's own; nothing else becomes trusted by this.
  browser = await Browser.open([`--ignore-certificate-errors-spki-list=${stage.pin()}`]);
});

after(async () => {
  await browser?.close();
  await stage?.close(failed);
});

/** The URL among the credential's that names this scheme and transport. */
function urlOf(scheme, transport) {
  const url = stage.urls.turn.urls.find(
    (found) => found.startsWith(`${scheme}:`) && found.endsWith(`?transport=${transport}`),
  );
  assert.ok(url, `${scheme} by ${transport} is not among ${stage.urls.turn.urls}`);
  return url;
}

/** A tab with a connection that only this TURN server can help. */
async function tab(urls) {
  const page = await browser.page("about:blank");
  const { username, credential } = stage.urls.turn;
  await page.evaluate(
    ({ server }) => {
      const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" });
      // Both ends agree on the channel beforehand, so that both know it at once.
      const channel = connection.createDataChannel("both ways", { negotiated: true, id: 0 });
      window.turn = { connection, channel, received: [], errors: [] };
      channel.addEventListener("message", ({ data }) => window.turn.received.push(data));
      connection.addEventListener("icecandidateerror", ({ url, errorCode, errorText }) =>
        window.turn.errors.push(`${url}: ${errorCode} ${errorText}`));
    },
    { server: { urls, username, credential } },
  );
  return page;
}

/** Takes the other's description, if there is one, and gives its own with all candidates. */
async function describe(page, remote) {
  await page.evaluate(async (description) => {
    const { connection } = window.turn;
    if (description !== undefined) await connection.setRemoteDescription(description);
    await connection.setLocalDescription();
  }, remote);
  return until("all candidates", 15_000, () =>
    page.evaluate(() => {
      const { connection, errors } = window.turn;
      if (connection.iceGatheringState !== "complete") {
        throw new Error(`${connection.iceGatheringState}: ${errors.join(", ")}`);
      }
      return connection.localDescription.toJSON();
    }),
  );
}

/** What the tab's transport has chosen, and by which protocol it reaches its relay. */
function chosen(page) {
  return page.evaluate(async () => {
    const all = [...(await window.turn.connection.getStats()).values()];
    const byId = (id) => all.find((one) => one.id === id);
    const pair = byId(all.find(({ type }) => type === "transport").selectedCandidatePairId);
    const { candidateType, relayProtocol, url } = byId(pair.localCandidateId);
    return { candidateType, relayProtocol, url, remote: byId(pair.remoteCandidateId).candidateType };
  });
}

/** Sums of the relayed packets, by direction. */
async function relayed() {
  const metrics = await (await fetch(stage.urls.metrics.edge)).text();
  const sum = (direction) =>
    [...metrics.matchAll(new RegExp(`^${RELAYED}\\{[^}]*direction="${direction}"[^}]*\\} (\\d+)$`, "gm"))]
      .reduce((total, [, count]) => total + Number(count), 0);
  return { toPeer: sum("to_peer"), toClient: sum("to_client") };
}

/** Lets both tabs talk through this URL alone. */
async function talk(context, url, protocol) {
  const before = await relayed();
  const tabs = [await tab(url), await tab(url)];
  const [caller, callee] = tabs;
  const offer = await describe(caller);
  assert.match(offer.sdp, / typ relay /, await caller.evaluate(() => window.turn.errors.join(", ")));
  const answer = await describe(callee, offer);
  await caller.evaluate((description) => window.turn.connection.setRemoteDescription(description), answer);
  for (const page of tabs) {
    await until("an open channel", 15_000, () =>
      page.evaluate(() => {
        const { connection, channel } = window.turn;
        if (channel.readyState === "open") return true;
        throw new Error(`${connection.iceConnectionState}, ${connection.connectionState}`);
      }),
    );
  }
  await Promise.all(tabs.map((page, at) =>
    page.evaluate(({ messages, at }) => {
      for (let number = 0; number < messages; number += 1) {
        window.turn.channel.send(`${at}: ${number}`);
      }
    }, { messages: MESSAGES, at })));
  for (const [at, page] of tabs.entries()) {
    const expected = Array.from({ length: MESSAGES }, (_, number) => `${1 - at}: ${number}`);
    const received = await until("every message", 10_000, () =>
      page.evaluate((messages) => window.turn.received.length >= messages && window.turn.received, MESSAGES),
    );
    assert.deepEqual(received, expected);
    assert.deepEqual(await chosen(page), {
      candidateType: "relay",
      relayProtocol: protocol,
      url,
      remote: "relay",
    });
  }
  // Their counters are brought together once in a while.
  const now = await until("moved counters", 10_000, async () => {
    const { toPeer, toClient } = await relayed();
    const moved = { toPeer: toPeer - before.toPeer, toClient: toClient - before.toClient };
    return moved.toPeer > 0 && moved.toClient > 0 && moved;
  });
  context.diagnostic(`${now.toPeer} packets relayed to peers, ${now.toClient} to clients`);
  for (const page of tabs) await page.close();
}

for (const [scheme, transport, protocol] of [
  ["turn", "udp", "udp"],
  ["turn", "tcp", "tcp"],
  ["turns", "tcp", "tls"],
]) {
  test(`two tabs talk by ${scheme}: over ${transport}`, async (context) => {
    try {
      await talk(context, urlOf(scheme, transport), protocol);
    } catch (error) {
      failed = true;
      throw error;
    }
  });
}
