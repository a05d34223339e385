// Where the seconds between the camera and this screen go. Pure.
//
//     capture ── published ──▶ origin ── fetch ──▶ buffer ── buffer ──▶ position ── display ──▶ screen
//
// Everything is the age of some media on the server's clock, counted from their capture,
// which playlists and manifests date: the age of what is played, of what a playlist tells
// for the first time, of what has just come into the buffer. The steps add up to the total.
// Each is a mean over frames: one that begins a part waits for the whole part to be made,
// and the last one hardly, so half a part is in the way to the publication.

/** Seconds of each step; `null` where the engine cannot tell. */
export interface Breakdown {
  /** From capture to the origin's announcement: ingest, transcoding, the part's making. */
  published: number | null;
  /** From there into the buffer: the network, and the player's own haste. */
  fetch: number | null;
  /** Media ahead of the playback position. */
  buffer: number;
  /** From the playback position to the picture on the screen. */
  display: number | null;
  /** From capture to the screen, as far as it is known. */
  total: number | null;
}

/** One look at the player, seconds. */
export interface Look {
  /** Age of what is at the playback position. */
  latency: number | null;
  buffer: number;
  /** From the position to the screen. */
  display: number | null;
}

/** Some seconds of parts. */
const MAX_AGES = 16;
/** Four seconds: the buffer goes up and down with every part. */
const MAX_LOOKS = 16;
/** Enough to hold one answer that the server did not hold back. */
const MAX_TRIPS = 64;
/** Ages beyond this come from clocks that differ, or from media of before a seek. */
const MAX_AGE = 20;

/** Follows one attachment. */
export class Journey {
  readonly #announced: number[] = [];
  readonly #appended: number[] = [];
  readonly #trips: number[] = [];
  readonly #latencies: number[] = [];
  readonly #buffers: number[] = [];
  readonly #displays: number[] = [];

  /**
   * `isPolled`: the playlist is asked for now and then instead of being held until it
   * grows, so that only the luckiest request hears of new media at once.
   */
  constructor(private readonly isPolled: boolean) {}

  /** Tells how long the server took to answer: the shortest is the network's round trip. */
  noteRoundTrip(seconds: number): void {
    push(this.#trips, seconds, MAX_TRIPS);
  }

  /** Tells the age of the newest media of a playlist that has just come. */
  noteAnnounced(age: number): void {
    if (Math.abs(age) < MAX_AGE) push(this.#announced, age, MAX_AGES);
  }

  /** Tells the age of the newest media in the buffer, which have just come. */
  noteAppended(age: number): void {
    if (Math.abs(age) < MAX_AGE) push(this.#appended, age, MAX_AGES);
  }

  /** Takes a look, and says what the last seconds were like. */
  step(look: Look): Breakdown {
    push(this.#buffers, look.buffer, MAX_LOOKS);
    if (look.latency !== null) push(this.#latencies, look.latency, MAX_LOOKS);
    if (look.display !== null) push(this.#displays, look.display, MAX_LOOKS);
    const buffer = mean(this.#buffers) ?? 0;
    const display = mean(this.#displays);
    const latency = look.latency === null ? null : mean(this.#latencies);
    if (latency === null) return { published: null, fetch: null, buffer, display, total: null };
    const fetch = this.#fetch();
    return {
      published: Math.max(0, latency - buffer - fetch),
      fetch,
      buffer,
      display,
      total: latency + (display ?? 0),
    };
  }

  #fetch(): number {
    // What arrives was half a round trip on its way.
    const way = (least(this.#trips) ?? 0) / 2;
    const announced = this.isPolled ? least(this.#announced) : median(this.#announced);
    const appended = median(this.#appended);
    // Chunks without an announcement flow as they are made.
    return announced === null || appended === null ? way : Math.max(way, appended - announced + way);
  }
}

function push(values: number[], value: number, limit: number): void {
  if (!Number.isFinite(value)) return;
  values.push(value);
  if (values.length > limit) values.shift();
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? null;
}

function least(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.min(...values);
}
