// One WHIP session: a peer connection, from the offer to the DELETE.
//
// A path that breaks is looked for anew by an ICE restart; when that does not help, the
// session is over and `whip.ts` opens the next one.

import { keepFrameRate } from "./degradation";
import {
  preferredAudioCodecs,
  isStreamRelay,
  preferredVideoCodecs,
  restartedAnswer,
  restartFragment,
  withoutUdp,
  withStartBitrate,
  type IceServer,
  type Rung,
} from "./sdp";
import { listen, type Listener, type SessionEnd } from "./session_events";
import type { Source } from "./source";
import { deleteSession, patchRestart, postOffer, WhipError, type RestartAnswer } from "./whip_http";

/** What a session is opened with. */
export interface SessionOptions {
  /** The endpoint, resolution announced. */
  endpoint: string;
  source: Source;
  iceServers: IceServer[];
  /** What paths are tried. */
  rung: Rung;
  /** Ceiling of the video, bits per second. */
  maxVideoBitrate: number;
}

/** State of the media connection, as the browser names it. */
export type ConnectionState = RTCPeerConnectionState;

/**
 * The edge learns our addresses from our own checks and needs no candidates in the
 * offer; other WHIP servers do. Host candidates take a few milliseconds.
 */
const GATHERING_MS = 200;
/**
 * From the answer to "connected". With everything tried at once a path is found in a
 * second or two; a relay by TLS through a slow proxy takes longer.
 */
const CONNECT_TIMEOUT_MS: Readonly<Record<Rung, number>> = { any: 6_000, tcp: 5_000, relay: 15_000 };
/** A path that comes back by itself within this time is not worth a restart. */
const DISCONNECTED_MS = 1_500;
/** A restart that has not been answered by then, or has not helped so long after, does not. */
const RESTART_MS = 8_000;
/** A connection from before a change of network may be dead, so each try is short. */
const RESTART_TRY_MS = 3_000;
/** Right after a change of network nothing gets through; it is asked again so soon. */
const RESTART_PAUSE_MS = 500;
/** Feedback comes several times a second: without any for so long, the path is gone. */
const SUSPICION_MS = 800;
/** Opus, in stereo where the source is. */
const MAX_AUDIO_BITRATE = 128_000;
/** Start near the target, but leave the estimator some room to find a slow uplink. */
const START_FRACTION = 0.6;

/** A running session. */
export class WhipSession {
  /** Resolves when the session is over, with the reason; with `null` after `close()`. */
  readonly ended: Promise<WhipError | null>;
  #end: (reason: WhipError | null) => void = () => {};
  #onState: (state: ConnectionState) => void = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wasConnected = false;
  #isRestarting = false;
  #isSuspecting = false;
  #isOver = false;
  #restarts = 0;
  #serverEnd: SessionEnd | null = null;
  #stopListening: () => void = () => {};

  private constructor(
    readonly connection: RTCPeerConnection,
    readonly url: string | null,
    private answer: string,
    rung: Rung,
    private readonly release: () => void,
  ) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    connection.addEventListener("connectionstatechange", () => this.#stateChanged());
    this.#timer = setTimeout(() => this.#stateChanged(true), CONNECT_TIMEOUT_MS[rung]);
    // A server that ends the session closes DTLS, which `connectionState` does not show
    // until ICE has been silent for seconds.
    const dtls = connection.getSenders()[0]?.transport;
    dtls?.addEventListener("statechange", () => {
      if (dtls.state === "closed" || dtls.state === "failed") this.#lost(`DTLS is ${dtls.state}.`);
    });
  }

  /** ICE restarts that the server took. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Hands on what the server tells of this session. */
  listen(listener: Listener): void {
    if (this.url === null) return;
    const heard: Listener = {
      ...listener,
      end: (end) => {
        this.#serverEnd = end;
        listener.end(end);
        this.#lost(end.message);
      },
    };
    this.#stopListening = listen(this.url, heard, () => void this.#suspect());
  }

