import { describe, expect, it } from "vitest";
import { lines, seconds } from "../src/player/numbers";
import { newPlayerState, type InletPlayer } from "../src/player/state";

const text = (state: Partial<InletPlayer>, name: string, chosen = -1): string | undefined =>
  lines({ ...newPlayerState("1_7", "hls"), ...state }, chosen).find((line) => line.name === name)?.text;

describe("numbers", () => {
  it("say what is aimed at, and from where", () => {
    expect(text({ target: 0.7 }, "Target")).toBe("0.70 s behind the newest part");
    expect(text({ target: 3, protocol: "ts" }, "Target")).toBe("3.00 s behind the newest segment");
    expect(text({ target: 0.8, protocol: "dash" }, "Target")).toBe("0.80 s from capture");
    expect(text({ target: null, protocol: "native" }, "Target")).toBe("–");
  });

  it("name the rung by its short side", () => {
    const levels = [{ width: 640, height: 360, bitrate: 450_000 }, { width: 468, height: 832, bitrate: 800_000 }];
    expect(text({ levels, currentLevel: 1 }, "Quality")).toBe("468p · 0.8 Mbps · automatic");
    expect(text({ levels, currentLevel: 0 }, "Quality", 0)).toBe("360p · 0.5 Mbps");
    expect(text({ levels, currentLevel: -1 }, "Quality")).toBe("–");
  });

  it("tell frames, stalls and the way of the media", () => {
    expect(text({ decodedFrames: 900, droppedFrames: 3 }, "Dropped frames")).toBe("3 of 900");
    expect(text({ stalls: 2, attaches: 1 }, "Stalls")).toBe("2");
    expect(text({ stalls: 2, attaches: 3 }, "Stalls")).toBe("2, attached 3 times");
    expect(text({ transport: "h2", protocol: "ts" }, "Protocol")).toBe("HLS (MPEG-TS) · HTTP/2");
    expect(text({ transport: "http/1.1" }, "Protocol")).toBe("LL-HLS · HTTP/1.1");
    expect(text({}, "Protocol")).toBe("LL-HLS");
  });

  it("show what was read off the picture only where there is a strip", () => {
    expect(text({}, "Read off the picture")).toBeUndefined();
    const skew = { samples: 0, p50: null, p95: null, last: null };
    const measure = { samples: 9, p50: 812, p95: 900, last: 812, undecoded: 0, skipped: 0, skew };
    expect(text({ measure }, "Read off the picture")).toBe("0.81 s");
  });

  it("are dashes while they are unknown", () => {
    expect([seconds(null), seconds(undefined), seconds(0), seconds(1.236)]).toEqual(["–", "–", "0.00 s", "1.24 s"]);
    expect(text({}, "Bandwidth estimate")).toBe("–");
    expect(text({ bandwidth: 26_456_578 }, "Bandwidth estimate")).toBe("26.5 Mbps");
  });
});
