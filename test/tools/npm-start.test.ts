// Runs `npm start` itself, in a copy of the repository with ports of its own.
import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isFree } from "../../tools/processes/ports.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { copyRunnableRepository } from "../support/repository.ts";

describe.skipIf(process.platform !== "linux")("npm start whose npm alone gets a signal", () => {
  let folder: string;
  let ports: number[];
  let npm: ChildProcess;
  let output: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "npm-start-test-"));
    ports = [...(await copyRunnableRepository(folder)).values()].map(Number);
    // A process group of its own, so that afterEach can end what the launcher has left running.
    npm = spawn("npm", ["start"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"], detached: true });
    output = "";
    for (const stream of [npm.stdout, npm.stderr]) stream?.on("data", (chunk) => (output += chunk));
  });

  afterEach(async () => {
    const closed = npm.stdout?.closed ? undefined : once(npm, "close");
    try {
      if (npm.pid) process.kill(-npm.pid, "SIGINT");
    } catch {
      // The group has ended.
    }
    await closed;
    rmSync(folder, { recursive: true, force: true });
  });

  async function kill(signal: NodeJS.Signals): Promise<void> {
    const exited = once(npm, "exit");
    npm.kill(signal);
    await exited;
  }

  async function listTaken(): Promise<number[]> {
    const free = await Promise.all(ports.map(isFree));
    return ports.filter((_, index) => !free[index]);
  }

  test.each(["SIGTERM", "SIGKILL"] as const)("stops everything within 10 s of %s", async (signal) => {
    await vi.waitUntil(() => output.includes("Ctrl-C stops everything"), 25_000);
    expect(ports).toHaveLength(15);
    expect(await listTaken()).toEqual(ports);
    await kill(signal);
    await expect.poll(listTaken, { timeout: 10_000, interval: 250 }).toEqual([]);
    await vi.waitUntil(() => output.includes("Stopped."), 10_000);
  });

  test.each(["SIGTERM", "SIGKILL"] as const)(
    "leaves nothing running after %s during the launcher's own start",
    async (signal) => {
      const closed = once(npm, "close");
      const isLaunching = () => {
        const commands = execFileSync("ps", ["-o", "args=", "-g", `${npm.pid}`], { encoding: "utf8" });
        return /^node tools\/launch\/start\.ts/m.test(commands);
      };
      await vi.waitUntil(isLaunching, { timeout: 25_000, interval: 1 });
      await kill(signal);
      await closed; // all processes that write to npm's output have ended
      // On a busy machine, the signal can come after the launcher has begun to start the services.
      expect(output.includes("Stopped.")).toBe(output.includes("Starting"));
      expect(await listTaken()).toEqual([]);
    },
  );
});
