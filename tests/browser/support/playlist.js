// What a viewer sees of a stream's media playlist.

import { until } from "./stage.js";

/** The first variant's playlist: its media sequence, segments, and breaks. */
export async function media(hls) {
  const multivariant = await text(hls);
  const variant = multivariant.split("\n").find((line) => line !== "" && !line.startsWith("#"));
  if (variant === undefined) throw new Error("no variant");
  const lines = (await text(new URL(variant, hls))).split("\n");
  const has = (tag) => lines.filter((line) => line.startsWith(tag)).length;
  const sequence = lines.find((line) => line.startsWith("#EXT-X-MEDIA-SEQUENCE:"));
  const first = Number(sequence?.split(":")[1] ?? 0);
  return {
    first,
    segments: has("#EXTINF"),
    next: first + has("#EXTINF"),
    // Not the tag with their sequence number.
    discontinuities: lines.filter((line) => line.trim() === "#EXT-X-DISCONTINUITY").length,
    gaps: has("#EXT-X-GAP"),
  };
}

/** Waits until so many more segments are complete than in `before`. */
export function moreSegments(hls, count, patienceMs, before = { next: null }) {
  let start = before.next;
  return until(`${count} more segments`, patienceMs, async () => {
    const now = await media(hls);
    start ??= now.next;
    if (now.next >= start + count) return now;
    throw new Error(JSON.stringify(now));
  });
}

async function text(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.text();
}
