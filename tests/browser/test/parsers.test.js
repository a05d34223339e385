// Playlists and manifests as parsers read them that are nobody's player here.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import HLS from "hls-parser";
import { Parser } from "m3u8-parser";
import { parse as parseManifest } from "mpd-parser";

import { RUNGS, Stage, until } from "../support/stage.js";
import { steps } from "../support/steps.js";

let stage, stream;
const step = steps();

before(async () => {
  stage = await Stage.open();
  stream = await stage.createStream("parsers");
  let publisher = await stage.publish(stream);
  // A playlist with all that there may be: a gap, a discontinuity, parts.
  await segments(4);
  publisher.kill("SIGTERM");
  await new Promise((done) => publisher.once("exit", done));
  publisher = await stage.publish(stream);
  await segments(10);
  await until("the discontinuity", 20_000, async () => (await text("360p/media.m3u8")).includes("DISCONTINUITY\n"));
});

after(() => stage?.close(step.failed));

const url = (file) => new URL(file, stream.hls_cmaf_url);

async function text(file) {
  const response = await fetch(url(file));
  assert.equal(response.status, 200, file);
  return response.text();
}

/** Waits until the smallest rung has so many segments. */
function segments(count) {
  return until(`${count} segments`, 30_000, async () => {
    const response = await fetch(url("360p/media.m3u8"));
    return response.ok && (await response.text()).split("#EXTINF").length > count;
  });
}

function m3u8(playlist) {
  const parser = new Parser();
  parser.push(playlist);
  parser.end();
  return parser.manifest;
}

step("hls-parser reads the multivariant playlist", async () => {
  const { isMasterPlaylist, variants } = HLS.parse(await text("master.m3u8"));
  assert.ok(isMasterPlaylist);
  assert.deepEqual(variants.map(({ resolution }) => resolution.height), RUNGS);
  for (const { audio, averageBandwidth, bandwidth, codecs, frameRate } of variants) {
    assert.match(codecs, /^avc1\.[0-9a-f]{6},mp4a\.40\.2$/);
    assert.ok(averageBandwidth < bandwidth);
    assert.equal(frameRate, 30);
    assert.equal(audio[0].uri, "audio/media.m3u8");
  }
});

for (const rendition of ["468p", "360p", "audio"]) {
  step(`hls-parser reads the playlist of ${rendition}`, async () => {
    const playlist = HLS.parse(await text(`${rendition}/media.m3u8`));
    const { lowLatencyCompatibility, partTargetDuration, renditionReports, segments } = playlist;
    assert.equal(partTargetDuration, 0.2);
    assert.ok(lowLatencyCompatibility.canBlockReload);
    assert.ok(lowLatencyCompatibility.partHoldBack + 1e-9 >= 3 * partTargetDuration);
    assert.equal(renditionReports.length, 2);
    const whole = segments.filter(({ uri }) => uri !== undefined && uri !== "");
    for (const [index, { duration, mediaSequenceNumber, programDateTime }] of whole.entries()) {
      assert.ok(duration > 0 && duration < 1.1);
      assert.equal(mediaSequenceNumber, whole[0].mediaSequenceNumber + index);
      if (index > 0) assert.ok(programDateTime > whole[index - 1].programDateTime);
    }
    const runs = new Set(whole.map(({ discontinuitySequence }) => discontinuitySequence));
    assert.equal(runs.size, 2);
    const parts = segments.flatMap((segment) => segment.parts).filter(({ hint }) => !hint);
    assert.ok(parts.length > 5 && parts.every(({ duration }) => duration <= partTargetDuration));
  });

  step(`m3u8-parser reads the playlist of ${rendition}`, async () => {
    const manifest = m3u8(await text(`${rendition}/media.m3u8`));
    assert.equal(manifest.version, 9);
    assert.equal(manifest.targetDuration, 1);
    assert.equal(manifest.partTargetDuration, 0.2);
    assert.ok(manifest.serverControl.canBlockReload);
    assert.equal(manifest.renditionReports.length, 2);
    assert.equal(manifest.discontinuityStarts.length, 1);
    assert.equal(manifest.preloadSegment.preloadHints[0].type, "PART");
    assert.match(manifest.segments[0].map.uri, /^init-[0-9a-f]+\.mp4$/);
  });
}

step("m3u8-parser reads a delta update", async () => {
  await segments(12);
  const manifest = m3u8(await text("360p/media.m3u8?_HLS_skip=YES"));
  assert.ok(manifest.skip.skippedSegments > 0);
});

step("both read the playlists of transport streams", async () => {
  const response = await fetch(new URL("360p/media.m3u8", stream.hls_mpegts_url));
  const playlist = await response.text();
  const { segments } = HLS.parse(playlist);
  assert.equal(segments.length, m3u8(playlist).segments.length);
  assert.match(segments[0].uri, /^\d+\.ts$/);
});

step("mpd-parser reads the manifest", async () => {
  const manifest = parseManifest(await text("index.mpd"), { manifestUri: stream.dash_url });
  assert.deepEqual(
    manifest.playlists.map(({ attributes }) => attributes.RESOLUTION.height).sort((a, b) => b - a),
    RUNGS,
  );
  assert.ok(manifest.playlists.every(({ segments }) => segments.length > 0));
  assert.equal(Object.keys(manifest.mediaGroups.AUDIO.audio).length, 1);
});
