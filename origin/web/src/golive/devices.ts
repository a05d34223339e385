// Cameras and microphones: opening them, listing them, remembering the choice.

import type { Size } from "../urls";

/** What the presenter chose the last time. Never holds the WHIP address. */
export interface Choice {
  camera: string;
  microphone: string;
  resolution: string;
}

/** Device id that stands for "none". */
export const NO_DEVICE = "none";

const STORAGE_KEY = "inlet.go-live";
const FPS = 30;

/** Opens camera and microphone. Throws what `getUserMedia` throws. */
export async function openCapture(choice: Choice, size: Size): Promise<MediaStream> {
  if (navigator.mediaDevices === undefined) {
    throw new DOMException("the page is not secure", "InsecureContextError");
  }
  const video: MediaTrackConstraints | false =
    choice.camera === NO_DEVICE
      ? false
      : {
          ...device(choice.camera),
          width: { ideal: size.width },
          height: { ideal: size.height },
          frameRate: { ideal: FPS },
        };
  const audio: MediaTrackConstraints | boolean =
    choice.microphone === NO_DEVICE ? false : device(choice.microphone);
  if (video === false && audio === false) {
    throw new DOMException("nothing chosen", "NotFoundError");
  }
  const stream = await open(video, audio);
  for (const track of stream.getVideoTracks()) track.contentHint = "motion";
  return stream;
}

/** Opens another device of a kind than the one that is gone; `null` when there is none. */
export async function openSubstitute(
  kind: string,
  lost: string,
  size: Size,
): Promise<MediaStreamTrack | null> {
  const wanted = kind === "video" ? "videoinput" : "audioinput";
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const others = all.filter((entry) => entry.kind === wanted && entry.deviceId !== lost);
  for (const { deviceId } of others) {
    const exact = { deviceId: { exact: deviceId } };
    const video = { ...exact, width: { ideal: size.width }, height: { ideal: size.height } };
    try {
      const opened = await navigator.mediaDevices.getUserMedia(
        kind === "video" ? { video } : { audio: exact },
      );
      const [track] = opened.getTracks();
      if (track === undefined) continue;
      if (kind === "video") track.contentHint = "motion";
      return track;
    } catch {
      // It is in use, or gone too: the next one may do.
    }
  }
  return null;
}

/** Size of the picture as it is sent; `null` without a picture. */
export function captureSize(stream: MediaStream): Size | null {
  const { width, height } = stream.getVideoTracks()[0]?.getSettings() ?? {};
  return width === undefined || height === undefined ? null : { width, height };
}

/** Fills a picker with what there is; labels are known only after permission was given. */
export async function fillPicker(
  picker: HTMLSelectElement,
  kind: "videoinput" | "audioinput",
  chosen: string,
): Promise<void> {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const devices = all.filter((entry) => entry.kind === kind && entry.deviceId !== "");
  const noun = kind === "videoinput" ? "camera" : "microphone";
  const options = devices.map(
    (entry, index) => new Option(entry.label || `${noun} ${index + 1}`, entry.deviceId),
  );
  if (options.length === 0) options.push(new Option(`Default ${noun}`, ""));
  options.push(new Option(`No ${noun}`, NO_DEVICE));
  picker.replaceChildren(...options);
  const isThere = options.some((option) => option.value === chosen);
  picker.value = isThere ? chosen : (options[0]?.value ?? "");
}

/** The choice of the last visit. */
export function recallChoice(): Partial<Choice> {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "{}");
    return typeof stored === "object" && stored !== null ? stored : {};
  } catch {
    // Storage may be forbidden, in a private window for example.
    return {};
  }
}

export function rememberChoice(choice: Choice): void {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(choice));
  } catch {
    // As above: then it is not remembered.
  }
}

/** A remembered device may be gone: it is a wish, and any other is better than none. */
function device(id: string): MediaTrackConstraints {
  return id === "" ? {} : { deviceId: { ideal: id } };
}

async function open(
  video: MediaTrackConstraints | false,
  audio: MediaTrackConstraints | boolean,
): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio });
  } catch (error) {
    // One of the two is missing: a presenter without a microphone still goes on air.
    const isMissing = error instanceof DOMException && error.name === "NotFoundError";
    if (!isMissing || video === false || audio === false) throw error;
    return navigator.mediaDevices
      .getUserMedia({ video })
      .catch(() => navigator.mediaDevices.getUserMedia({ audio }));
  }
}
