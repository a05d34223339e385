// Two ends of a cable: the servers at one, the presenter at the other, each in a network
// namespace, and a firewall between them.
//
// One end is where this process runs (see `apart.js`), the other a namespace that lives
// as long as its keeper, a `cat` that ends with this process. So nothing is left behind.

import { execFileSync, spawn } from "node:child_process";
import { readlinkSync } from "node:fs";

import { until } from "./stage.js";

// Addresses for documentation (RFC 5737): no network has them, so nothing is taken for
// somebody's home network either.
/** Where the servers are. */
export const SERVERS = "198.51.100.1";
/** Where the presenter is at first. */
export const PRESENTER = "198.51.100.2";
/** Where the presenter is after `move`. */
export const ELSEWHERE = "198.51.100.3";

/** Why the tests of this file are left out; `false` when they are not. */
export function leftOut() {
  const apart = process.env.INLET_APART;
  if (apart === undefined) throw new Error("run it by `node support/apart.js`, or `npm test`");
  return apart === "yes" ? false : apart;
}

export class Network {
  /** `far` is who lives in the other namespace: "presenter" or "servers". */
  static async open(far) {
    const keeper = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "ignore", "inherit"] });
    const namespace = `/proc/${keeper.pid}/ns/net`;
    await until("another namespace", 5_000, () => readlinkSync(namespace) !== readlinkSync("/proc/self/ns/net"));
    const network = new Network(keeper, far);
    const near = far === "servers" ? "presenter" : "servers";
    network.#run(near, "ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", `${keeper.pid}`);
    for (const [side, address] of [["servers", SERVERS], ["presenter", PRESENTER]]) {
      network.#run(side, "ip", "link", "set", "lo", "up");
      network.#run(side, "ip", "address", "add", `${address}/24`, "dev", side);
      network.#run(side, "ip", "link", "set", side, "up");
    }
    network.#route();
    return network;
  }

  constructor(keeper, far) {
    this.keeper = keeper;
    this.far = far;
  }

  /** What stands before a command that shall run at this side. */
  enter(side) {
    return side === this.far ? ["nsenter", `--net=/proc/${this.keeper.pid}/ns/net`, "--"] : [];
  }

  /** Lets through what these rules of nftables accept; without any, everything. */
  firewall(...rules) {
    const table = "table inet firewall";
    const filter = rules.length === 0 ? "" : `
      ${table} {
        set tls { type ipv4_addr . inet_service; flags dynamic; size 4096; }
        chain input {
          type filter hook input priority 0; policy accept;
          iifname != "servers" accept
          ${rules.join("\n")}
          drop
        }
      }`;
    this.#run("servers", "nft", `${table} {}; delete ${table}; ${filter}`);
  }

  /** The presenter loses its address and gets another one. */
  move() {
    this.#run("presenter", "ip", "address", "delete", `${PRESENTER}/24`, "dev", "presenter");
    this.#run("presenter", "ip", "address", "add", `${ELSEWHERE}/24`, "dev", "presenter");
    this.#route();
  }

  close() {
    const near = this.far === "servers" ? "presenter" : "servers";
    this.#run(near, "ip", "link", "delete", near);
    this.keeper.stdin.end();
  }

  // Browsers find their own address by asking for the way to a public one.
  #route() {
    this.#run("presenter", "ip", "route", "replace", "default", "via", SERVERS);
  }

  #run(side, ...argv) {
    const [program, ...rest] = [...this.enter(side), ...argv];
    execFileSync(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
  }
}
