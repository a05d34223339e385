// Bare pages with other people's players, as an application developer would embed them.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

const MODULES = resolve(import.meta.dirname, "../node_modules");

const SCRIPTS = {
  "hls.js": join(MODULES, "hls.js/dist/hls.min.js"),
  "dash.js": join(MODULES, "dashjs/dist/modern/umd/dash.all.min.js"),
  shaka: join(MODULES, "shaka-player/dist/shaka-player.compiled.js"),
};

/**
 * Asks for a remedy as long as playback has stood still for a second and a half. Where a
 * stream comes back behind a hole, hls.js and Shaka may wait before it for ever.
 */
const WHEN_STILL = `
  function whenStill(remedy) {
    let last = 0, looks = 0;
    setInterval(() => {
      looks = video.currentTime === last ? looks + 1 : 0;
      last = video.currentTime;
      if (last > 0 && looks >= 3) remedy();
    }, 500);
  }`;

/**
 * How each player is started on `video` with `manifest`; errors end up in `window.failure`,
 * those that it gets over in `window.notes`.
 */
const STARTS = {
  "hls.js": `
    const patient = {
      default: {
        maxTimeToFirstByteMs: 10_000,
        maxLoadTimeMs: 20_000,
        timeoutRetry: { maxNumRetry: 10, retryDelayMs: 0, maxRetryDelayMs: 0 },
        errorRetry: {
          maxNumRetry: 60,
          retryDelayMs: 300,
          maxRetryDelayMs: 1_000,
          backoff: "linear",
          // By itself hls.js takes a 404 for the end.
          shouldRetry: (retry, count) => count < retry.maxNumRetry,
        },
      },
    };
    const hls = new Hls({
      lowLatencyMode: true,
      manifestLoadPolicy: patient,
      playlistLoadPolicy: patient,
      fragLoadPolicy: patient,
    });
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (data.fatal) window.failure = data.details;
      else window.notes.push(data.details);
    });
    whenStill(() => {
      if (hls.liveSyncPosition > video.currentTime) video.currentTime = hls.liveSyncPosition;
    });
    hls.loadSource(manifest);
    hls.attachMedia(video);
    window.qualities = () => hls.levels.map(({ width, height }) => ({ width, height }));
    window.holdTop = () => {
      const heights = hls.levels.map(({ height }) => height);
      hls.currentLevel = heights.indexOf(Math.max(...heights));
      return hls.levels[hls.currentLevel]?.height ?? Math.max(...heights);
    };`,
  "dash.js": `
    const player = dashjs.MediaPlayer().create();
    player.on(dashjs.MediaPlayer.events.ERROR, ({ error }) => {
      window.failure = error.message;
      // It never asks again for a segment that went with its origin.
      setTimeout(() => player.attachSource(manifest), 1_000);
    });
    player.updateSettings({
      streaming: {
        retryAttempts: { MPD: 60, MediaSegment: 10, InitializationSegment: 10 },
        retryIntervals: { MPD: 500, MediaSegment: 300, InitializationSegment: 300 },
      },
    });
    player.initialize(video, manifest, true);
    window.qualities = () =>
      player.getRepresentationsByType("video").map(({ width, height }) => ({ width, height }));`,
  shaka: `
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    player.addEventListener("error", ({ detail }) => {
      if (detail.severity === shaka.util.Error.Severity.CRITICAL) window.failure = "shaka " + detail.code;
      else window.notes.push(detail.code + " " + detail.data?.slice(0, 2));
    });
    const patient = { maxAttempts: 60, baseDelay: 300, backoffFactor: 1.1, timeout: 20_000 };
    player.configure({
      manifest: { retryParameters: patient },
      streaming: { lowLatencyMode: true },
    });
    whenStill(() => player.goToLive());
    player.attach(video)
      .then(() => player.load(manifest))
      .catch((error) => { window.failure = "shaka " + error.code + " " + error.message; });
    window.qualities = () => player.getVariantTracks().map(({ width, height }) => ({ width, height }));`,
};

/** Names of the players. */
export const PLAYERS = Object.keys(STARTS);

/** Serves `/{player}?{manifest}` on a port of its own. */
export async function servePlayers() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const name = decodeURIComponent(pathname.slice(1));
    if (name.endsWith("/script")) {
      response.setHeader("content-type", "text/javascript");
      response.end(await readFile(SCRIPTS[name.slice(0, -"/script".length)]));
    } else if (name in STARTS) {
      response.setHeader("content-type", "text/html");
      response.end(`<!doctype html><title>${name}</title>
        <video autoplay muted playsinline style="width: 100%"></video>
        <script src="/${name}/script"></script>
        <script>
          const video = document.querySelector("video");
          const manifest = decodeURIComponent(location.search.slice(1));
          window.failure = null;
          window.notes = [];
          ${WHEN_STILL}
          ${STARTS[name]}
        </script>`);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  return {
    url: (player, manifest) => `http://127.0.0.1:${port}/${player}?${encodeURIComponent(manifest)}`,
    close: () => new Promise((done) => server.close(done)),
  };
}
