// The go-live page: takes the controls, a source and an `InletPublisher` together.

import { explainCapture } from "../reasons";
import { senderStats, type SenderStats, type StatsBaseline, type StatsLine } from "../stats";
import { TestPicture } from "../testpicture";
import { parseGoLiveUrl, parseSize, whipUrlProblem, type Size } from "../urls";
import { QualityWatch } from "../warnings";
import { describePath, InletPublisher, type PublisherState, type SessionNews, type WhipError } from "../whip";
import {
  captureSize,
  fillPicker,
  openCapture,
  openSubstitute,
  recallChoice,
  rememberChoice,
  type Choice,
} from "./devices";
import {
  element,
  showClock,
  showConnection,
  showPath,
  showPreview,
  showProblem,
  showSession,
  showState,
  showStats,
  showWarnings,
} from "./view";

/** What the page tells its tests, as `window.inlet`. */
export interface GoLiveState {
  page: "go-live";
  state: PublisherState;
  connection: RTCPeerConnectionState;
  stats: SenderStats | null;
  /** The last failure, until the next start. */
  error: { status: number | null; reason: number | null; title: string; detail: string } | null;
  /** Sessions that have been connected since the page was loaded. */
  sessions: number;
  /** What the server says of the running session. */
  server: SessionNews | null;
  /** Warnings that are shown. */
  warnings: string[];
  /** ICE restarts of the running session. */
  readonly restarts: number;
  /** Index of the test picture's last frame; `null` with a camera. */
  readonly counter: number | null;
  start(): void;
  stop(): Promise<void>;
  /** Changes the size of the test picture in the middle of a session. */
  resize(size: Size): void;
  /** Looks for another path. */
  restartIce(): Promise<void>;
}

const DEFAULT_SIZE: Size = { width: 1280, height: 720 };
const STATS_EVERY_MS = 1000;

const request = parseGoLiveUrl(new URL(location.href));
const publisher = new InletPublisher();
const form = element<HTMLFormElement>("controls");
const whip = element<HTMLInputElement>("whip");
const cameras = element<HTMLSelectElement>("camera");
const microphones = element<HTMLSelectElement>("microphone");
const resolutions = element<HTMLSelectElement>("resolution");

let stream: MediaStream | null = null;
let picture: TestPicture | null = null;
let baseline: StatsBaseline | null = null;
let liveSince: number | null = null;
/** Counts requests for a source: only the last one is taken. */
let sourceRequests = 0;
let wakeLock: WakeLockSentinel | null = null;
let quality = new QualityWatch();
/** When the page was left on air; until it is live again. */
let leftAt: number | null = null;
/** By kind. */
const serverWarnings = new Map<string, string>();

const inlet: GoLiveState = {
  page: "go-live",
  state: "idle",
  connection: "new",
  stats: null,
  error: null,
  sessions: 0,
  server: null,
  warnings: [],
  get restarts() {
    return publisher.restarts;
  },
  get counter() {
    return picture?.counter ?? null;
  },
  start: () => void start(),
  stop: () => publisher.stop(),
  resize: (size) => picture?.resize(size),
  restartIce: () => publisher.restartIce(),
};
Object.assign(window, { inlet });

function choice(): Choice {
  return { camera: cameras.value, microphone: microphones.value, resolution: resolutions.value };
}

function isTestPicture(): boolean {
  return new FormData(form).get("source") === "test";
}

function isOn(): boolean {
  return publisher.state !== "idle" && publisher.state !== "failed";
}

function dropSource(): void {
  picture?.stop();
  picture = null;
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  showPreview(null, false);
}

/** Opens what the controls say. On air, the tracks are exchanged without a break. */
async function openSource(): Promise<void> {
  const wanted = ++sourceRequests;
  const size = parseSize(resolutions.value) ?? DEFAULT_SIZE;
  element("camera-fields").hidden = isTestPicture();
  if (!isOn()) dropSource();
  try {
    if (isTestPicture()) {
      picture = new TestPicture(size);
      stream = picture.stream;
    } else {
      const opened = await openCapture(choice(), size);
      if (wanted !== sourceRequests) {
        for (const track of opened.getTracks()) track.stop();
        return;
      }
      await exchange(opened);
    }
    showProblem(null);
  } catch (error) {
    const name = error instanceof DOMException ? error.name : String(error);
    showProblem(explainCapture(name), error instanceof Error ? error.message : "");
  }
  showPreview(stream, !isTestPicture());
  await listDevices();
}

