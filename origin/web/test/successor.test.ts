import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { InletPublisher, type PublisherState } from "../src/whip";
import { FakeStream, FakeTrack, SILENCE, World, restore, useTestTime, type FakeConnection } from "./fakes";

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

/** Answers offers only when the returned function is called. */
function holdOffers(): () => void {
  const waiting: (() => void)[] = [];
  world.answers["POST"] = () => new Promise((resolve) => waiting.push(() => resolve(world.created())));
  return () => {
    for (const answer of waiting.splice(0)) answer();
  };
}

/** On air, and asked to move, with an offer out that is answered when `answer` is called. */
async function asked(): Promise<{ running: FakeConnection; answer: () => void }> {
  publisher.start();
  await vi.advanceTimersByTimeAsync(10);
  const running = await world.up(0);
  const answer = holdOffers();
  await world.tell(0, "move", MOVE);
  await vi.advanceTimersByTimeAsync(10);
  return { running, answer };
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

  it("that is not up yet when its turn comes is not called live", async () => {
    const { next } = await moving();
    await world.tell(0, "end", LATER);
    await vi.advanceTimersByTimeAsync(10);
    expect(publisher.state).toBe("connecting");
    next.become("connected");
    expect(publisher.state).toBe("live");
  });
});

describe("while a successor is on its way", () => {
  it("stop ends the running session at once, and the successor when it comes", async () => {
    const { running, answer } = await asked();
    expect(world.requests("POST")).toHaveLength(2);
    const stopped = vi.fn<() => void>();
    void publisher.stop().then(stopped);
    expect(running.connectionState).toBe("closed");
    await vi.advanceTimersByTimeAsync(10);
    expect(stopped).toHaveBeenCalled();
    expect(deleted()).toEqual(["1"]);
    answer();
    await vi.advanceTimersByTimeAsync(10);
    expect(deleted()).toEqual(["1", "2"]);
    expect(world.connections[1]?.connectionState).toBe("closed");
    expect(states.at(-1)).toBe("idle");
  });

  it("stop takes no longer than a second, whoever is silent", async () => {
    await moving();
    world.answers["DELETE"] = SILENCE;
    const stopped = vi.fn<() => void>();
    void publisher.stop().then(stopped);
    await vi.advanceTimersByTimeAsync(1_010);
    expect(stopped).toHaveBeenCalled();
    expect(deleted().toSorted()).toEqual(["1", "2"]);
  });

  it("and the one before is over, stop is not undone by its arrival", async () => {
    publisher.start();
    await vi.advanceTimersByTimeAsync(10);
    await world.up(0);
    const answer = holdOffers();
    await world.tell(0, "move", MOVE);
    await world.tell(0, "end", LATER);
    await vi.advanceTimersByTimeAsync(10);
    await publisher.stop();
    answer();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(publisher.state).toBe("idle");
    expect(world.requests("POST")).toHaveLength(2);
    expect(deleted()).toEqual(["1", "2"]);
  });

  it("a camera is exchanged in the running session at once", async () => {
    const { running, answer } = await asked();
    await publisher.replaceTrack(new FakeTrack("video", "back") as unknown as MediaStreamTrack);
    expect(running.sent).toEqual(["back"]);
    answer();
    await vi.advanceTimersByTimeAsync(10);
    expect(world.connections[1]?.sent).toEqual(["back"]);
  });
});

describe("start", () => {
  it("while on air ends the session of before", async () => {
    publisher.start();
    await vi.advanceTimersByTimeAsync(10);
    const first = await world.up(0);
    publisher.start();
    await vi.advanceTimersByTimeAsync(10);
    expect(first.connectionState).toBe("closed");
    expect(deleted()).toEqual(["1"]);
    expect(publisher.connection).toBe(world.connections[1]);
  });
});

describe("stop", () => {
  it("is the last word while the next paths are looked for", async () => {
    publisher.start();
    await vi.advanceTimersByTimeAsync(10);
    world.answers["OPTIONS"] = SILENCE;
    // UDP has six seconds and TCP five; then the list without a relay is asked for again.
    await vi.advanceTimersByTimeAsync(11_100);
    expect(world.requests("OPTIONS")).toHaveLength(2);
    const errors = vi.fn<() => void>();
    publisher.on("error", errors);
    await publisher.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(states.at(-1)).toBe("idle");
    expect(errors).not.toHaveBeenCalled();
  });
});
