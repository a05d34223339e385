// The presenter's side: which path is taken, what is told, and what is survived.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before } from "node:test";

import { Browser, inlet, onAir, screenshot } from "../support/browser.js";
import { Stage, ffprobe, until } from "../support/stage.js";
import { steps } from "../support/steps.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let stage, browser, page;
const step = steps(() => page);

before(async () => {
  stage = await Stage.open();
  browser = await Browser.open(["--use-fake-device-for-media-stream=device-count=3"]);
});

after(async () => {
  await browser?.close();
  await stage?.close(step.failed);
});

/** Goes live with something done to the page first; resolves with what the server says. */
async function goLive(name, prepare, prepareArgument) {
  const stream = await stage.createStream(name);
  page = await browser.page();
  if (prepare !== undefined) await page.addInitScript(prepare, prepareArgument);
  await page.goto(stream.goLive());
  await onAir(page, 40_000);
  const server = await until("the server's word", 10_000, async () => {
    const { server } = await inlet(page);
    return server?.state === "live" && server.path !== null && server;
  });
  return { stream, server };
}

async function stop() {
  await page.evaluate(() => window.inlet.stop());
  await page.close();
}

step("a direct path is named, and the session's id is shown for support", async () => {
  const { server } = await goLive("direct");
  assert.equal(server.path, "host_udp");
  assert.match(server.session, UUID);
  assert.equal(await page.textContent("#session-id"), server.session);
  await until("the path in words", 5_000, async () => {
    return (await page.textContent("#stat-path")) === "direct, by UDP";
  });
  assert.equal(await stage.metric('inlet_edge_sessions_by_path{path="host_udp"}'), 1);
  await screenshot(page, "go-live-session");
});

step("an ICE restart keeps the session", async () => {
  const before = await inlet(page);
  for (const round of [1, 2]) {
    await page.evaluate(() => window.inlet.restartIce());
    await until("the restart in use", 10_000, async () => {
      return (await stage.metric('inlet_edge_ice_restarts_total{result="used"}')) === round;
    });
  }
  const packets = await stage.metric("inlet_edge_rtp_packets_total");
  await until("media afterwards", 10_000, async () => {
    return (await stage.metric("inlet_edge_rtp_packets_total")) > packets + 100;
  });
  const state = await inlet(page);
  assert.equal(state.restarts, 2);
  assert.equal(state.sessions, before.sessions);
  assert.equal(state.server.session, before.server.session);
  assert.equal(state.state, "live");
  await stop();
});

step("an ICE restart without a network waits for it", async () => {
  const { server } = await goLive("offline");
  const { sessions } = await inlet(page);
  const failures = [];
  page.on("requestfailed", (request) => {
    if (request.method() === "PATCH") failures.push(request.postData());
  });
  await browser.context.setOffline(true);
  try {
    await page.evaluate(() => void window.inlet.restartIce());
    await until("requests that fail", 5_000, () => failures.length >= 3);
  } finally {
    await browser.context.setOffline(false);
  }
  await until("the restart", 5_000, async () => (await inlet(page)).restarts >= 1);
  assert.equal(new Set(failures).size, 1);
  await until("media afterwards", 10_000, async () => (await inlet(page)).stats?.fps > 10);
  const state = await inlet(page);
  assert.equal(state.state, "live");
  assert.equal(state.sessions, sessions);
  assert.equal(state.server.session, server.session);
  await stop();
});

step("an ICE restart whose answer is lost is asked for again", async () => {
  const used = async () => stage.metric('inlet_edge_ice_restarts_total{result="used"}');
  const { server } = await goLive("patchy", () => {
    const real = window.fetch;
    window.patches = [];
    window.fetch = async (url, init) => {
      if (init?.method !== "PATCH") return real(url, init);
      window.patches.push(init.body);
      // No network at first; then the answer is lost on its way.
      const tried = window.patches.length;
      if (tried >= 3) return real(url, init);
      if (tried === 2) await real(url, init);
      throw new TypeError("Failed to fetch");
    };
  });
  const before = await used();
  await page.evaluate(() => window.inlet.restartIce());
  await until("the restart in use", 10_000, async () => (await used()) === before + 1);
  const patches = await page.evaluate(() => window.patches);
  assert.equal(patches.length, 3);
  assert.equal(new Set(patches).size, 1, "the same each time");
  const state = await inlet(page);
  assert.deepEqual([state.restarts, state.sessions, state.state], [1, 1, "live"]);
  assert.equal(state.server.session, server.session);
  await stop();
});

step("a browser that has no H.264 sends VP8", async () => {
  const { stream } = await goLive("vp8", () => {
    const all = RTCRtpSender.getCapabilities;
    RTCRtpSender.getCapabilities = (kind) => {
      const { codecs, headerExtensions } = all.call(RTCRtpSender, kind);
      return { headerExtensions, codecs: codecs.filter(({ mimeType }) => !/h264/i.test(mimeType)) };
    };
  });
  await until("the codec", 10_000, async () => (await inlet(page)).stats?.codec === "VP8");
  await until("picture and sound that play", 30_000, async () => {
    const kinds = new Set((await ffprobe(stream.hls_cmaf_url)).map(({ codec_type }) => codec_type));
    return kinds.has("video") && kinds.has("audio");
  });
  await stop();
});

