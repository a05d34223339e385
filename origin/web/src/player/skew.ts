// How far the viewer's clock is off, from `Date` headers. Pure.
//
// A header has a resolution of one second, so each answer only bounds the difference:
// the server wrote it between our request and its arrival. The bounds of many answers
// intersect in a narrow interval. As long as "no difference" lies in it nothing is
// corrected, so a good clock is never made worse.

/** Estimates the server's clock minus ours. */
export class ClockSkew {
  #low = -Infinity;
  #high = Infinity;

  /** Milliseconds to add to our clock. */
  get offsetMs(): number {
    if (this.#low <= 0 && this.#high >= 0) return 0;
    return this.#low > 0 ? this.#low : this.#high;
  }

  /** Takes an answer: its `Date` and `Age`, and when it was asked for and arrived. */
  observe(date: string | null, age: string | null, askedMs: number, arrivedMs: number): void {
    const written = Date.parse(date ?? "");
    if (Number.isNaN(written)) return;
    // An answer out of a cache was written `Age` seconds ago (RFC 9111 §5.1).
    const server = written + 1000 * (Number.parseInt(age ?? "0", 10) || 0);
    const low = server - arrivedMs;
    const high = server + 1000 - askedMs;
    if (low > high) return;
    if (low > this.#high || high < this.#low) {
      // One of the clocks was set: what was known is worth nothing.
      this.#low = low;
      this.#high = high;
    } else {
      this.#low = Math.max(this.#low, low);
      this.#high = Math.min(this.#high, high);
    }
  }
}
