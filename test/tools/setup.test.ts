// Runs tools/setup.mjs with the real npm in a temporary project.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { freePorts, root } from "../support/processes.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "setup-test-"));
  for (const file of ["tools/setup.mjs", "tools/build-cache/lock.mjs"]) cpSync(join(root, file), join(folder, file));
  writeProject();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a project with one dependency, a folder of the project. */
function writeProject() {
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
/** Starts a process that takes the lock of the project and keeps it. */
async function holdLock() {
  const lock = pathToFileURL(join(folder, "tools/build-cache/lock.mjs"));
  const script = `
    import { takeLock } from "${lock}";
    await takeLock(${JSON.stringify(realpathSync(folder))}, () => {});
    console.log("held");
  `;
  const holder = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: "pipe" });
  await once(holder.stdout, "data");
  return holder;
}

test("installs the packages of package-lock.json, announces it, and prints nothing the second time", () => {
  const first = run();
  expect(first.status, first.stderr).toBe(0);
  expect(first.stdout).toContain("Installing the npm packages of package-lock.json");
  expect(run()).toEqual({ status: 0, stdout: "", stderr: "" });
});

test("installs again after package-lock.json changed", () => {
  expect(run().status).toBe(0);
  writeFileSync(join(folder, "package-lock.json"), `${readFileSync(join(folder, "package-lock.json"), "utf8")}\n`);
  expect(run().stdout).toContain("Installing");
});

test("installs once when two runs start at the same time", async () => {
  const runs = [begin(), begin()];
  expect((await Promise.all(runs.map(({ exited }) => exited))).map(([code]) => code)).toEqual([0, 0]);
  const printed = runs.map(({ stdout }) => stdout());
  expect(printed.filter((text) => text.includes("Installing"))).toHaveLength(1);
});

test("waits while another process holds the lock, until that process is killed", async () => {
  const holder = await holdLock();
  const waiting = [begin(), begin()];
  await vi.waitUntil(() => waiting.every(({ stdout }) => stdout().includes("Another run is installing")), 5_000);
  expect(existsSync(join(folder, "node_modules/.setup"))).toBe(false);
  holder.kill("SIGKILL");
  expect(await Promise.all(waiting.map(({ exited }) => exited))).toEqual([
    [0, null],
    [0, null],
  ]);
  expect(waiting.filter(({ stdout }) => stdout().includes("Installing"))).toHaveLength(1);
});

test("names what to check when the registry is unreachable, and does not mark the packages as installed", async () => {
  const self = { name: "x", version: "1.0.0", dependencies: { absent: "1.0.0" } };
  const packages = { "": self, "node_modules/absent": { version: "1.0.0" } };
  writeFileSync(join(folder, "package.json"), JSON.stringify(self));
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify({ name: "x", lockfileVersion: 3, packages }));
  const [closed] = await freePorts(1);
  const failed = run({ npm_config_registry: `http://127.0.0.1:${closed}/`, npm_config_cache: join(folder, "cache") });
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain("The npm registry is unreachable. Check the network");
  expect(existsSync(join(folder, "node_modules/.setup"))).toBe(false);
});
