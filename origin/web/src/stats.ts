// What the sender achieves, out of two `getStats()` reports a second apart. Pure.

/** One line of a statistics report; only what is used, everything optional. */
export interface StatsLine {
  id: string;
  type: string;
  timestamp: number;
  [field: string]: unknown;
}

/** What is known about the sending side at one moment. */
export interface SenderStats {
  /** Bits per second on the wire as RTP payload, since the report before. */
  videoBitrate: number | null;
  audioBitrate: number | null;
  /** Size of the frames that are encoded, which may be smaller than the source's. */
  width: number | null;
  height: number | null;
  fps: number | null;
  /** Round trip in milliseconds. */
  rttMs: number | null;
  /** Part of the video packets that the far side reported lost, 0…1. */
  loss: number | null;
  /** `H264`, `VP8`… */
  codec: string | null;
  /** What keeps the encoder from the full quality: `none`, `cpu`, `bandwidth`, `other`. */
  limitation: string | null;
  /** What the bandwidth estimate allows, bits per second. */
  available: number | null;
  /** `udp`, `tcp`, `relay udp`… */
  path: string | null;
}

/** The counters that the next report is compared with. */
export interface StatsBaseline {
  videoBytes: number;
  audioBytes: number;
  packetsSent: number;
  packetsLost: number;
  timestamp: number;
}

/** Reads a report; `before` is the baseline of the one before, or `null`. */
export function senderStats(
  report: Iterable<StatsLine>,
  before: StatsBaseline | null,
): { stats: SenderStats; baseline: StatsBaseline } {
  const lines = new Map<string, StatsLine>();
  for (const line of report) lines.set(line.id, line);
  const all = [...lines.values()];
  const outbound = (kind: string): StatsLine | undefined =>
    all.find((line) => line.type === "outbound-rtp" && line["kind"] === kind);
  const video = outbound("video");
  const audio = outbound("audio");
  const remote =
    lines.get(String(video?.["remoteId"])) ??
    all.find((line) => line.type === "remote-inbound-rtp" && line["kind"] === "video");
  const pair = selectedPair(all, lines);

  const baseline: StatsBaseline = {
    videoBytes: number(video, "bytesSent") ?? 0,
    audioBytes: number(audio, "bytesSent") ?? 0,
    packetsSent: number(video, "packetsSent") ?? 0,
    packetsLost: number(remote, "packetsLost") ?? 0,
    timestamp: video?.timestamp ?? audio?.timestamp ?? 0,
  };
  const seconds = before === null ? 0 : (baseline.timestamp - before.timestamp) / 1000;
  const rate = (now: number, then: number | undefined): number | null =>
    seconds <= 0 || then === undefined || now < then ? null : ((now - then) * 8) / seconds;
  const rtt = number(remote, "roundTripTime") ?? number(pair, "currentRoundTripTime");

  return {
    baseline,
    stats: {
      videoBitrate: video === undefined ? null : rate(baseline.videoBytes, before?.videoBytes),
      audioBitrate: audio === undefined ? null : rate(baseline.audioBytes, before?.audioBytes),
      width: number(video, "frameWidth"),
      height: number(video, "frameHeight"),
      fps: number(video, "framesPerSecond"),
      rttMs: rtt === null ? null : rtt * 1000,
      loss: remote === undefined ? null : lossRatio(baseline, before),
      codec: codecName(lines.get(String(video?.["codecId"]))),
      limitation: text(video, "qualityLimitationReason"),
      available: number(pair, "availableOutgoingBitrate"),
      path: pathName(pair, lines),
    },
  };
}

/** `2.41 Mbps`, `310 kbps`, or a dash. */
export function formatBitrate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null) return "–";
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(2)} Mbps`;
  return `${Math.round(bitsPerSecond / 1e3)} kbps`;
}

/** What a limitation means to the presenter; `null` when all is well. */
export function explainLimitation(reason: string | null): string | null {
  switch (reason) {
    case "bandwidth":
      return "The network does not carry the full quality just now.";
    case "cpu":
      return "This computer is too busy for the full quality. Close other programs or choose a smaller resolution.";
    case "other":
      return "The browser sends less than the full quality.";
    default:
      return null;
  }
}

function lossRatio(now: StatsBaseline, before: StatsBaseline | null): number | null {
  if (before === null) return null;
  const sent = now.packetsSent - before.packetsSent;
  // The count goes down when packets that were thought lost arrive late.
  const lost = Math.max(0, now.packetsLost - before.packetsLost);
  return sent <= 0 ? null : Math.min(1, lost / sent);
}

function selectedPair(all: StatsLine[], lines: Map<string, StatsLine>): StatsLine | undefined {
  const transport = all.find((line) => line.type === "transport");
  const chosen = lines.get(String(transport?.["selectedCandidatePairId"]));
  // Firefox has no transport line, and marks the pair instead.
  return chosen ?? all.find((line) => line.type === "candidate-pair" && line["nominated"] === true);
}

function pathName(pair: StatsLine | undefined, lines: Map<string, StatsLine>): string | null {
  const local = lines.get(String(pair?.["localCandidateId"]));
  const protocol = text(local, "protocol");
  if (protocol === null) return null;
  if (local?.["candidateType"] !== "relay") return protocol;
  return `relay by ${text(local, "relayProtocol") ?? protocol}`;
}

function codecName(codec: StatsLine | undefined): string | null {
  return text(codec, "mimeType")?.split("/")[1] ?? null;
}

function number(line: StatsLine | undefined, field: string): number | null {
  const value = line?.[field];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function text(line: StatsLine | undefined, field: string): string | null {
  const value = line?.[field];
  return typeof value === "string" && value !== "" ? value : null;
}
