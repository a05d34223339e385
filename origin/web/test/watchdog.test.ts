import { describe, expect, it } from "vitest";
import { Watchdog, type Pulse, type Remedy } from "../src/player/watchdog";

/** Runs a watchdog for so many seconds; `at` gives what it sees. */
function watch(
  dog: Watchdog,
  from: number,
  seconds: number,
  at: (now: number) => Partial<Pulse>,
): { now: number; remedy: Remedy }[] {
  const seen = [];
  for (let now = from; now < from + seconds; now += 0.25) {
    const pulse = { now, position: 0, isIdle: false, buffer: 0, nextRange: null, ...at(now) };
    const remedy = dog.step(pulse);
    if (remedy.kind !== "none") seen.push({ now, remedy });
  }
  return seen;
}

function playing(): Watchdog {
  const dog = new Watchdog();
  watch(dog, 0, 5, (now) => ({ position: now, buffer: 1 }));
  expect(dog.hasPlayed).toBe(true);
  return dog;
}

describe("watchdog", () => {
  it("leaves running playback alone", () => {
    const dog = playing();
    expect(watch(dog, 5, 60, (now) => ({ position: now, buffer: 0.1 }))).toEqual([]);
    expect(dog.stalls).toBe(0);
  });

  it("leaves a paused viewer alone, and does not count the pause afterwards", () => {
    const dog = playing();
    expect(watch(dog, 5, 600, () => ({ position: 4.75, isIdle: true }))).toEqual([]);
    expect(watch(dog, 605, 1, () => ({ position: 4.75, buffer: 1 }))[0]?.now ?? 999).toBeGreaterThan(605.4);
    expect(dog.stalls).toBeLessThanOrEqual(1);
  });

  it("counts a stall once, and again after playback went on", () => {
    const dog = playing();
    watch(dog, 5, 2, () => ({ position: 4.75 }));
    expect([dog.stalls, dog.isStalled]).toEqual([1, true]);
    watch(dog, 7, 1, (now) => ({ position: now }));
    expect(dog.isStalled).toBe(false);
    watch(dog, 8, 2, () => ({ position: 7.75 }));
    expect(dog.stalls).toBe(2);
  });

  it("does not call the time before the first frame a stall", () => {
    const dog = new Watchdog();
    // Nor has it a remedy: whoever attached gives up in the end.
    expect(watch(dog, 0, 20, () => ({ position: 0 }))).toEqual([]);
    expect([dog.stalls, dog.hasPlayed]).toEqual([0, false]);
  });

  it("jumps over a hole", () => {
    const [first] = watch(playing(), 5, 2, () => ({ position: 4.75, buffer: 0.1, nextRange: 9 }));
    expect(first?.remedy).toEqual({ kind: "jump", to: 9.01 });
  });

  it("nudges a decoder that sleeps on full buffers, then gives it up", () => {
    const dog = playing();
    let position = 4.75;
    const seen: string[] = [];
    for (let now = 5; now < 15; now += 0.25) {
      const remedy = dog.step({ now, position, isIdle: false, buffer: 2, nextRange: null });
      if (remedy.kind === "jump") position = remedy.to;
      if (remedy.kind !== "none") seen.push(remedy.kind);
      if (remedy.kind === "reattach") break;
    }
    expect(seen).toEqual(["jump", "jump", "jump", "reattach"]);
  });

  it("inquires when the buffer has been empty for 3 s", () => {
    const [first] = watch(playing(), 5, 10, () => ({ position: 4.75 }));
    expect(first?.remedy).toEqual({ kind: "inquire" });
    expect(first?.now).toBeGreaterThanOrEqual(7.75);
    expect(first?.now).toBeLessThan(8.5);
  });

  it("does not take a seek for progress", () => {
    const dog = playing();
    watch(dog, 5, 2, () => ({ position: 4.75 }));
    dog.noteSeek(50);
    watch(dog, 7, 0.5, () => ({ position: 50 }));
    expect(dog.isStalled).toBe(true);
  });
});
