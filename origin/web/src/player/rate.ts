// Holds playback a chosen time behind the newest part, by the playback rate. Pure.
//
// hls.js speeds up only with more than a second in the buffer, so alone it cannot get
// under about 1.1 s. This controller works on less, slows down before the buffer is
// empty, and gives way after a stall: a target that the network cannot hold is worse
// than a higher one.

/** What the controller looks at. Seconds. */
export interface RateInput {
  /** Now, on any monotonic clock. */
  now: number;
  /** Newest part's end, moved on with the clock, minus the playback position. */
  distance: number;
  /** Media ahead of the playback position without a gap. */
  buffer: number;
}

/** What to do: a rate, or a jump forward by so many seconds. */
export interface RateOutput {
  rate: number;
  jump: number | null;
}

/** Three parts and a request's way: what a stock LL-HLS server asks for is 3 parts. */
const PARTS_BEHIND = 3;
const MARGIN = 0.1;
/** Below this the display's own delay and timer jitter dominate. */
const MIN_TARGET = 0.65;
/** Nobody hears 10 % with pitch preserved; slowing down is heard earlier. */
const MAX_RATE = 1.1;
const MIN_RATE = 0.95;
/** Rate per second of error. */
const GAIN = 0.2;
/** Correction begins at the outer and ends at the inner limit, so that it does not flutter. */
const OUTER = 0.08;
const INNER = 0.02;
/** Less than this ahead: slow down, whatever the distance says. */
const LOW_BUFFER = 0.12;
/** Speeding up needs this much ahead. */
const SPEED_UP_BUFFER = 0.25;
/** Further behind than this, catching up at 10 % would take too long to be of use. */
const JUMP_DISTANCE = 2;
const JUMP_PAUSE = 4;
const STALL_PENALTY = 0.15;
const MAX_PENALTY = 1.2;
/** After this long without a stall a little of the penalty is forgiven. */
const FORGIVE_AFTER = 20;
const FORGIVE_STEP = 0.05;

/** A proportional controller with hysteresis. */
export class RateController {
  #base = MIN_TARGET;
  #penalty = 0;
  #stalls = 0;
  #calmSince: number | null = null;
  #jumpedAt = -Infinity;
  #isCorrecting = false;

  /** Seconds behind the newest part that are aimed at. */
  get target(): number {
    return this.#base + this.#penalty;
  }

  /** Tells the length of a part; without parts, the hold back of the playlist. */
  setPacing(partTarget: number | null, holdBack: number | null): void {
    if (partTarget !== null && partTarget > 0) {
      this.#base = Math.max(MIN_TARGET, PARTS_BEHIND * partTarget + MARGIN);
    } else if (holdBack !== null && holdBack > 0) {
      this.#base = holdBack;
    }
  }

  /** Tells how many stalls there have been since the controller began. */
  noteStalls(total: number, now: number): void {
    const more = total - this.#stalls;
    this.#stalls = total;
    if (more > 0) {
      this.#penalty = Math.min(MAX_PENALTY, this.#penalty + more * STALL_PENALTY);
      this.#calmSince = now;
    }
  }

  step({ now, distance, buffer }: RateInput): RateOutput {
    this.#forgive(now);
    const error = distance - this.target;
    if (error > JUMP_DISTANCE && now - this.#jumpedAt > JUMP_PAUSE) {
      this.#jumpedAt = now;
      return { rate: 1, jump: error };
    }
    if (buffer < LOW_BUFFER) return { rate: MIN_RATE, jump: null };
    if (Math.abs(error) > OUTER) this.#isCorrecting = true;
    if (Math.abs(error) < INNER) this.#isCorrecting = false;
    if (!this.#isCorrecting) return { rate: 1, jump: null };
    const highest = buffer < SPEED_UP_BUFFER ? 1 : MAX_RATE;
    const rate = Math.min(highest, Math.max(MIN_RATE, 1 + GAIN * error));
    // Whole percents: each change of the rate costs the audio renderer a splice.
    return { rate: Math.round(rate * 100) / 100, jump: null };
  }

  #forgive(now: number): void {
    this.#calmSince ??= now;
    if (this.#penalty === 0 || now - this.#calmSince < FORGIVE_AFTER) return;
    this.#calmSince = now;
    this.#penalty = Math.max(0, this.#penalty - FORGIVE_STEP);
  }
}
