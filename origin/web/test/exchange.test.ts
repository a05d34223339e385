import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { InletPublisher } from "../src/whip";
import { FakeStream, FakeTrack, World, restore, turns } from "./fakes";

const ENDPOINT = "https://edge.example/7_tok/whip";
const LATER = { reason: "drained", code: null, message: "m", retry: true };

let world: World;
let stream: FakeStream;
let publisher: InletPublisher;

/** A track as the publisher takes it. */
function camera(label: string, kind: "audio" | "video" = "video"): MediaStreamTrack {
  return new FakeTrack(kind, label) as unknown as MediaStreamTrack;
}

beforeEach(() => {
  world = new World();
  stream = new FakeStream([new FakeTrack("video", "front"), new FakeTrack("audio", "voice")]);
  publisher = new InletPublisher(ENDPOINT, { stream: stream as unknown as MediaStream });
});
afterEach(async () => {
  await publisher.stop();
  restore();
});

describe("an exchanged camera", () => {
  it("is sent by the running session, and the application's stream stays as it is", async () => {
    publisher.start();
    const first = await world.up(0);
    expect(first.sent).toEqual(["voice", "front"]);
    await publisher.replaceTrack(camera("back"));
    expect(first.sent).toEqual(["voice", "back"]);
    expect(stream.getTracks().map(({ label }) => label)).toEqual(["front", "voice"]);
  });

  it("is published again after a connection that broke", async () => {
    publisher.start();
    await world.up(0);
    await publisher.replaceTrack(camera("back"));
    await publisher.replaceTrack(camera("headset", "audio"));
    await world.tell(0, "end", LATER);
    expect((await world.up(1)).sent).toEqual(["headset", "back"]);
  });

  it("goes along when the session moves", async () => {
    publisher.start();
    await world.up(0);
    await publisher.replaceTrack(camera("back"));
    await world.tell(0, "move", { base: "https://other.example" });
    expect((await world.connection(1)).sent).toEqual(["voice", "back"]);
  });

  it("reaches a session whose offer is on its way", async () => {
    let answer: () => void = () => {};
    world.answers["POST"] = () =>
      new Promise((resolve) => (answer = () => resolve(world.created())));
    publisher.start();
    await vi.waitFor(() => expect(world.requests("POST")).toHaveLength(1));
    await publisher.replaceTrack(camera("back"));
    answer();
    expect((await world.up(0)).sent).toEqual(["voice", "back"]);
  });

  it("stays over stop and start, until start names a stream", async () => {
    await publisher.replaceTrack(camera("back"));
    publisher.start();
    expect((await world.up(0)).sent).toEqual(["voice", "back"]);
    await publisher.stop();
    publisher.start();
    expect((await world.up(1)).sent).toEqual(["voice", "back"]);
    await publisher.stop();
    publisher.start({ stream: stream as unknown as MediaStream });
    expect((await world.up(2)).sent).toEqual(["voice", "front"]);
  });

  it("is not given to a session that is over", async () => {
    publisher.start();
    const first = await world.up(0);
    await publisher.stop();
    await publisher.replaceTrack(camera("back"));
    await turns();
    expect(first.sent).toEqual(["voice", "front"]);
  });
});
