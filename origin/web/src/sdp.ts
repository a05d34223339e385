// What the publisher asks for in its offer, and what it adds to the answer. Pure text.

/** The part of `RTCRtpCodec` that the order depends on. */
export interface Codec {
  mimeType: string;
  sdpFmtpLine?: string;
}

/** A TURN or STUN server, as `RTCConfiguration.iceServers` takes it. */
export interface IceServer {
  urls: string;
  username?: string;
  credential?: string;
}

/** As many as an edge announces; a longer list is cut. */
const MAX_ICE_SERVERS = 4;

/**
 * Video codecs in the order we want them negotiated: H.264 in packetization mode 1 and
 * the baseline profile first (no B-frames, and every decoder has it), then VP8 and VP9.
 * Everything the edge cannot take is left out, so that no answer can choose it.
 */
export function preferredVideoCodecs<T extends Codec>(codecs: readonly T[]): T[] {
  return codecs
    .map((codec, index) => ({ codec, index, rank: videoRank(codec) }))
    .filter(({ rank }) => rank !== null)
    .toSorted((a, b) => (a.rank ?? 0) - (b.rank ?? 0) || a.index - b.index)
    .map(({ codec }) => codec);
}

/** Opus, and nothing else. */
export function preferredAudioCodecs<T extends Codec>(codecs: readonly T[]): T[] {
  return codecs.filter((codec) => codec.mimeType.toLowerCase() === "audio/opus");
}

/**
 * Adds a start bitrate to the video formats of an answer that names none.
 *
 * Chromium otherwise starts at 300 kbps and sends a scaled-down picture for the first
 * seconds, in which the origin would fix a ladder that is too small. Other browsers
 * ignore the parameter.
 */
export function withStartBitrate(answer: string, kbps: number): string {
  if (answer.includes("x-google-start-bitrate")) return answer;
  const lines = answer.split("\r\n");
  const sections = lines.flatMap((line, index) => (line.startsWith("m=") ? [index] : []));
  const start = sections.find((index) => lines[index]?.startsWith("m=video "));
  if (start === undefined) return answer;
  const end = sections.find((index) => index > start) ?? lines.length;

  const section = lines.slice(start, end);
  const parameter = `x-google-start-bitrate=${Math.round(kbps)}`;
  const out: string[] = [];
  for (const line of section) {
    const map = /^a=rtpmap:(\d+) (H264|VP8|VP9)\//i.exec(line);
    const fmtp = /^a=fmtp:(\d+) /.exec(line);
    if (fmtp !== null && isVideoFormat(section, fmtp[1] as string)) {
      out.push(`${line};${parameter}`);
      continue;
    }
    out.push(line);
    if (map !== null && !section.some((other) => other.startsWith(`a=fmtp:${map[1]} `))) {
      out.push(`a=fmtp:${map[1]} ${parameter}`);
    }
  }
  return [...lines.slice(0, start), ...out, ...lines.slice(end)].join("\r\n");
}

/**
 * ICE servers of a `Link` header (RFC 9725 §4.6), several of them joined by commas as
 * `fetch` does. What cannot be read is left out.
 */
export function parseIceServers(link: string | null): IceServer[] {
  const servers: IceServer[] = [];
  for (const part of (link ?? "").split(/,(?=\s*<)/)) {
    const match = /^\s*<((?:stun|turns?):[^>]+)>\s*;(.*)$/is.exec(part);
    if (match === null || !/rel\s*=\s*"?ice-server"?/i.test(match[2] ?? "")) continue;
    const server: IceServer = { urls: match[1] as string };
    const username = linkParameter(match[2] as string, "username");
    const credential = linkParameter(match[2] as string, "credential");
    if (username !== null) server.username = username;
    if (credential !== null) server.credential = credential;
    // A TURN server without credentials makes the constructor throw: leave it out.
    const needsCredentials = !/^stun:/i.test(server.urls);
    if (needsCredentials && (username === null || credential === null)) continue;
    if (servers.length < MAX_ICE_SERVERS) servers.push(server);
  }
  return servers;
}

