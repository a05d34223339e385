// A network namespace for a presenter: its own addresses, and a firewall in front of it.
//
//   presenter's namespace  10.77.n.2 ──veth── 10.77.n.1  this machine: edge and origin
//
// It takes root and `ip`; without them a test says so and is skipped.

import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why namespaces cannot be made here; `null` when they can. */
export function whyNoNamespace() {
  if (process.getuid() !== 0) return "namespaces take root";
  try {
    const name = `inlet-probe-${process.pid}`;
    run("ip", "netns", "add", name);
    run("ip", "netns", "del", name);
    return null;
  } catch (error) {
    return `no namespaces here: ${error.message.split("\n")[0]}`;
  }
}

function run(program, ...args) {
  return execFileSync(program, args, { stdio: ["pipe", "pipe", "pipe"], encoding: "utf8" });
}

let count = 0;

/** A namespace, joined to this machine. */
export class Network {
  constructor() {
    const number = (process.pid % 120) * 2 + (count++ % 2);
    this.name = `inlet-${process.pid}-${count}`;
    /** This machine, as the presenter sees it. */
    this.host = `10.77.${number}.1`;
    this.presenter = `10.77.${number}.2`;
    this.link = `in${process.pid % 100000}h${count}`;
    const inner = `in${process.pid % 100000}n${count}`;
    this.inner = inner;
    run("ip", "netns", "add", this.name);
    run("ip", "link", "add", this.link, "type", "veth", "peer", "name", inner, "netns", this.name);
    run("ip", "addr", "add", `${this.host}/24`, "dev", this.link);
    run("ip", "link", "set", this.link, "up");
    this.#inside("ip", "link", "set", "lo", "up");
    this.#inside("ip", "addr", "add", `${this.presenter}/24`, "dev", inner);
    this.#inside("ip", "link", "set", inner, "up");
    this.#inside("ip", "route", "add", "default", "via", this.host);
    this.folder = mkdtempSync(join(tmpdir(), "inlet-network-"));
    this.children = [];
  }

  #inside(...command) {
    return run("ip", "netns", "exec", this.name, ...command);
  }

  /** Lets nothing out of the namespace but what `rules` accept (nftables' syntax). */
  firewall(...rules) {
    const table = `flush ruleset
      table inet presenter {
        chain out {
          type filter hook output priority 0; policy accept;
          ${rules.join("\n          ")}
        }
      }`;
    const file = join(this.folder, "rules.nft");
    writeFileSync(file, table);
    this.#inside("nft", "-f", file);
  }

  /** Takes the presenter's address away and gives it another. */
  readdress() {
    const next = this.presenter.replace(/\.(\d+)$/, (_, last) => `.${Number(last) + 1}`);
    // The first address of a network takes the others with it.
    this.#inside("ip", "addr", "del", `${this.presenter}/24`, "dev", this.inner);
    this.#inside("ip", "addr", "add", `${next}/24`, "dev", this.inner);
    this.#inside("ip", "route", "replace", "default", "via", this.host);
    this.presenter = next;
  }

  /** A program that runs `program` inside; for whoever takes a path. */
  wrapper(program) {
    const path = join(this.folder, "run");
    writeFileSync(path, `#!/bin/sh\nexec ip netns exec ${this.name} ${program} "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  }

  /** Starts a program inside; it ends with the network. */
  spawn(program, args) {
    const child = spawn("ip", ["netns", "exec", this.name, program, ...args], { stdio: "ignore" });
    this.children.push(child);
    return child;
  }

  /**
   * Makes a port of the namespace's loopback the same port of this machine's: who listens
   * there may look at the Host that it is asked by.
   */
  async expose(port) {
    const relay = `const net = require("node:net");
      net.createServer((outer) => {
        const inner = net.connect(${port}, "127.0.0.1");
        for (const [from, to] of [[outer, inner], [inner, outer]]) {
          from.on("error", () => to.destroy());
          from.pipe(to);
        }
      }).listen(${port}, "${this.presenter}")`;
    this.spawn(process.execPath, ["-e", relay]);
    this.server = createServer((outer) => {
      const inner = connect(port, this.presenter);
      for (const [from, to] of [[outer, inner], [inner, outer]]) {
        from.on("error", () => to.destroy());
        from.pipe(to);
      }
    });
    await new Promise((done) => this.server.listen(port, "127.0.0.1", done));
  }

  close() {
    this.server?.close();
    for (const child of this.children) child.kill("SIGKILL");
    run("ip", "netns", "del", this.name);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