async function exchange(opened: MediaStream): Promise<void> {
  const old = stream;
  stream = opened;
  for (const track of opened.getTracks()) {
    track.addEventListener("ended", () => void sourceEnded(opened, track));
    if (isOn()) await publisher.replaceTrack(track);
  }
  for (const track of old?.getTracks() ?? []) track.stop();
}

/** A device is gone: another of its kind takes its place, where there is one. */
async function sourceEnded(ended: MediaStream, track: MediaStreamTrack): Promise<void> {
  if (ended !== stream) return;
  const noun = track.kind === "video" ? "camera" : "microphone";
  const size = parseSize(resolutions.value) ?? DEFAULT_SIZE;
  const lost = track.getSettings().deviceId ?? "";
  const substitute = await openSubstitute(track.kind, lost, size);
  if (ended !== stream) {
    substitute?.stop();
    return;
  }
  if (substitute === null) {
    showProblem({
      title: `The ${noun} is gone`,
      advice: "Plug it in again or choose another one. The stream stays on air meanwhile.",
    });
    return;
  }
  ended.removeTrack(track);
  ended.addTrack(substitute);
  substitute.addEventListener("ended", () => void sourceEnded(ended, substitute));
  if (isOn()) await publisher.replaceTrack(substitute);
  showProblem(
    {
      title: `The ${noun} is gone`,
      advice: `“${substitute.label || `another ${noun}`}” has taken its place.`,
    },
    "",
    true,
  );
  showPreview(ended, true);
  await listDevices();
}

async function listDevices(): Promise<void> {
  const [video] = stream?.getVideoTracks() ?? [];
  const [audio] = stream?.getAudioTracks() ?? [];
  const recalled = recallChoice();
  const chosen = (track: MediaStreamTrack | undefined, picker: HTMLSelectElement): string =>
    (isTestPicture() ? undefined : track?.getSettings().deviceId) ?? picker.value;
  await fillPicker(cameras, "videoinput", chosen(video, cameras) || (recalled.camera ?? ""));
  await fillPicker(microphones, "audioinput", chosen(audio, microphones) || (recalled.microphone ?? ""));
}

async function start(): Promise<void> {
  const problem = whipUrlProblem(whip.value, location.protocol);
  if (problem !== null) {
    showProblem({ title: "Where should the stream go?", advice: problem });
    whip.focus();
    return;
  }
  if (stream === null || stream.getTracks().every((track) => track.readyState === "ended")) {
    await openSource();
  }
  if (stream === null) return;
  picture?.resume();
  // Kept in the fragment, so that a reload goes live on the same stream.
  history.replaceState(null, "", `#${whip.value.trim()}`);
  inlet.error = null;
  showProblem(null);
  publisher.start({
    endpoint: whip.value.trim(),
    stream,
    size: picture?.size ?? captureSize(stream),
  });
}

function failed(error: WhipError, retryInMs: number | null): void {
  const { status, reason, explanation, detail } = error;
  leftAt = null;
  inlet.error = { status, reason, title: explanation.title, detail };
  const again = retryInMs === null ? "" : `Next attempt in ${Math.ceil(retryInMs / 1000)} s.`;
  const code = reason === null ? "" : `Code ${reason}.`;
  showProblem(explanation, [again, code, detail].filter((part) => part !== "").join(" "), retryInMs !== null);
}

/** Back from the browser's cache. The publisher goes on by itself if it has something to send. */
function returned(awayMs: number): void {
  picture?.resume();
  const isSource = stream?.getTracks().some(({ readyState }) => readyState === "live") === true;
  showProblem(
    {
      title: "You were off air",
      advice: isSource
        ? `Leaving this page ended the stream ${Math.ceil(awayMs / 1000)} s before you came back. It goes on by itself.`
        : "The stream and the camera ended when you left this page. Go live again to begin anew.",
    },
    "",
    isSource,
  );
  if (!isSource) leftAt = null;
}

async function readStats(): Promise<void> {
  const { connection } = publisher;
  if (connection === null) {
    baseline = null;
    inlet.stats = null;
  } else {
    const lines: StatsLine[] = [];
    (await connection.getStats()).forEach((line) => lines.push(line as StatsLine));
    const read = senderStats(lines, baseline);
    baseline = read.baseline;
    inlet.stats = read.stats;
  }
  showStats(inlet.stats);
  showQuality();
  if (liveSince !== null) showClock((performance.now() - liveSince) / 1000);
}

