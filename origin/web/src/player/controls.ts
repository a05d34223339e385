// The player's controls and overlays. Shows the state, passes wishes on, decides nothing.

import type { Explanation } from "../reasons";
import type { Protocol } from "../urls";
import { BINDINGS, commandOf, levelOf, type Command, type Focus } from "./keys";
import { Menu } from "./menu";
import { levelName, megabits, PROTOCOL_NAMES } from "./numbers";
import { Overlay } from "./overlay";
import type { InletPlayer, Level, PlayerState } from "./state";
import { rememberVolume, steppedVolume } from "./volume";

/** What the viewer may wish for. */
export interface Wishes {
  play(): void;
  pause(): void;
  goLive(): void;
  chooseLevel(index: number): void;
  chooseProtocol(protocol: Protocol): void;
}

/** Controls fade this long after the last sign of the viewer. */
const IDLE_MS = 2_600;
/** Further behind than this the badge is grey and offers to jump. */
const LIVE_SECONDS = 5;
/** How long the answer to a key stays. */
const TOAST_MS = 1_200;

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
  readonly #stats = element<HTMLButtonElement>("stats");
  readonly #help = element<HTMLElement>("help");
  readonly #toast = element<HTMLElement>("toast");
  readonly #overlay = new Overlay(element("numbers"));
  readonly #quality: Menu<number>;
  readonly #protocol: Menu<Protocol>;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #toasted: ReturnType<typeof setTimeout> | undefined;
  #levels: readonly Level[] = [];
  #chosenLevel = -1;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly wishes: Wishes,
  ) {
    this.#quality = new Menu(element("quality"), element("quality-menu"), (index) => wishes.chooseLevel(index));
    this.#protocol = new Menu(element("protocol"), element("protocol-menu"), (next) => wishes.chooseProtocol(next));
    for (const id of ["play", "start"]) {
      element<HTMLButtonElement>(id).addEventListener("click", () => this.#togglePlay());
    }
    this.#stats.addEventListener("click", () => this.showStats(!this.#overlay.isOpen));
    element<HTMLButtonElement>("keys").addEventListener("click", () => this.#showHelp(true));
    element<HTMLButtonElement>("help-close").addEventListener("click", () => this.#showHelp(false));
    this.#mute.addEventListener("click", () => this.#toggleMute());
    this.#unmute.addEventListener("click", () => this.#toggleMute());
    this.#live.addEventListener("click", () => wishes.goLive());
    this.#full.addEventListener("click", () => this.#toggleFull());
    this.#volume.addEventListener("input", () => this.#setVolume(Number(this.#volume.value)));
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
    element("keys-list").append(...BINDINGS.map(helpLine));
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

  /** Shows a large button to start with, unless playback is about to start by itself. */
  showIntent(isWanted: boolean): void {
    this.#root.dataset["wanted"] = String(isWanted);
  }

  /** Offers the sound when the browser let us start only without it. */
  offerSound(isOffered: boolean): void {
    this.#unmute.hidden = !isOffered;
  }

  /** Opens or closes the panel of numbers. */
  showStats(isOpen: boolean): void {
    this.#overlay.show(isOpen);
    this.#stats.ariaExpanded = String(isOpen);
  }

  showNumbers(player: InletPlayer): void {
    const { latency, currentLevel, levels, state, startupMs } = player;
    this.#overlay.update(player, this.#chosenLevel);
    // What shows before the first frame goes for good: later on the last frame stays.
    if (startupMs !== null) this.#root.dataset["begun"] = "true";
    const isLive = latency !== null && latency < LIVE_SECONDS && state === "playing";
    this.#live.dataset["live"] = String(isLive);
    this.#live.title = isLive ? "Live" : "Jump to the live moment";
    const text = latency === null ? "" : `${latency.toFixed(1)} s`;
    if (this.#latency.textContent !== text) this.#latency.textContent = text;
    const level = levels[currentLevel];
    setText("quality-label", level === undefined ? "Auto" : levelName(level));
  }

  showLevels(levels: readonly Level[], chosen: number): void {
    this.#levels = levels;
    this.#chosenLevel = chosen;
    const items = levels
      .map((level, value) => ({ value, label: label(level), height: level.height }))
      .toSorted((a, b) => b.height - a.height);
    this.#quality.fill([{ value: -1, label: "Auto" }, ...items], chosen);
  }

  showProtocols(available: readonly Protocol[], chosen: Protocol): void {
    this.#protocol.fill(
      available.map((value) => ({ value, label: PROTOCOL_NAMES[value] })),
      chosen,
    );
    setText("protocol-label", PROTOCOL_NAMES[chosen]);
  }

  #togglePlay(): void {
    if (this.video.paused) this.wishes.play();
    else this.wishes.pause();
  }

  #toggleMute(): void {
    this.video.muted = !this.video.muted;
    if (!this.video.muted && this.video.volume === 0) this.video.volume = 1;
    this.#rememberVolume();
  }

  #setVolume(volume: number): void {
    this.video.volume = volume;
    this.video.muted = volume === 0;
    this.#rememberVolume();
  }

  #stepVolume(steps: number): void {
    const { muted, volume } = this.video;
    // Quieter than silent there is nothing; louder begins where it was left.
    if (!muted || steps > 0) this.#setVolume(steppedVolume(volume, steps));
    this.#say(this.video.muted ? "Sound off" : `Volume ${Math.round(100 * this.video.volume)} %`);
  }

  #rememberVolume(): void {
    const { volume, muted } = this.video;
    rememberVolume({ volume, isMuted: muted });
    this.offerSound(false);
  }

  #toggleFull(): void {
    if (document.fullscreenElement !== null) void document.exitFullscreen();
    else if (document.fullscreenEnabled) void this.#root.requestFullscreen();
    // Phones give the whole screen to the video element only.
    else (this.video as { webkitEnterFullscreen?: () => void }).webkitEnterFullscreen?.();
  }

  #key(event: KeyboardEvent): void {
    const command = commandOf(event, focusOf(event.target));
    if (command === null) return;
    this.#obey(command, event.key);
    event.preventDefault();
  }

  #obey(command: Command, key: string): void {
    switch (command) {
      case "play":
        return this.#togglePlay();
      case "mute":
        this.#toggleMute();
        return this.#say(this.video.muted ? "Sound off" : "Sound on");
      case "louder":
        return this.#stepVolume(1);
      case "quieter":
        return this.#stepVolume(-1);
      case "full":
        return this.#toggleFull();
      case "live":
        return this.wishes.goLive();
      case "level":
        return this.#chooseLevel(levelOf(key, this.#levels.map(({ height }) => height)));
      case "stats":
        return this.showStats(!this.#overlay.isOpen);
      case "help":
        return this.#showHelp(this.#help.hidden === true);
      case "close":
        this.#showHelp(false);
        return this.showStats(false);
    }
  }

  #chooseLevel(index: number | null): void {
    const level = index === null ? undefined : this.#levels[index];
    if (index === null || this.#levels.length === 0) return;
    this.wishes.chooseLevel(index);
    this.#say(`Quality: ${level === undefined ? "automatic" : levelName(level)}`);
  }

  #showHelp(isOpen: boolean): void {
    if (isOpen !== (this.#help.hidden === true)) return;
    const hadFocus = this.#help.contains(document.activeElement);
    this.#help.hidden = !isOpen;
    if (isOpen) element<HTMLButtonElement>("help-close").focus();
    else if (hadFocus) this.#play.focus();
  }

  /** Answers a key, where nothing else shows what it did. */
  #say(text: string): void {
    this.#toast.textContent = text;
    this.#toast.dataset["shown"] = "true";
    clearTimeout(this.#toasted);
    this.#toasted = setTimeout(() => delete this.#toast.dataset["shown"], TOAST_MS);
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
      const isBusy =
        this.video.paused ||
        this.#quality.isOpen ||
        this.#protocol.isOpen ||
        // Who goes by keyboard must see where the focus is.
        this.#root.querySelector(".bar :focus-visible") !== null;
      if (isBusy || this.#root.dataset["state"] !== "playing") this.#stir();
      else this.#root.dataset["idle"] = "true";
    }, IDLE_MS);
  }
}

function label(level: Level): string {
  return level.bitrate > 0 ? `${levelName(level)} · ${megabits(level.bitrate)}` : levelName(level);
}

function focusOf(target: EventTarget | null): Focus {
  if (target instanceof HTMLInputElement) return "slider";
  return target instanceof HTMLButtonElement ? "button" : "elsewhere";
}

function helpLine({ names, what }: (typeof BINDINGS)[number]): HTMLElement {
  const line = document.createElement("div");
  const keys = document.createElement("dt");
  keys.append(
    ...names.map((name) => {
      const key = document.createElement("kbd");
      key.textContent = name;
      return key;
    }),
  );
  const meaning = document.createElement("dd");
  meaning.textContent = what;
  line.append(keys, meaning);
  return line;
}

function setText(id: string, text: string): void {
  const target = element<HTMLElement>(id);
  // Unchanged text is left alone: a screen reader would read it again.
  if (target.textContent !== text) target.textContent = text;
}
