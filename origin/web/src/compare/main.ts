// One stream by several protocols, side by side, each with its numbers beneath.

import { PROTOCOL_NAMES } from "../player/numbers";
import { Overlay } from "../player/overlay";
import { QUESTION, type Answer } from "../player/report";
import type { InletPlayer } from "../player/state";
import type { Protocol } from "../urls";
import { canStandApart, frameUrl, isCrowded, parseCompareUrl, type CompareRequest } from "./frames";

const ASK_EVERY_MS = 500;
/** A player that says nothing for so long has not come: its name leads nowhere here. */
const PATIENCE_MS = 8_000;

/** A frame with a player, and what it says beneath. */
class Compared {
  readonly figure = document.createElement("figure");
  state: InletPlayer | null = null;
  readonly #frame = document.createElement("iframe");
  readonly #latency = document.createElement("strong");
  readonly #numbers: Overlay;

  constructor(
    readonly protocol: Protocol,
    private readonly address: (isApart: boolean) => string,
    private isApart: boolean,
  ) {
    const name = PROTOCOL_NAMES[protocol];
    this.#frame.title = `Player of ${name}`;
    this.#frame.allow = "autoplay; fullscreen";
    this.#frame.src = address(isApart);
    const caption = document.createElement("figcaption");
    const link = document.createElement("a");
    link.href = address(false);
    link.textContent = name;
    this.#latency.textContent = "–";
    const panel = document.createElement("section");
    panel.className = "numbers";
    panel.ariaLabel = `Latency and playback of ${name}`;
    this.#numbers = new Overlay(panel);
    caption.append(link, this.#latency);
    this.figure.append(this.#frame, caption, panel);
  }

  ask(): void {
    // The answer says nothing of the viewer, so whoever is there may be asked.
    this.#frame.contentWindow?.postMessage(QUESTION, "*");
  }

  isFrom(source: MessageEventSource | null): boolean {
    return source !== null && source === this.#frame.contentWindow;
  }

  show(state: InletPlayer): void {
    this.state = state;
    const total = state.breakdown?.total ?? null;
    this.#latency.textContent = total === null ? "–" : `${total.toFixed(2)} s`;
    this.figure.dataset["state"] = state.state;
    this.#numbers.update(state, -1);
  }

  /** Loads the player by the page's own name when its own name leads nowhere. */
  giveUpName(): boolean {
    if (this.state !== null || !this.isApart) return false;
    this.isApart = false;
    this.#frame.src = this.address(false);
    return true;
  }
}

function start({ stream, protocols }: CompareRequest): void {
  const page = new URL(location.href);
  const isApart = canStandApart(page);
  const players = protocols.map(
    (protocol) => new Compared(protocol, (apart) => frameUrl(page, stream, protocol, apart), isApart),
  );
  document.getElementById("players")?.append(...players.map(({ figure }) => figure));
  setTitle(`Stream ${stream}, side by side`);
  warn(isCrowded(transport(), isApart, players.length));

  addEventListener("message", ({ source, data }: MessageEvent<Answer | null>) => {
    const player = players.find((each) => each.isFrom(source));
    if (player !== undefined && typeof data?.inlet === "object") player.show(data.inlet);
  });
  setInterval(() => {
    for (const player of players) player.ask();
  }, ASK_EVERY_MS);
  setTimeout(() => {
    const moved = players.filter((player) => player.giveUpName()).length;
    if (moved > 0) warn(isCrowded(transport(), false, moved));
  }, PATIENCE_MS);
  Object.assign(window, { inlet: { page: "compare", players } });
}

/** How this page came, and so how its players' media will. */
function transport(): string {
  const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return entry?.nextHopProtocol ?? "";
}

function warn(isCrowdedNow: boolean): void {
  const warning = document.getElementById("crowded");
  if (warning !== null) warning.hidden = !isCrowdedNow;
}

function setTitle(text: string): void {
  const title = document.getElementById("title");
  if (title !== null) title.textContent = text;
}

const request = parseCompareUrl(new URL(location.href));
if (request === null) setTitle("This address is not a stream");
else start(request);
