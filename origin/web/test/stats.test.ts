import { describe, expect, it } from "vitest";
import { explainLimitation, formatBitrate, senderStats, type StatsLine } from "../src/stats";

function report(second: number, videoBytes: number, lost: number): StatsLine[] {
  const timestamp = 1000 * second;
  return [
    { id: "V", type: "outbound-rtp", kind: "video", timestamp, bytesSent: videoBytes, packetsSent: 100 * second, frameWidth: 1280, frameHeight: 720, framesPerSecond: 30, qualityLimitationReason: "bandwidth", codecId: "C", remoteId: "R" },
    { id: "A", type: "outbound-rtp", kind: "audio", timestamp, bytesSent: 4000 * second },
    { id: "R", type: "remote-inbound-rtp", kind: "video", timestamp, roundTripTime: 0.042, packetsLost: lost },
    { id: "C", type: "codec", timestamp, mimeType: "video/H264" },
    { id: "T", type: "transport", timestamp, selectedCandidatePairId: "P" },
    { id: "P", type: "candidate-pair", timestamp, localCandidateId: "L", availableOutgoingBitrate: 3e6 },
    { id: "L", type: "local-candidate", timestamp, protocol: "udp", candidateType: "relay", relayProtocol: "tcp" },
  ];
}

describe("sender statistics", () => {
  it("are rates between two reports", () => {
    const first = senderStats(report(1, 100_000, 0), null);
    expect(first.stats.videoBitrate).toBeNull();
    expect(first.stats.loss).toBeNull();
    const { stats } = senderStats(report(2, 350_000, 5), first.baseline);
    expect(stats).toEqual({
      videoBitrate: 2_000_000,
      audioBitrate: 32_000,
      width: 1280,
      height: 720,
      fps: 30,
      rttMs: 42,
      loss: 0.05,
      codec: "H264",
      limitation: "bandwidth",
      available: 3e6,
      path: "relay by tcp",
    });
  });

  it("do not go wild when a new connection starts from zero", () => {
    const old = senderStats(report(100, 90_000_000, 50), null);
    const fresh = senderStats(report(101, 10_000, 0), old.baseline);
    expect(fresh.stats.videoBitrate).toBeNull();
    expect(fresh.stats.loss).toBe(0);
  });

  it("say nothing about an empty report", () => {
    const { stats } = senderStats([], null);
    expect(Object.values(stats).every((value) => value === null)).toBe(true);
  });
});

describe("words", () => {
  it("show bitrates", () => {
    expect([null, 310_400, 2_414_000].map(formatBitrate)).toEqual(["–", "310 kbps", "2.41 Mbps"]);
  });
  it("explain a limitation, and the lack of one", () => {
    expect(explainLimitation("none")).toBeNull();
    expect(explainLimitation(null)).toBeNull();
    expect(explainLimitation("cpu")).toMatch(/busy/);
    expect(explainLimitation("bandwidth")).toMatch(/network/);
  });
});
