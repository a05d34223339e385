// What a publisher sends: its camera and microphone, over all its sessions.
//
// Sessions come and go, and tracks are exchanged while one is on air and the next one is
// on its way. So the tracks are kept here, in a stream of our own, and every connection
// that sends them hears of an exchange. The application's stream is only read.

/** The tracks that are published, and the connections that send them. */
export class Source {
  /** Holds one track of each kind at most. Its id is the same in all sessions. */
  readonly stream = new MediaStream();
  #connections = new Set<RTCPeerConnection>();

  /** Takes the first track of each kind of a stream, in the place of all that were here. */
  take(stream: MediaStream): void {
    for (const track of this.stream.getTracks()) this.stream.removeTrack(track);
    for (const track of [stream.getAudioTracks()[0], stream.getVideoTracks()[0]]) {
      if (track !== undefined) this.stream.addTrack(track);
    }
  }

  /**
   * Puts a track in the place of the one of its kind, here and in all connections, those
   * that are not up yet included. A connection that has negotiated no such kind sends
   * nothing of it; the next one will.
   */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    for (const former of this.stream.getTracks()) {
      if (former.kind === track.kind) this.stream.removeTrack(former);
    }
    this.stream.addTrack(track);
    await Promise.all([...this.#connections].map((connection) => replace(connection, track)));
  }

  /** A connection takes part in exchanges until the returned function is called. */
  feed(connection: RTCPeerConnection): () => void {
    this.#connections.add(connection);
    return () => this.#connections.delete(connection);
  }
}

async function replace(connection: RTCPeerConnection, track: MediaStreamTrack): Promise<void> {
  const sender = connection
    .getTransceivers()
    .find((transceiver) => transceiver.receiver.track.kind === track.kind)?.sender;
  try {
    await sender?.replaceTrack(track);
  } catch (error) {
    // A connection that is over meanwhile has nothing more to send.
    if (connection.signalingState !== "closed") throw error;
  }
}
