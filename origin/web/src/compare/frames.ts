// Which players the comparison shows, and where each of them comes from. Pure.
//
// By HTTP/1.1 a browser opens six connections to one host name, and a player that waits
// for the next part holds some of them all the time: players side by side would starve each
// other. By HTTP/2 one connection carries all. On this machine, where pages come without
// TLS and so by HTTP/1.1, each player gets a name of its own: browsers take every name
// under `localhost` for loopback (RFC 6761 §6.3).

import { isOpen, parseProtocol, parseTokens, type Protocol } from "../urls";

/** Players that get on with six connections: LL-HLS takes four at times, LL-DASH two. */
const MAX_SHARING = 2;
/** What stands side by side unless the address says otherwise. */
export const COMPARED: readonly Protocol[] = ["hls", "dash", "ts"];

/** What the page was asked for. */
export interface CompareRequest {
  /** `{client}_{id}`. */
  stream: string;
  protocols: Protocol[];
}

const COMPARE = /^\/streams\/(\d+_\d+)\/compare\/?$/;
const LOOPBACK = /^(?:127(?:\.\d+){3}|\[::1\]|localhost)$/;

/** Reads the page's own address; `null` when it names no stream. */
export function parseCompareUrl(url: URL): CompareRequest | null {
  const stream = COMPARE.exec(url.pathname)?.[1];
  if (stream === undefined) return null;
  const wanted = (url.searchParams.get("protocols") ?? "").split(",").map(parseProtocol);
  const named = wanted.filter((protocol) => protocol !== null);
  const tokens = parseTokens(url);
  const protocols = named.length > 0 ? new Set(named) : COMPARED;
  return { stream, protocols: [...protocols].filter((protocol) => isOpen(protocol, tokens)) };
}

/** Whether each player can have a host name of its own. */
export function canStandApart(page: URL): boolean {
  return page.protocol === "http:" && LOOPBACK.test(page.hostname);
}

/** Address of one player. What else the page's address asks for, the player is asked for. */
export function frameUrl(page: URL, stream: string, protocol: Protocol, isApart: boolean): string {
  const frame = new URL(`/streams/${stream}`, page);
  frame.search = page.search;
  frame.searchParams.delete("protocols");
  frame.searchParams.set("protocol", protocol);
  // Several sounds at once are noise, and without sound each may start by itself.
  frame.searchParams.set("muted", "1");
  if (isApart) frame.hostname = `${protocol}.localhost`;
  return frame.href;
}

/** Whether that many players would wait for each other's connections. */
export function isCrowded(transport: string, isApart: boolean, players: number): boolean {
  return !isApart && players > MAX_SHARING && transport.startsWith("http/1");
}
