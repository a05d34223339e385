// `InletPublisher`: keeps one stream on air over as many WHIP sessions as it takes.
//
// A refusal that waiting cannot change stops it; everything else is tried again, with
// the pauses of `retry.ts`. The page only listens to its events.

import { IceServers } from "./ice_servers";
import { watchPage } from "./page_watch";
import { publishRetry } from "./retry";
import { announcedEndpoint, movedEndpoint, replacingEndpoint, type Size } from "./urls";
import { nextRung, type Rung } from "./sdp";
import { Source } from "./source";
import type { ServerWarning, SessionEnd, SessionNews } from "./session_events";
import { deleteSession, WhipError } from "./whip_http";
import { WhipSession, type ConnectionState } from "./whip_session";
import { Successor } from "./whip_successor";

export { WhipError, type WhipErrorKind } from "./whip_http";
export { describePath, type MediaPath, type ServerWarning, type SessionEnd, type SessionNews } from "./session_events";

/** Where the publisher stands. */
export type PublisherState =
  /** Not started, stopped by the presenter, or the page was left. */
  | "idle"
  /** The offer is on its way. */
  | "requesting"
  /** The server agreed; a path for the media is looked for. */
  | "connecting"
  | "live"
  /** Waiting before the next attempt. */
  | "waiting"
  /** Refused for good; {@link InletPublisher.start} begins anew. */
  | "failed";

/** Events of {@link InletPublisher}, by name. */
export interface PublisherEvents {
  state: PublisherState;
  /** State of the peer connection of the running session. */
  connection: ConnectionState;
  /** An attempt failed; `retryInMs` is `null` when there will be no other. */
  error: { error: WhipError; retryInMs: number | null };
  /** What the server tells of the running session: its id, and how media reach it. */
  session: SessionNews;
  /** Something that hurts the stream, seen by the server. */
  warning: ServerWarning;
  /** Why the server ended the session. */
  end: SessionEnd;
  /** Another set of paths is tried, since the one before led nowhere. */
  rung: Rung;
}

/** What to publish, and where. */
export interface PublisherOptions {
  /** The WHIP address, token included. */
  endpoint: string;
  /** Its tracks are taken at the start; the stream itself is never changed. */
  stream: MediaStream;
  /**
   * Initial resolution, which fixes the ladder; `null` if unknown. Default: what the
   * picture's settings say.
   */
  size?: Size | null;
  /** Ceiling of the video, bits per second. Default: {@link maxVideoBitrate} of `size`. */
  maxVideoBitrate?: number;
}

/** The ceiling that a resolution is worth in H.264 at 30 fps, bits per second. */
export function maxVideoBitrate(size: Size | null): number {
  const pixels = size === null ? 1280 * 720 : size.width * size.height;
  if (pixels > 1920 * 1080 * 1.2) return 8_000_000;
  if (pixels > 1280 * 720 * 1.2) return 4_500_000;
  if (pixels > 854 * 480 * 1.2) return 2_500_000;
  if (pixels > 640 * 360 * 1.2) return 1_400_000;
  return 900_000;
}

