// The HTTP half of WHIP (RFC 9725): offer out, answer or refusal back. No state.

import { explainRefusal, type Explanation } from "./reasons";
import { isTransient, parseRetryAfter } from "./retry";
import { parseIceServers, type IceServer } from "./sdp";
import { sessionUrl } from "./urls";

/** How an attempt to publish failed. */
export type WhipErrorKind =
  /** The server answered, and said no. */
  | "refused"
  /** No answer: name, network, certificate or CORS. */
  | "unreachable"
  /** An answer that makes no sense, or that the browser does not take. */
  | "protocol"
  /** The answer was good, but no media connection came up. */
  | "connect"
  /** The media connection was up and broke. */
  | "lost"
  /** The server ended the session, and said why. */
  | "ended";

/** Why publishing failed, with words for the presenter. */
export class WhipError extends Error {
  /** HTTP status, where there was an answer. */
  readonly status: number | null;
  /** `X-Reason-Code`, where the answer had one. */
  readonly reason: number | null;
  readonly retryAfterMs: number | null;
  readonly explanation: Explanation;

  constructor(
    readonly kind: WhipErrorKind,
    /** What the server said in the body, or what the browser said. */
    readonly detail: string,
    about: { status?: number; reason?: number | null; retryAfterMs?: number | null } = {},
  ) {
    const status = about.status ?? null;
    const reason = about.reason ?? null;
    const explanation = explain(kind, status, reason);
    super(explanation.title);
    this.name = "WhipError";
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = about.retryAfterMs ?? null;
    this.explanation = explanation;
  }
}

/** A session that the server has opened. */
export interface Opened {
  answer: string;
  /** Where to send the DELETE; `null` when the server did not let us know. */
  session: string | null;
}

/** What became of an ICE restart. */
export type RestartAnswer =
  /** The server took it: its new credentials and candidates, as text. */
  | { kind: "taken"; fragment: string }
  /** The server answered, and does not: only a new session helps. */
  | { kind: "refused" }
  /** No answer: whether the server has heard of it is not known. */
  | { kind: "silent" };

/** A POST that takes longer is given up. */
const POST_TIMEOUT_MS = 10_000;
/** An edge checks the token with its origin first, for two seconds at most. */
const OPTIONS_TIMEOUT_MS = 3_000;
const DELETE_TIMEOUT_MS = 1_000;
/** A message longer than this is cut before it is shown. */
const MAX_DETAIL = 300;

/** Sends the offer. Throws a {@link WhipError} for everything but a usable 201. */
export async function postOffer(
  endpoint: string,
  offer: string,
  fetcher: typeof fetch = fetch,
): Promise<Opened> {
  let response: Response;
  let body: string;
  try {
    // A 307 is followed by fetch itself, with the method and the body kept.
    response = await fetcher(endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: offer,
      signal: AbortSignal.timeout(POST_TIMEOUT_MS),
    });
    body = await response.text();
  } catch (error) {
    throw new WhipError("unreachable", error instanceof Error ? error.message : String(error));
  }
  if (!response.ok) throw refusal(response, body);
  if (!body.startsWith("v=0")) {
    throw new WhipError("protocol", `HTTP ${response.status} without an SDP answer`);
  }
  return {
    answer: body,
    session: sessionUrl(response.headers.get("Location"), response.url || endpoint),
  };
}

/** Restarts ICE (RFC 9725 §4.3.3). The same fragment may be sent again after a silence. */
export async function patchRestart(
  session: string,
  fragment: string,
  timeoutMs: number,
  fetcher: typeof fetch = fetch,
): Promise<RestartAnswer> {
  try {
    const response = await fetcher(session, {
      method: "PATCH",
      headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" },
      body: fragment,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const body = await response.text();
    const isTaken = response.status === 200 && body.includes("a=ice-ufrag:");
    return isTaken ? { kind: "taken", fragment: body } : { kind: "refused" };
  } catch {
    return { kind: "silent" };
  }
}

/**
 * Asks which STUN and TURN servers there are. `null` when it cannot be known now: without
 * an answer, or when the server says that it has trouble. A server that does not know the
 * question has none.
 */
export async function discoverIceServers(
  endpoint: string,
  fetcher: typeof fetch = fetch,
): Promise<IceServer[] | null> {
  try {
    const response = await fetcher(endpoint, {
      method: "OPTIONS",
      signal: AbortSignal.timeout(OPTIONS_TIMEOUT_MS),
    });
    if (isTransient(response.status)) return null;
    return response.ok ? parseIceServers(response.headers.get("Link")) : [];
  } catch {
    return null;
  }
}

/** Ends a session; never throws, since there is nothing left to do about it. */
export async function deleteSession(
  session: string,
  keepalive = false,
  fetcher: typeof fetch = fetch,
): Promise<void> {
  try {
    await fetcher(session, {
      method: "DELETE",
      keepalive,
      signal: AbortSignal.timeout(DELETE_TIMEOUT_MS),
    });
  } catch {
    // The server ends the session by itself: DTLS has closed, or will fall silent.
  }
}

function refusal(response: Response, body: string): WhipError {
  const code = Number.parseInt(response.headers.get("X-Reason-Code") ?? "", 10);
  return new WhipError("refused", errorText(body), {
    status: response.status,
    reason: Number.isNaN(code) ? null : code,
    retryAfterMs: parseRetryAfter(response.headers.get("Retry-After"), Date.now()),
  });
}

/** `error` of a JSON body, else the body itself if it is short plain text. */
function errorText(body: string): string {
  let text = body.trim();
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && "error" in parsed) {
      text = String(parsed.error);
    }
  } catch {
    if (text.startsWith("<")) text = "";
  }
  return text.slice(0, MAX_DETAIL);
}

function explain(kind: WhipErrorKind, status: number | null, reason: number | null): Explanation {
  switch (kind) {
    case "refused":
      return explainRefusal(reason, status ?? 0);
    case "unreachable":
      return {
        title: "The server cannot be reached",
        advice: "Check the network and the WHIP address. The next attempt comes by itself.",
      };
    case "protocol":
      return {
        title: "The server's answer makes no sense to this browser",
        advice: "Check that the address is a WHIP address. If it is, report the text below.",
      };
    case "connect":
      return {
        title: "No path for the media",
        advice:
          "The server answers, but picture and sound do not get through: a firewall may block UDP. Try another network, a phone's hotspot for example. The next attempt comes by itself.",
      };
    case "ended":
      return explainRefusal(reason, status ?? 0);
    case "lost":
      return {
        title: "The connection broke",
        advice: "Viewers keep their player. The next attempt comes by itself.",
      };
  }
}