step("without UDP it comes by TCP", async () => {
  const { server } = await goLive("tcp", () => {
    const set = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = function (description) {
      const lines = description.sdp.split("\r\n").filter((line) => !/^a=candidate:.* udp /i.test(line));
      return set.call(this, { type: description.type, sdp: lines.join("\r\n") });
    };
  });
  assert.equal(server.path, "host_tcp");
  await screenshot(page, "go-live-tcp");
  await stop();
});

for (const [transport, path] of [
  ["udp", "relay_udp"],
  ["tcp", "relay_tcp"],
]) {
  step(`relayed by ${transport}, with the credentials of the Link header`, async () => {
    const { server } = await goLive(
      `relay ${transport}`,
      (wanted) => {
        const Plain = RTCPeerConnection;
        window.RTCPeerConnection = function (configuration) {
          const iceServers = configuration.iceServers.filter(
            ({ urls }) => urls.startsWith("turn:") && urls.endsWith(wanted),
          );
          return new Plain({ ...configuration, iceServers, iceTransportPolicy: "relay" });
        };
        window.RTCPeerConnection.prototype = Plain.prototype;
      },
      `transport=${transport}`,
    );
    assert.equal(server.path, path);
    const { events } = await stage.trace(server.session);
    const allocated = events.filter(({ event }) => event === "turn.allocate");
    assert.ok(allocated.some(({ data }) => data.transport === transport), JSON.stringify(allocated));
    await stop();
  });
}

step("a path that leads nowhere gives way to the next", async () => {
  // UDP and TCP candidates are swallowed in the first attempt only, as a firewall that
  // drops silently would; then TCP alone is tried, and works.
  const { server } = await goLive("ladder", () => {
    let attempts = 0;
    const set = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = function (description) {
      attempts++;
      const isFirst = attempts === 1;
      const lines = description.sdp
        .split("\r\n")
        .map((line) => (isFirst ? line.replace(/^(a=candidate:.* )127\.0\.0\.1 \d+/, "$1192.0.2.1 9") : line));
      return set.call(this, { type: description.type, sdp: lines.join("\r\n") });
    };
  });
  assert.equal(server.path, "host_tcp");
  await stop();
});

