import { describe, expect, it } from "vitest";
import { deleteSession, discoverIceServers, postOffer, WhipError } from "../src/whip_http";

const ENDPOINT = "https://edge.example/7_tok/whip?width=1280&height=720";

function answering(status: number, body: string, headers: Record<string, string> = {}): typeof fetch {
  return async () => new Response(status === 204 ? null : body, { status, headers });
}

async function failure(fetcher: typeof fetch): Promise<WhipError> {
  const error: unknown = await postOffer(ENDPOINT, "v=0", fetcher).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(WhipError);
  return error as WhipError;
}

describe("POST", () => {
  it("sends the offer and gives back the answer and the session", async () => {
    let seen: RequestInit | undefined;
    const opened = await postOffer(ENDPOINT, "v=0\r\noffer", async (_url, init) => {
      seen = init;
      return new Response("v=0\r\nanswer", { status: 201, headers: { Location: "/s/abc" } });
    });
    expect(opened).toEqual({ answer: "v=0\r\nanswer", session: "https://edge.example/s/abc" });
    expect(seen?.method).toBe("POST");
    expect(seen?.body).toBe("v=0\r\noffer");
    expect(seen?.headers).toEqual({ "Content-Type": "application/sdp" });
  });

  it("makes a typed error of a refusal", async () => {
    const body = JSON.stringify({ error: "someone is already publishing to path '7_tok'" });
    const error = await failure(answering(400, body, { "X-Reason-Code": "2003" }));
    expect(error.kind).toBe("refused");
    expect([error.status, error.reason]).toEqual([400, 2003]);
    expect(error.detail).toBe("someone is already publishing to path '7_tok'");
    expect(error.explanation.title).toBe("Someone is live on this stream already");
  });

  it("reads Retry-After", async () => {
    const error = await failure(answering(503, "{}", { "X-Reason-Code": "2301", "Retry-After": "4" }));
    expect([error.reason, error.retryAfterMs]).toEqual([2301, 4000]);
  });

  it("copes with an error page of something in between", async () => {
    const error = await failure(answering(502, "<html>Bad Gateway</html>"));
    expect([error.kind, error.reason, error.detail]).toEqual(["refused", null, ""]);
    expect((await failure(answering(500, "x".repeat(5000)))).detail).toHaveLength(300);
  });

  it("does not take a page for an answer", async () => {
    expect((await failure(answering(200, "<html>"))).kind).toBe("protocol");
  });

  it("tells no answer from a refusal", async () => {
    const error = await failure(async () => {
      throw new TypeError("Failed to fetch");
    });
    expect([error.kind, error.status, error.detail]).toEqual(["unreachable", null, "Failed to fetch"]);
  });
});

describe("OPTIONS and DELETE", () => {
  it("give servers where there are some, tell none from no answer, and never fail", async () => {
    const link = { Link: '<stun:h:3478>; rel="ice-server"' };
    expect(await discoverIceServers(ENDPOINT, answering(204, "", link))).toEqual([{ urls: "stun:h:3478" }]);
    expect(await discoverIceServers(ENDPOINT, answering(405, "", link))).toEqual([]);
    for (const status of [429, 500, 503]) {
      expect(await discoverIceServers(ENDPOINT, answering(status, "", link))).toBeNull();
    }
    const broken: typeof fetch = async () => {
      throw new TypeError("offline");
    };
    expect(await discoverIceServers(ENDPOINT, broken)).toBeNull();
    await expect(deleteSession("https://h/s", true, broken)).resolves.toBeUndefined();
  });
});