/** Publishes a `MediaStream` by WHIP. */
export class InletPublisher {
  #state: PublisherState = "idle";
  /** `null` until the tracks of the stream have been taken for the first time. */
  #source: Source | null = null;
  #session: WhipSession | null = null;
  /** Counts starts and stops: an attempt that belongs to an earlier one is dropped. */
  #generation = 0;
  /** Opened to take the running session's place. */
  #successor: Successor | null = null;
  #wake: () => void = () => {};
  #listeners: { [K in keyof PublisherEvents]: ((event: PublisherEvents[K]) => void)[] } = {
    state: [],
    connection: [],
    error: [],
    session: [],
    warning: [],
    end: [],
    rung: [],
  };
  /** The set of paths that worked last, or is to be tried next. */
  #rung: Rung = "any";
  #options: Partial<PublisherOptions>;
  /** Ends the listening to the page; `null` while there is none. */
  #stopWatching: (() => void) | null = null;
  #iceServers = new IceServers();

  /** Publishes to a WHIP address; nothing happens before {@link start}. */
  constructor(whipUrl = "", options: Partial<Omit<PublisherOptions, "endpoint">> = {}) {
    this.#options = whipUrl === "" ? options : { ...options, endpoint: whipUrl };
  }

  get state(): PublisherState {
    return this.#state;
  }

  /** The running peer connection, for statistics. */
  get connection(): RTCPeerConnection | null {
    return this.#session?.connection ?? null;
  }

  /** ICE restarts of the running session. */
  get restarts(): number {
    return this.#session?.restarts ?? 0;
  }

  /** Listens to an event; the returned function stops that. */
  on<K extends keyof PublisherEvents>(
    name: K,
    listener: (event: PublisherEvents[K]) => void,
  ): () => void {
    const listeners = this.#listeners[name];
    listeners.push(listener);
    return () => {
      const at = listeners.indexOf(listener);
      if (at >= 0) listeners.splice(at, 1);
    };
  }

  /** Looks for another path at once, without a new session. */
  async restartIce(): Promise<void> {
    await this.#session?.restart();
  }

  /** Asks for the ICE servers ahead of time, so that {@link start} need not wait. */
  prepare(endpoint: string): void {
    void this.#iceServers.list(endpoint);
  }

  /**
   * Goes live, and stays live until {@link stop} or a refusal for good. `options` take
   * the place of those of the constructor. The tracks of `stream` are taken anew where
   * it is among them; otherwise those that are there stay, exchanged ones included.
   *
   * From here to {@link stop} or the refusal it listens to the page: a page that is left
   * ends its session, and goes live again when the browser brings it back from its cache.
   */
  start(options: Partial<PublisherOptions> = {}): void {
    this.#options = { ...this.#options, ...options };
    const { endpoint, stream } = this.#options;
    if (endpoint === undefined || stream === undefined) {
      throw new TypeError("InletPublisher needs a WHIP address and a stream");
    }
    const source = this.#taken();
    if (options.stream !== undefined) source.take(stream);
    const size = this.#options.size === undefined ? sizeOf(source.stream) : this.#options.size;
    void this.#leave();
    this.#watchPage();
    this.#rung = "any";
    void this.#run({ ...this.#options, endpoint, source, size }, this.#generation);
  }

  /**
   * Ends the session and waits, a second at most, until the server knows. Where an offer
   * is on its way, its session is ended as soon as the server answers.
   */
  async stop(): Promise<void> {
    const left = this.#leave();
    this.#unwatchPage();
    this.#setState("idle");
    await left;
  }

  /** Gives up every session, and every attempt that is under way. */
  async #leave(isPageHidden = false): Promise<void> {
    this.#generation++;
    this.#wake();
    const [session, successor] = [this.#session, this.#successor];
    this.#session = this.#successor = null;
    await Promise.all([session?.close(isPageHidden), successor?.close(isPageHidden)]);
  }

  #watchPage(): void {
    this.#stopWatching ??= watchPage({
      left: () => {
        void this.#leave(true);
        // Told now: a page in the browser's cache does nothing until it is back.
        this.#setState("idle");
      },
      back: () => this.#comeBack(),
      // A network that has just come back is worth trying at once.
      online: () => {
        this.#wake();
        void this.#session?.restart();
      },
    });
  }

  #unwatchPage(): void {
    this.#stopWatching?.();
    this.#stopWatching = null;
  }

  /** The page was left on air. Its camera may be gone since. */
  #comeBack(): void {
    if (this.#state !== "idle") return;
    const tracks = this.#taken().stream.getTracks();
    if (tracks.some(({ readyState }) => readyState === "live")) this.start();
    else this.#unwatchPage();
  }

  /**
   * Sends another camera or microphone without leaving the air: in this session and in
   * all that follow it.
   */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.#taken().replaceTrack(track);
  }

  #taken(): Source {
    if (this.#source === null) {
      this.#source = new Source();
      if (this.#options.stream !== undefined) this.#source.take(this.#options.stream);
    }
    return this.#source;
  }

  async #run(options: Started, generation: number): Promise<void> {
    const isCurrent = (): boolean => generation === this.#generation;
    let wasLive = false;
    let failures = 0;
    while (isCurrent()) {
      let error: WhipError | null;
      try {
        const session = await this.#next(options, isCurrent);
        if (session === null) return;
        if (!isCurrent()) return void session.close();
        this.#session = session;
        this.#follow(session, options, isCurrent);
        session.watch((state) => {
          if (!isCurrent()) return;
          this.#emit("connection", state);
          if (state !== "connected") return;
          wasLive = true;
          failures = 0;
          this.#setState("live");
        });
        error = await session.ended;
        if (this.#session === session) this.#session = null;
        // The path must be free before the next POST asks for it.
        if (error !== null && session.url !== null) await deleteSession(session.url);
        if (error !== null && this.#successor !== null) continue;
      } catch (thrown) {
        error = thrown instanceof WhipError ? thrown : new WhipError("protocol", String(thrown));
      }
      if (error === null || !isCurrent()) return;
      if (error.kind === "connect" && (await this.#narrow(options, isCurrent))) continue;
      if (!isCurrent() || !(await this.#pause(error, failures++, wasLive, isCurrent))) return;
    }
  }

  /** Hands on what the server tells, and moves on where it says so. */
  #follow(session: WhipSession, options: Started, isCurrent: () => boolean): void {
    session.listen({
      session: (news) => this.#emit("session", news),
      warning: (warning) => this.#emit("warning", warning),
      end: (end) => {
        if (this.#successor === null) this.#emit("end", end);
      },
      move: (base) => {
        if (!isCurrent() || this.#successor !== null || session.url === null) return;
        options.endpoint = movedEndpoint(options.endpoint, base);
        this.#succeed(session.url, options);
      },
    });
  }

  /**
   * Opens the session that takes the place of the one at `url`, which goes on until the
   * server has put the new one on air. When that fails it goes on for as long as its
   * server is there, and the next one is opened at the new address.
   */
  #succeed(url: string, options: Started): void {
    const successor = new Successor(this.#dial(options, url), () => {
      if (this.#successor === successor) this.#successor = null;
    });
    this.#successor = successor;
  }

  /** The session that is on air next; `null` when nobody wants it any more. */
  async #next(options: Started, isCurrent: () => boolean): Promise<WhipSession | null> {
    const successor = this.#successor;
    if (successor !== null) {
      if (successor.connection?.connectionState !== "connected") this.#setState("connecting");
      const session = await successor.take();
      if (!isCurrent()) return null;
      this.#successor = null;
      if (session !== null) return session;
    }
    return this.#open(options, isCurrent);
  }

  /** Takes the next set of paths; `false` when all have been tried. */
  async #narrow(options: Started, isCurrent: () => boolean): Promise<boolean> {
    const next = nextRung(this.#rung, await this.#iceServers.list(options.endpoint));
    if (!isCurrent()) return false;
    this.#rung = next ?? "any";
    if (next !== null) this.#emit("rung", next);
    return next !== null;
  }

  async #open(options: Started, isCurrent: () => boolean): Promise<WhipSession | null> {
    this.#setState("requesting");
    const session = await this.#dial(options);
    if (!isCurrent()) {
      // Stopped while the POST was out: the server has opened a session all the same.
      await session.close();
      return null;
    }
    this.#setState("connecting");
    return session;
  }

  /** Opens a session, in the place of the one at `former` where there is one. */
  async #dial(options: Started, former: string | null = null): Promise<WhipSession> {
    const endpoint = announcedEndpoint(options.endpoint, options.size);
    return WhipSession.open({
      endpoint: former === null ? endpoint : replacingEndpoint(endpoint, former),
      source: options.source,
      iceServers: await this.#iceServers.list(options.endpoint),
      rung: this.#rung,
      maxVideoBitrate: options.maxVideoBitrate ?? maxVideoBitrate(options.size),
    });
  }

  /** Reports a failure and waits; `false` when that was the last attempt. */
  async #pause(
    error: WhipError,
    attempt: number,
    wasLive: boolean,
    isCurrent: () => boolean,
  ): Promise<boolean> {
    const decision = isPermanent(error)
      ? ({ retry: false } as const)
      : publishRetry(error, attempt, wasLive, Math.random());
    this.#emit("error", { error, retryInMs: decision.retry ? decision.delayMs : null });
    if (!decision.retry) {
      this.#unwatchPage();
      this.#setState("failed");
      return false;
    }
    this.#setState("waiting");
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, decision.delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    return isCurrent();
  }

  #setState(state: PublisherState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#emit("state", state);
  }

  #emit<K extends keyof PublisherEvents>(name: K, event: PublisherEvents[K]): void {
    for (const listener of this.#listeners[name]) listener(event);
  }
}

/** An answer that the browser cannot use will be the same next time. */
function isPermanent(error: WhipError): boolean {
  return error.kind === "protocol" || error.kind === "ended";
}

/** Options of a publisher that has started; the address changes when it moves on. */
type Started = Omit<PublisherOptions, "stream"> & { source: Source; size: Size | null };

function sizeOf(stream: MediaStream): Size | null {
  const { width, height } = stream.getVideoTracks()[0]?.getSettings() ?? {};
  return width === undefined || height === undefined ? null : { width, height };
}
