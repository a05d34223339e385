// The addresses that the pages live on, and those they make from them.
//
// The WHIP address carries the push token. It travels in the fragment, which browsers
// never send, so it stays out of every access log; nothing here may move it elsewhere.

/** What the player page was asked for. */
export interface PlayerRequest {
  /** `{client}_{id}`. */
  stream: string;
  protocol: Protocol;
  /** Read the frame strip and report latency. */
  measure: boolean;
  /** Measure the sound against the picture too; reroutes the sound, so not by default. */
  beep: boolean;
  /** `null`: as the viewer left it the last time. */
  muted: boolean | null;
  autoplay: boolean;
  /** Begin with the numbers shown. */
  stats: boolean;
  tokens: Tokens;
}

/** How the media reach the player. */
export type Protocol = "hls" | "dash" | "ts" | "native";

/**
 * Playback tokens as they stand in media's addresses, `{token}/{expires}`; `null` where
 * there is none. One opens CMAF, another the transport streams.
 */
export interface Tokens {
  cmaf: string | null;
  mpegts: string | null;
}

/** Everyone may watch. */
export const NO_TOKENS: Tokens = { cmaf: null, mpegts: null };

const PROTOCOLS: readonly Protocol[] = ["hls", "dash", "ts", "native"];

/** What the go-live page was asked for. */
export interface GoLiveRequest {
  /** The WHIP address, or `""`. */
  whip: string;
  source: "camera" | "test";
  resolution: Size | null;
  /** Start without a click. Honoured for the test picture only. */
  autostart: boolean;
}

/** Width and height in pixels. */
export interface Size {
  width: number;
  height: number;
}

const STREAM = /^\/streams\/(\d+_\d+)\/?$/;
const MAX_SIDE = 7680;
/** As `origin/src/playback/token.rs` makes them. */
const TOKEN = /^[\w-]{43}\/\d{1,12}$/;

/** Reads the player's own address; `null` when it names no stream. */
export function parsePlayerUrl(url: URL): PlayerRequest | null {
  const stream = STREAM.exec(url.pathname)?.[1];
  if (stream === undefined) return null;
  const muted = url.searchParams.get("muted");
  return {
    stream,
    protocol: parseProtocol(url.searchParams.get("protocol")) ?? "hls",
    measure: isOn(url.searchParams.get("measure"), false),
    beep: isOn(url.searchParams.get("beep"), false),
    muted: muted === null ? null : isOn(muted, false),
    autoplay: isOn(url.searchParams.get("autoplay"), true),
    stats: isOn(url.searchParams.get("stats"), false),
    tokens: parseTokens(url),
  };
}

/** Reads the playback tokens of an address; what cannot be one is none. */
export function parseTokens(url: URL): Tokens {
  return { cmaf: parseToken(url, "cmaf"), mpegts: parseToken(url, "mpegts") };
}

/** Path of the manifest that a protocol plays. */
export function manifestPath(stream: string, protocol: Protocol, tokens: Tokens = NO_TOKENS): string {
  const output = outputOf(protocol);
  const token = tokens[output];
  const base = `/${output}/${stream}${token === null ? "" : `/${token}`}`;
  const file = { hls: "master.m3u8", native: "master.m3u8", dash: "index.mpd", ts: "master_mpegts.m3u8" };
  return `${base}/${file[protocol]}`;
}

/** Whether the tokens open what a protocol plays. Without any, everyone may watch. */
export function isOpen(protocol: Protocol, tokens: Tokens): boolean {
  const isFree = tokens.cmaf === null && tokens.mpegts === null;
  return isFree || tokens[outputOf(protocol)] !== null;
}

/** The player's address with another protocol, everything else kept. */
export function withProtocol(url: URL, protocol: Protocol): URL {
  const next = new URL(url);
  if (protocol === "hls") next.searchParams.delete("protocol");
  else next.searchParams.set("protocol", protocol);
  return next;
}

/** Reads the go-live page's own address. */
export function parseGoLiveUrl(url: URL): GoLiveRequest {
  const isTest = url.searchParams.get("source") === "test";
  return {
    whip: decodeFragment(url.hash),
    source: isTest ? "test" : "camera",
    resolution: parseSize(url.searchParams.get("resolution")),
    // A link must never put a visitor's camera on air without a click.
    autostart: isTest && isOn(url.searchParams.get("autostart"), false),
  };
}

/** Why an address cannot be published to, in words, or `null` when it can. */
export function whipUrlProblem(text: string, pageProtocol: string): string | null {
  if (text.trim() === "") return "Paste the WHIP address of your stream.";
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    return "This is not a web address. It begins with https:// and ends in /whip.";
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    return "A WHIP address begins with https://.";
  }
  if (pageProtocol === "https:" && url.protocol === "http:" && !isLoopback(url.hostname)) {
    return "The browser forbids http:// addresses on a secure page. Use the https:// one.";
  }
  return null;
}

/** The endpoint with the initial resolution announced; other parameters survive. */
export function announcedEndpoint(endpoint: string, size: Size | null): string {
  const url = new URL(endpoint.trim());
  url.hash = "";
  if (size !== null && size.width > 0 && size.height > 0) {
    url.searchParams.set("width", String(Math.round(size.width)));
    url.searchParams.set("height", String(Math.round(size.height)));
  }
  return url.href;
}

/** The endpoint for a session that shall take the place of the one at `session`. */
export function replacingEndpoint(endpoint: string, session: string): string {
  const url = new URL(endpoint);
  url.searchParams.set("replace", new URL(session).pathname.split("/").pop() ?? "");
  return url.href;
}

/** The same endpoint at another server. */
export function movedEndpoint(endpoint: string, base: string): string {
  const { pathname, search } = new URL(endpoint);
  return new URL(pathname + search, base).href;
}

/** `Location` made absolute against the URL that answered, which a redirect may have changed. */
export function sessionUrl(location: string | null, answeredBy: string): string | null {
  if (location === null || location.trim() === "") return null;
  try {
    return new URL(location, answeredBy).href;
  } catch {
    return null;
  }
}

/** `1280x720` as a size; `null` for anything else. */
export function parseSize(text: string | null): Size | null {
  const match = /^(\d{2,4})x(\d{2,4})$/.exec(text ?? "");
  if (match === null) return null;
  const size = { width: Number(match[1]), height: Number(match[2]) };
  return Math.max(size.width, size.height) > MAX_SIDE ? null : size;
}

function decodeFragment(hash: string): string {
  const text = hash.replace(/^#/, "").trim();
  if (/^https?:\/\//i.test(text)) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A protocol by its name in an address; `null` when there is none of that name. */
export function parseProtocol(text: string | null): Protocol | null {
  const wanted = text?.trim().toLowerCase();
  return PROTOCOLS.find((protocol) => protocol === wanted) ?? null;
}

function outputOf(protocol: Protocol): keyof Tokens {
  return protocol === "ts" ? "mpegts" : "cmaf";
}

function parseToken(url: URL, output: keyof Tokens): string | null {
  const text = url.searchParams.get(output) ?? "";
  return TOKEN.test(text) ? text : null;
}

function isOn(value: string | null, otherwise: boolean): boolean {
  if (value === null) return otherwise;
  return value === "" || value === "1" || value === "true";
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
}
