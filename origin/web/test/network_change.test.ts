import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { InletPublisher } from "../src/whip";
import { FakeStream, FakeTrack, OFFLINE, SILENCE, World, restore, useTestTime, type FakeConnection } from "./fakes";

let world: World;
let publisher: InletPublisher;

beforeEach(() => {
  useTestTime();
  world = new World();
  const stream = new FakeStream([new FakeTrack("video", "front")]) as unknown as MediaStream;
  publisher = new InletPublisher("https://edge.example/7_tok/whip", { stream });
});
afterEach(async () => {
  await publisher.stop();
  restore();
});

async function live(): Promise<FakeConnection> {
  publisher.start();
  await vi.advanceTimersByTimeAsync(10);
  const connection = await world.up(0);
  expect(publisher.state).toBe("live");
  return connection;
}

describe("an ICE restart while nothing gets through", () => {
  it("is asked for every half second, with the same credentials, until it is answered", async () => {
    const connection = await live();
    const taken = world.answers["PATCH"] as () => Response;
    world.answers["PATCH"] = OFFLINE;
    connection.become("failed");
    await vi.advanceTimersByTimeAsync(3_200);
    expect(world.requests("PATCH")).toHaveLength(7);
    world.answers["PATCH"] = taken;
    await vi.advanceTimersByTimeAsync(500);
    expect(publisher.restarts).toBe(1);
    expect(new Set(world.requests("PATCH").map(({ body }) => body)).size).toBe(1);
    expect(world.requests("PATCH")[0]?.body).toContain("a=ice-ufrag:u2");
    expect(connection.offers).toBe(2);
    connection.become("connected");
    await vi.advanceTimersByTimeAsync(20_000);
    expect(world.requests("PATCH")).toHaveLength(8);
    expect(world.requests("POST")).toHaveLength(1);
    expect(publisher.state).toBe("live");
  });

  it("gives the path its time from the answer on", async () => {
    const connection = await live();
    const taken = world.answers["PATCH"] as () => Response;
    world.answers["PATCH"] = OFFLINE;
    connection.become("failed");
    await vi.advanceTimersByTimeAsync(7_000);
    world.answers["PATCH"] = taken;
    await vi.advanceTimersByTimeAsync(7_000);
    expect(connection.connectionState).toBe("failed");
    expect(world.requests("POST")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(connection.connectionState).toBe("closed");
  });

  it("is tried again when a request is swallowed, and given up after eight seconds", async () => {
    const connection = await live();
    world.answers["PATCH"] = SILENCE;
    connection.become("failed");
    await vi.advanceTimersByTimeAsync(7_900);
    expect(world.requests("PATCH")).toHaveLength(3);
    expect(publisher.state).toBe("live");
    await vi.advanceTimersByTimeAsync(200);
    expect(publisher.state).toBe("waiting");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(world.requests("POST")).toHaveLength(2);
  });

  it("is forgotten when the old path has come back", async () => {
    const connection = await live();
    world.answers["PATCH"] = OFFLINE;
    connection.become("failed");
    await vi.advanceTimersByTimeAsync(1_000);
    connection.become("connected");
    await vi.advanceTimersByTimeAsync(20_000);
    expect(publisher.state).toBe("live");
    expect(world.requests("POST")).toHaveLength(1);
    expect(world.requests("PATCH").length).toBeLessThanOrEqual(16);
  });

  it("ends with the session", async () => {
    const connection = await live();
    world.answers["PATCH"] = OFFLINE;
    connection.become("failed");
    await vi.advanceTimersByTimeAsync(1_200);
    await publisher.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.requests("PATCH")).toHaveLength(3);
    expect(publisher.state).toBe("idle");
  });
});

describe("an ICE restart that is refused", () => {
  it.each([404, 412])("by %i gives way to a new session at once", async (status) => {
    const connection = await live();
    world.answers["PATCH"] = () => new Response("{}", { status });
    connection.become("failed");
    await vi.advanceTimersByTimeAsync(10);
    expect(publisher.state).toBe("waiting");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(world.requests("PATCH")).toHaveLength(1);
    expect(world.requests("POST")).toHaveLength(2);
  });
});
