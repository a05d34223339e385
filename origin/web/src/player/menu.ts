// A small menu of alternatives behind a button, with the keyboard as ARIA asks for.

/** One alternative. */
export interface MenuItem<T> {
  value: T;
  label: string;
}

/** A button that opens a list of radio items above itself. */
export class Menu<T> {
  #items: HTMLButtonElement[] = [];

  constructor(
    private readonly button: HTMLButtonElement,
    private readonly list: HTMLElement,
    private readonly choose: (value: T) => void,
  ) {
    button.ariaHasPopup = "menu";
    button.ariaExpanded = "false";
    list.role = "menu";
    list.hidden = true;
    button.addEventListener("click", () => this.#toggle(!this.isOpen));
    list.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", (event) => {
      const { target } = event;
      const isInside = target instanceof Node && (list.contains(target) || button.contains(target));
      if (!isInside) this.#toggle(false);
    });
  }

  get isOpen(): boolean {
    return !this.list.hidden;
  }

  /** Shows these alternatives, with `chosen` marked. */
  fill(items: readonly MenuItem<T>[], chosen: T): void {
    this.#items = items.map(({ value, label }) => {
      const item = document.createElement("button");
      item.type = "button";
      item.role = "menuitemradio";
      item.ariaChecked = String(value === chosen);
      item.textContent = label;
      item.addEventListener("click", () => {
        this.#toggle(false);
        this.button.focus();
        this.choose(value);
      });
      return item;
    });
    this.list.replaceChildren(...this.#items);
    this.button.disabled = items.length === 0;
  }

  #toggle(isOpen: boolean): void {
    if (isOpen === this.isOpen) return;
    this.list.hidden = !isOpen;
    this.button.ariaExpanded = String(isOpen);
    if (isOpen) (this.#items.find((item) => item.ariaChecked === "true") ?? this.#items[0])?.focus();
  }

  #key(event: KeyboardEvent): void {
    const at = this.#items.indexOf(document.activeElement as HTMLButtonElement);
    const last = this.#items.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
    if (to !== undefined) {
      this.#items[(to + this.#items.length) % this.#items.length]?.focus();
      event.preventDefault();
    } else if (event.key === "Escape") {
      this.#toggle(false);
      this.button.focus();
    }
    event.stopPropagation();
  }
}
