// Runs the shell blocks of the README and of the pages that build on it, and compares their output with the text blocks
// that follow them. The blocks run in a copy of the repository, on ports of its own.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { spawn } from "../../tools/processes/spawn.ts";
import { readBlocks, toPattern } from "../support/markdown.ts";
import { freePorts } from "../support/processes.ts";
import { copyRunnableRepository } from "../support/repository.ts";
import { findWasmtime } from "../support/wasmtime.ts";

// The README comes first: its `npm start` runs until the end of this file.
const blocks = [
  "README.md",
  "docs/get-started.md",
  "docs/reference/state-api.md",
  "docs/operate/wasm.md",
  "docs/operate/security.md",
].flatMap(readBlocks);
/**
 * `npm test` cannot run inside itself; .ci/run runs it. Other tests judge the blocks that need a registry or a cluster:
 * test/docs/pages.test.ts lists them.
 */
const notHere = /^npm test$|^ *(oras|az|helm|kubectl) /m;

describe.skipIf(process.platform !== "linux")("shell blocks of the README and the pages that build on it", () => {
  const folder = mkdtempSync(join(tmpdir(), "readme-test-"));
  const ports = new Map<string, string>();
  const onOurPorts = (text: string) =>
    [...ports].reduce((moved, [from, to]) => moved.replaceAll(`:${from}`, `:${to}`), text);
  let anotherPort: number;
  let wasmtime: string;
  let stop = async () => {};

  beforeAll(async () => {
    for (const [from, to] of await copyRunnableRepository(folder)) ports.set(from, to);
    wasmtime = await findWasmtime();
    // Adds a service in the way that the README's "Add a service" describes.
    cpSync(join(folder, "services/welcome"), join(folder, "services/another"), { recursive: true });
    const [app = 0, http = 0, grpc = 0, internal = 0] = await freePorts(4);
    anotherPort = app;
    const entry = {
      appID: "another",
      appDirPath: ".",
      appPort: app,
      daprHTTPPort: http,
      daprGRPCPort: grpc,
      daprInternalGRPCPort: internal,
      command: ["node_modules/.bin/node", "services/another/server.ts"],
      env: { PORT: app },
    };
    const file = join(folder, "dapr.yaml");
    const template = readFileSync(file, "utf8");
    const allowed = template.replace("\n    env:\n", '\n    env:\n      ALLOWED_CALLERS: "welcome,another"\n');
    writeFileSync(file, `${allowed}  - ${JSON.stringify(entry)}\n`);
  });
  afterAll(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(blocks.filter(({ command }) => !notHere.test(command)))(
    "prints what the page shows: $command",
    async ({ command, output }) => {
      if (command === "npm start") {
        stop = await start(output ?? "");
        return;
      }
      const printed = execFileSync("bash", ["-c", onOurPorts(command)], {
        cwd: folder,
        env: { ...process.env, PATH: [wasmtime, process.env.PATH].join(delimiter) },
        encoding: "utf8",
        stdio: "pipe",
      });
      if (output !== undefined) expect(printed.trim()).toMatch(toPattern(output));
    },
  );

  test("a copied service folder with an entry in dapr.yaml starts with the others", async () => {
    const response = await fetch(`http://127.0.0.1:${anotherPort}/api/state/greeting`);
    expect(await response.json()).toEqual({ hello: "world" });
    // group-lister's ALLOWED_CALLERS does not name it.
    const refused = await fetch(`http://127.0.0.1:${anotherPort}/api/groups`);
    expect(await refused.json()).toMatchObject({ type: "urn:problem:invocation-denied", status: 502 });
  });

  /** Starts `npm start` and waits for its output; returns a function that stops it. */
  async function start(output: string) {
    const child = spawn("npm", ["start"], {
      cwd: folder,
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk));
    const exited = once(child, "exit");
    const end = async () => {
      if (child.exitCode === null && child.pid) process.kill(-child.pid, "SIGINT");
      await exited;
    };
    try {
      await vi.waitUntil(() => printed.includes("Ctrl-C stops everything") || child.exitCode !== null, 25_000);
      expect(printed.trim().replaceAll(/ +/g, " ")).toMatch(toPattern(onOurPorts(output).replaceAll(/ +/g, " ")));
    } catch (error) {
      await end();
      throw error;
    }
    return end;
  }
});
