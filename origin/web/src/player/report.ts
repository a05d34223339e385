// Tells a page that embeds the player how it goes, whatever origin that page is of.
//
//     frame.contentWindow.postMessage("inlet:state", "*");
//     addEventListener("message", ({ data }) => data.inlet?.latency);
//
// It is asked for each time, so that nobody is told who does not listen.

import type { InletPlayer } from "./state";

/** What an embedding page posts to be told. */
export const QUESTION = "inlet:state";

/** The part of an answer's event that the asker needs. */
export interface Answer {
  inlet: InletPlayer;
}

/** Answers whoever asks. */
export function answerQuestions(state: InletPlayer): void {
  addEventListener("message", ({ data, source, origin }) => {
    if (data !== QUESTION || source === null) return;
    // An opaque origin cannot be named.
    const targetOrigin = origin === "null" || origin === "" ? "*" : origin;
    source.postMessage({ inlet: state } satisfies Answer, { targetOrigin });
  });
}
