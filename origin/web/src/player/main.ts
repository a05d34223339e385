// The player page: the address, the controls and one `Session` put together.

import { parsePlayerUrl, withProtocol, type PlayerRequest, type Protocol } from "../urls";
import { availableProtocols, usableProtocol } from "./attach";
import { Controls } from "./controls";
import { Measure } from "./measure";
import { answerQuestions } from "./report";
import { Session } from "./session";
import { ClockSkew } from "./skew";
import { log, newPlayerState } from "./state";
import { recallVolume } from "./volume";

const NUMBERS_EVERY_MS = 500;

function start(request: PlayerRequest): void {
  const video = document.getElementById("video") as HTMLVideoElement;
  const available = availableProtocols(video, request.tokens);
  const protocol = usableProtocol(request.protocol, available);
  const state = newPlayerState(request.stream, protocol ?? request.protocol);
  Object.assign(window, { inlet: state });
  answerQuestions(state);

  /** Whether the viewer wants it to run; an engine may pause the element by itself. */
  let isWanted = request.autoplay;
  const want = (next: boolean): void => {
    isWanted = next;
    controls.showIntent(next);
  };
  const kept = recallVolume();
  video.volume = kept.volume;
  video.muted = request.muted ?? kept.isMuted;

  const play = async (): Promise<void> => {
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      if (video.muted) return want(false);
      // Sound needs a click in most browsers; the picture does not.
      log(state, performance.now(), "autoplay without sound");
      video.muted = true;
      controls.offerSound(true);
      await video.play().catch(() => want(false));
    }
  };
  const controls = new Controls(video, {
    play: () => {
      want(true);
      void play();
      session?.goLive();
    },
    pause: () => {
      want(false);
      video.pause();
    },
    goLive: () => session?.goLive(),
    chooseLevel: (index) => {
      session?.chooseLevel(index);
      controls.showLevels(state.levels, index);
    },
    chooseProtocol: (next: Protocol) => {
      history.replaceState(null, "", withProtocol(new URL(location.href), next));
      controls.showProtocols(available, next);
      session?.chooseLevel(-1);
      session?.setProtocol(next);
    },
  });
  if (protocol === null) {
    controls.showDeadEnd({
      title: "This browser cannot play the stream",
      advice: "Use a current version of Chrome, Edge, Firefox or Safari.",
    });
    return;
  }
  controls.showProtocols(available, protocol);
  controls.showLevels([], -1);
  controls.showStats(request.stats);
  controls.showIntent(isWanted);
  if (request.measure && "requestVideoFrameCallback" in video) {
    Object.assign(window, { inletMeasure: new Measure(video, state, request.beep) });
  }
  const session = new Session(video, state, request.tokens, new ClockSkew(), {
    onState: (next, why) => controls.showState(next, why),
    onLevels: () => controls.showLevels(state.levels, session.chosenLevel),
    onAttached: () => {
      if (isWanted) void play();
    },
  });
  setInterval(() => controls.showNumbers(state), NUMBERS_EVERY_MS);
}

const request = parsePlayerUrl(new URL(location.href));
if (request !== null) {
  start(request);
} else {
  const video = document.getElementById("video") as HTMLVideoElement;
  const nothing = (): void => {};
  const controls = new Controls(video, {
    play: nothing,
    pause: nothing,
    goLive: nothing,
    chooseLevel: nothing,
    chooseProtocol: nothing,
  });
  controls.showDeadEnd({
    title: "This address is not a stream",
    advice: "Check the link you were given.",
  });
}
