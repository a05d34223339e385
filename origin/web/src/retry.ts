// When to try again: a publisher after a refusal or a lost connection, a viewer while
// nobody is live. Pure: the caller owns the timers, and passes the randomness in.

/** What a publisher's attempt ended with. */
export interface PublishFailure {
  /** HTTP status, or `null` when there was no answer or the connection broke later. */
  status: number | null;
  /** `X-Reason-Code`, or `null`. */
  reason: number | null;
  /** `Retry-After` in milliseconds, or `null`. */
  retryAfterMs: number | null;
}

/** How a publisher goes on. */
export type PublishDecision = { retry: false } | { retry: true; delayMs: number };

/** "Someone publishes already": after a lost connection this may be our own ghost. */
const ALREADY_PUBLISHING = 2003;
/**
 * A dead session gives the path away after 3 s. Asking much faster would only run into
 * the limit on refused attempts: a burst of 5, then one in 10 s.
 */
const GHOST_DELAY_MS = 3_000;
/** 30 s is the outer limit for any stale state; after that it is somebody else. */
const GHOST_ATTEMPTS = 10;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 8_000;
/** An answer that asks for more patience than this is not waited for in full. */
const MAX_RETRY_AFTER_MS = 120_000;
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A status that another try may change. */
export function isTransient(status: number): boolean {
  return TRANSIENT.has(status);
}

/**
 * Decides about the next attempt.
 *
 * `attempt` counts failures in a row from 0; `wasLive` says that this publisher has been
 * live on the stream before; `random` is in 0…1.
 */
export function publishRetry(
  failure: PublishFailure,
  attempt: number,
  wasLive: boolean,
  random: number,
): PublishDecision {
  const { status, reason, retryAfterMs } = failure;
  if (status !== null && !isTransient(status)) {
    const mayBeOurGhost = wasLive && reason === ALREADY_PUBLISHING && attempt < GHOST_ATTEMPTS;
    return mayBeOurGhost ? { retry: true, delayMs: GHOST_DELAY_MS } : { retry: false };
  }
  const exponential = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 10));
  // Up to 30 % more, so that the presenters of a failed server do not come back in step.
  const backoff = exponential * (1 + 0.3 * random);
  const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
  return { retry: true, delayMs: Math.round(Math.max(backoff, asked)) };
}

/**
 * `Retry-After` in milliseconds (RFC 9110 §10.2.3): seconds or an HTTP date. `null` when
 * absent or unreadable.
 */
export function parseRetryAfter(value: string | null, nowMs: number): number | null {
  const text = value?.trim() ?? "";
  if (text === "") return null;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

/**
 * How long a viewer waits before asking for the playlist again.
 *
 * 300 ms for the first seconds, so that a viewer who is there when the presenter arrives
 * starts at once, then slowly more, and 1 s for as long as it takes. A page that nobody
 * looks at asks rarely.
 */
export function viewerRetryDelay(attempt: number, isHidden: boolean, random: number): number {
  if (isHidden) return 3_000;
  return Math.round(Math.min(1_000, 300 + 20 * Math.max(0, attempt - 20)) * (0.9 + 0.2 * random));
}
