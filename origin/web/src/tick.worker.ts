// A metronome in a worker, where timers keep their pace while the page is hidden.
//
// It only says "look now", several times a frame: which frame is due is decided where it
// is drawn, so that the two clocks cannot drift into skipping frames.

const LOOKS_PER_FRAME = 6;

self.onmessage = (message: MessageEvent<number>) => {
  setInterval(() => self.postMessage(null), message.data / LOOKS_PER_FRAME);
};
