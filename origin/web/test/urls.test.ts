import { describe, expect, it } from "vitest";
import {
  announcedEndpoint,
  isOpen,
  manifestPath,
  movedEndpoint,
  parseGoLiveUrl,
  parsePlayerUrl,
  parseSize,
  replacingEndpoint,
  sessionUrl,
  whipUrlProblem,
  withProtocol,
} from "../src/urls";

describe("player address", () => {
  it("names the stream and what to do with it", () => {
    expect(parsePlayerUrl(new URL("https://h/streams/1_42"))).toEqual({
      stream: "1_42",
      protocol: "hls",
      measure: false,
      beep: false,
      muted: null,
      autoplay: true,
      stats: false,
      tokens: { cmaf: null, mpegts: null },
    });
    const full = new URL("https://h/streams/1_42/?protocol=DASH&measure=1&muted&autoplay=0&stats=1");
    expect(parsePlayerUrl(full)).toEqual({
      stream: "1_42",
      protocol: "dash",
      measure: true,
      beep: false,
      muted: true,
      autoplay: false,
      stats: true,
      tokens: { cmaf: null, mpegts: null },
    });
    expect(parsePlayerUrl(new URL("https://h/streams/1_42?muted=0&protocol=ts"))).toMatchObject({ muted: false, protocol: "ts" });
    expect(parsePlayerUrl(new URL("https://h/streams/1_42?protocol=smooth"))?.protocol).toBe("hls");
  });

  it.each(["/streams/", "/streams/42", "/streams/1_2/x", "/streams/a_b", "/streams/1_2%2f..", "/"])(
    "%s names none",
    (path) => expect(parsePlayerUrl(new URL(path, "https://h"))).toBeNull(),
  );

  it("leads to the manifests", () => {
    expect(manifestPath("1_42", "hls")).toBe("/cmaf/1_42/master.m3u8");
    expect(manifestPath("1_42", "native")).toBe("/cmaf/1_42/master.m3u8");
    expect(manifestPath("1_42", "dash")).toBe("/cmaf/1_42/index.mpd");
    expect(manifestPath("1_42", "ts")).toBe("/mpegts/1_42/master_mpegts.m3u8");
  });

  it("passes playback tokens on, each to what it opens", () => {
    const token = "7r35M79zGNMGLBNbsA-ebBxaLy3GZUan32--u_K5Gj0/1800000060";
    const tokens = (query: string): { cmaf: string | null; mpegts: string | null } => {
      const request = parsePlayerUrl(new URL(`https://h/streams/1_42?${query}`));
      return request?.tokens ?? { cmaf: "no request", mpegts: null };
    };
    const one = tokens(`cmaf=${token}`);
    expect(one).toEqual({ cmaf: token, mpegts: null });
    expect(manifestPath("1_42", "dash", one)).toBe(`/cmaf/1_42/${token}/index.mpd`);
    expect([isOpen("hls", one), isOpen("ts", one)]).toEqual([true, false]);
    const other = tokens(`mpegts=${encodeURIComponent(token)}`);
    expect(manifestPath("1_42", "ts", other)).toBe(`/mpegts/1_42/${token}/master_mpegts.m3u8`);
    expect([isOpen("hls", other), isOpen("ts", other)]).toEqual([false, true]);
    expect([isOpen("hls", tokens("")), isOpen("ts", tokens(""))]).toEqual([true, true]);
    for (const junk of ["../../x/1", "abc/1", `${"x".repeat(43)}/../1`, `${token}/x`, "x".repeat(43)]) {
      expect(tokens(`cmaf=${encodeURIComponent(junk)}`).cmaf).toBeNull();
    }
  });

  it("changes the protocol and keeps the rest", () => {
    const url = new URL("https://h/streams/1_42?measure=1&protocol=dash");
    expect(withProtocol(url, "hls").href).toBe("https://h/streams/1_42?measure=1");
    expect(withProtocol(url, "native").searchParams.get("protocol")).toBe("native");
  });
});

describe("go-live address", () => {
  it("takes the WHIP address from the fragment, escaped or not", () => {
    const whip = "https://edge.example/7_tok/whip";
    expect(parseGoLiveUrl(new URL(`https://h/go-live#${whip}`)).whip).toBe(whip);
    expect(parseGoLiveUrl(new URL(`https://h/go-live#${encodeURIComponent(whip)}`)).whip).toBe(whip);
    expect(parseGoLiveUrl(new URL("https://h/go-live#%E0%A4%A")).whip).toBe("%E0%A4%A");
    expect(parseGoLiveUrl(new URL("https://h/go-live")).whip).toBe("");
  });

  it("starts by itself with the test picture only", () => {
    const auto = (query: string): boolean => parseGoLiveUrl(new URL(`https://h/go-live?${query}`)).autostart;
    expect(auto("source=test&autostart=1")).toBe(true);
    expect(auto("source=camera&autostart=1")).toBe(false);
    expect(auto("autostart=1")).toBe(false);
  });

  it("reads a resolution", () => {
    expect(parseSize("854x480")).toEqual({ width: 854, height: 480 });
    for (const text of [null, "", "854", "x", "99999x1", "8000x10", "1e3x720"]) expect(parseSize(text)).toBeNull();
  });
});

describe("WHIP address", () => {
  it.each(["", "  ", "not an address", "ftp://h/whip", "/1_t/whip"])("refuses %j in words", (text) => {
    expect(whipUrlProblem(text, "https:")).toMatch(/\.$/);
  });

  it("refuses plain HTTP on a secure page, but for this machine", () => {
    expect(whipUrlProblem("http://edge.example/1_t/whip", "https:")).not.toBeNull();
    expect(whipUrlProblem("http://127.0.0.1:8080/1_t/whip", "https:")).toBeNull();
    expect(whipUrlProblem("http://edge.example/1_t/whip", "http:")).toBeNull();
    expect(whipUrlProblem("https://edge.example/1_t/whip", "https:")).toBeNull();
  });

  it("announces the resolution and keeps other parameters", () => {
    expect(announcedEndpoint(" https://h/1_t/whip?a=b#x ", { width: 1280, height: 719.6 })).toBe(
      "https://h/1_t/whip?a=b&width=1280&height=720",
    );
    expect(announcedEndpoint("https://h/1_t/whip?width=1&height=2", { width: 640, height: 360 })).toBe(
      "https://h/1_t/whip?width=640&height=360",
    );
    expect(announcedEndpoint("https://h/1_t/whip", null)).toBe("https://h/1_t/whip");
  });

  it("names the session to replace, there or elsewhere", () => {
    const moved = movedEndpoint("https://a/1_t/whip?width=2&height=4", "https://b:8443");
    expect(moved).toBe("https://b:8443/1_t/whip?width=2&height=4");
    const replacing = replacingEndpoint(moved, "https://a/session/0f0e");
    expect(replacing).toBe("https://b:8443/1_t/whip?width=2&height=4&replace=0f0e");
    expect(replacingEndpoint(replacing, "https://b:8443/session/77")).toContain("height=4&replace=77");
  });

  it("finds the session where the answer came from", () => {
    expect(sessionUrl("/s/1", "https://pop.example/1_t/whip?width=1")).toBe("https://pop.example/s/1");
    expect(sessionUrl("https://other/s/1", "https://pop.example/")).toBe("https://other/s/1");
    expect(sessionUrl(null, "https://pop.example/")).toBeNull();
    expect(sessionUrl("http://[bad", "https://pop.example/")).toBeNull();
  });
});
