import { describe, expect, it } from "vitest";
import { Journey } from "../src/player/journey";

/** Parts of 0.2 s that are announced when their last frame is `made` old. */
function travelled(journey: Journey, made: number, fetched: number): void {
  for (let i = 0; i < 20; i++) {
    journey.noteAnnounced(made + 0.01);
    journey.noteAppended(made + 0.01 + fetched);
  }
}

describe("journey", () => {
  it("tells the steps, and they add up to the total", () => {
    const journey = new Journey(false);
    journey.noteRoundTrip(0.2);
    journey.noteRoundTrip(0.02);
    travelled(journey, 0.05, 0.06);
    const { published, fetch, buffer, display, total } = journey.step({ latency: 0.8, buffer: 0.45, display: 0.03 });
    expect(fetch).toBeCloseTo(0.07);
    expect(buffer).toBeCloseTo(0.45);
    expect(published).toBeCloseTo(0.28);
    expect(display).toBeCloseTo(0.03);
    expect((published ?? 0) + (fetch ?? 0) + buffer + (display ?? 0)).toBeCloseTo(total ?? 0);
  });

  it("levels out the buffer, which rises and falls with each part", () => {
    const journey = new Journey(false);
    for (let i = 0; i < 15; i++) journey.step({ latency: 1, buffer: i % 2 === 0 ? 0.6 : 0.4, display: null });
    const { buffer, total } = journey.step({ latency: 1, buffer: 0.4, display: null });
    expect(buffer).toBeCloseTo(0.5);
    expect(total).toBeCloseTo(1);
  });

  it("takes half a round trip where nothing is announced", () => {
    const journey = new Journey(false);
    journey.noteRoundTrip(0.08);
    const { fetch, published } = journey.step({ latency: 0.8, buffer: 0.6, display: null });
    expect(fetch).toBeCloseTo(0.04);
    expect(published).toBeCloseTo(0.16);
  });

  it("counts the wait for the next look at a playlist as fetching", () => {
    const heldBack = new Journey(false);
    const polled = new Journey(true);
    for (const late of [0.9, 0.1, 0.5, 0.7, 0.3]) {
      for (const journey of [heldBack, polled]) {
        journey.noteAnnounced(0.1 + late);
        journey.noteAppended(0.1 + late + 0.05);
      }
    }
    const look = { latency: 4, buffer: 2, display: null };
    expect(heldBack.step(look).fetch).toBeCloseTo(0.05);
    expect(polled.step(look).fetch).toBeCloseTo(0.45);
  });

  it("forgets what is long ago, and believes no age of another clock", () => {
    const journey = new Journey(false);
    travelled(journey, 0.05, 3);
    travelled(journey, 0.05, 0.06);
    journey.noteAppended(4000);
    journey.noteAppended(Number.NaN);
    expect(journey.step({ latency: 0.8, buffer: 0.45, display: null }).fetch).toBeCloseTo(0.06);
  });

  it("says nothing of the way when there is no date", () => {
    const journey = new Journey(false);
    journey.step({ latency: 1, buffer: 0.5, display: 0.02 });
    const unknown = { published: null, fetch: null, total: null };
    expect(journey.step({ latency: null, buffer: 0.5, display: 0.02 })).toMatchObject(unknown);
  });
});
