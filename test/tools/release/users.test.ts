// Releases of welcome under real requests: revisions are processes, users send HTTPS requests while the virtual time
// passes, and the release probes the real addresses.
import tls from "node:tls";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { probe } from "../../../tools/release/run/probe.ts";
import { release } from "../../../tools/release/run/runner.ts";
import { type DataPlane, startDataPlane } from "../../simulators/container-apps/data-plane.ts";
import { createAzure } from "../../simulators/container-apps/in-process.ts";
import { loadIngressKeys } from "../../simulators/container-apps/keys.ts";
import "../../simulators/container-apps/localhost.mjs";
import { startLoad } from "../../simulators/container-apps/load.ts";
import { createPool, type ProcessPool } from "../../simulators/container-apps/processes.ts";
import type { SimulatorOptions } from "../../simulators/container-apps/simulator.ts";
import { start } from "./model.ts";
import { type Ended, quickDefinition, runKilled, type Simulated } from "./simulated.ts";
import { watch } from "./simulated-rules.ts";

const { ca } = await loadIngressKeys();
tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);

const kept = createPool({ keeps: true });
let plane: DataPlane;
/** How many responses users got, by `REVISION STATUS`. */
let responses: Map<string, number>;
afterEach(() => plane.close());
afterAll(() => kept.close());

const live = "welcome--0000001";
/** The margin is wide, because users send only one request in two seconds. */
const definition = {
  ...quickDefinition,
  steps: [
    { weight: 20, for: 300, confirm: false },
    { weight: 50, for: 300, confirm: false },
  ],
  checks: [
    { name: "5xx", source: "metrics", margin: 0.25, max: 1, lag: 60 },
    { name: "alive", source: "probe", get: "/readyz", every: 5, failures: 3 },
  ],
} as const;

/** Starts welcome in the mode Single. A user sends a request at each interval while a release sleeps. */
async function simulate(pool: ProcessPool, options: SimulatorOptions = {}, interval = 2_000): Promise<Simulated> {
  plane = await startDataPlane({ pool, ...options });
  const { simulator } = plane;
  simulator.options.metricLag = { first: 30, whole: 60 };
  simulator.options.countsLabels = false;
  responses = new Map();
  plane.onResponse = (response) => {
    if (response.userAgent !== userAgent) return;
    const key = `${response.revision} ${response.status}`;
    responses.set(key, (responses.get(key) ?? 0) + 1);
  };
  simulator.virtualClock.advance(60_000);
  simulator.virtualClock.whilePassing = async (from, to) => {
    for (let at = from; at < to; at += interval) await sendRequest();
  };
  simulator.options.requestTime = 200;
  const rules = watch(simulator, definition);
  return { simulator, weights: [], rules, run };

  async function run(goal: Parameters<Simulated["run"]>[0], { signal }: { signal?: AbortSignal } = {}): Promise<Ended> {
    let ended: Ended | undefined;
    rules.asked(goal);
    await release({
      definition,
      goal,
      azure: createAzure(simulator, signal),
      clock: simulator.virtualClock,
      async probe(url) {
        const result = await probe(url);
        rules.probed(url, result);
        return result;
      },
      runTest: async () => ({ ok: true }),
      owner: signal ? "killed" : "next",
      show: {
        report: (report) => rules.reported(report),
        end(outcome, message) {
          ended = { outcome, message };
        },
      },
    });
    return ended ?? expect.fail("the release has no outcome");
  }
}

const userAgent = "user";

async function sendRequest(): Promise<void> {
  const response = await fetch(`https://welcome.${plane.domain}/`, { headers: { "User-Agent": userAgent } });
  await response.text();
}

/** The statuses that users got. */
const statuses = () => [...new Set([...responses.keys()].map((key) => Number(key.split(" ")[1])))];

describe("users of an app", () => {
  test("scenario 18: get no error from the mode Single to Multiple and to the end, while processes start and stop", async () => {
    const { run } = await simulate(createPool({ keeps: false }));
    expect(plane.simulator.app.wanted.mode).toBe("Single");
    // Besides the users of the virtual time, up to 32 requests at once, at any moment of a write.
    const load = startLoad(`https://welcome.${plane.domain}/`, ca, 300, userAgent);
    expect(await run(start())).toMatchObject({ outcome: "promoted" });
    const total = [...responses.values()].reduce((sum, count) => sum + count, 0);
    expect(total).toBeGreaterThan(700);
    expect(statuses()).toEqual([200]);
    load.stop();
    expect(plane.simulator.app.wanted.mode).toBe("Multiple");
    const [, next] = plane.simulator.app.revisions;
    expect(plane.simulator.weights()).toEqual({ [next?.name ?? ""]: 100 });
    await plane.drained();
  });

  test("get errors only of a bad revision's own share, which goes back by itself", async () => {
    const broken = { startup: 20, errors: 0.8, errorsFromWeight: 1 };
    const variants = (image: string) => (image.endsWith(":3") ? broken : { startup: 20 });
    const { run } = await simulate(kept, { variants });
    const ended = await run(start({ image: "registry.example/welcome:3" }));
    expect(ended).toMatchObject({ outcome: "rolledBack", message: expect.stringContaining("check 5xx") });
    const errors = [...responses].filter(([key]) => !key.endsWith(" 200"));
    expect(errors).toEqual([[expect.stringMatching(/^welcome--r[0-9a-f]{8} 500$/), expect.any(Number)]]);
    expect(plane.simulator.weights()).toEqual({ [live]: 100 });
  });

  test("get errors for less than half a minute when the new revision crashes with all traffic", async () => {
    const { run } = await simulate(kept);
    const ended = await run(start({ image: "registry.example/welcome:3-crash-at-100" }));
    expect(ended).toMatchObject({ outcome: "rolledBack", message: expect.stringMatching(/check alive|restarted/) });
    const [, errors = 0] = [...responses].find(([key]) => key.endsWith(" 503")) ?? [];
    expect(errors).toBeGreaterThan(0);
    expect(errors).toBeLessThan(15); // one in two seconds
    expect(plane.simulator.weights()).toEqual({ [live]: 100 });
  });

  test.each(["before", "after"] as const)(
    "get no error when a run is killed %s the effect of any write, and the next run promotes",
    { timeout: 300_000 },
    async (moment) => {
      for (let write = 1; ; write += 1) {
        const simulated = await simulate(kept, {}, 6_000);
        let writes = 0;
        const isTarget = ({ method }: { method: string }) => method !== "GET" && ++writes === write;
        const killed = await runKilled(simulated, start(), isTarget, moment);
        if (killed !== "killed") {
          expect(write).toBeGreaterThan(8);
          return;
        }
        expect(await simulated.run(start())).toMatchObject({ outcome: expect.stringMatching(/^(promoted|nothing)$/) });
        expect({ write, statuses: statuses() }).toEqual({ write, statuses: [200] });
        expect(Object.keys(plane.simulator.weights())).not.toEqual([live]);
        await plane.close();
      }
    },
  );
});
