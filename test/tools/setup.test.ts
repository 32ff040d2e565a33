// What runs before `npm start` and `npm test`: in a folder with a lock file of its own, through the real npm.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { freePorts, root } from "../support/processes.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "setup-test-"));
  mkdirSync(join(folder, "scripts"));
  copyFileSync(join(root, "tools/setup.mjs"), join(folder, "tools/setup.mjs"));
  writeLock();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A project whose one dependency is the folder beside it. */
function writeLock() {
  const self = { name: "x", version: "1.0.0", dependencies: { beside: "file:beside" } };
  const beside = { name: "beside", version: "1.0.0" };
  mkdirSync(join(folder, "beside"));
  writeFileSync(join(folder, "beside/package.json"), JSON.stringify(beside));
  writeFileSync(join(folder, "package.json"), JSON.stringify(self));
  const packages = { "": self, beside, "node_modules/beside": { resolved: "beside", link: true } };
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify({ name: "x", lockfileVersion: 3, packages }));
}

const args = ["tools/setup.mjs"];
const run = (env: NodeJS.ProcessEnv = {}) => {
  const options = { cwd: folder, env: { ...process.env, ...env }, encoding: "utf8" } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  return { status, stdout, stderr };
};
function begin() {
  const child: ChildProcess = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout?.on("data", (chunk) => (stdout += chunk));
  const exited = once(child, "exit");
  return { stdout: () => stdout, exited };
}

test("installs what the lock file names, says so, and is silent the second time", () => {
  const first = run();
  expect(first.status, first.stderr).toBe(0);
  expect(first.stdout).toContain("Installing the npm packages of package-lock.json");
  expect(run()).toEqual({ status: 0, stdout: "", stderr: "" });
});

test("installs again when the lock file changed", () => {
  expect(run().status).toBe(0);
  writeFileSync(join(folder, "package-lock.json"), `${readFileSync(join(folder, "package-lock.json"), "utf8")}\n`);
  expect(run().stdout).toContain("Installing");
});

test("of two runs at once, one installs and the other waits for it", async () => {
  const runs = [begin(), begin()];
  expect((await Promise.all(runs.map(({ exited }) => exited))).map(([code]) => code)).toEqual([0, 0]);
  const printed = runs.map(({ stdout }) => stdout()).sort();
  expect(printed.filter((text) => text.includes("Installing"))).toHaveLength(1);
  expect(existsSync(join(folder, ".setup-lock"))).toBe(false);
});

test("waits for the one who holds the lock, and not for one who was killed", async () => {
  writeFileSync(join(folder, ".setup-lock"), `${process.pid}`);
  const waiting = begin();
  await vi.waitUntil(() => waiting.stdout().includes("Another run is installing"), 5_000);
  expect(existsSync(join(folder, "node_modules/.setup"))).toBe(false);
  const ended = spawnSync(process.execPath, ["--version"]);
  writeFileSync(join(folder, ".setup-lock"), `${ended.pid}`);
  expect(await waiting.exited).toEqual([0, null]);
  expect(existsSync(join(folder, "node_modules/.setup"))).toBe(true);
});

test("without a registry it says what to check, and leaves nothing that looks installed", async () => {
  const self = { name: "x", version: "1.0.0", dependencies: { absent: "1.0.0" } };
  const packages = { "": self, "node_modules/absent": { version: "1.0.0" } };
  writeFileSync(join(folder, "package.json"), JSON.stringify(self));
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify({ name: "x", lockfileVersion: 3, packages }));
  const [closed] = await freePorts(1);
  const failed = run({ npm_config_registry: `http://127.0.0.1:${closed}/`, npm_config_cache: join(folder, "cache") });
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain("The npm registry cannot be reached. Check the network");
  expect(existsSync(join(folder, "node_modules/.setup"))).toBe(false);
});