step("asked to go on elsewhere, it moves without leaving the air", async () => {
  const { stream, server: former } = await goLive("moves", () => {
    const Plain = EventSource;
    window.EventSource = class extends Plain {
      constructor(url) {
        super(url);
        window.told = this;
      }
    };
  });
  await page.evaluate(() => {
    window.states = [];
    const look = () => {
      const { state } = window.inlet;
      if (window.states.at(-1) !== state) window.states.push(state);
      requestAnimationFrame(look);
    };
    look();
  });
  const breaks = async () => {
    const [variant] = (await (await fetch(stream.hls_cmaf_url)).text()).match(/^[^#].*$/gm);
    const playlist = await (await fetch(new URL(variant, stream.hls_cmaf_url))).text();
    return playlist.match(/^#EXT-X-DISCONTINUITY.*$/gm);
  };
  const before = await until("a playlist", 20_000, breaks);
  // The same edge stands for the other one: what the server does is the same.
  await page.evaluate((base) => {
    window.told.dispatchEvent(new MessageEvent("move", { data: JSON.stringify({ base }) }));
  }, new URL(stream.push_url_whip).origin);
  await until("the other session", 15_000, async () => {
    const { server } = await inlet(page);
    return server?.state === "live" && server.session !== former.session;
  });
  await until("one session", 5_000, async () => (await stage.metric(`inlet_edge_sessions{state="connected"}`)) === 1);
  assert.deepEqual(await page.evaluate(() => window.states), ["live"]);
  assert.deepEqual(await breaks(), before);
  const ended = 'inlet_edge_session_ends_total{reason="replaced"}';
  assert.equal(await stage.metric(ended), 1);
  await screenshot(page, "go-live-moved");
  await stop();
});

step("a token that is reset is told at once, and nothing is tried again", async () => {
  const { stream } = await goLive("reset");
  const began = performance.now();
  const { status } = await stage.api("POST", `/${stream.id}/reset_push_token`);
  assert.equal(status, 200);
  const state = await until("the end", 5_000, async () => {
    const state = await inlet(page);
    return state.state === "failed" && state;
  });
  assert.ok(performance.now() - began < 3_000, "told late");
  assert.equal(state.error.reason, 2002);
  assert.equal(await page.textContent("#alert-title"), state.error.title);
  await screenshot(page, "go-live-ended");
  await page.close();
});

step("a page that comes back from the browser's cache goes live again, and says so", async () => {
  const { server } = await goLive("left");
  // Chromium caches no page with a camera or a test picture; other browsers may.
  const turn = (name) =>
    page.evaluate((type) => dispatchEvent(new PageTransitionEvent(type, { persisted: true })), name);
  await turn("pagehide");
  assert.equal((await inlet(page)).state, "idle");
  assert.equal(await page.textContent("#status"), "Off air");
  const running = () => stage.metric(`inlet_edge_sessions{state="connected"}`);
  await until("the end at the edge", 5_000, async () => (await running()) === 0);
  await turn("pageshow");
  await onAir(page);
  await until("another session", 10_000, async () => {
    const state = await inlet(page);
    return state.server?.state === "live" && state.server.session !== server.session;
  });
  assert.equal(await running(), 1);
  assert.equal(await page.textContent("#alert-title"), "You were off air");
  assert.ok((await page.textContent("#alert-advice")).includes("goes on by itself"));
  await screenshot(page, "go-live-returned");
  await stop();
});

step("a camera that is unplugged is replaced by another one", async () => {
  const stream = await stage.createStream("unplugged");
  page = await browser.page();
  await page.addInitScript(() => {
    // Chromium's second fake camera sees depth, which nobody encodes.
    const list = MediaDevices.prototype.enumerateDevices;
    MediaDevices.prototype.enumerateDevices = async function () {
      return (await list.call(this)).filter(({ label }) => label !== "fake_device_1");
    };
  });
  await page.goto(`${stream.web}/go-live#${stream.push_url_whip}`);
  await until("a preview", 10_000, () =>
    page.evaluate(() => document.getElementById("preview").srcObject?.active === true),
  );
  await page.click("#go");
  await onAir(page);
  const lost = await page.evaluate(() => {
    const [track] = document.getElementById("preview").srcObject.getVideoTracks();
    const { label } = track;
    track.stop();
    // A browser fires this when the device goes; stop() does not.
    track.dispatchEvent(new Event("ended"));
    return label;
  });
  const detail = await until("a substitute", 10_000, async () => {
    const text = await page.textContent("#alert-advice");
    return text.includes("has taken its place") && text;
  });
  assert.ok(!detail.includes(lost), detail);
  const frames = () =>
    page.evaluate(async () => (await Promise.resolve(window.inlet.stats))?.fps ?? 0);
  await until("pictures again", 10_000, async () => (await frames()) > 10);
  assert.equal((await inlet(page)).state, "live");
  await screenshot(page, "go-live-substitute");
  await stop();
});

step("an application embeds the publisher from another origin", async () => {
  const stream = await stage.createStream("embedded");
  const html = `<!doctype html><canvas></canvas><script type="module">
    import { InletPublisher } from "${stream.web}/module/inlet-publisher.js";
    const canvas = document.querySelector("canvas");
    const context = canvas.getContext("2d");
    setInterval(() => {
      context.fillStyle = "hsl(" + performance.now() / 20 + " 80% 50%)";
      context.fillRect(0, 0, canvas.width, canvas.height);
    }, 33);
    const audio = new AudioContext();
    const sound = audio.createMediaStreamDestination();
    const tone = audio.createOscillator();
    tone.connect(sound);
    tone.start();
    const media = new MediaStream([...canvas.captureStream(30).getTracks(), ...sound.stream.getTracks()]);
    const publisher = new InletPublisher(${JSON.stringify(stream.push_url_whip)}, { stream: media });
    window.heard = [];
    publisher.on("state", (state) => window.heard.push(state));
    publisher.on("session", ({ session }) => (window.session = session));
    publisher.on("error", ({ error }) => window.heard.push(error.message));
    publisher.start();
    window.stop = () => publisher.stop();
    const other = document.createElement("canvas");
    other.getContext("2d").fillRect(0, 0, 10, 10);
    window.other = other.captureStream(30).getVideoTracks()[0];
    window.exchange = () => publisher.replaceTrack(window.other);
    window.again = () => publisher.start();
    window.sent = () => publisher.connection?.getSenders().map(({ track }) => track?.id);
    window.given = () => media.getVideoTracks().map(({ id }) => id);
  </script>`;
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end(html);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    page = await browser.page(`http://127.0.0.1:${server.address().port}/`);
    await until("on air", 20_000, () => page.evaluate(() => window.heard.includes("live")));
    assert.match(await until("the session", 5_000, () => page.evaluate(() => window.session)), UUID);
    await until("a playlist", 20_000, async () => (await fetch(stream.hls_cmaf_url)).ok);
    const given = await page.evaluate(() => window.given());
    await page.evaluate(() => window.exchange());
    await page.evaluate(() => window.stop());
    assert.equal(await page.evaluate(() => window.heard.at(-1)), "idle");

    // The exchanged picture stays for the next session, and the application's own
    // stream is left alone.
    await page.evaluate(() => window.again());
    await until("on air again", 20_000, () => page.evaluate(() => window.heard.at(-1) === "live"));
    assert.ok(await page.evaluate(() => window.sent().includes(window.other.id)));
    assert.deepEqual(await page.evaluate(() => window.given()), given);
    await page.evaluate(() => window.stop());
    await page.close();
  } finally {
    server.close();
  }
});