/** What the browser sees and what the server told, together. */
function showQuality(): void {
  const isLive = publisher.state === "live";
  const source = picture?.size ?? (stream === null ? null : captureSize(stream));
  const seen = isLive && inlet.stats !== null ? quality.judge(inlet.stats, source) : [];
  inlet.warnings = isLive ? [...seen.map(({ message }) => message), ...serverWarnings.values()] : [];
  showWarnings(inlet.warnings);
  const path = inlet.server?.path ?? null;
  showPath(path === null ? (inlet.stats?.path?.toUpperCase() ?? null) : describePath(path));
}

async function keepAwake(isLive: boolean): Promise<void> {
  if (!isLive) {
    await wakeLock?.release();
    wakeLock = null;
  } else if (wakeLock === null && "wakeLock" in navigator) {
    // Refused on low battery; the presenter's own settings decide then.
    wakeLock = await navigator.wakeLock.request("screen").catch(() => null);
  }
}

// Registered before the publisher listens, so that its state is that of before.
addEventListener("pagehide", () => (leftAt = isOn() ? Date.now() : null));
addEventListener("pageshow", ({ persisted }) => {
  if (persisted && leftAt !== null) returned(Date.now() - leftAt);
});
publisher.on("state", (state) => {
  inlet.state = state;
  showState(state);
  if (state === "live") {
    inlet.sessions++;
    liveSince ??= performance.now();
    // That the viewers saw nothing for a while is to be read afterwards, too.
    if (leftAt === null) showProblem(null);
    leftAt = null;
  }
  if (state === "idle") showSession(null);
  if (state === "idle" || state === "failed") {
    inlet.server = null;
    liveSince = null;
    showConnection("new");
  }
  void keepAwake(state === "live");
});
publisher.on("connection", (state) => {
  inlet.connection = state;
  showConnection(state);
});
publisher.on("session", (news) => {
  if (news.session !== inlet.server?.session) {
    serverWarnings.clear();
    quality = new QualityWatch();
  }
  inlet.server = news;
  showSession(news.session);
});
publisher.on("warning", ({ kind, message, over }) => {
  if (over) serverWarnings.delete(kind);
  else serverWarnings.set(kind, message);
});
publisher.on("rung", () => showConnection("connecting"));
publisher.on("error", ({ error, retryInMs }) => failed(error, retryInMs));

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (isOn()) void publisher.stop();
  else void start();
});
form.addEventListener("change", (event) => {
  if (event.target === whip) {
    if (whipUrlProblem(whip.value, location.protocol) === null) publisher.prepare(whip.value.trim());
    return;
  }
  rememberChoice(choice());
  void openSource();
});
element("whip-show").addEventListener("click", (event) => {
  const isShown = whip.type === "text";
  whip.type = isShown ? "password" : "text";
  const button = event.currentTarget as HTMLButtonElement;
  button.textContent = isShown ? "Show" : "Hide";
  button.ariaPressed = String(!isShown);
});
element("session-copy").addEventListener("click", () => {
  void navigator.clipboard?.writeText(inlet.server?.session ?? element("session-id").textContent ?? "");
});
navigator.mediaDevices?.addEventListener("devicechange", () => void listDevices());
addEventListener("hashchange", () => {
  if (!isOn()) whip.value = parseGoLiveUrl(new URL(location.href)).whip;
});
addEventListener("beforeunload", (event) => {
  if (publisher.state === "live" && !isTestPicture()) event.preventDefault();
});
setInterval(() => void readStats(), STATS_EVERY_MS);

async function begin(): Promise<void> {
  const recalled = recallChoice();
  const size = request.resolution;
  const resolution = size === null ? recalled.resolution : `${size.width}x${size.height}`;
  if (resolution !== undefined && parseSize(resolution) !== null) {
    const isListed = [...resolutions.options].some((option) => option.value === resolution);
    if (!isListed) resolutions.add(new Option(resolution.replace("x", "×"), resolution));
    resolutions.value = resolution;
  }
  whip.value = request.whip;
  if (whipUrlProblem(whip.value, location.protocol) === null) publisher.prepare(whip.value);
  const radio = form.querySelector<HTMLInputElement>(`input[name=source][value=${request.source}]`);
  if (radio !== null) radio.checked = true;
  await listDevices();
  await openSource();
  if (request.autostart) await start();
}

void begin();
