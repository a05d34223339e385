// The session that is opened while another one is on air, to take its place: when the
// server asks to go on elsewhere, say. Nobody waits for it but who wants to take it.

import { deleteSession } from "./whip_http";
import type { WhipSession } from "./whip_session";

/** A session on its way, or waiting for its turn. */
export class Successor {
  readonly #arrival: Promise<void>;
  #session: WhipSession | null = null;
  #isTaken = false;
  #isClosed = false;

  /** `failed` hears that it will not come, or was over before its turn. */
  constructor(
    dial: Promise<WhipSession>,
    private readonly failed: () => void,
  ) {
    this.#arrival = this.#arrive(dial);
  }

  /** The connection; `null` while the server has not answered. */
  get connection(): RTCPeerConnection | null {
    return this.#session?.connection ?? null;
  }

  /**
   * The session, as soon as it is there, and the caller's from then on. `null` when it
   * failed, or was given up.
   */
  async take(): Promise<WhipSession | null> {
    await this.#arrival;
    if (this.#isClosed) return null;
    this.#isTaken = true;
    return this.#session;
  }

  /** Gives it up. One that is still on its way is closed when it comes. */
  async close(isPageHidden = false): Promise<void> {
    this.#isClosed = true;
    await this.#session?.close(isPageHidden);
  }

  async #arrive(dial: Promise<WhipSession>): Promise<void> {
    try {
      const session = await dial;
      // The server has opened it all the same.
      if (this.#isClosed) return void session.close();
      this.#session = session;
      void session.ended.then((error) => {
        if (error !== null) this.#ended(session);
      });
    } catch (error) {
      if (this.#isClosed) return;
      console.warn("The server asked to go on elsewhere, which failed:", error);
      this.failed();
    }
  }

  /** Over before its turn. The server may not see that, and would put it on air. */
  #ended(session: WhipSession): void {
    if (this.#isTaken) return;
    this.#session = null;
    if (session.url !== null) void deleteSession(session.url);
    this.failed();
  }
}
