// Asks whether anybody is live, without a player: one small request, or two.
//
// A manifest that answers is not enough. After the presenter has left, playlists answer
// for a minute more, and a player that attached then would show the last second again
// and again. So the newest part's time is looked at too.

import type { ClockSkew } from "./skew";

/** What a probe found. */
export type Finding =
  | { kind: "live" }
  /** Too early to tell; only from a strict look. */
  | { kind: "unsure" }
  /** The playlist is there, but nothing is added to it. */
  | { kind: "stale"; isEnded: boolean }
  /** No playlist: `status` 0 when there was no answer at all. */
  | { kind: "absent"; status: number; code: number | null };

/** What a media playlist says about its newest media. */
export interface PlaylistEnd {
  isEnded: boolean;
  /** UTC time at the end of the newest part, milliseconds, or `null`. */
  endMs: number | null;
  /** Changes whenever something is added. */
  fingerprint: string;
  /** Something is added at least this often while somebody is live, milliseconds. */
  beatMs: number;
}

/** Media older than this come from a presenter who has left: three segments and a bit. */
const STALE_MS = 5_000;
const TIMEOUT_MS = 4_000;
/** Two looks further apart than this are not compared. */
const MEMORY_MS = 10_000;
/** A playlist with parts grows several times a second. */
const PART_BEAT_MS = 1_500;

/** Probes one stream, and remembers what it saw the last time. */
export class Probe {
  #seen: { fingerprint: string; since: number; lookedAt: number } | null = null;

  constructor(
    private readonly master: string,
    private readonly skew: ClockSkew,
    private readonly fetcher: typeof fetch = (input, init) => fetch(input, init),
    private readonly now: () => number = Date.now,
  ) {}

  /**
   * Looks once. A strict look believes in growth only, not in recent media: it is for a
   * player that has run dry, when the newest media are always recent.
   */
  async look(isStrict = false): Promise<Finding> {
    const master = await this.#get(this.master);
    if (typeof master !== "string") return master;
    const variant = firstVariant(master);
    // Not a master playlist: it is the media playlist itself.
    const playlist =
      variant === null ? master : await this.#get(new URL(variant, this.master).href);
    if (typeof playlist !== "string") return playlist;
    return this.#judge(readPlaylistEnd(playlist), isStrict);
  }

  /** Forgets what the last look saw. */
  forget(): void {
    this.#seen = null;
  }

  #judge(end: PlaylistEnd, isStrict: boolean): Finding {
    const now = this.now();
    const seen = this.#seen !== null && now - this.#seen.lookedAt < MEMORY_MS ? this.#seen : null;
    const hasGrown = seen !== null && seen.fingerprint !== end.fingerprint;
    const since = seen === null || hasGrown ? now : seen.since;
    this.#seen = { fingerprint: end.fingerprint, since, lookedAt: now };
    if (end.isEnded) return { kind: "stale", isEnded: true };
    // Growth is proof, whatever the clocks say; and so is the lack of it.
    if (hasGrown) return { kind: "live" };
    if (now - since >= end.beatMs) return { kind: "stale", isEnded: false };
    if (isStrict) return { kind: "unsure" };
    const isOld = end.endMs !== null && now + this.skew.offsetMs - end.endMs > STALE_MS;
    return isOld ? { kind: "stale", isEnded: false } : { kind: "live" };
  }

  async #get(url: string): Promise<string | (Finding & { kind: "absent" })> {
    const asked = this.now();
    try {
      const response = await this.fetcher(url, {
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const { headers, status } = response;
      this.skew.observe(headers.get("Date"), headers.get("Age"), asked, this.now());
      if (response.ok) return await response.text();
      const code = Number.parseInt(headers.get("X-Err-Code") ?? "", 10);
      return { kind: "absent", status, code: Number.isNaN(code) ? null : code };
    } catch {
      return { kind: "absent", status: 0, code: null };
    }
  }
}

/** URI of the first variant of a master playlist, or `null` when it is none. */
export function firstVariant(playlist: string): string | null {
  return /^#EXT-X-STREAM-INF:.*\r?\n(?:#.*\r?\n)*([^#\r\n].*)$/m.exec(playlist)?.[1]?.trim() ?? null;
}

/** Reads the end of a media playlist (draft-pantos-hls-rfc8216bis §4.4). */
export function readPlaylistEnd(playlist: string): PlaylistEnd {
  let time: number | null = null;
  /** Parts of the segment that is not complete yet. */
  let parts = 0;
  let last = "";
  for (const line of playlist.split(/\r?\n/)) {
    if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) {
      const parsed = Date.parse(line.slice(line.indexOf(":") + 1));
      time = Number.isNaN(parsed) ? time : parsed;
      parts = 0;
    } else if (line.startsWith("#EXT-X-PART:")) {
      parts += Number(/[:,]DURATION=([\d.]+)/.exec(line)?.[1] ?? 0);
      last = line;
    } else if (line.startsWith("#EXTINF:")) {
      // The segment's own duration stands for that of its parts.
      if (time !== null) time += 1000 * Number.parseFloat(line.slice(line.indexOf(":") + 1));
      parts = 0;
    } else if (line !== "" && !line.startsWith("#")) {
      last = line;
    }
  }
  const segment = Number(/^#EXT-X-TARGETDURATION:(\d+)/m.exec(playlist)?.[1] ?? 6);
  const sequence = /^#EXT-X-MEDIA-SEQUENCE:(\d+)/m.exec(playlist)?.[1] ?? "0";
  return {
    isEnded: /^#EXT-X-ENDLIST/m.test(playlist),
    endMs: time === null ? null : time + 1000 * parts,
    fingerprint: `${sequence} ${last}`,
    beatMs: playlist.includes("#EXT-X-PART-INF:") ? PART_BEAT_MS : 3_000 * segment,
  };
}
