// Chromium goes live with certificates of both kinds, against both implementations of
// DTLS. The pages never ask for an RSA certificate, so the connection is made by hand.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Browser } from "../support/browser.js";
import { Stage, ffprobe, until } from "../support/stage.js";

const ECDSA = { name: "ECDSA", namedCurve: "P-256" };
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: [1, 0, 1],
  hash: "SHA-256",
};

/** Publishes a canvas and a tone from a page; resolves when the answer is applied. */
async function publish(page, whip, algorithm) {
  await page.evaluate(async ({ whip, algorithm }) => {
    if (algorithm.publicExponent !== undefined) {
      algorithm.publicExponent = new Uint8Array(algorithm.publicExponent);
    }
    const certificate = await RTCPeerConnection.generateCertificate(algorithm);
    const connection = new RTCPeerConnection({ certificates: [certificate] });
    const states = [];
    connection.addEventListener("connectionstatechange", () => states.push(connection.connectionState));
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
    const drawing = canvas.getContext("2d");
    setInterval(() => {
      drawing.fillStyle = `hsl(${performance.now() / 10} 80% 50%)`;
      drawing.fillRect(0, 0, canvas.width, canvas.height);
    }, 33);
    const audio = new AudioContext();
    const tone = audio.createOscillator();
    const destination = audio.createMediaStreamDestination();
    tone.connect(destination);
    tone.start();
    const tracks = [destination.stream.getAudioTracks()[0], canvas.captureStream(30).getVideoTracks()[0]];
    for (const track of tracks) connection.addTransceiver(track, { direction: "sendonly" });
    await connection.setLocalDescription();
    const headers = { "content-type": "application/sdp" };
    const response = await fetch(whip, { method: "POST", headers, body: connection.localDescription.sdp });
    if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
    await connection.setRemoteDescription({ type: "answer", sdp: await response.text() });
    window.live = { connection, states };
  }, { whip, algorithm });
}

/** What became of the connection, and of its certificates. */
function transport(page) {
  return page.evaluate(async () => {
    const { connection, states } = window.live;
    const stats = [...(await connection.getStats()).values()];
    const { dtlsState, tlsVersion, srtpCipher } = stats.find(({ type }) => type === "transport");
    return { states, dtlsState, tlsVersion, srtpCipher };
  });
}

/** The edge's failed handshakes, by reason, without those that never happened. */
async function failures(stage) {
  const metrics = await (await fetch(stage.urls.metrics.edge)).text();
  const found = metrics.matchAll(/^inlet_edge_dtls_failures_total\{reason="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...found].map(([, reason, count]) => [reason, Number(count)]).filter(([, count]) => count > 0));
}

for (const dtls of ["openssl", "memory-safe"]) {
  describe(`media.dtls = "${dtls}"`, () => {
    let stage, browser;
    let failed = false;

    before(async () => {
      stage = await Stage.open("--dtls", dtls);
      browser = await Browser.open();
    });

    after(async () => {
      await browser?.close();
      await stage?.close(failed);
    });

    /** Runs one scenario on a stream and a page of its own. */
    const scenario = (name, run) => test(name, async (context) => {
      try {
        const stream = await stage.createStream(name);
        // Of the origin's own, so that there is a secure context.
        const page = await browser.page(`${stream.web}/go-live`);
        await run(stream, page, context);
        await page.close();
      } catch (error) {
        failed = true;
        throw error;
      }
    });

    const plays = async (stream, page, context, algorithm) => {
      await publish(page, stream.push_url_whip, algorithm);
      const up = await until("a connection", 15_000, async () => {
        const now = await transport(page);
        return now.dtlsState === "connected" && now;
      });
      context.diagnostic(JSON.stringify(up));
      const kinds = await until("playback", 20_000, async () => {
        const response = await fetch(stream.hls_cmaf_url);
        if (!response.ok) throw new Error(String(response.status));
        const streams = await ffprobe(stream.hls_cmaf_url);
        return streams.length >= 2 && new Set(streams.map(({ codec_type }) => codec_type));
      });
      assert.deepEqual([...kinds].sort(), ["audio", "video"]);
      assert.deepEqual(await failures(stage), {});
    };

    scenario("an ECDSA certificate is taken", (stream, page, context) => plays(stream, page, context, ECDSA));

    if (dtls === "openssl") {
      scenario("an RSA certificate is taken", (stream, page, context) => plays(stream, page, context, RSA));
    } else {
      scenario("an RSA certificate is refused at once, and the edge says so", async (stream, page) => {
        await publish(page, stream.push_url_whip, RSA);
        // Chromium sees that its certificate is of no kind that is asked for, and says so.
        const refusal = await until("the refusal", 5_000, async () => {
          const found = await failures(stage);
          return Object.keys(found).length > 0 && found;
        });
        assert.deepEqual(refusal, { peer_alert: 1 });
        assert.notEqual((await transport(page)).dtlsState, "connected");
      });
    }
  });
}
