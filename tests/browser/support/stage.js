// Inlet's real binaries for browser tests, brought up by the demonstration program.
//
// It draws free ports and publishes nothing: the pages do that, or `publish` below.

import { spawn, execFile } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const ROOT = resolve(import.meta.dirname, "../../..");
/** The folder with the binaries; `make build` fills it. */
const BIN = resolve(process.env.INLET_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug"));
/** Pictures small enough that two cores carry browser, ladder and player. */
export const SIZE = "854x480";
/** Short sides of the rungs that such a picture gets. */
export const RUNGS = [468, 360];

/** An error that waiting cannot mend. */
export class Fatal extends Error {}

/** Asks `probe` until it has an answer that is neither null, undefined nor false. */
export async function until(what, patienceMs, probe) {
  const deadline = performance.now() + patienceMs;
  let reason = "no answer";
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== null && answer !== undefined && answer !== false) return answer;
    } catch (error) {
      if (error instanceof Fatal) throw error;
      reason = error.message;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${patienceMs} ms: ${reason}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** An origin and an edge, and a stream to begin with. */
export class Stage {
  /** `args` are more of the demonstration's command line. */
  static open(...args) {
    return Stage.start([], ["--free-ports", ...args]);
  }

  /** At the servers' end of a network that nobody else uses, so on well-known ports. */
  static openAt(network, address) {
    const ports = ["--origin-port", "80", "--edge-port", "443"];
    return Stage.start(network.enter("servers"), ["--address", address, ...ports]);
  }

  static async start(enter, args) {
    if (!existsSync(join(BIN, "demo"))) throw new Error(`no demo in ${BIN}: run \`make build\``);
    const folder = mkdtempSync(join(tmpdir(), "inlet-browser-"));
    const [program, ...rest] = [...enter, join(BIN, "demo"), "--source", "none", "--directory", folder, ...args];
    const process = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
    const output = [];
    for (const pipe of [process.stdout, process.stderr]) pipe.on("data", (chunk) => output.push(chunk));
    const stage = new Stage(folder, process, output);
    await until("the demonstration", 30_000, () => {
      if (process.exitCode !== null) throw new Fatal(`it ended: ${Buffer.concat(output)}`);
      return existsSync(join(folder, "urls.json"));
    });
    stage.urls = JSON.parse(readFileSync(join(folder, "urls.json"), "utf8"));
    return stage;
  }

  constructor(folder, process, output) {
    this.folder = folder;
    this.process = process;
    this.output = output;
    this.children = [];
  }

  /** A metric of the edge; `null` while it is not there. */
  async metric(line) {
    const text = await (await fetch(this.urls.metrics.edge)).text();
    const found = text.split("\n").find((other) => other.startsWith(`${line} `));
    return found === undefined ? null : Number(found.slice(line.length + 1));
  }

  /** What the edge has noted of a session. */
  async trace(session) {
    const [, admin] = /\[admin\]\nlisten = "([^"]+)"/.exec(readFileSync(join(this.folder, "edge.toml"), "utf8"));
    const secret = readFileSync(join(this.folder, "secrets", "admin"), "utf8").trim();
    const headers = { authorization: `Bearer ${secret}` };
    const response = await fetch(`http://${admin}/sessions/${session}/trace`, { headers });
    if (!response.ok) throw new Error(`the trace: ${response.status}`);
    return response.json();
  }

  /** Hash of the key of TURN's and WHIP's certificate, for Chromium to take for good. */
  pin() {
    const certificate = readFileSync(join(this.folder, "certificates", "turn.pem"));
    const publicKey = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
    return createHash("sha256").update(publicKey).digest("base64");
  }

  /** Calls the stream API; returns status and body. */
  async api(method, path, body) {
    const headers = { authorization: `APIKey ${this.urls.api_key}`, "content-type": "application/json" };
    const request = { method, headers };
    if (body !== undefined) request.body = JSON.stringify(body);
    const response = await fetch(this.urls.api + path, request);
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text) };
  }

  /** A new stream, with the addresses of its pages. */
  async createStream(name) {
    const { status, body } = await this.api("POST", "", { name, active: true });
    if (status !== 201) throw new Error(`creating ${name}: ${status} ${JSON.stringify(body)}`);
    const web = new URL(body.iframe_url).origin;
    const goLive = (search = "") =>
      `${web}/go-live?source=test&autostart=1&resolution=${SIZE}${search}#${body.push_url_whip}`;
    return { ...body, goLive, web };
  }

  /** Publishes the test picture with the Rust publisher; resolves when it plays. */
  async publish(stream, ...args) {
    const size = args.includes("--size") ? [] : ["--size", SIZE];
    const child = spawn(
      join(BIN, "publisher"),
      ["--whip", stream.push_url_whip, ...size, "--bitrate", "1000000", ...args],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const complaints = [];
    child.stderr.on("data", (chunk) => complaints.push(chunk));
    this.children.push(child);
    await until(`${stream.name} on air`, 15_000, async () => {
      if (child.exitCode !== null) throw new Fatal(`the publisher ended: ${Buffer.concat(complaints)}`);
      return (await fetch(stream.hls_cmaf_url)).ok;
    });
    return child;
  }

  /** Process ids of the origin's transcode workers. */
  workers() {
    const parents = new Map();
    for (const entry of readdirSync("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
        const [, name, parent] = /\((.*)\) \S (\d+)/.exec(stat);
        parents.set(Number(entry), { name, parent: Number(parent) });
      } catch {
        // It ended while we looked.
      }
    }
    const isOrigin = (pid) =>
      parents.get(pid)?.name === "inlet-origin" && parents.get(pid).parent === this.process.pid;
    return [...parents].filter(([, { parent }]) => isOrigin(parent)).map(([pid]) => pid);
  }

  /**
   * Leaves a process such a share of the CPU time that it takes now; resolves when it does, with
   * what ends that.
   */
  async brake(pid, share) {
    const child = spawn(join(BIN, "brake"), ["--pid", pid, "--share", share], { stdio: ["pipe", "pipe", "pipe"] });
    // Its input ends with it, and with us: so it never leaves a process stopped.
    const complaints = [];
    child.stderr.on("data", (chunk) => complaints.push(chunk));
    const ended = new Promise((done) => child.once("exit", done));
    const begun = new Promise((done) => child.stdout.once("data", done));
    const first = await Promise.race([begun, ended]);
    if (!Buffer.isBuffer(first)) throw new Fatal(`the brake ended: ${Buffer.concat(complaints)}`);
    return () => {
      child.stdin.end();
      return ended;
    };
  }

  /** Kills the origin, which comes back at once on the same state. */
  crashOrigin() {
    this.process.kill("SIGUSR1");
  }

  /** Ends everything; with a failure, tells the tail of each log. */
  async close(failed = false) {
    for (const child of this.children) child.kill("SIGKILL");
    const ended = new Promise((done) => this.process.once("exit", done));
    if (this.process.exitCode === null) {
      this.process.kill("SIGTERM");
      await ended;
    }
    if (failed) {
      for (const log of ["origin.log", "edge.log"]) {
        const path = join(this.folder, log);
        const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(-40) : [];
        console.error(`--- ${path}\n${lines.join("\n")}`);
      }
      console.error(`--- demo\n${Buffer.concat(this.output)}`);
    } else {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

/** What ffprobe says of a manifest. */
export async function ffprobe(url) {
  const { stdout } = await promisify(execFile)(
    "ffprobe",
    ["-v", "error", "-of", "json", "-show_streams", url],
    { timeout: 30_000 },
  );
  return JSON.parse(stdout).streams;
}

/** Width and height of every variant of a multivariant playlist. */
export async function variants(url) {
  const text = await (await fetch(url)).text();
  return [...text.matchAll(/RESOLUTION=(\d+)x(\d+)/g)].map(([, width, height]) => ({
    width: Number(width),
    height: Number(height),
  }));
}
