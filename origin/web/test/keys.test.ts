import { describe, expect, it } from "vitest";
import { BINDINGS, commandOf, levelOf, type Focus } from "../src/player/keys";

const press = (key: string, more = {}): Parameters<typeof commandOf>[0] => ({
  key,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  ...more,
});

describe("keys", () => {
  it("do what the help says", () => {
    const command = (key: string, focus: Focus = "elsewhere"): string | null => commandOf(press(key), focus);
    expect([" ", "k", "K", "m", "f", "l", "i", "?", "Escape"].map((key) => command(key))).toEqual(
      ["play", "play", "play", "mute", "full", "live", "stats", "help", "close"],
    );
    expect(["ArrowUp", "ArrowDown", "0", "9"].map((key) => command(key))).toEqual(["louder", "quieter", "level", "level"]);
    expect(["x", "Tab", "Enter", "ArrowLeft", ""].map((key) => command(key))).toEqual([null, null, null, null, null]);
  });

  it("leave buttons, the slider and the browser their own", () => {
    expect(commandOf(press(" "), "button")).toBeNull();
    expect(commandOf(press("k"), "button")).toBe("play");
    expect(commandOf(press("ArrowUp"), "button")).toBe("louder");
    expect(commandOf(press("ArrowUp"), "slider")).toBeNull();
    for (const modifier of ["ctrlKey", "metaKey", "altKey"]) {
      expect(commandOf(press("f", { [modifier]: true }), "elsewhere")).toBeNull();
    }
  });

  it("have one meaning each, and all are told", () => {
    const keys = BINDINGS.flatMap((binding) => binding.keys);
    expect(new Set(keys).size).toBe(keys.length);
    for (const { names, what } of BINDINGS) expect(names.join("") + what).toMatch(/\S.*\S/);
  });

  it("choose a level by its rank", () => {
    const heights = [360, 1080, 720];
    expect(["0", "1", "2", "3", "4"].map((digit) => levelOf(digit, heights))).toEqual([-1, 1, 2, 0, null]);
  });
});
