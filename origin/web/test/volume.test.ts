import { describe, expect, it } from "vitest";
import { recallVolume, rememberVolume, steppedVolume } from "../src/player/volume";

function storage(kept: Record<string, string> = {}): Storage {
  return {
    getItem: (key: string) => kept[key] ?? null,
    setItem: (key: string, value: string) => void (kept[key] = value),
  } as unknown as Storage;
}

describe("volume", () => {
  it("is as it was left", () => {
    const store = storage();
    expect(recallVolume(() => store)).toEqual({ volume: 1, isMuted: false });
    rememberVolume({ volume: 0.35, isMuted: true }, () => store);
    expect(recallVolume(() => store)).toEqual({ volume: 0.35, isMuted: true });
  });

  it("is full where nothing sensible was kept", () => {
    for (const junk of ["", "7", "null", "[]", '{"volume":"x"}', '{"volume":-1}', '{"volume":2,"isMuted":"yes"}']) {
      expect(recallVolume(() => storage({ "inlet.volume": junk }))).toEqual({ volume: 1, isMuted: false });
    }
  });

  it("does without a storage, as frames may have to", () => {
    const refused = (): Storage => {
      throw new DOMException("no storage here", "SecurityError");
    };
    expect(recallVolume(refused)).toEqual({ volume: 1, isMuted: false });
    expect(() => rememberVolume({ volume: 0.5, isMuted: false }, refused)).not.toThrow();
  });

  it("goes by whole steps and stays within its bounds", () => {
    expect(steppedVolume(0.5, 1)).toBe(0.55);
    expect(steppedVolume(0.1, -3)).toBe(0);
    expect(steppedVolume(0.98, 1)).toBe(1);
    let volume = 0;
    for (let i = 0; i < 20; i++) volume = steppedVolume(volume, 1);
    expect(volume).toBe(1);
  });
});
