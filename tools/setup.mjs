// Runs before `npm start`, `npm test` and other npm scripts: installs the packages of package-lock.json, the pinned
// Node 26 among them, unless they are installed. Plain JavaScript without dependencies, for any Node from 20 on.
// Packages run no code of their own while they are installed: docs/decisions/0004-node-from-npm.md
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { takeLock } from "./build-cache/lock.mjs";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const lockFile = readFileSync("package-lock.json", "utf8");
const { packages } = JSON.parse(lockFile);
/** The packages with Node 26, one for each platform. */
const nodes = Object.keys(packages[""].optionalDependencies ?? {});
const command = `node_modules/.bin/node${process.platform === "win32" ? ".cmd" : ""}`;
const machine = `${process.platform}-${process.arch}`;
const stamp = "node_modules/.setup"; // deleted with node_modules, so that the next run installs again
// With the platform, because a development container shares this folder, binaries included, with its host.
const wanted = `${createHash("sha256").update(lockFile).digest("hex")} ${machine}`;

if (Number(process.versions.node.split(".")[0]) < 20) {
  fail(
    `Node ${process.versions.node} is too old. Install Node 20 or newer (https://nodejs.org).\n` +
      "Node 26, which runs the samples, then comes with the npm packages.",
  );
}
if (!isInstalled()) {
  // One install at a time, because npm ci begins by deleting node_modules.
  let waits = 0;
  const release = await takeLock(process.cwd(), (port) => {
    if (waits++ === 0) {
      console.log(`Another run is installing the npm packages (it holds port ${port} as a lock); waiting for it …`);
    }
  });
  if (!isInstalled()) install();
  release();
}

function install() {
  console.log("Installing the npm packages of package-lock.json, Node 26 included (once, about a minute) …");
  // Without these, npm retries for minutes where there is no network.
  const retries = ["--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=5000"];
  // Node 26 is an optional package, one for each platform, so a user's `omit` setting must not apply.
  const include = ["--include=dev", "--include=optional"];
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = npm(["ci", "--ignore-scripts", ...include, ...quiet, ...retries], "inherit");
  if (status === 0) {
    if (nodes.length > 0) linkNode();
    return writeFileSync(stamp, wanted);
  }

  const ping = npm(["ping", "--fetch-retries=0", "--fetch-timeout=5000"], "pipe");
  if (ping.error) fail(`npm failed to start: ${ping.error.message}. It comes with Node (https://nodejs.org).`);
  const unreachable = /ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/.test(ping.stderr);
  fail(
    unreachable
      ? "The npm registry is unreachable. Check the network, and the registry and proxy that `npm config list` shows; then run the same command again."
      : "npm ci failed; its message is above. Fix the cause and run the same command again.",
  );
}

function linkNode() {
  /** @type {(values: string | string[], value: string) => boolean} */
  const include = (values, value) => [values].flat().includes(value);
  const name = nodes.find((name) => {
    const { os, cpu } = packages[`node_modules/${name}`];
    return include(os, process.platform) && include(cpu, process.arch);
  });
  if (!name) {
    fail(
      `npm has no Node 26 for ${machine}, only these packages: ${nodes.join(", ")}. Use Docker ` +
        "(docs/deploy/containers.md) or the development container (docs/get-started.md).",
    );
  }
  // npm ci succeeds without an optional package that it cannot download, or whose SHA-512 is not the lock file's.
  if (!existsSync(`node_modules/${name}`)) {
    fail(
      `npm left out ${name}, the Node 26 of this platform: its download failed, or its content is not what ` +
        "package-lock.json expects. Run the same command again. To see npm's reason, run:\n" +
        "  npm ci --ignore-scripts --loglevel=verbose",
    );
  }
  // npm 11.0 and older remove the command together with the packages of other platforms, which name it too.
  if (!existsSync(command)) npm(["rebuild", name, "--ignore-scripts", "--loglevel=error"], "pipe");
  if (!existsSync(command)) fail(`npm did not create ${command}. Update npm (npm install --global npm).`);
}

function isInstalled() {
  return readStamp() === wanted && (nodes.length === 0 || existsSync(command));
}

/**
 * @param {string[]} arguments_
 * @param {"inherit" | "pipe"} stdio
 */
function npm(arguments_, stdio) {
  // On Windows, npm is npm.cmd, which only a shell runs.
  return spawnSync("npm", arguments_, { stdio, encoding: "utf8", shell: process.platform === "win32" });
}

function readStamp() {
  try {
    return readFileSync(stamp, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(`\n${message}`);
  process.exit(1);
}
