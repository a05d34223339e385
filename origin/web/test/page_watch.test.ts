import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { InletPublisher, type PublisherState } from "../src/whip";
import { FakeStream, FakeTrack, World, restore, useTestTime, type FakeConnection } from "./fakes";

let world: World;
let track: FakeTrack;
let publisher: InletPublisher;
let states: PublisherState[];

beforeEach(() => {
  useTestTime();
  world = new World();
  track = new FakeTrack("video", "front");
  const stream = new FakeStream([track]) as unknown as MediaStream;
  publisher = new InletPublisher("https://edge.example/7_tok/whip", { stream });
  states = [];
  publisher.on("state", (state) => states.push(state));
});
afterEach(async () => {
  await publisher.stop();
  restore();
});

async function live(): Promise<FakeConnection> {
  publisher.start();
  await vi.advanceTimersByTimeAsync(10);
  return world.up(0);
}

function tell(name: "pagehide" | "pageshow" | "online", persisted = true): void {
  world.page.dispatchEvent(Object.assign(new Event(name), { persisted }));
}

describe("a page that is left", () => {
  it("ends its session by a request that outlives it, and is off air", async () => {
    const connection = await live();
    tell("pagehide", false);
    expect(connection.connectionState).toBe("closed");
    expect(world.requests("DELETE")).toEqual([
      { method: "DELETE", url: "https://edge.example/session/1", body: "", keepalive: true },
    ]);
    expect(publisher.state).toBe("idle");
  });

  it("goes live again when it is back", async () => {
    await live();
    tell("pagehide");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(world.requests("POST")).toHaveLength(1);
    tell("pageshow");
    await vi.advanceTimersByTimeAsync(10);
    (await world.connection(1)).become("connected");
    expect(states).toEqual(["requesting", "connecting", "live", "idle", "requesting", "connecting", "live"]);
    expect(world.requests("DELETE")).toHaveLength(1);
  });

  it("keeps the exchanged camera", async () => {
    await live();
    await publisher.replaceTrack(new FakeTrack("video", "back") as unknown as MediaStreamTrack);
    tell("pagehide");
    tell("pageshow");
    await vi.advanceTimersByTimeAsync(10);
    expect((await world.connection(1)).sent).toEqual(["back"]);
  });

  it("stays off air when its camera is gone", async () => {
    await live();
    tell("pagehide");
    track.readyState = "ended";
    tell("pageshow");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(publisher.state).toBe("idle");
    expect(world.requests("POST")).toHaveLength(1);
    expect(world.listeners).toBe(0);
  });

  it("stays off air when it was stopped before", async () => {
    await live();
    await publisher.stop();
    tell("pagehide");
    tell("pageshow");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(publisher.state).toBe("idle");
    expect(world.requests("POST")).toHaveLength(1);
  });

  it("is started once when the application does it too", async () => {
    await live();
    tell("pagehide");
    publisher.start();
    tell("pageshow");
    await vi.advanceTimersByTimeAsync(10);
    expect(world.requests("POST")).toHaveLength(2);
  });

  it("while an offer is on its way ends that session when it comes", async () => {
    let answer: () => void = () => {};
    world.answers["POST"] = () => new Promise((resolve) => (answer = () => resolve(world.created())));
    publisher.start();
    await vi.advanceTimersByTimeAsync(10);
    tell("pagehide");
    answer();
    await vi.advanceTimersByTimeAsync(10);
    expect(world.requests("DELETE")).toHaveLength(1);
    expect(publisher.state).toBe("idle");
  });

  it("is not told of again when it only shows for the first time", async () => {
    await live();
    tell("pageshow", false);
    await vi.advanceTimersByTimeAsync(10);
    expect(world.requests("POST")).toHaveLength(1);
    expect(publisher.state).toBe("live");
  });
});

describe("listeners", () => {
  it("are there from start to stop, once", async () => {
    expect(world.listeners).toBe(0);
    await live();
    const some = world.listeners;
    expect(some).toBeGreaterThan(0);
    publisher.start();
    expect(world.listeners).toBe(some);
    await publisher.stop();
    expect(world.listeners).toBe(0);
    publisher.start();
    expect(world.listeners).toBe(some);
  });

  it("are gone when the server refuses for good", async () => {
    world.answers["POST"] = () =>
      new Response("{}", { status: 403, headers: { "X-Reason-Code": "2002" } });
    publisher.start();
    await vi.advanceTimersByTimeAsync(10);
    expect(publisher.state).toBe("failed");
    expect(world.listeners).toBe(0);
  });

  it("make a network that comes back worth an attempt at once", async () => {
    world.answers["POST"] = () => {
      throw new TypeError("offline");
    };
    publisher.start();
    await vi.advanceTimersByTimeAsync(10);
    expect(publisher.state).toBe("waiting");
    tell("online");
    await vi.advanceTimersByTimeAsync(10);
    expect(world.requests("POST")).toHaveLength(2);
  });
});
