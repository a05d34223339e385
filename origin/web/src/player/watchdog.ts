// Watches whether playback moves, and says what to do when it does not. Pure.
//
// The engines have watchdogs of their own, but none that survives every way in which a
// live stream stops and comes back: a hole in the buffer, a decoder that sleeps on full
// buffers, a presenter who returns a minute later in the same playlist.

/** What the watchdog looks at, four times a second. */
export interface Pulse {
  /** Now in seconds, on any monotonic clock. */
  now: number;
  /** Playback position, seconds. */
  position: number;
  /** Paused by the viewer. */
  isIdle: boolean;
  /** Media ahead without a gap, seconds. */
  buffer: number;
  /** Where the next buffered range begins, or `null`. */
  nextRange: number | null;
}

/** What to do. */
export type Remedy =
  | { kind: "none" }
  /** Move the position: over a hole, or a little, to wake the decoder. */
  | { kind: "jump"; to: number }
  /** The buffer has been empty for long: ask whether anybody is still live. */
  | { kind: "inquire" }
  /** Detach and start over. */
  | { kind: "reattach" };

/** Playback that stands still for so long counts as a stall. */
export const STALL_AFTER = 0.4;
const JUMP_AFTER = 0.6;
const NUDGE_AFTER = 1.5;
const NUDGE_EVERY = 1;
const NUDGE_BY = 0.1;
const MAX_NUDGES = 3;
const INQUIRE_AFTER = 3;
/** A buffer of less than this is as good as empty: a decoder keeps some frames back. */
const EMPTY = 0.3;
const MOVED = 0.01;

/** Follows one attachment. */
export class Watchdog {
  #position: number | null = null;
  #movedAt: number | null = null;
  #nudges = 0;
  #nudgedAt = -Infinity;
  #hasPlayed = false;
  #isStalled = false;
  /** Stalls since attaching. The time before the first frame is none. */
  stalls = 0;

  /** Whether a first frame has been played. */
  get hasPlayed(): boolean {
    return this.#hasPlayed;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** Tells that somebody moved the position: that is no progress. */
  noteSeek(position: number): void {
    if (this.#position !== null) this.#position = position;
  }

  step(pulse: Pulse): Remedy {
    const moved = this.#position !== null && Math.abs(pulse.position - this.#position) > MOVED;
    this.#position = pulse.position;
    if (moved) {
      this.#movedAt = pulse.now;
      this.#hasPlayed = true;
      this.#isStalled = false;
      this.#nudges = 0;
      return { kind: "none" };
    }
    if (pulse.isIdle || this.#movedAt === null) {
      // Standing still is what was asked for: the time does not count.
      this.#movedAt = pulse.now;
      return { kind: "none" };
    }
    const still = pulse.now - this.#movedAt;
    if (this.#hasPlayed && !this.#isStalled && still >= STALL_AFTER) {
      this.#isStalled = true;
      this.stalls++;
    }
    return this.#remedy(pulse, still);
  }

  #remedy(pulse: Pulse, still: number): Remedy {
    if (pulse.buffer < EMPTY && pulse.nextRange !== null && still >= JUMP_AFTER) {
      return this.#jump(pulse.now, pulse.nextRange + 0.01);
    }
    if (pulse.buffer >= EMPTY && still >= NUDGE_AFTER) {
      return this.#jump(pulse.now, pulse.position + NUDGE_BY);
    }
    // Before the first frame nothing has run dry; whoever attached knows how long to wait.
    return this.#hasPlayed && still >= INQUIRE_AFTER ? { kind: "inquire" } : { kind: "none" };
  }

  #jump(now: number, to: number): Remedy {
    if (now - this.#nudgedAt < NUDGE_EVERY) return { kind: "none" };
    if (this.#nudges >= MAX_NUDGES) return { kind: "reattach" };
    this.#nudges++;
    this.#nudgedAt = now;
    // The jump itself must not pass for progress.
    this.#position = to;
    return { kind: "jump", to };
  }
}