  /**
   * A change of network breaks the event stream at once, while ICE needs five seconds to
   * see that nobody answers. So when nothing comes back by the old path either, another
   * one is looked for.
   */
  async #suspect(): Promise<void> {
    if (this.#isSuspecting || this.connection.connectionState !== "connected") return;
    this.#isSuspecting = true;
    const before = await receivedBytes(this.connection);
    await new Promise((resolve) => setTimeout(resolve, SUSPICION_MS));
    const after = await receivedBytes(this.connection);
    this.#isSuspecting = false;
    if (before !== null && before === after) await this.restart();
  }

  /**
   * Looks for another path without a new session: after a change of network, say. What
   * is on its way goes on over the old path meanwhile. A refusal ends the session at once.
   */
  async restart(): Promise<void> {
    if (this.#isRestarting || this.#isOver || this.url === null) return;
    this.#isRestarting = true;
    clearTimeout(this.#timer);
    try {
      const offer = await this.connection.createOffer({ iceRestart: true });
      await this.connection.setLocalDescription(offer);
      const answer = await this.#askRestart(this.url, restartFragment(offer.sdp ?? ""));
      if (this.#isOver) return;
      // The old path may have come back meanwhile: then nothing is lost.
      if (answer.kind === "silent" && this.connection.connectionState === "connected") return;
      if (answer.kind !== "taken") return this.#restartFailed();
      this.#timer = setTimeout(() => this.#restartFailed(), RESTART_MS);
      this.answer = restartedAnswer(this.answer, answer.fragment);
      await this.connection.setRemoteDescription({ type: "answer", sdp: this.answer });
      this.#restarts++;
      if (this.connection.connectionState === "connected") this.#stateChanged();
    } catch (error) {
      this.#lost(error instanceof Error ? error.message : String(error));
    } finally {
      this.#isRestarting = false;
    }
  }

  /**
   * Asks until there is an answer, or time is over. It is the same restart each time, so
   * a server that took it, and whose answer was lost, has nothing to do again.
   */
  async #askRestart(url: string, fragment: string): Promise<RestartAnswer> {
    const deadline = performance.now() + RESTART_MS;
    for (;;) {
      const leftMs = deadline - performance.now();
      const answer = await patchRestart(url, fragment, Math.min(RESTART_TRY_MS, leftMs));
      const isLast = performance.now() + RESTART_PAUSE_MS >= deadline;
      if (answer.kind !== "silent" || isLast) return answer;
      await new Promise((resolve) => setTimeout(resolve, RESTART_PAUSE_MS));
      if (this.#isOver) return answer;
    }
  }

  #restartFailed(): void {
    this.#lost("No path was found again.");
  }

  /** Reports the state of the connection: at once, and on every change. */
  watch(onState: (state: ConnectionState) => void): void {
    this.#onState = onState;
    this.#stateChanged();
  }

  /** Opens a session. Throws a {@link WhipError}. */
  static async open(options: SessionOptions): Promise<WhipSession> {
    const isRelay = options.rung === "relay";
    const connection = new RTCPeerConnection({
      iceServers: isRelay
        ? options.iceServers.filter((server) => isStreamRelay(server.urls))
        : options.iceServers,
      iceTransportPolicy: isRelay ? "relay" : "all",
      bundlePolicy: "max-bundle",
    });
    const release = options.source.feed(connection);
    let url: string | null = null;
    try {
      addTracks(connection, options);
      await connection.setLocalDescription(await connection.createOffer());
      await gathered(connection);
      const offer = connection.localDescription?.sdp ?? "";
      const opened = await postOffer(options.endpoint, offer);
      url = opened.session;
      const startKbps = (options.maxVideoBitrate * START_FRACTION) / 1000;
      const answer = withStartBitrate(opened.answer, startKbps);
      const sdp = options.rung === "tcp" ? withoutUdp(answer) : answer;
      await connection.setRemoteDescription({ type: "answer", sdp });
      await limitAudio(connection);
      return new WhipSession(connection, url, sdp, options.rung, release);
    } catch (error) {
      release();
      connection.close();
      if (url !== null) void deleteSession(url);
      if (error instanceof WhipError) throw error;
      throw new WhipError("protocol", error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * Ends the session at the server too. Waits a second at most; while the page goes away
   * (`isPageHidden`) the request outlives it.
   */
  async close(isPageHidden = false): Promise<void> {
    this.#finish(null);
    if (this.url !== null) await deleteSession(this.url, isPageHidden);
  }

  #finish(reason: WhipError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#stopListening();
    this.release();
    // Sends the DTLS close_notify, which frees the path at once even without the DELETE.
    this.connection.close();
    this.#end(reason);
  }

  #lost(detail: string): void {
    const end = this.#serverEnd;
    if (end !== null && !end.retry) {
      const status = end.code === null ? 410 : 403;
      this.#finish(new WhipError("ended", end.message, { status, reason: end.code }));
      return;
    }
    this.#finish(new WhipError(this.#wasConnected ? "lost" : "connect", detail));
  }

  #stateChanged(timedOut = false): void {
    const state = this.connection.connectionState;
    if (state === "closed") return;
    this.#onState(state);
    if (state === "connected") {
      this.#wasConnected = true;
      clearTimeout(this.#timer);
    } else if (this.#isRestarting) {
      // Its own timer decides.
    } else if (this.#wasConnected && (state === "failed" || timedOut)) {
      void this.restart();
    } else if (state === "failed" || timedOut) {
      this.#lost(`The connection is ${state}.`);
    } else if (state === "disconnected") {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#stateChanged(true), DISCONNECTED_MS);
    }
  }
}

function addTracks(connection: RTCPeerConnection, options: SessionOptions): void {
  const { stream } = options.source;
  const [video] = stream.getVideoTracks();
  const [audio] = stream.getAudioTracks();
  if (audio !== undefined) {
    const transceiver = connection.addTransceiver(audio, {
      direction: "sendonly",
      streams: [stream],
    });
    prefer(transceiver, preferredAudioCodecs(capabilities("audio")));
  }
  if (video !== undefined) {
    const transceiver = connection.addTransceiver(video, {
      direction: "sendonly",
      streams: [stream],
      sendEncodings: [{ maxBitrate: options.maxVideoBitrate }],
    });
    prefer(transceiver, preferredVideoCodecs(capabilities("video")));
    keepFrameRate(connection, transceiver.sender);
  }
}

function capabilities(kind: "audio" | "video"): RTCRtpCodec[] {
  return RTCRtpSender.getCapabilities(kind)?.codecs ?? [];
}

function prefer(transceiver: RTCRtpTransceiver, codecs: RTCRtpCodec[]): void {
  if (codecs.length === 0 || !("setCodecPreferences" in transceiver)) return;
  try {
    transceiver.setCodecPreferences(codecs);
  } catch {
    // Older Firefox wants receive capabilities here; its own order is good enough.
  }
}

/** What has come in over all pairs; `null` where the browser does not count it. */
async function receivedBytes(connection: RTCPeerConnection): Promise<number | null> {
  let sum: number | null = null;
  for (const line of (await connection.getStats()).values()) {
    if (line.type !== "candidate-pair" || typeof line.bytesReceived !== "number") continue;
    sum = (sum ?? 0) + line.bytesReceived;
  }
  return sum;
}

/** Only after the answer: before it the audio sender has no encodings to change. */
async function limitAudio(connection: RTCPeerConnection): Promise<void> {
  const sender = connection.getSenders().find((candidate) => candidate.track?.kind === "audio");
  if (sender === undefined) return;
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) encoding.maxBitrate = MAX_AUDIO_BITRATE;
  await sender.setParameters(parameters).catch(() => {
    // The browser's own bitrate for speech is good enough.
  });
}

function gathered(connection: RTCPeerConnection): Promise<void> {
  if (connection.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, GATHERING_MS);
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}
