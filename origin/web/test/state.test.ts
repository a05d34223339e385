import { describe, expect, it } from "vitest";
import { usableProtocol } from "../src/player/attach";
import { Percentiles } from "../src/player/percentiles";
import { log, MAX_EVENTS, newPlayerState } from "../src/player/state";
import { maxVideoBitrate } from "../src/whip";

describe("state", () => {
  it("keeps a bounded log, newest last", () => {
    const state = newPlayerState("1_7", "hls");
    for (let i = 0; i < 3 * MAX_EVENTS; i++) log(state, i, `event ${i}`);
    expect(state.events).toHaveLength(MAX_EVENTS);
    expect(state.events.at(-1)?.what).toBe(`event ${3 * MAX_EVENTS - 1}`);
  });
});

describe("percentiles", () => {
  it("are those of the newest samples", () => {
    const window = new Percentiles();
    expect(window.summary()).toEqual({ samples: 0, p50: null, p95: null, last: null });
    for (let i = 1; i <= 100; i++) window.add(i);
    expect(window.summary()).toEqual({ samples: 100, p50: 51, p95: 96, last: 100 });
    for (let i = 0; i < 5000; i++) window.add(7);
    expect(window.summary()).toEqual({ samples: 3600, p50: 7, p95: 7, last: 7 });
    window.clear();
    expect(window.summary().samples).toBe(0);
  });
});

describe("protocol", () => {
  it("is what was asked for where the browser has it, else the best it has", () => {
    expect(usableProtocol("dash", ["hls", "dash"])).toBe("dash");
    expect(usableProtocol("hls", ["native"])).toBe("native");
    expect(usableProtocol("native", ["hls", "dash"])).toBe("hls");
    expect(usableProtocol("hls", [])).toBeNull();
  });
});

describe("video ceiling", () => {
  it("grows with the picture", () => {
    const sizes = [[640, 360], [854, 480], [1280, 720], [1920, 1080], [3840, 2160]] as const;
    expect(sizes.map(([width, height]) => maxVideoBitrate({ width, height }))).toEqual([900_000, 1_400_000, 2_500_000, 4_500_000, 8_000_000]);
    expect(maxVideoBitrate({ width: 720, height: 1280 })).toBe(2_500_000);
    expect(maxVideoBitrate(null)).toBe(2_500_000);
  });
});
