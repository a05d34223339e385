// The keyboard: one table, from which the help is made too.

/** What a key is for. */
export type Command = "play" | "mute" | "louder" | "quieter" | "full" | "live" | "stats" | "help" | "close" | "level";

interface Binding {
  command: Command;
  keys: readonly string[];
  /** As the help shows them. */
  names: readonly string[];
  what: string;
}

/** Every key, in the help's order. */
export const BINDINGS: readonly Binding[] = [
  { command: "play", keys: [" ", "k"], names: ["Space", "K"], what: "Play or pause" },
  { command: "live", keys: ["l"], names: ["L"], what: "Jump to the live moment" },
  { command: "mute", keys: ["m"], names: ["M"], what: "Sound off or on" },
  { command: "louder", keys: ["arrowup"], names: ["↑"], what: "Louder" },
  { command: "quieter", keys: ["arrowdown"], names: ["↓"], what: "Quieter" },
  { command: "full", keys: ["f"], names: ["F"], what: "Full screen" },
  { command: "level", keys: [..."0123456789"], names: ["0", "1–9"], what: "Quality: automatic, best to smallest" },
  { command: "stats", keys: ["i"], names: ["I"], what: "Latency and other numbers" },
  { command: "help", keys: ["?"], names: ["?"], what: "These keys" },
  { command: "close", keys: ["escape"], names: ["Esc"], what: "Close what is open" },
];

/** The part of a keyboard event that matters. */
export type Press = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">;

/** What the focus is on. Buttons and sliders have keys of their own. */
export type Focus = "button" | "slider" | "elsewhere";

/** What a press asks for, or `null` when it is not for the player. */
export function commandOf(press: Press, focus: Focus): Command | null {
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  const key = press.key.toLowerCase();
  if (key === " " && focus !== "elsewhere") return null;
  if (key.startsWith("arrow") && focus === "slider") return null;
  return BINDINGS.find(({ keys }) => keys.includes(key))?.command ?? null;
}

/** Index of the level that a number key names, best first; −1 is automatic, `null` none. */
export function levelOf(digit: string, heights: readonly number[]): number | null {
  const rank = Number(digit);
  if (rank === 0) return -1;
  const best = heights.map((height, index) => ({ height, index })).toSorted((a, b) => b.height - a.height);
  return best[rank - 1]?.index ?? null;
}
