// What gives way on a slow uplink: the picture's size or its rate.
//
// In the end it is the size. The origin's ladder keeps its own and scales up, so the viewer
// sees smooth motion, and quality returns by itself. At first it is the rate: Chromium takes
// a start below its target for a slow uplink, sends the first frames at half the size, and
// needs eight to ten seconds to find back, on the best of networks too.

/** By then the bandwidth estimate knows the uplink. */
const HOLD_MS = 1_500;

type Preference = "maintain-framerate" | "maintain-resolution";

/** Holds the size until the uplink is known, and the frame rate from then on. */
export function keepFrameRate(connection: RTCPeerConnection, sender: RTCRtpSender): void {
  prefer(sender, "maintain-resolution");
  const watch = () => {
    if (connection.connectionState !== "connected") return;
    connection.removeEventListener("connectionstatechange", watch);
    setTimeout(() => prefer(sender, "maintain-framerate"), HOLD_MS);
  };
  connection.addEventListener("connectionstatechange", watch);
}

function prefer(sender: RTCRtpSender, preference: Preference): void {
  const parameters = sender.getParameters() as RTCRtpSendParameters & {
    degradationPreference?: Preference;
  };
  parameters.degradationPreference = preference;
  sender.setParameters(parameters).catch(() => {
    // Not known to this browser, or the session is over; the content hint "motion" says
    // the same.
  });
}
