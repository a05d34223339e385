// Which STUN and TURN servers an endpoint has: asked once, and kept as long as it holds.
//
// They are a help, not a condition. Only what was answered is kept; without an answer a
// session starts with the list of before, or with none, and the next one asks again.

import type { IceServer } from "./sdp";
import { announcedEndpoint } from "./urls";
import { discoverIceServers } from "./whip_http";

/** Credentials live for hours; a list older than this is asked for again. */
const MAX_AGE_MS = 5 * 60_000;
/**
 * An edge that cannot check the token in time names no relay, and will a moment later.
 * One without relays is asked a little more often than it would have to be.
 */
const MAX_AGE_WITHOUT_RELAY_MS = 10_000;
/** How long nobody waits for a server that has just not answered. */
const SILENCE_MS = 30_000;
/** Enough for an answer that is on its way, not worth a start that is late. */
const SHORT_WAIT_MS = 500;

interface Known {
  endpoint: string;
  at: number;
  list: IceServer[];
}

/** Remembers the ICE servers of the endpoint that was asked last. */
export class IceServers {
  #known: Known | null = null;
  #question: { endpoint: string; answer: Promise<IceServer[] | null> } | null = null;
  #silent: { endpoint: string; at: number } | null = null;

  /**
   * The list of an endpoint. It waits until the server has answered, or for a short time
   * alone where it can do without: with a list of before, or when the last question had
   * no answer. Then the offer tells soon enough whether the network is dead.
   */
  async list(endpoint: string): Promise<IceServer[]> {
    const former = this.#known?.endpoint === endpoint ? this.#known : null;
    if (former !== null && isFresh(former)) return former.list;
    const wasSilent =
      this.#silent?.endpoint === endpoint && Date.now() - this.#silent.at < SILENCE_MS;
    const answer = this.#ask(endpoint);
    const isShort = former !== null || wasSilent;
    return (await (isShort ? within(SHORT_WAIT_MS, answer) : answer)) ?? former?.list ?? [];
  }

  /** A question that is out already is not asked twice. */
  #ask(endpoint: string): Promise<IceServer[] | null> {
    if (this.#question?.endpoint === endpoint) return this.#question.answer;
    const answer = discoverIceServers(announcedEndpoint(endpoint, null));
    const question = { endpoint, answer };
    this.#question = question;
    void answer.then((list) => {
      if (this.#question !== question) return;
      this.#question = null;
      const at = Date.now();
      this.#silent = list === null ? { endpoint, at } : null;
      if (list !== null) this.#known = { endpoint, at, list };
    });
    return answer;
  }
}

function isFresh({ at, list }: Known): boolean {
  const hasRelay = list.some(({ urls }) => /^turns?:/i.test(urls));
  return Date.now() - at < (hasRelay ? MAX_AGE_MS : MAX_AGE_WITHOUT_RELAY_MS);
}

/** `null` when the answer takes longer. */
function within<T>(waitMs: number, answer: Promise<T | null>): Promise<T | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), waitMs);
    void answer.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}
