import { describe, expect, it } from "vitest";
import { RateController } from "../src/player/rate";

/** A live stream with a viewer: plays at the controller's rate for so many seconds. */
function play(
  controller: RateController,
  seconds: number,
  state: { distance: number; fetchDelay: number },
  from = 0,
): { rates: number[]; jumps: number } {
  const rates: number[] = [];
  let jumps = 0;
  const step = 0.25;
  for (let now = from; now < from + seconds; now += step) {
    const buffer = Math.max(0, state.distance - state.fetchDelay);
    const { rate, jump } = controller.step({ now, distance: state.distance, buffer });
    if (jump !== null) {
      jumps++;
      state.distance -= jump;
    }
    rates.push(rate);
    state.distance += step * (1 - rate);
  }
  return { rates, jumps };
}

function controller(): RateController {
  const rate = new RateController();
  rate.setPacing(0.2, 3);
  return rate;
}

describe("rate controller", () => {
  it("comes down to its target without a jump, never beyond 10 %", () => {
    const rate = controller();
    expect(rate.target).toBeCloseTo(0.7);
    const state = { distance: 2.2, fetchDelay: 0.1 };
    const { rates, jumps } = play(rate, 40, state);
    expect(jumps).toBe(0);
    expect(Math.max(...rates)).toBe(1.1);
    expect(Math.abs(state.distance - rate.target)).toBeLessThan(0.05);
    expect(rates.at(-1)).toBe(1);
  });

  it("leaves the rate alone near the target", () => {
    const { rates } = play(controller(), 30, { distance: 0.76, fetchDelay: 0.1 });
    expect(new Set(rates)).toEqual(new Set([1]));
  });

  it("slows down when it is too close", () => {
    const rate = controller();
    const state = { distance: 0.4, fetchDelay: 0.1 };
    const { rates } = play(rate, 20, state);
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(0.95);
    expect(rates[0]).toBeLessThan(1);
    expect(state.distance).toBeGreaterThan(0.6);
  });

  it("slows down on an almost empty buffer, however late it is", () => {
    expect(controller().step({ now: 0, distance: 1.5, buffer: 0.05 }).rate).toBe(0.95);
    expect(controller().step({ now: 0, distance: 1.5, buffer: 0.2 }).rate).toBe(1);
  });

  it("jumps when it is far behind, once", () => {
    const rate = controller();
    const state = { distance: 12, fetchDelay: 0.1 };
    const { jumps } = play(rate, 10, state);
    expect(jumps).toBe(1);
    expect(state.distance).toBeLessThan(1);
    // If the jump did not help, it is not repeated at once.
    expect(rate.step({ now: 10, distance: 12, buffer: 3 }).jump).not.toBeNull();
    expect(rate.step({ now: 11, distance: 12, buffer: 3 }).jump).toBeNull();
  });

  it("gives way after stalls, and takes it back slowly", () => {
    const rate = controller();
    rate.noteStalls(1, 0);
    rate.noteStalls(2, 1);
    rate.noteStalls(2, 2);
    expect(rate.target).toBeCloseTo(1.0);
    play(rate, 65, { distance: 1, fetchDelay: 0.1 }, 2);
    expect(rate.target).toBeCloseTo(0.85);
    rate.noteStalls(100, 70);
    expect(rate.target).toBeCloseTo(1.9);
  });

  it("takes the hold back of a playlist without parts", () => {
    const rate = new RateController();
    rate.setPacing(null, 6);
    expect(rate.target).toBe(6);
    rate.setPacing(0.1, 3);
    expect(rate.target).toBe(0.65);
  });
});
