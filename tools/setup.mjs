// Runs before `npm start`, `npm test` and the like, on whatever Node the machine has: plain JavaScript, no dependencies.
// Installs what package-lock.json names, the pinned Node 26 included, when it is not there yet.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const stamp = "node_modules/.setup"; // goes with node_modules, so that the next run installs again
const lock = ".setup-lock"; // beside node_modules, because npm ci begins by deleting that
const wanted = createHash("sha256").update(readFileSync("package-lock.json")).digest("hex");

if (Number(process.versions.node.split(".")[0]) < 20) {
  fail(
    `Node ${process.versions.node} is too old to begin with: install Node 20 or newer (https://nodejs.org).\n` +
      "The Node 26 that the samples run on then comes with the npm packages.",
  );
}
if (read(stamp) !== wanted) {
  takeLock();
  if (read(stamp) !== wanted) install();
}

function install() {
  console.log("Installing the npm packages of package-lock.json, Node 26 among them (once, about a minute) …");
  // By default npm keeps trying for minutes where there is no network.
  const patience = ["--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=5000"];
  const { status } = npm(["ci", "--no-audit", "--no-fund", "--loglevel=error", ...patience], "inherit");
  if (status === 0) return writeFileSync(stamp, wanted);

  const ping = npm(["ping", "--fetch-retries=0", "--fetch-timeout=5000"], "pipe");
  if (ping.error) fail(`npm cannot be run: ${ping.error.message}. It comes with Node (https://nodejs.org).`);
  const unreachable = /ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/.test(ping.stderr);
  fail(
    unreachable
      ? "The npm registry cannot be reached. Check the network, and the registry and proxy that `npm config list` shows; then run the same command again."
      : "npm ci failed; its message is above. Mend it and run the same command again.",
  );
}

/**
 * @param {string[]} arguments_
 * @param {"inherit" | "pipe"} stdio
 */
function npm(arguments_, stdio) {
  // On Windows npm is npm.cmd, which only a shell runs.
  return spawnSync("npm", arguments_, { stdio, encoding: "utf8", shell: process.platform === "win32" });
}

/** One install at a time: npm ci would delete node_modules under the feet of another run's. */
function takeLock() {
  const mine = `${lock}-${process.pid}`;
  writeFileSync(mine, String(process.pid));
  process.on("exit", () => rmSync(mine, { force: true }));
  for (let waiting = false; ; waiting = true) {
    try {
      linkSync(mine, lock); // fails when it exists; never without its content
      process.on("exit", () => rmSync(lock, { force: true }));
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (isStale()) rmSync(lock, { force: true });
    else if (!waiting) console.log("Another run is installing the npm packages; waiting for it …");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300); // sleeps 300 ms
  }
}

/** Whether a killed run left the lock behind. The age is for a process id that was given to someone else since. */
function isStale() {
  const holder = Number(read(lock));
  try {
    process.kill(holder, 0);
    return Date.now() - statSync(lock).mtimeMs > 15 * 60_000;
  } catch (error) {
    return error.code === "ESRCH" && holder === Number(read(lock));
  }
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** @param {string} message */
function fail(message) {
  console.error(`\n${message}`);
  process.exit(1);
}
