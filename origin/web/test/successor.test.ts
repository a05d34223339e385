import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { InletPublisher, type PublisherState } from "../src/whip";
import { FakeStream, FakeTrack, World, restore, useTestTime, type FakeConnection } from "./fakes";

const SESSION = "https://edge.example/session/";
const MOVE = { base: "https://other.example" };
const LATER = { reason: "drained", code: null, message: "m", retry: true };

let world: World;
let publisher: InletPublisher;
let states: PublisherState[];

beforeEach(() => {
  useTestTime();
  vi.spyOn(console, "warn").mockImplementation(() => {});
  world = new World();
  const stream = new FakeStream([new FakeTrack("video", "front")]) as unknown as MediaStream;
  publisher = new InletPublisher("https://edge.example/7_tok/whip", { stream });
  states = [];
  publisher.on("state", (state) => states.push(state));
});
afterEach(async () => {
  const left = publisher.stop();
  await vi.advanceTimersByTimeAsync(1_000);
  await left;
  restore();
});

/** On air, and asked to move. */
async function moving(): Promise<{ running: FakeConnection; next: FakeConnection }> {
  publisher.start();
  await vi.advanceTimersByTimeAsync(10);
  const running = await world.up(0);
  await world.tell(0, "move", MOVE);
  await vi.advanceTimersByTimeAsync(10);
  return { running, next: await world.connection(1) };
}

function deleted(): string[] {
  return world.requests("DELETE").map(({ url }) => url.replace(SESSION, ""));
}

describe("a successor", () => {
  it("takes over without leaving the air, and is not deleted", async () => {
    const { running, next } = await moving();
    next.become("connected");
    expect(publisher.connection).toBe(running);
    await world.tell(0, "end", LATER);
    await vi.advanceTimersByTimeAsync(10);
    expect(publisher.connection).toBe(next);
    expect(states).toEqual(["requesting", "connecting", "live"]);
    expect(deleted()).toEqual(["1"]);
    expect(world.requests("POST")[1]?.url).toBe(
      "https://other.example/7_tok/whip?width=1280&height=720&replace=1",
    );
  });

  it("that finds no path is deleted, lest it is put on air, and the running one goes on", async () => {
    const { running, next } = await moving();
    next.become("failed");
    await vi.advanceTimersByTimeAsync(10);
    expect(deleted()).toEqual(["2"]);
    expect(publisher.connection).toBe(running);
    expect(publisher.state).toBe("live");
    // The server may ask again.
    await world.tell(0, "move", MOVE);
    await vi.advanceTimersByTimeAsync(10);
    expect(world.requests("POST")).toHaveLength(3);
  });

  it("that broke before its turn gives way to a new session at the new address", async () => {
    const { next } = await moving();
    next.become("failed");
    await vi.advanceTimersByTimeAsync(10);
    await world.tell(0, "end", LATER);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(deleted()).toEqual(["2", "1"]);
    expect(world.requests("POST")[2]?.url).toBe("https://other.example/7_tok/whip?width=1280&height=720");
  });
});
