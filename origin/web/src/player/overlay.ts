// The panel of numbers: what the latency consists of, and how playback goes.

import { lines, seconds, STEPS } from "./numbers";
import type { InletPlayer } from "./state";

/** Fills the panel while it is open. */
export class Overlay {
  readonly #bars: HTMLElement[] = [];
  readonly #values: HTMLElement[] = [];
  readonly #total: HTMLElement;
  readonly #more: HTMLElement;

  constructor(private readonly panel: HTMLElement) {
    const bar = make("div", "steps");
    bar.ariaHidden = "true";
    const legend = make("dl", "legend");
    for (const { step, name, title } of STEPS) {
      const part = make("span", step);
      bar.append(part);
      this.#bars.push(part);
      this.#values.push(row(legend, name, title, step));
    }
    this.#total = row(legend, "Capture to screen", "All of it", "total");
    this.#more = make("dl", "more");
    this.panel.append(bar, legend, this.#more);
  }

  get isOpen(): boolean {
    return !this.panel.hidden;
  }

  show(isOpen: boolean): void {
    this.panel.hidden = !isOpen;
  }

  /** Shows the numbers as they are now. */
  update(state: InletPlayer, chosenLevel: number): void {
    if (!this.isOpen) return;
    STEPS.forEach(({ step }, index) => {
      const value = state.breakdown?.[step] ?? null;
      // By script and not in the markup, which the page's policy forbids. In milliseconds,
      // since shares that add up to less than 1 would leave room.
      this.#bars[index]?.style.setProperty("flex-grow", String(Math.round(1000 * (value ?? 0))));
      setText(this.#values[index], seconds(value));
    });
    setText(this.#total, seconds(state.breakdown?.total));
    const now = lines(state, chosenLevel);
    if (this.#more.childElementCount !== now.length) {
      this.#more.replaceChildren();
      for (const { name } of now) row(this.#more, name);
    }
    now.forEach(({ text }, index) => setText(this.#more.children[index]?.lastElementChild, text));
  }
}

/** A name and its value; returns the value. */
function row(list: HTMLElement, name: string, title = "", className = ""): HTMLElement {
  const line = make("div", className);
  line.title = title;
  const term = make("dt");
  term.textContent = name;
  const value = make("dd");
  line.append(term, value);
  list.append(line);
  return value;
}

function make(tag: string, className = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

function setText(target: Element | null | undefined, text: string): void {
  if (target !== null && target !== undefined && target.textContent !== text) target.textContent = text;
}
