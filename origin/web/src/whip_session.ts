// One WHIP session: a peer connection, from the offer to the DELETE.
//
// A session is never revived: when it breaks, `whip.ts` opens the next one.

import {
  preferredAudioCodecs,
  preferredVideoCodecs,
  withStartBitrate,
  type IceServer,
} from "./sdp";
import { deleteSession, postOffer, WhipError } from "./whip_http";

/** What a session is opened with. */
export interface SessionOptions {
  /** The endpoint, resolution announced. */
  endpoint: string;
  stream: MediaStream;
  iceServers: IceServer[];
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
/** From the answer to "connected": over TCP through a slow proxy this takes seconds. */
const CONNECT_TIMEOUT_MS = 15_000;
/** A path that comes back within this time is not worth a new session. */
const DISCONNECTED_MS = 4_000;
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

  private constructor(
    readonly connection: RTCPeerConnection,
    readonly url: string | null,
  ) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    connection.addEventListener("connectionstatechange", () => this.#stateChanged());
    this.#timer = setTimeout(() => this.#stateChanged(true), CONNECT_TIMEOUT_MS);
    // A server that ends the session closes DTLS, which `connectionState` does not show
    // until ICE has been silent for seconds.
    const dtls = connection.getSenders()[0]?.transport;
    dtls?.addEventListener("statechange", () => {
      if (dtls.state === "closed" || dtls.state === "failed") this.#lost(`DTLS is ${dtls.state}.`);
    });
  }

  /** Reports the state of the connection: at once, and on every change. */
  watch(onState: (state: ConnectionState) => void): void {
    this.#onState = onState;
    this.#stateChanged();
  }

  /** Opens a session. Throws a {@link WhipError}. */
  static async open(options: SessionOptions): Promise<WhipSession> {
    const connection = new RTCPeerConnection({
      iceServers: options.iceServers,
      bundlePolicy: "max-bundle",
    });
    let url: string | null = null;
    try {
      addTracks(connection, options);
      await connection.setLocalDescription(await connection.createOffer());
      await gathered(connection);
      const offer = connection.localDescription?.sdp ?? "";
      const opened = await postOffer(options.endpoint, offer);
      url = opened.session;
      const startKbps = (options.maxVideoBitrate * START_FRACTION) / 1000;
      await connection.setRemoteDescription({
        type: "answer",
        sdp: withStartBitrate(opened.answer, startKbps),
      });
      await limitAudio(connection);
      return new WhipSession(connection, url);
    } catch (error) {
      connection.close();
      if (url !== null) void deleteSession(url);
      if (error instanceof WhipError) throw error;
      throw new WhipError("protocol", error instanceof Error ? error.message : String(error));
    }
  }

  /** Sends another track of the same kind, without a new negotiation. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    const sender = this.connection
      .getTransceivers()
      .find((transceiver) => transceiver.receiver.track.kind === track.kind)?.sender;
    await sender?.replaceTrack(track);
  }

  /** Ends the session at the server too. Waits a second at most. */
  async close(): Promise<void> {
    this.#finish(null);
    if (this.url !== null) await deleteSession(this.url);
  }

  /** Ends the session while the page goes away. */
  closeOnPageHide(): void {
    this.#finish(null);
    if (this.url !== null) void deleteSession(this.url, true);
  }

  #finish(reason: WhipError | null): void {
    clearTimeout(this.#timer);
    // Sends the DTLS close_notify, which frees the path at once even without the DELETE.
    this.connection.close();
    this.#end(reason);
  }

  #lost(detail: string): void {
    this.#finish(new WhipError(this.#wasConnected ? "lost" : "connect", detail));
  }

  #stateChanged(timedOut = false): void {
    const state = this.connection.connectionState;
    if (state === "closed") return;
    this.#onState(state);
    if (state === "connected") {
      this.#wasConnected = true;
      clearTimeout(this.#timer);
    } else if (state === "failed" || timedOut) {
      this.#lost(`The connection is ${state}.`);
    } else if (state === "disconnected") {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#stateChanged(true), DISCONNECTED_MS);
    }
  }
}

function addTracks(connection: RTCPeerConnection, options: SessionOptions): void {
  const [video] = options.stream.getVideoTracks();
  const [audio] = options.stream.getAudioTracks();
  if (audio !== undefined) {
    const transceiver = connection.addTransceiver(audio, {
      direction: "sendonly",
      streams: [options.stream],
    });
    prefer(transceiver, preferredAudioCodecs(capabilities("audio")));
  }
  if (video !== undefined) {
    const transceiver = connection.addTransceiver(video, {
      direction: "sendonly",
      streams: [options.stream],
      sendEncodings: [{ maxBitrate: options.maxVideoBitrate }],
    });
    prefer(transceiver, preferredVideoCodecs(capabilities("video")));
    keepFrameRate(transceiver.sender);
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

/**
 * On a slow uplink the picture gets smaller rather than jerky: the origin's ladder keeps
 * its size and scales up, so the viewer sees smooth motion and quality returns by itself.
 */
function keepFrameRate(sender: RTCRtpSender): void {
  const parameters = sender.getParameters() as RTCRtpSendParameters & {
    degradationPreference?: string;
  };
  parameters.degradationPreference = "maintain-framerate";
  sender.setParameters(parameters).catch(() => {
    // Not known to this browser; the content hint "motion" says the same.
  });
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
