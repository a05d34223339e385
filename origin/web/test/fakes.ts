// A browser and a server for `InletPublisher`, as far as it looks at them. They do nothing
// by themselves: a test says when a path is found, when it breaks and what is answered.

import { vi } from "vitest";

/** A camera or microphone. */
export class FakeTrack extends EventTarget {
  readyState: "live" | "ended" = "live";
  constructor(
    readonly kind: "audio" | "video",
    readonly label: string,
  ) {
    super();
  }
  getSettings(): MediaTrackSettings {
    return this.kind === "video" ? { width: 1280, height: 720 } : {};
  }
}

export class FakeStream {
  #tracks: FakeTrack[];
  constructor(tracks: FakeTrack[] = []) {
    this.#tracks = [...tracks];
  }
  getTracks(): FakeTrack[] {
    return [...this.#tracks];
  }
  getVideoTracks(): FakeTrack[] {
    return this.#tracks.filter(({ kind }) => kind === "video");
  }
  getAudioTracks(): FakeTrack[] {
    return this.#tracks.filter(({ kind }) => kind === "audio");
  }
  addTrack(track: FakeTrack): void {
    if (!this.#tracks.includes(track)) this.#tracks.push(track);
  }
  removeTrack(track: FakeTrack): void {
    this.#tracks = this.#tracks.filter((other) => other !== track);
  }
}

class FakeTransceiver {
  readonly receiver: { track: { kind: string } };
  readonly sender: {
    track: FakeTrack;
    transport: EventTarget & { state: string };
    replaceTrack(track: FakeTrack): Promise<void>;
    getParameters(): { encodings: object[] };
    setParameters(): Promise<void>;
  };
  constructor(connection: FakeConnection, track: FakeTrack) {
    this.receiver = { track: { kind: track.kind } };
    const sender = {
      track,
      transport: Object.assign(new EventTarget(), { state: "new" }),
      replaceTrack: async (next: FakeTrack): Promise<void> => {
        if (connection.signalingState === "closed") throw new DOMException("", "InvalidStateError");
        sender.track = next;
      },
      getParameters: () => ({ encodings: [{}] }),
      setParameters: async () => {},
    };
    this.sender = sender;
  }
}

export class FakeConnection extends EventTarget {
  connectionState = "new";
  signalingState = "stable";
  readonly iceGatheringState = "complete";
  localDescription: { sdp: string } | null = null;
  remoteDescription: { sdp: string } | null = null;
  /** Offers made; each has credentials of its own. */
  offers = 0;
  #transceivers: FakeTransceiver[] = [];
  constructor(readonly configuration: RTCConfiguration) {
    super();
  }
  addTransceiver(track: FakeTrack): FakeTransceiver {
    const transceiver = new FakeTransceiver(this, track);
    this.#transceivers.push(transceiver);
    return transceiver;
  }
  getTransceivers(): FakeTransceiver[] {
    return this.#transceivers;
  }
  getSenders(): FakeTransceiver["sender"][] {
    return this.#transceivers.map(({ sender }) => sender);
  }
  /** Labels of what is sent, sound first. */
  get sent(): string[] {
    return this.getSenders().map(({ track }) => track.label);
  }
  async createOffer(): Promise<{ type: string; sdp: string }> {
    this.offers++;
    const lines = ["v=0", "m=audio 9 X 1", "a=mid:0", `a=ice-ufrag:u${this.offers}`, "a=ice-pwd:p", ""];
    return { type: "offer", sdp: lines.join("\r\n") };
  }
  async setLocalDescription(description: { sdp: string }): Promise<void> {
    this.localDescription = description;
  }
  async setRemoteDescription(description: { sdp: string }): Promise<void> {
    if (this.signalingState === "closed") throw new DOMException("", "InvalidStateError");
    this.remoteDescription = description;
  }
  async getStats(): Promise<Map<string, object>> {
    return new Map();
  }
  become(state: string): void {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
  close(): void {
    // Fires nothing, as in a browser.
    this.connectionState = this.signalingState = "closed";
  }
}

class FakeEvents extends EventTarget {
  isOpen = true;
  constructor(readonly url: string) {
    super();
  }
  close(): void {
    this.isOpen = false;
  }
}

/** A request that the server saw. */
export interface Seen {
  method: string;
  url: string;
  body: string;
  keepalive: boolean;
}

type Answer = (seen: Seen, signal: AbortSignal) => Response | Promise<Response>;

/** Answers nothing; the request ends when whoever asked gives it up. */
export const SILENCE: Answer = (_seen, signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });

/** Fails at once, as without any network. */
export const OFFLINE: Answer = () => {
  throw new TypeError("Failed to fetch");
};

/** Everything outside of the publisher. */
export class World {
  readonly connections: FakeConnection[] = [];
  readonly events: FakeEvents[] = [];
  readonly seen: Seen[] = [];
  /** `pagehide` and the like are sent here. */
  readonly page = new EventTarget();
  /** How many listeners the page has. */
  listeners = 0;
  #sessions = 0;
  /** What is answered, by method; a test puts others in. */
  answers: Record<string, Answer> = {
    OPTIONS: () => new Response(null, { status: 204 }),
    POST: () => this.created(),
    PATCH: () => new Response("a=ice-ufrag:s\r\na=ice-pwd:p\r\n", { status: 200 }),
    DELETE: () => new Response(null, { status: 200 }),
  };

  constructor() {
    const { connections, events } = this;
    vi.stubGlobal("MediaStream", FakeStream);
    vi.stubGlobal("RTCRtpSender", { getCapabilities: () => ({ codecs: [] }) });
    vi.stubGlobal(
      "RTCPeerConnection",
      class extends FakeConnection {
        constructor(configuration: RTCConfiguration) {
          super(configuration);
          connections.push(this);
        }
      },
    );
    vi.stubGlobal(
      "EventSource",
      class extends FakeEvents {
        constructor(url: string) {
          super(url);
          events.push(this);
        }
      },
    );
    vi.stubGlobal("addEventListener", this.#listen.bind(this));
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      const seen: Seen = {
        method: init.method ?? "GET",
        url,
        body: String(init.body ?? ""),
        keepalive: init.keepalive === true,
      };
      this.seen.push(seen);
      const answer = this.answers[seen.method];
      if (answer === undefined) throw new Error(`nobody answers ${seen.method}`);
      return answer(seen, init.signal as AbortSignal);
    });
  }

  #listen(name: string, listener: EventListener, options?: AddEventListenerOptions): void {
    this.page.addEventListener(name, listener, options);
    this.listeners++;
    options?.signal?.addEventListener("abort", () => this.listeners--);
  }

