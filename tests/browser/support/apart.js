// Runs test files in a network namespace of their own: `node support/apart.js FILE…`.
//
// So nothing that they send can reach, or be disturbed by, anything outside. Where the
// system lets no namespace be made, each of the tests says that it was left out and why.

import { spawnSync } from "node:child_process";

/** What the tests need: a namespace, a cable into another one, and a firewall. */
const TRIAL = `ip link set lo up && ip link add trial type veth peer name other && nft list tables`;

function apart(script, ...argv) {
  return ["unshare", ["--net", "sh", "-c", script, "sh", ...argv]];
}

const trial = spawnSync(...apart(TRIAL), { encoding: "utf8" });
const reason = trial.error?.message ?? (trial.status === 0 ? null : trial.stderr.trim());
const runner = ["--test", "--test-concurrency=1", ...process.argv.slice(2)];
// The runner's own children must not take themselves for somebody's test files.
const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
const { status } = reason === null
  ? spawnSync(...apart(`ip link set lo up && exec "$@"`, process.execPath, ...runner), {
      stdio: "inherit",
      env: { ...inherited, INLET_APART: "yes" },
    })
  : spawnSync(process.execPath, runner, {
      stdio: "inherit",
      env: { ...inherited, INLET_APART: `no network namespace can be made: ${reason}` },
    });
process.exit(status ?? 1);
