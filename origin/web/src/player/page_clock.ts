// What the browser itself measures of requests and of the screen.

/** What a request for media or playlists said of the network. */
export interface Trip {
  /** Seconds from the request to the first byte of its answer, the server's time included. */
  firstByte: number;
  /** `h2`, `http/1.1`, or empty when the browser does not tell. */
  protocol: string;
}

/** Paths of playlists, manifests, segments and the clock for DASH. */
const MEDIA = /^\/(?:cmaf|mpegts)\//;

/** Reports each answer of the origin, whoever asked for it. */
export function watchTrips(note: (trip: Trip) => void): void {
  // The page's own list of entries is full after a minute; an observer hears of all.
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as PerformanceResourceTiming[]) {
      // Zeros: out of a cache, or of a server that does not tell.
      if (entry.requestStart === 0 || entry.responseStart === 0) continue;
      if (!MEDIA.test(new URL(entry.name).pathname)) continue;
      note({ firstByte: (entry.responseStart - entry.requestStart) / 1000, protocol: entry.nextHopProtocol });
    }
  });
  observer.observe({ type: "resource" });
}

/** How long the display takes, from one frame now and then: a callback for each would cost. */
export class Display {
  /** Seconds from the playback position to the picture on the screen, or `null`. */
  lag: number | null = null;
  #isAsked = false;

  constructor(private readonly video: HTMLVideoElement) {}

  /** Has the next frame measured. */
  ask(): void {
    if (this.#isAsked || !("requestVideoFrameCallback" in this.video)) return;
    this.#isAsked = true;
    this.video.requestVideoFrameCallback((now, { expectedDisplayTime, mediaTime }) => {
      this.#isAsked = false;
      const behind = this.video.currentTime - mediaTime;
      const lag = behind + Math.max(0, expectedDisplayTime - now) / 1000;
      // The position may just have been moved: then the frame is one of before.
      this.lag = lag > -0.5 && lag < 0.5 ? Math.max(0, lag) : null;
    });
  }
}
