import { describe, expect, it } from "vitest";
import { parseRetryAfter, publishRetry, viewerRetryDelay, type PublishFailure } from "../src/retry";

const failure = (change: Partial<PublishFailure>): PublishFailure => ({
  status: null,
  reason: null,
  retryAfterMs: null,
  ...change,
});

describe("a publisher", () => {
  it.each([
    [403, 2001],
    [403, 2002],
    [400, 2003],
    [403, 2004],
    [403, 2005],
    [403, 2006],
    [400, 2100],
    [415, 2100],
    [422, 2101],
    [422, 2104],
    [404, null],
  ])("stops at %i with %s", (status, reason) => {
    expect(publishRetry(failure({ status, reason }), 0, false, 0)).toEqual({ retry: false });
  });

  it("takes its own ghost for what it is, for 30 s", () => {
    const ghost = failure({ status: 400, reason: 2003 });
    let waited = 0;
    let attempt = 0;
    for (;;) {
      const decision = publishRetry(ghost, attempt++, true, 0.5);
      if (!decision.retry) break;
      expect(decision.delayMs).toBeGreaterThanOrEqual(3000);
      waited += decision.delayMs;
    }
    expect(waited).toBe(30_000);
  });

  it("does not take a wrong token for a ghost", () => {
    expect(publishRetry(failure({ status: 403, reason: 2002 }), 0, true, 0).retry).toBe(false);
  });

  it("waits at least as long as Retry-After says", () => {
    for (const status of [429, 503]) {
      const decision = publishRetry(failure({ status, retryAfterMs: 7000 }), 0, false, 0);
      expect(decision).toEqual({ retry: true, delayMs: 7000 });
    }
  });

  it("does not wait for ever because a server says so", () => {
    const decision = publishRetry(failure({ status: 503, retryAfterMs: 1e9 }), 0, false, 0);
    expect(decision).toEqual({ retry: true, delayMs: 120_000 });
  });

  it("backs off when there is no answer, and never gives up", () => {
    const delays = Array.from({ length: 50 }, (_, attempt) => {
      const decision = publishRetry(failure({}), attempt, true, 0);
      return decision.retry ? decision.delayMs : NaN;
    });
    expect(delays.slice(0, 5)).toEqual([500, 1000, 2000, 4000, 8000]);
    expect(delays.at(-1)).toBe(8000);
  });

  it("spreads many publishers", () => {
    const delay = (random: number): number => {
      const decision = publishRetry(failure({ status: 500 }), 3, true, random);
      return decision.retry ? decision.delayMs : NaN;
    };
    expect(delay(1) - delay(0)).toBe(1200);
  });
});

describe("Retry-After", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  it("is seconds, or a date, or nothing", () => {
    expect(parseRetryAfter("7", now)).toBe(7000);
    expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", now)).toBe(30_000);
    expect(parseRetryAfter("Wed, 31 Dec 2025 00:00:00 GMT", now)).toBe(0);
    for (const text of [null, "", "soon", "-3x"]) expect(parseRetryAfter(text, now)).toBeNull();
  });
});

describe("a waiting viewer", () => {
  it("asks every 300 ms at first and about once a second later", () => {
    expect(viewerRetryDelay(0, false, 0.5)).toBe(300);
    expect(viewerRetryDelay(20, false, 0.5)).toBe(300);
    expect(viewerRetryDelay(40, false, 0.5)).toBe(700);
    expect(viewerRetryDelay(1000, false, 0.5)).toBe(1000);
  });

  it("asks rarely while nobody looks", () => {
    expect(viewerRetryDelay(0, true, 0.5)).toBe(3000);
  });
});
