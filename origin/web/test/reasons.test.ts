import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { REASONS, explainAbsence, explainCapture, explainRefusal } from "../src/reasons";

/** The numbers that the edge can send, out of the contract itself. */
function contract(): number[] {
  const source = readFileSync(new URL("../../../common/src/reason.rs", import.meta.url), "utf8");
  return [...source.matchAll(/^\s+[A-Z]\w+ = (\d{4}),$/gm)].map((match) => Number(match[1]));
}

describe("reason codes", () => {
  it("are all explained, and no other", () => {
    const codes = contract();
    expect(codes.length).toBeGreaterThan(10);
    expect(Object.keys(REASONS).map(Number).toSorted()).toEqual(codes.toSorted());
  });

  it.each(contract())("%i says what happened and what to do", (code) => {
    const { title, advice } = explainRefusal(code, 400);
    expect(title.length).toBeGreaterThan(10);
    expect(title).not.toMatch(/\.$/);
    expect(advice).toMatch(/\.$/);
    expect(explainRefusal(code, 400)).toBe(REASONS[code]);
  });

  it("have titles of their own", () => {
    const titles = Object.values(REASONS).map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
  });

  it("fall back on the status when there is none, or an unknown one", () => {
    expect(explainRefusal(null, 404).title).toContain("no WHIP server");
    expect(explainRefusal(9999, 503).title).toContain("503");
    expect(explainRefusal(null, 415)).toBe(REASONS[2100]);
    expect(explainRefusal(null, 429)).toBe(REASONS[2200]);
    expect(explainRefusal(null, 418).title).toContain("418");
  });
});

describe("other explanations", () => {
  it("tell the failures of a camera apart", () => {
    const names = ["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError", "InsecureContextError", "Odd"];
    expect(new Set(names.map((name) => explainCapture(name).title)).size).toBe(names.length);
    expect(explainCapture("Odd").advice).toContain("Odd");
  });

  it("tell a viewer who waits from one with a wrong link", () => {
    expect(explainAbsence(1000, 404).title).toBe("Waiting for the presenter");
    expect(explainAbsence(null, 404).title).toBe("Waiting for the presenter");
    expect(explainAbsence(2000, 404).title).toBe("This address is not a stream");
    expect(explainAbsence(3000, 404).title).toBe("Starting");
    expect(explainAbsence(null, 403).title).toBe("This stream is not open to everyone");
    expect(explainAbsence(null, 410).title).toBe("This link has expired");
    expect(explainAbsence(null, 0).title).toBe("No connection");
    expect(explainAbsence(null, 502).title).toBe("Not available just now");
  });
});
