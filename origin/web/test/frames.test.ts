import { describe, expect, it } from "vitest";
import { canStandApart, COMPARED, frameUrl, isCrowded, parseCompareUrl } from "../src/compare/frames";

const AT = "/streams/1_7/compare";

describe("comparison", () => {
  it("shows all protocols, or those that the address names", () => {
    expect(parseCompareUrl(new URL(AT, "https://h"))).toEqual({ stream: "1_7", protocols: [...COMPARED] });
    expect(parseCompareUrl(new URL(`${AT}/?protocols=dash,HLS,dash,x`, "https://h"))?.protocols).toEqual(["dash", "hls"]);
    expect(parseCompareUrl(new URL(`${AT}?protocols=x`, "https://h"))?.protocols).toEqual([...COMPARED]);
    const token = `${"t".repeat(43)}/1800000000`;
    expect(parseCompareUrl(new URL(`${AT}?cmaf=${token}`, "https://h"))?.protocols).toEqual(["hls", "dash"]);
    for (const path of ["/streams/1_7", "/streams/x/compare", "/compare"]) {
      expect(parseCompareUrl(new URL(path, "https://h"))).toBeNull();
    }
  });

  it("asks each player for its protocol, without sound, and for what else it was asked", () => {
    const page = new URL(`${AT}?protocols=hls,dash&measure=1&muted=0`, "https://h");
    expect(frameUrl(page, "1_7", "dash", false)).toBe("https://h/streams/1_7?measure=1&muted=1&protocol=dash");
  });

  it("gives each player a name of its own on this machine without TLS", () => {
    const page = new URL(AT, "http://127.0.0.1:8080");
    expect(frameUrl(page, "1_7", "ts", canStandApart(page))).toBe(
      "http://ts.localhost:8080/streams/1_7?protocol=ts&muted=1",
    );
    const standsApart = (base: string): boolean => canStandApart(new URL(AT, base));
    expect(["http://localhost", "http://[::1]:80", "http://127.8.0.1"].map(standsApart)).toEqual([true, true, true]);
    expect(["https://localhost", "http://10.0.0.1", "http://127.example", "http://localhost.example"].map(standsApart)).toEqual(
      [false, false, false, false],
    );
  });

  it("warns where players share the six connections of HTTP/1.1", () => {
    expect(isCrowded("http/1.1", false, 3)).toBe(true);
    expect(isCrowded("http/1.1", false, 2)).toBe(false);
    expect(isCrowded("http/1.1", true, 3)).toBe(false);
    expect(isCrowded("h2", false, 3)).toBe(false);
    expect(isCrowded("", false, 3)).toBe(false);
  });
});
