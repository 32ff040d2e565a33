import { on } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { isFree } from "../../tools/processes/ports.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { root } from "../support/processes.ts";

const support = join(root, "test/support/processes.ts");

/** Starts a sidecar and a service, and prints their pids and ports. */
const start = `
  const { startService, startSidecar } = await import(${JSON.stringify(support)});
  const started = [await startSidecar({ resources: [] }), await startService("hello-wasm", {})];
  const list = started.map(({ pid, origin }) => ({ pid, port: Number(new URL(origin).port) }));
  console.log("started " + JSON.stringify(list));
  await new Promise((resolve) => setTimeout(resolve, 600_000));
`;

/** Runs a program that runs `start`, kills it with SIGKILL, and expects what it started to end. */
async function expectNothingLeft(path: string, args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(path, args, { cwd, stdio: ["ignore", "pipe", "inherit"] });
  for await (const [line] of on(createInterface(child.stdout), "line", { close: ["close"] })) {
    const [, list] = /^started (.*)$/.exec(line) ?? [];
    if (!list) continue;
    const started: { pid: number; port: number }[] = JSON.parse(list);
    expect(started).toHaveLength(2);
    for (const { pid, port } of started) expect([isAlive(pid), await isFree(port)]).toEqual([true, false]);
    child.kill("SIGKILL");
    await expect.poll(() => started.filter(({ pid }) => isAlive(pid)), { timeout: 10_000 }).toEqual([]);
    for (const { port } of started) expect([port, await isFree(port)]).toEqual([port, true]);
    return;
  }
  throw new Error(`${path} ended`);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("a process that SIGKILL ends", () => {
  test("leaves neither the sidecar nor the service that it has started", async () => {
    await expectNothingLeft(process.execPath, ["--input-type=module", "--eval", start], root);
  });

  test("leaves neither the sidecar nor the service that its worker has started, if it is Vitest", async () => {
    const folder = mkdtempSync(join(tmpdir(), "killed-test-"));
    try {
      writeFileSync(join(folder, "a.test.mjs"), `test("waits", async () => { ${start} }, 600_000);\n`);
      const vitest = join(root, "node_modules/vitest/vitest.mjs");
      const args = [vitest, "run", "--root", folder, "--globals", "--disable-console-intercept"];
      await expectNothingLeft(process.execPath, args, folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("freePorts", () => {
  test("never returns a port that another running process has got, nor one twice", async () => {
    const script = `
      const { freePorts } = await import(${JSON.stringify(support)});
      console.log(JSON.stringify([...(await freePorts(60)), ...(await freePorts(60))]));
      await new Promise((resolve) => process.stdin.resume().once("end", resolve));
    `;
    const runners = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    const lists = await Promise.all(
      runners.map(async ({ stdout }) => {
        for await (const line of createInterface(stdout)) return JSON.parse(line) as number[];
        return [];
      }),
    );
    for (const { stdin } of runners) stdin.end();
    expect(lists.map(({ length }) => length)).toEqual(Array(6).fill(120));
    expect(new Set(lists.flat()).size).toBe(720);
  });
});
