// The event stream of a session (`GET {session}/events`): what the server tells while the
// stream is on air. An edge without it is as good; then nothing is told.

/** How media reach the server. */
export type MediaPath = "host_udp" | "host_tcp" | "relay_udp" | "relay_tcp" | "relay_tls";

/** Where the session stands, as the server sees it. */
export interface SessionNews {
  /** What a presenter tells to support. */
  session: string;
  state: "connecting" | "connected" | "live";
  path: MediaPath | null;
}

/** Something that the presenter should know; `over` when it has passed. */
export interface ServerWarning {
  kind: string;
  message: string;
  over: boolean;
}

/** Why the server ended the session. */
export interface SessionEnd {
  reason: string;
  /** A reason code as in `X-Reason-Code`, where a new offer would be refused with it. */
  code: number | null;
  message: string;
  retry: boolean;
}

/** What is done with the events. */
export interface Listener {
  session(news: SessionNews): void;
  warning(warning: ServerWarning): void;
  move(base: string): void;
  end(end: SessionEnd): void;
}

const PATHS: Readonly<Record<MediaPath, string>> = {
  host_udp: "direct, by UDP",
  host_tcp: "direct, by TCP",
  relay_udp: "relayed, by UDP",
  relay_tcp: "relayed, by TCP",
  relay_tls: "relayed, by TLS",
};

/** A path in words. */
export function describePath(path: MediaPath): string {
  return PATHS[path] ?? path;
}

/** Hands one event on; what cannot be read is passed over. */
export function dispatch(name: string, data: string, listener: Listener): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(data);
  } catch {
    return;
  }
  if (typeof parsed !== "object" || parsed === null) return;
  switch (name) {
    case "session":
      return listener.session(parsed as SessionNews);
    case "warning":
      return listener.warning(parsed as ServerWarning);
    case "move":
      if ("base" in parsed && typeof parsed.base === "string") listener.move(parsed.base);
      return;
    case "end":
      return listener.end(parsed as SessionEnd);
  }
}

/**
 * Listens until the session ends or the returned function is called. `interrupted` hears
 * of a connection that broke, which the browser mends by itself.
 */
export function listen(session: string, listener: Listener, interrupted: () => void): () => void {
  if (typeof EventSource === "undefined") return () => {};
  const source = new EventSource(`${session}/events`);
  for (const name of ["session", "warning", "move", "end"]) {
    source.addEventListener(name, (event) => {
      dispatch(name, String(event.data), listener);
      // The server closes then; without this the browser would ask again.
      if (name === "end") source.close();
    });
  }
  source.addEventListener("error", interrupted);
  return () => source.close();
}
