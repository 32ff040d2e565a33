// Runs tools/setup.mjs with the real npm in a temporary project.
import { type ChildProcess, execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { spawn } from "../../tools/processes/spawn.ts";
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
  await vi.waitUntil(() => waiting.every(({ stdout }) => stdout().includes("Another run is installing")), 10_000);
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

test("refuses a Node older than 20, says how to get another, and installs nothing", () => {
  const old = join(folder, "old.mjs");
  writeFileSync(old, 'Object.defineProperty(process, "versions", { value: { node: "18.20.8" } });');
  const { status, stdout, stderr } = run({ NODE_OPTIONS: `--import ${pathToFileURL(old)}` });
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toContain("Node 18.20.8 is too old. Install Node 20 or newer (https://nodejs.org).");
  expect(existsSync(join(folder, "node_modules"))).toBe(false);
});

/** Writes the project of an archive: its only dependency, which is optional or required. */
function writeProjectOf(name: string, manifest: object, locked: object, optional: boolean) {
  mkdirSync(join(folder, "package/bin"), { recursive: true });
  writeFileSync(join(folder, "package/bin/node"), "#!/bin/sh\necho the pinned Node\n", { mode: 0o755 });
  writeFileSync(join(folder, "package/package.json"), JSON.stringify({ name, version: "1.0.0", ...manifest }));
  execFileSync("tar", ["-czf", `${name}.tgz`, "package"], { cwd: folder });
  const integrity = `sha512-${createHash("sha512")
    .update(readFileSync(join(folder, `${name}.tgz`)))
    .digest("base64")}`;
  const resolved = `file:${name}.tgz`;
  const self = {
    name: "x",
    version: "1.0.0",
    [optional ? "optionalDependencies" : "dependencies"]: { [name]: resolved },
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify(self));
  const entry = { version: "1.0.0", resolved, integrity, optional, ...manifest, ...locked };
  const packages = { "": self, [`node_modules/${name}`]: entry };
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify({ name: "x", lockfileVersion: 3, packages }));
}

test.each(["preinstall", "install", "postinstall"])("does not run a package's %s script", (script) => {
  const ran = join(folder, "ran");
  writeProjectOf("scripted", { scripts: { [script]: `touch ${ran}` } }, { hasInstallScript: true }, false);
  const { status, stderr } = run();
  expect(status, stderr).toBe(0);
  expect(existsSync(join(folder, "node_modules/scripted/package.json"))).toBe(true);
  expect(existsSync(ran)).toBe(false);
});

describe("the package with the Node of this platform", () => {
  const command = () => join(folder, "node_modules/.bin/node");
  const platform = { os: [process.platform], cpu: [process.arch], bin: { node: "bin/node" } };

  test("is installed and becomes node_modules/.bin/node, although the user's settings omit optional packages", () => {
    writeProjectOf("node-here", platform, {}, true);
    const { status, stderr } = run({ npm_config_omit: "optional" });
    expect(status, stderr).toBe(0);
    expect(execFileSync(command(), { encoding: "utf8" })).toBe("the pinned Node\n");
  });

  test("becomes node_modules/.bin/node although npm removes that, as npm 10 does", () => {
    writeProjectOf("node-here", platform, {}, true);
    const [npm = ""] = execFileSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).split("\n");
    mkdirSync(join(folder, "npm-10"));
    const remove = `[ "$1" != ci ] || rm ${command()}`;
    writeFileSync(join(folder, "npm-10/npm"), `#!/bin/sh\n${npm} "$@" && { ${remove}; }\n`, { mode: 0o755 });
    const { status, stderr } = run({ PATH: `${join(folder, "npm-10")}:${process.env.PATH}` });
    expect(status, stderr).toBe(0);
    expect(execFileSync(command(), { encoding: "utf8" })).toBe("the pinned Node\n");
  });

  test("is installed again after its command is lost", () => {
    writeProjectOf("node-here", platform, {}, true);
    expect(run().status).toBe(0);
    rmSync(command());
    expect(run().stdout).toContain("Installing");
    expect(existsSync(command())).toBe(true);
  });

  test("fails the setup when its content is not what package-lock.json expects", () => {
    writeProjectOf("node-here", platform, { integrity: `sha512-${Buffer.alloc(64).toString("base64")}` }, true);
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toContain("npm left out node-here, the Node 26 of this platform");
    expect(existsSync(join(folder, "node_modules/.setup"))).toBe(false);
  });

  test("fails the setup, which names the platforms that there are, when this platform is not among them", () => {
    writeProjectOf("node-elsewhere", { ...platform, os: ["aix"] }, {}, true);
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toContain(`npm has no Node 26 for ${process.platform}-${process.arch}, only these packages: `);
    expect(stderr).toContain("node-elsewhere");
  });

  test("is installed again where another platform has installed the same folder", () => {
    writeProjectOf("node-here", platform, {}, true);
    expect(run().status).toBe(0);
    const stamp = join(folder, "node_modules/.setup");
    writeFileSync(stamp, readFileSync(stamp, "utf8").replace(process.platform, "aix"));
    expect(run().stdout).toContain("Installing");
  });
});
