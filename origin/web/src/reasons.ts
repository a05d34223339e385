// What the reason codes mean to a presenter, and the error codes to a viewer.
//
// The numbers are the contract of `common/src/reason.rs`; the words are ours. Each text
// says what happened and what to do: "failed" alone is never enough.

/** A message for a person: what happened, and what to do about it. */
export interface Explanation {
  title: string;
  advice: string;
}

/** Every reason code that an edge may put into `X-Reason-Code`. */
export const REASONS: Readonly<Record<number, Explanation>> = {
  2001: {
    title: "This stream does not exist",
    advice: "Check that the whole WHIP address was copied. The stream may have been deleted.",
  },
  2002: {
    title: "The push token is wrong",
    advice: "The token may have been reset. Ask for the current WHIP address and paste it here.",
  },
  2003: {
    title: "Someone is live on this stream already",
    advice:
      "Stop the other publisher first, or use another stream. If that was you in another tab or program, close it and start again.",
  },
  2004: {
    title: "This stream is switched off",
    advice: "Set the stream to active in the application that manages it, then start again.",
  },
  2005: {
    title: "Too many streams are live",
    advice: "The account has reached its limit of live streams. Stop one of them, then start again.",
  },
  2006: {
    title: "This stream does not take browsers",
    advice: "Its settings forbid WebRTC. Use the protocol it is set up for, or change its settings.",
  },
  2100: {
    title: "The server could not read the request",
    advice: "Update the browser, or try another one. If it stays, report the text below.",
  },
  2101: {
    title: "No common video codec",
    advice: "The stream takes H.264, VP8 or VP9, and this browser offered none of them. Try Chrome, Edge or Safari.",
  },
  2102: {
    title: "No common audio codec",
    advice: "The stream takes Opus, and this browser did not offer it. Try another browser.",
  },
  2103: {
    title: "Wrong number of tracks",
    advice: "A stream takes one picture and one sound. Choose one camera and one microphone.",
  },
  2104: {
    title: "The browser did not offer to send",
    advice: "Choose the camera and the microphone again, then start again.",
  },
  2200: {
    title: "Too many refused attempts",
    advice: "Wait a little; the next attempt comes by itself. Check the WHIP address meanwhile.",
  },
  2300: {
    title: "The server has no connection to its centre",
    advice: "This is on our side. The next attempt comes by itself.",
  },
  2301: {
    title: "This server is about to be serviced",
    advice: "The next attempt comes by itself and may reach another server.",
  },
  2302: {
    title: "This server is full",
    advice: "The next attempt comes by itself and may reach another server.",
  },
  2303: {
    title: "The list of streams cannot be reached",
    advice: "This is on our side. The next attempt comes by itself.",
  },
};

/** Explains a refusal, by its code where it has one and by its HTTP status otherwise. */
export function explainRefusal(code: number | null, status: number): Explanation {
  const known = code === null ? undefined : REASONS[code];
  if (known !== undefined) return known;
  if (status === 401 || status === 403) {
    return {
      title: "The server refused the stream",
      advice: "Check the WHIP address, or ask for a new one.",
    };
  }
  if (status === 404 || status === 405) {
    return {
      title: "There is no WHIP server at this address",
      advice: "Check the WHIP address: it ends in /whip.",
    };
  }
  if (status === 408) {
    return { title: "The request took too long", advice: "The next attempt comes by itself." };
  }
  if (status === 413 || status === 415) return REASONS[2100] as Explanation;
  if (status === 429) return REASONS[2200] as Explanation;
  if (status >= 500) {
    return {
      title: `The server has a problem (HTTP ${status})`,
      advice: "This is on our side. The next attempt comes by itself.",
    };
  }
  return {
    title: `The server answered with HTTP ${status}`,
    advice: "Check the WHIP address, or try again later.",
  };
}

/** Explains the `name` of the error that `getUserMedia` failed with. */
export function explainCapture(name: string): Explanation {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return {
        title: "The browser does not allow the camera or the microphone",
        advice:
          "Click the camera sign in the address bar, allow both, then choose the source again. On a Mac or a phone, check the system's privacy settings too.",
      };
    case "NotFoundError":
    case "DevicesNotFoundError":
      return {
        title: "No camera or microphone was found",
        advice: "Plug one in and choose it, or send the test picture.",
      };
    case "NotReadableError":
    case "AbortError":
      return {
        title: "The camera or the microphone is in use",
        advice: "Close the other program or tab that uses it, then choose it again.",
      };
    case "OverconstrainedError":
      return {
        title: "The camera cannot do this",
        advice: "Choose a smaller resolution or another camera.",
      };
    case "InsecureContextError":
      return {
        title: "The browser gives the camera to secure pages only",
        advice: "Open this page by https://, or on this machine by http://localhost.",
      };
    default:
      return {
        title: "The camera or the microphone could not be opened",
        advice: `Choose another one, or reload the page. The browser says: ${name}.`,
      };
  }
}

/** `X-Err-Code` of a playlist that is not there, as the page shows it. */
export function explainAbsence(code: number | null, status: number): Explanation {
  if (code === 2000) {
    return { title: "This address is not a stream", advice: "Check the link you were given." };
  }
  if (code === 3000) {
    return { title: "Starting", advice: "The presenter has just arrived." };
  }
  if (code === 1000 || status === 404) {
    return {
      title: "Waiting for the presenter",
      advice: "Playback starts by itself as soon as the stream is live.",
    };
  }
  if (status === 403) {
    return { title: "This stream is not open to everyone", advice: "Ask for a link to watch it." };
  }
  if (status === 410) {
    return { title: "This link has expired", advice: "Ask for a new one, or reload the page that showed it." };
  }
  if (status === 0) {
    return { title: "No connection", advice: "Check the network. The player keeps trying." };
  }
  return { title: "Not available just now", advice: "The player keeps trying by itself." };
}