  /** A session of its own for every offer. */
  created(): Response {
    const headers = { Location: `https://edge.example/session/${++this.#sessions}` };
    return new Response("v=0\r\na=ice-ufrag:s\r\na=ice-pwd:p\r\n", { status: 201, headers });
  }

  requests(method: string): Seen[] {
    return this.seen.filter((seen) => seen.method === method);
  }

  /** The connection with an index, once it is there. */
  async connection(index: number): Promise<FakeConnection> {
    return vi.waitFor(() => {
      const found = this.connections[index];
      if (found === undefined) throw new Error(`no connection ${index}`);
      return found;
    }, 3_000);
  }

  /** The event stream of the session with an index, once it is there. */
  async eventsOf(index: number): Promise<FakeEvents> {
    return vi.waitFor(() => {
      const found = this.events[index];
      if (found === undefined) throw new Error(`no events ${index}`);
      return found;
    }, 3_000);
  }

  /** The server tells something in the session with an index. */
  async tell(index: number, name: string, data: object): Promise<void> {
    const source = await this.eventsOf(index);
    source.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
  }

  /** A connection that is followed, and up. */
  async up(index: number): Promise<FakeConnection> {
    const connection = await this.connection(index);
    await this.eventsOf(index);
    connection.become("connected");
    return connection;
  }
}

/** Time as the test passes it, time limits of requests included. */
export function useTestTime(): void {
  vi.useFakeTimers();
  // Its clock is the system's otherwise.
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new DOMException("", "TimeoutError")), ms);
    return controller.signal;
  });
}

/** Undoes {@link World} and {@link useTestTime}. */
export function restore(): void {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
}

/** Lets everything happen that waits for nothing but its turn. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}
