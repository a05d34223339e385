import { describe, expect, it } from "vitest";
import type { SenderStats } from "../src/stats";
import { QualityWatch } from "../src/warnings";

const GOOD: SenderStats = {
  videoBitrate: 2e6,
  audioBitrate: 64e3,
  width: 1280,
  height: 720,
  fps: 30,
  rttMs: 40,
  loss: 0,
  codec: "H264",
  limitation: "none",
  available: 3e6,
  path: "udp",
};
const SOURCE = { width: 1280, height: 720 };

function kinds(watch: QualityWatch, stats: SenderStats, times: number): string[] {
  let warnings: string[] = [];
  for (let i = 0; i < times; i++) warnings = watch.judge(stats, SOURCE).map(({ kind }) => kind);
  return warnings;
}

describe("QualityWatch", () => {
  it("says nothing of a good picture", () => {
    expect(kinds(new QualityWatch(), GOOD, 20)).toEqual([]);
  });

  it("warns after three seconds and forgets after five", () => {
    const watch = new QualityWatch();
    const lossy = { ...GOOD, loss: 0.2 };
    expect(kinds(watch, lossy, 2)).toEqual([]);
    expect(kinds(watch, lossy, 1)).toEqual(["loss"]);
    expect(kinds(watch, GOOD, 4)).toEqual(["loss"]);
    expect(kinds(watch, GOOD, 1)).toEqual([]);
  });

  it("does not flicker", () => {
    const watch = new QualityWatch();
    const slow = { ...GOOD, limitation: "bandwidth", width: 640, height: 360 };
    kinds(watch, slow, 3);
    for (let i = 0; i < 10; i++) {
      expect(kinds(watch, i % 2 === 0 ? GOOD : slow, 1)).toEqual(["limitation", "resolution"]);
    }
  });

  it("knows nothing of a size that nobody told", () => {
    const watch = new QualityWatch();
    let warnings = watch.judge({ ...GOOD, width: 320, height: 180 }, null);
    for (let i = 0; i < 5; i++) warnings = watch.judge({ ...GOOD, width: 320, height: 180 }, null);
    expect(warnings).toEqual([]);
  });
});