function linkParameter(text: string, name: string): string | null {
  return new RegExp(`(?:^|;)\\s*${name}\\s*=\\s*"([^"]*)"`, "i").exec(text)?.[1] ?? null;
}

function isVideoFormat(section: readonly string[], payloadType: string): boolean {
  return section.some((line) => new RegExp(`^a=rtpmap:${payloadType} (H264|VP8|VP9)/`, "i").test(line));
}

function videoRank(codec: Codec): number | null {
  const fmtp = codec.sdpFmtpLine?.toLowerCase() ?? "";
  switch (codec.mimeType.toLowerCase()) {
    case "video/h264": {
      const profile = /profile-level-id=([0-9a-f]{2})/.exec(fmtp)?.[1] ?? "42";
      // High 4:4:4 Predictive (f4) and 4:2:2 are nothing a viewer could play.
      const rank = ["42", "4d", "64"].indexOf(profile);
      if (rank < 0) return null;
      return (fmtp.includes("packetization-mode=1") ? 0 : 10) + rank;
    }
    case "video/vp8":
      return 20;
    case "video/vp9":
      // Profile 2 is 10 bit.
      return /profile-id=[1-9]/.test(fmtp) ? null : 21;
    case "video/rtx":
      return 30;
    default:
      return null;
  }
}

/** Which candidates and servers an attempt may use, from the freest to the narrowest. */
export type Rung =
  /** Everything at once; ICE finds the best. */
  | "any"
  /** TCP to the edge, for networks that swallow UDP slowly. */
  | "tcp"
  /** A relay by TCP or TLS, for networks that pass nothing but HTTPS. */
  | "relay";

/** The next narrower rung that makes sense; `null` after the last. */
export function nextRung(rung: Rung, servers: readonly IceServer[]): Rung | null {
  if (rung === "any") return "tcp";
  const hasRelay = servers.some((server) => isStreamRelay(server.urls));
  return rung === "tcp" && hasRelay ? "relay" : null;
}

/** Whether a server relays by TCP or TLS. */
export function isStreamRelay(url: string): boolean {
  return /^turns:/i.test(url) || (/^turn:/i.test(url) && /transport=tcp/i.test(url));
}

/** An answer without the candidates for UDP. */
export function withoutUdp(answer: string): string {
  const isUdp = (line: string): boolean => /^a=candidate:\S+ \d+ udp /i.test(line);
  return answer.split("\r\n").filter((line) => !isUdp(line)).join("\r\n");
}

/** The fragment of an ICE restart: the credentials of a new offer (RFC 8840 §9). */
export function restartFragment(offer: string): string {
  const lines = offer.split(/\r?\n/);
  const first = (start: string): string[] => lines.filter((line) => line.startsWith(start)).slice(0, 1);
  return [
    ...first("a=group:BUNDLE"),
    ...first("m="),
    ...first("a=mid:"),
    ...first("a=ice-ufrag:"),
    ...first("a=ice-pwd:"),
    "",
  ].join("\r\n");
}

/**
 * The answer of a restarted session: the former one with the credentials and candidates
 * of the server's fragment.
 */
export function restartedAnswer(answer: string, fragment: string): string {
  const of = (start: string): string[] =>
    fragment.split(/\r?\n/).filter((line) => line.startsWith(start));
  const ufrag = of("a=ice-ufrag:")[0];
  const pwd = of("a=ice-pwd:")[0];
  if (ufrag === undefined || pwd === undefined) return answer;
  const candidates = of("a=candidate:");
  let isPlaced = false;
  const lines = answer.split("\r\n").flatMap((line) => {
    if (line.startsWith("a=ice-ufrag:")) return [ufrag];
    if (line.startsWith("a=ice-pwd:")) return [pwd];
    if (!line.startsWith("a=candidate:")) return [line];
    if (isPlaced) return [];
    isPlaced = true;
    return candidates.length > 0 ? candidates : [line];
  });
  return lines.join("\r\n");
}
