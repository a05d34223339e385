import { describe, expect, it } from "vitest";
import { firstVariant, Probe, readPlaylistEnd } from "../src/player/probe";
import { ClockSkew } from "../src/player/skew";

const MASTER = "https://h/cmaf/1_7/master.m3u8";
const START = Date.parse("2026-01-01T00:00:00Z");

function media(segments: number, parts: number, tail = ""): string {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:1", "#EXT-X-PART-INF:PART-TARGET=0.2", "#EXT-X-MEDIA-SEQUENCE:40"];
  for (let i = 0; i < segments; i++) {
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(START + 1000 * i).toISOString()}`);
    lines.push(`#EXT-X-PART:DURATION=0.5,URI="${i}.0.m4s",INDEPENDENT=YES`, `#EXT-X-PART:DURATION=0.5,URI="${i}.1.m4s"`);
    lines.push("#EXTINF:1.0,", `${i}.m4s`);
  }
  for (let i = 0; i < parts; i++) lines.push(`#EXT-X-PART:DURATION=0.2,URI="${segments}.${i}.m4s"`);
  return `${lines.join("\n")}\n${tail}`;
}

const master = '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="a.m3u8"\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1,mp4a"\n720/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n360/index.m3u8\n';

/** A probe of a stream whose playlist and clock the test holds. */
function rig(): { probe: Probe; set: (playlist: string | Response) => void; clock: { now: number }; asked: string[] } {
  const clock = { now: START + 3000 };
  const asked: string[] = [];
  let answer: string | Response = media(3, 0);
  const fetcher: typeof fetch = async (input) => {
    asked.push(String(input));
    if (answer instanceof Response) return answer;
    return new Response(String(input) === MASTER ? master : answer);
  };
  const probe = new Probe(MASTER, new ClockSkew(), fetcher, () => clock.now);
  return { probe, set: (playlist) => (answer = playlist), clock, asked };
}

describe("playlist", () => {
  it("has a first variant", () => {
    expect(firstVariant(master)).toBe("720/index.m3u8");
    expect(firstVariant(master.replaceAll("\n", "\r\n"))).toBe("720/index.m3u8");
    expect(firstVariant(media(1, 0))).toBeNull();
  });

  it("ends where its newest part ends", () => {
    expect(readPlaylistEnd(media(3, 0)).endMs).toBe(START + 3000);
    expect(readPlaylistEnd(media(3, 2)).endMs).toBe(START + 3400);
    expect(readPlaylistEnd("#EXTM3U\n#EXTINF:1,\na.m4s\n").endMs).toBeNull();
    expect(readPlaylistEnd(media(3, 0, "#EXT-X-ENDLIST\n")).isEnded).toBe(true);
  });

  it("changes its fingerprint with every part", () => {
    const prints = [media(3, 0), media(3, 1), media(3, 2), media(4, 0)].map((text) => readPlaylistEnd(text).fingerprint);
    expect(new Set(prints).size).toBe(4);
  });
});

describe("probe", () => {
  it("asks for the master, then for its first variant", async () => {
    const { probe, asked } = rig();
    expect(await probe.look()).toEqual({ kind: "live" });
    expect(asked).toEqual([MASTER, "https://h/cmaf/1_7/720/index.m3u8"]);
  });

  it("tells why there is no playlist", async () => {
    const { probe, set } = rig();
    set(new Response("", { status: 404, headers: { "X-Err-Code": "1000" } }));
    expect(await probe.look()).toEqual({ kind: "absent", status: 404, code: 1000 });
  });

  it("does not attach to what a presenter left behind", async () => {
    const { probe, set, clock } = rig();
    clock.now += 20_000;
    expect((await probe.look()).kind).toBe("stale");
    set(media(3, 0, "#EXT-X-ENDLIST\n"));
    expect(await probe.look()).toEqual({ kind: "stale", isEnded: true });
  });

  it("sees the presenter return, even by a clock that is wrong", async () => {
    const { probe, set, clock } = rig();
    clock.now += 20_000;
    expect((await probe.look()).kind).toBe("stale");
    clock.now += 1000;
    set(media(3, 1));
    expect((await probe.look()).kind).toBe("live");
  });

  it("believes in growth only when it is strict", async () => {
    const { probe, set, clock } = rig();
    probe.forget();
    expect((await probe.look(true)).kind).toBe("unsure");
    clock.now += 500;
    expect((await probe.look(true)).kind).toBe("unsure");
    clock.now += 1000;
    expect((await probe.look(true)).kind).toBe("stale");
    set(media(3, 2));
    expect((await probe.look(true)).kind).toBe("live");
  });
});

describe("clock skew", () => {
  const second = (offset: number): string => new Date(START + 1000 * offset).toUTCString();

  it("leaves a good clock alone", () => {
    const skew = new ClockSkew();
    for (let i = 0; i < 20; i++) {
      const now = START + 370 * i;
      skew.observe(new Date(Math.floor(now / 1000) * 1000).toUTCString(), null, now - 20, now + 20);
    }
    expect(skew.offsetMs).toBe(0);
  });

  it("finds a clock that is 7.3 s late, to a few tenths", () => {
    const skew = new ClockSkew();
    for (let i = 0; i < 20; i++) {
      const server = START + 370 * i;
      const ours = server - 7300;
      skew.observe(new Date(Math.floor(server / 1000) * 1000).toUTCString(), null, ours - 20, ours + 20);
    }
    expect(Math.abs(skew.offsetMs - 7300)).toBeLessThan(150);
  });

  it("counts the time in a cache, and ignores nonsense", () => {
    const skew = new ClockSkew();
    skew.observe(null, null, START, START);
    skew.observe("soon", null, START, START);
    skew.observe(second(-60), "60", START - 10, START + 10);
    expect(skew.offsetMs).toBe(0);
  });

  it("starts over when a clock is set", () => {
    const skew = new ClockSkew();
    skew.observe(second(0), null, START, START + 10);
    skew.observe(second(100), null, START + 20, START + 30);
    expect(skew.offsetMs).toBeGreaterThan(98_000);
  });
});
