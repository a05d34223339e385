// The player's controls and overlays. Shows the state, passes wishes on, decides nothing.

import type { Explanation } from "../reasons";
import type { Protocol } from "../urls";
import { Menu } from "./menu";
import type { InletPlayer, Level, PlayerState } from "./state";

/** What the viewer may wish for. */
export interface Wishes {
  play(): void;
  pause(): void;
  goLive(): void;
  chooseLevel(index: number): void;
  chooseProtocol(protocol: Protocol): void;
}

const PROTOCOLS: Record<Protocol, string> = {
  hls: "LL-HLS",
  dash: "LL-DASH",
  native: "HLS (browser)",
};
/** Controls fade this long after the last sign of the viewer. */
const IDLE_MS = 2_600;
/** Further behind than this the badge is grey and offers to jump. */
const LIVE_SECONDS = 5;

function element<T extends Element>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as unknown as T;
}

/** Binds the document's controls to one video element. */
export class Controls {
  readonly #root = element<HTMLElement>("player");
  readonly #play = element<HTMLButtonElement>("play");
  readonly #mute = element<HTMLButtonElement>("mute");
  readonly #unmute = element<HTMLButtonElement>("unmute");
  readonly #volume = element<HTMLInputElement>("volume");
  readonly #live = element<HTMLButtonElement>("live");
  readonly #latency = element<HTMLElement>("latency");
  readonly #full = element<HTMLButtonElement>("full");
  readonly #quality: Menu<number>;
  readonly #protocol: Menu<Protocol>;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly wishes: Wishes,
  ) {
    this.#quality = new Menu(element("quality"), element("quality-menu"), (index) => wishes.chooseLevel(index));
    this.#protocol = new Menu(element("protocol"), element("protocol-menu"), (next) => wishes.chooseProtocol(next));
    this.#play.addEventListener("click", () => this.#togglePlay());
    this.#mute.addEventListener("click", () => this.#toggleMute());
    this.#unmute.addEventListener("click", () => this.#toggleMute());
    this.#live.addEventListener("click", () => wishes.goLive());
    this.#full.addEventListener("click", () => this.#toggleFull());
    this.#volume.addEventListener("input", () => {
      video.volume = Number(this.#volume.value);
      video.muted = video.volume === 0;
    });
    video.addEventListener("click", () => this.#togglePlay());
    video.addEventListener("dblclick", () => this.#toggleFull());
    for (const name of ["volumechange", "play", "pause"]) {
      video.addEventListener(name, () => this.#showMedia());
    }
    document.addEventListener("fullscreenchange", () => this.#showMedia());
    document.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["pointermove", "pointerdown", "focusin", "keydown"]) {
      this.#root.addEventListener(name, () => this.#stir());
    }
    this.#full.hidden = !document.fullscreenEnabled && !("webkitEnterFullscreen" in video);
    this.#showMedia();
    this.#stir();
  }

  showState(state: PlayerState, why: Explanation | null): void {
    if (this.#root.dataset["state"] !== state) {
      this.#root.dataset["state"] = state;
      this.#stir();
    }
    setText("veil-title", state === "waiting" ? (why?.title ?? "Connecting") : "");
    setText("veil-advice", state === "waiting" ? (why?.advice ?? "") : "");
  }

  /** Shows a page that cannot play anything. */
  showDeadEnd(why: Explanation): void {
    this.showState("waiting", why);
    this.#root.dataset["state"] = "dead";
  }

  /** Offers the sound when the browser let us start only without it. */
  offerSound(isOffered: boolean): void {
    this.#unmute.hidden = !isOffered;
  }

  showNumbers({ latency, currentLevel, levels, state }: InletPlayer): void {
    const isLive = latency !== null && latency < LIVE_SECONDS && state === "playing";
    this.#live.dataset["live"] = String(isLive);
    this.#live.title = isLive ? "Live" : "Jump to the live moment";
    const text = latency === null ? "" : `${latency.toFixed(1)} s`;
    if (this.#latency.textContent !== text) this.#latency.textContent = text;
    const level = levels[currentLevel];
    setText("quality-label", level === undefined ? "Auto" : levelName(level));
  }

  showLevels(levels: readonly Level[], chosen: number): void {
    const items = levels
      .map((level, value) => ({ value, label: `${levelName(level)}${bitrateName(level)}`, height: level.height }))
      .toSorted((a, b) => b.height - a.height);
    this.#quality.fill([{ value: -1, label: "Auto" }, ...items], chosen);
  }

  showProtocols(available: readonly Protocol[], chosen: Protocol): void {
    this.#protocol.fill(
      available.map((value) => ({ value, label: PROTOCOLS[value] })),
      chosen,
    );
    setText("protocol-label", PROTOCOLS[chosen]);
  }

  #togglePlay(): void {
    if (this.video.paused) this.wishes.play();
    else this.wishes.pause();
  }

  #toggleMute(): void {
    this.video.muted = !this.video.muted;
    if (!this.video.muted && this.video.volume === 0) this.video.volume = 1;
    this.offerSound(false);
  }

  #toggleFull(): void {
    if (document.fullscreenElement !== null) void document.exitFullscreen();
    else if (document.fullscreenEnabled) void this.#root.requestFullscreen();
    // Phones give the whole screen to the video element only.
    else (this.video as { webkitEnterFullscreen?: () => void }).webkitEnterFullscreen?.();
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isOnControl = event.target instanceof HTMLButtonElement || event.target instanceof HTMLInputElement;
    if (event.key === " " && isOnControl) return;
    const actions: Record<string, () => void> = {
      " ": () => this.#togglePlay(),
      k: () => this.#togglePlay(),
      m: () => this.#toggleMute(),
      f: () => this.#toggleFull(),
      l: () => this.wishes.goLive(),
    };
    const action = actions[event.key.toLowerCase()];
    if (action === undefined) return;
    action();
    event.preventDefault();
  }

  #showMedia(): void {
    const { paused, muted, volume } = this.video;
    this.#root.dataset["paused"] = String(paused);
    this.#root.dataset["muted"] = String(muted || volume === 0);
    this.#root.dataset["full"] = String(document.fullscreenElement !== null);
    this.#play.ariaLabel = paused ? "Play" : "Pause";
    this.#mute.ariaLabel = muted ? "Unmute" : "Mute";
    this.#full.ariaLabel = document.fullscreenElement === null ? "Full screen" : "Leave full screen";
    this.#volume.value = String(muted ? 0 : volume);
    if (!muted) this.offerSound(false);
  }

  #stir(): void {
    delete this.#root.dataset["idle"];
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const isBusy = this.video.paused || this.#quality.isOpen || this.#protocol.isOpen;
      if (isBusy || this.#root.dataset["state"] !== "playing") this.#stir();
      else this.#root.dataset["idle"] = "true";
    }, IDLE_MS);
  }
}

function levelName({ width, height }: Level): string {
  // The short side names a rung, also when the picture stands upright.
  return width > 0 && height > 0 ? `${Math.min(width, height)}p` : "Auto";
}

function bitrateName({ bitrate }: Level): string {
  return bitrate > 0 ? ` · ${(bitrate / 1e6).toFixed(1)} Mbps` : "";
}

function setText(id: string, text: string): void {
  const target = element<HTMLElement>(id);
  // Unchanged text is left alone: a screen reader would read it again.
  if (target.textContent !== text) target.textContent = text;
}
