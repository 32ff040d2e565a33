// Ctrl-C, and the run that goes on afterwards.
import { describe, expect, test, vi } from "vitest";
import { lockOf, withLock } from "../../../tools/release/core/lock.ts";
import { makeInterruptible } from "../../../tools/release/run/interrupt.ts";
import { createAzure } from "../../simulators/container-apps/in-process.ts";
import { readVariables } from "../../simulators/container-apps/printed.ts";
import { createSimulator } from "../../simulators/container-apps/simulator.ts";
import { run } from "../../support/processes.ts";

describe("a run that is interrupted", () => {
  /** A run that has just taken the lock. */
  async function takeLock() {
    const simulator = createSimulator({ tags: { team: "a" } });
    simulator.virtualClock.advance(60_000);
    const azure = createAzure(simulator);
    const own = makeInterruptible(azure, "me");
    await azure.readApp();
    await own.azure.patch({ tags: withLock({ team: "a" }, "me", azure.now()) });
    return { simulator, azure, stop: own.stop, writer: own.azure };
  }

  test("drops its lock and keeps all other tags", async () => {
    const { simulator, azure, stop } = await takeLock();
    simulator.virtualClock.advance(60_000);
    expect(await stop()).toBeUndefined();
    expect((await azure.readApp()).tags).toEqual({ team: "a" });
  });

  test("keeps its lock while Azure shows the tags from before its last write, and says when the lock ends", async () => {
    const { simulator, azure, stop, writer } = await takeLock();
    simulator.virtualClock.advance(60_000);
    const before = await azure.readApp();
    await writer.patch({ tags: { ...before.tags, "release-progress": "new" } });
    simulator.virtualClock.advance(60_000);
    simulator.options.staleness = 90;
    expect(await stop()).toBe(lockOf(before.tags, azure.now())?.expiry);
    simulator.options.staleness = 0;
    expect((await azure.readApp()).tags).toMatchObject({ "release-progress": "new" });
  });

  test("keeps its lock while Azure applies a change", async () => {
    const { azure, stop } = await takeLock();
    expect(await stop()).toBeGreaterThan(azure.now());
  });

  test("starts no write any more", async () => {
    const { simulator, stop, writer } = await takeLock();
    simulator.virtualClock.advance(60_000);
    await stop();
    void writer.patch({ tags: { late: "yes" } });
    void writer.setActive("welcome--0000001", false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(simulator.app.wanted.tags).toEqual({ team: "a" });
    expect(simulator.weights()).toEqual({ "welcome--0000001": 100 });
  });

  test("leaves the lock of another run alone", async () => {
    const { simulator, azure } = await takeLock();
    simulator.virtualClock.advance(60_000);
    expect(await makeInterruptible(azure, "another").stop()).toBeUndefined();
    expect((await azure.readApp()).tags["release-lock"]).toMatch(/^me /);
  });
});

test("after Ctrl-C, the printed command goes on with the release at once", async () => {
  // As slow as possible: an expired lock would let the second run go on, too.
  const simulator = run(process.execPath, ["test/simulators/container-apps/start.ts", "--speed", "20"]);
  try {
    await vi.waitFor(() => expect(simulator.output()).toMatch(/welcome--0000001 200 +\d/), { timeout: 30_000 });
    const variables = readVariables(simulator.output());
    const release = (...args: string[]) => run(process.execPath, ["tools/release/release.ts", ...args], variables);
    const first = release("run", "welcome", "--image", "registry.example/welcome:2.0.0");
    await vi.waitFor(() => expect(first.output()).toContain("compares the requests"), { timeout: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 2_000)); // Azure applies the step
    void first.end("SIGINT"); // from the terminal, and again from npm
    expect(await first.end("SIGINT")).toBe(130);
    const [, command = ""] =
      /Go on with the release, or go back now:\n {2}npm run release -- (.+)\n {2}npm run release -- abort welcome\n/.exec(
        first.output(),
      ) ?? [];
    expect(command).toBe("run welcome");
    const second = release(...command.split(" "));
    await vi.waitFor(() => expect(second.output()).toContain("compares the requests"), { timeout: 60_000 });
    await vi.waitFor(
      async () => {
        const shown = release("status", "welcome", "--json");
        await shown.ended;
        expect(JSON.parse(shown.output().replace(/^[^{]*/, "")).lock).toBeDefined();
      },
      { timeout: 60_000 },
    );
    await second.end("SIGINT");
  } finally {
    await simulator.end();
  }
}, 180_000);
