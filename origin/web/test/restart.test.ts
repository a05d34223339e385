import { describe, expect, it } from "vitest";
import { nextRung, restartedAnswer, restartFragment, withoutUdp } from "../src/sdp";
import { dispatch, type Listener } from "../src/session_events";
import { patchRestart } from "../src/whip_http";

const ANSWER = [
  "v=0",
  "a=ice-lite",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:0",
  "a=ice-ufrag:old",
  "a=ice-pwd:oldpwd",
  "a=candidate:1 1 udp 10 192.0.2.1 40000 typ host",
  "a=candidate:2 1 tcp 9 192.0.2.1 40000 typ host tcptype passive",
  "a=end-of-candidates",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=mid:1",
  "a=ice-ufrag:old",
  "a=ice-pwd:oldpwd",
  "",
].join("\r\n");

describe("ICE restart", () => {
  it("sends the new credentials of the first section", () => {
    const offer = "v=0\r\na=group:BUNDLE 0 1\r\nm=audio 9 X 1\r\na=mid:0\r\na=ice-ufrag:u1\r\na=ice-pwd:p1\r\nm=video 9 X 2\r\na=ice-ufrag:u1\r\n";
    expect(restartFragment(offer)).toBe(
      "a=group:BUNDLE 0 1\r\nm=audio 9 X 1\r\na=mid:0\r\na=ice-ufrag:u1\r\na=ice-pwd:p1\r\n",
    );
  });

  it("puts the server's into the former answer, once for the candidates", () => {
    const fragment = "a=ice-lite\r\na=ice-ufrag:new\r\na=ice-pwd:newpwd\r\na=candidate:9 1 udp 1 192.0.2.9 40001 typ host\r\n";
    const answer = restartedAnswer(ANSWER, fragment);
    expect(answer.match(/a=ice-ufrag:new/g)).toHaveLength(2);
    expect(answer.match(/a=ice-pwd:newpwd/g)).toHaveLength(2);
    expect(answer.match(/a=candidate:/g)).toHaveLength(1);
    expect(answer).toContain("192.0.2.9 40001");
    expect(answer).not.toContain("old");
  });

  it("is a PATCH with If-Match: *; anything but a 200 is a no, and silence is neither", async () => {
    let seen: RequestInit | undefined;
    const taken = await patchRestart("https://e/s", "a=ice-ufrag:x\r\n", 1_000, async (_url, init) => {
      seen = init;
      return new Response("a=ice-ufrag:y\r\n", { status: 200 });
    });
    expect(taken).toEqual({ kind: "taken", fragment: "a=ice-ufrag:y\r\n" });
    expect(seen?.method).toBe("PATCH");
    expect(seen?.headers).toEqual({
      "Content-Type": "application/trickle-ice-sdpfrag",
      "If-Match": "*",
    });
    const asked = (fetcher: typeof fetch) => patchRestart("https://e/s", "", 20, fetcher);
    for (const status of [204, 404, 405, 412, 503]) {
      const body = status === 204 ? null : "{}";
      expect(await asked(async () => new Response(body, { status }))).toEqual({ kind: "refused" });
    }
    expect(await asked(() => Promise.reject(new TypeError("x")))).toEqual({ kind: "silent" });
    const silent = await asked(
      (_url, init) =>
        new Promise((_resolve, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason))),
    );
    expect(silent).toEqual({ kind: "silent" });
  });
});

describe("paths", () => {
  it("are narrowed step by step", () => {
    const relay = { urls: "turns:h:443?transport=tcp", username: "u", credential: "c" };
    expect(nextRung("any", [])).toBe("tcp");
    expect(nextRung("tcp", [])).toBeNull();
    expect(nextRung("tcp", [{ urls: "turn:h:3478?transport=udp" }])).toBeNull();
    expect(nextRung("tcp", [relay])).toBe("relay");
    expect(nextRung("relay", [relay])).toBeNull();
  });

  it("lose UDP where TCP alone is tried", () => {
    expect(withoutUdp(ANSWER)).not.toContain(" udp ");
    expect(withoutUdp(ANSWER)).toContain("tcptype passive");
  });
});

describe("events", () => {
  const heard: unknown[] = [];
  const listener: Listener = {
    session: (news) => heard.push(["session", news.state]),
    warning: (warning) => heard.push(["warning", warning.kind, warning.over]),
    move: (base) => heard.push(["move", base]),
    end: (end) => heard.push(["end", end.code]),
  };

  it("are handed on, and junk is passed over", () => {
    dispatch("session", '{"session":"a","state":"live","path":"host_udp"}', listener);
    dispatch("warning", '{"kind":"loss","message":"m","over":false}', listener);
    dispatch("move", '{"base":"https://b.example"}', listener);
    dispatch("end", '{"reason":"token_reset","code":2002,"message":"m","retry":false}', listener);
    dispatch("move", '{"base":7}', listener);
    dispatch("other", "{}", listener);
    dispatch("end", "not json", listener);
    expect(heard).toEqual([
      ["session", "live"],
      ["warning", "loss", false],
      ["move", "https://b.example"],
      ["end", 2002],
    ]);
  });
});
