// A browser that sends three layers, the smallest first, as many applications do: viewers
// see the largest, and the next one while that does not come.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Browser } from "../support/browser.js";
import { media, moreSegments } from "../support/playlist.js";
import { Stage, until, variants } from "../support/stage.js";

/**
 * Chromium sends three layers of nothing smaller than 960x540, and keeps the first ones
 * of the list; this divides by 4 into even sides, so that no encoder has to crop it.
 */
const SIZE = { width: 960, height: 544 };
const Q = { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 };
const H = { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 400_000 };
const F = { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_000_000 };

/** Publishes a canvas and a tone in layers; resolves when the answer is applied. */
async function publish(page, whip, sendEncodings, codec) {
  await page.evaluate(async ({ whip, sendEncodings, size, codec }) => {
    const connection = new RTCPeerConnection();
    const canvas = Object.assign(document.createElement("canvas"), size);
    const drawing = canvas.getContext("2d");
    setInterval(() => {
      drawing.fillStyle = `hsl(${performance.now() / 10} 80% 50%)`;
      drawing.fillRect(0, 0, canvas.width, canvas.height);
    }, 66);
    const audio = new AudioContext();
    const tone = audio.createOscillator();
    const destination = audio.createMediaStreamDestination();
    tone.connect(destination);
    tone.start();
    connection.addTransceiver(destination.stream.getAudioTracks()[0], { direction: "sendonly" });
    const [track] = canvas.captureStream(15).getVideoTracks();
    const video = connection.addTransceiver(track, { direction: "sendonly", sendEncodings });
    const { codecs } = RTCRtpSender.getCapabilities("video");
    video.setCodecPreferences(codecs.filter(({ mimeType }) => [codec, "video/rtx"].includes(mimeType)));
    await connection.setLocalDescription();
    const headers = { "content-type": "application/sdp" };
    const response = await fetch(whip, { method: "POST", headers, body: connection.localDescription.sdp });
    if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
    const answer = await response.text();
    await connection.setRemoteDescription({ type: "answer", sdp: answer });
    // The processor of a test is slow, and shall not make the picture smaller.
    const parameters = video.sender.getParameters();
    parameters.degradationPreference = "maintain-resolution";
    await video.sender.setParameters(parameters);
    window.live = { connection, sender: video.sender, answer };
  }, { whip, sendEncodings, size: SIZE, codec });
}

/** Width and bytes of each layer that is sent. */
function layers(page) {
  return page.evaluate(async () => {
    const stats = [...(await window.live.sender.getStats()).values()];
    const outbound = stats.filter(({ type }) => type === "outbound-rtp");
    return Object.fromEntries(outbound.map(({ rid, frameWidth, bytesSent }) => [rid, { frameWidth, bytesSent }]));
  });
}

/** Switches a layer on or off. */
function setActive(page, rid, active) {
  return page.evaluate(async ({ rid, active }) => {
    const parameters = window.live.sender.getParameters();
    parameters.encodings.find((encoding) => encoding.rid === rid).active = active;
    await window.live.sender.setParameters(parameters);
  }, { rid, active });
}

describe("simulcast", () => {
  let stage, browser;
  let failed = false;

  before(async () => {
    stage = await Stage.open();
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

  const seesAll = async (stream, page, context) => {
    await until("playback", 30_000, async () => (await fetch(stream.hls_cmaf_url)).ok);
    context.diagnostic(JSON.stringify(await layers(page)));
    const size = await until("the source's size", 10_000, async () => {
      const { body } = await stage.api("GET", `/${stream.id}`);
      return body.video_width !== null && { width: body.video_width, height: body.video_height };
    });
    assert.deepEqual(size, SIZE);
    const widths = (await variants(stream.hls_cmaf_url)).map(({ width }) => width);
    assert.ok(Math.max(...widths) > SIZE.width / 2, `the ladder is of a smaller layer: ${widths}`);
  };

  for (const [name, encodings, codec] of [
    ["the smallest first, H.264", [Q, H, F], "video/H264"],
    ["the largest first, VP8", [F, H, Q], "video/VP8"],
  ]) {
    scenario(name, async (stream, page, context) => {
      await publish(page, stream.push_url_whip, encodings, codec);
      const answer = await page.evaluate(() => window.live.answer);
      const rids = encodings.map(({ rid }) => rid);
      assert.ok(answer.includes(`a=simulcast:recv ${rids.join(";")}\r\n`), answer);
      await seesAll(stream, page, context);
      const sent = await until("all layers", 10_000, async () => {
        const sent = await layers(page);
        return Object.values(sent).every(({ bytesSent }) => bytesSent > 0) && sent;
      });
      assert.deepEqual(Object.keys(sent).sort(), ["f", "h", "q"]);
      // Counters are handed over once a second.
      const dropped = () => stage.metric("inlet_edge_layer_packets_dropped_total");
      await until("the others dropped", 5_000, async () => (await dropped()) > 0);
    });
  }

  scenario("a layer that stops gives way, and comes back", async (stream, page, context) => {
    await publish(page, stream.push_url_whip, [Q, H, F], "video/H264");
    await seesAll(stream, page, context);
    const changes = () => stage.metric("inlet_edge_layer_changes_total");
    const before = await changes();
    await setActive(page, "f", false);
    await until("the next layer", 10_000, async () => (await changes()) === before + 1);
    const playlist = await media(stream.hls_cmaf_url);
    const below = await moreSegments(stream.hls_cmaf_url, 2, 20_000);
    await setActive(page, "f", true);
    await until("the largest again", 20_000, async () => (await changes()) === before + 2);
    const after = await moreSegments(stream.hls_cmaf_url, 2, 20_000, below);
    assert.equal(after.discontinuities, playlist.discontinuities, "one stream all the time");
    assert.equal(await stage.metric("inlet_edge_rtp_foreign_packets_total"), 0);
  });
});
