import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { IceServers } from "../src/ice_servers";
import { InletPublisher } from "../src/whip";
import { FakeStream, FakeTrack, OFFLINE, SILENCE, World, restore, useTestTime } from "./fakes";

const ENDPOINT = "https://edge.example/7_tok/whip";
const RELAY = '<turn:h:3478?transport=udp>; rel="ice-server"; username="u"; credential="c"';
const relay = [{ urls: "turn:h:3478?transport=udp", username: "u", credential: "c" }];

let world: World;
let servers: IceServers;

/** Answers OPTIONS with a list, after a time. */
function answer(link: string, afterMs = 0): void {
  world.answers["OPTIONS"] = () =>
    new Promise((resolve) => {
      setTimeout(() => resolve(new Response(null, { status: 204, headers: { Link: link } })), afterMs);
    });
}

/** What is answered, and how long it took. */
async function asked(): Promise<{ list: object[]; tookMs: number }> {
  const began = performance.now();
  let taken: { list: object[]; tookMs: number } | null = null;
  void servers.list(ENDPOINT).then((list) => (taken = { list, tookMs: performance.now() - began }));
  for (let step = 0; step < 2_000 && taken === null; step++) await vi.advanceTimersByTimeAsync(10);
  if (taken === null) throw new Error("never answered");
  return taken;
}

beforeEach(() => {
  useTestTime();
  world = new World();
  servers = new IceServers();
});
afterEach(restore);

describe("ICE servers", () => {
  it("are asked for once in five minutes", async () => {
    answer(RELAY);
    expect((await asked()).list).toEqual(relay);
    await vi.advanceTimersByTimeAsync(4 * 60_000);
    expect(await asked()).toMatchObject({ list: relay });
    expect(world.requests("OPTIONS")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(61_000);
    await asked();
    expect(world.requests("OPTIONS")).toHaveLength(2);
  });

  it("are waited for as long as an edge asks its origin", async () => {
    answer(RELAY, 2_200);
    expect((await asked()).list).toEqual(relay);
  });

  it("are asked for again at once when nobody answered", async () => {
    world.answers["OPTIONS"] = OFFLINE;
    expect((await asked()).list).toEqual([]);
    answer(RELAY);
    expect((await asked()).list).toEqual(relay);
  });

  it("hold up no second start while nobody answers", async () => {
    world.answers["OPTIONS"] = SILENCE;
    expect((await asked()).tookMs).toBe(3_000);
    expect((await asked()).tookMs).toBeLessThanOrEqual(510);
    // The answer that comes too late for one start is there for the next.
    await vi.advanceTimersByTimeAsync(3_000);
    answer(RELAY, 900);
    expect((await asked()).list).toEqual([]);
    await vi.advanceTimersByTimeAsync(500);
    expect((await asked()).list).toEqual(relay);
  });

  it("are those of before when the server does not answer any more", async () => {
    answer(RELAY);
    await asked();
    await vi.advanceTimersByTimeAsync(6 * 60_000);
    world.answers["OPTIONS"] = SILENCE;
    const { list, tookMs } = await asked();
    expect(list).toEqual(relay);
    expect(tookMs).toBeLessThanOrEqual(510);
  });

  it("are known to the second attempt when the first found no network", async () => {
    world.answers["OPTIONS"] = world.answers["POST"] = OFFLINE;
    const stream = new FakeStream([new FakeTrack("video", "front")]) as unknown as MediaStream;
    const publisher = new InletPublisher(ENDPOINT, { stream });
    publisher.start();
    await vi.advanceTimersByTimeAsync(100);
    expect(publisher.state).toBe("waiting");
    answer(RELAY);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(world.connections.map(({ configuration }) => configuration.iceServers)).toEqual([[], relay]);
    await publisher.stop();
  });

  it("without a relay are asked for again soon: the edge may not have known", async () => {
    answer('<stun:h:3478>; rel="ice-server"');
    expect((await asked()).list).toEqual([{ urls: "stun:h:3478" }]);
    await vi.advanceTimersByTimeAsync(11_000);
    answer(RELAY);
    expect((await asked()).list).toEqual(relay);
  });

  it("are not asked for twice at a time, nor taken from another endpoint", async () => {
    answer(RELAY, 100);
    void servers.list(ENDPOINT);
    expect((await asked()).list).toEqual(relay);
    expect(world.requests("OPTIONS")).toHaveLength(1);
    world.answers["OPTIONS"] = OFFLINE;
    expect(await servers.list("https://other.example/7_tok/whip")).toEqual([]);
  });
});
