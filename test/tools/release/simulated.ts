// Releases against the simulator of Container Apps, on its virtual clock.
import type { Clock } from "../../../tools/release/clock.ts";
import type { Definition } from "../../../tools/release/definition.ts";
import type { Goal } from "../../../tools/release/goal.ts";
import type { Outcome, Report } from "../../../tools/release/report.ts";
import { release } from "../../../tools/release/runner.ts";
import type { SeenRequest } from "../../simulators/container-apps/faults.ts";
import { createAzure } from "../../simulators/container-apps/in-process.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import { isReady } from "../../simulators/container-apps/revision.ts";
import { createProbe } from "../../simulators/container-apps/routing.ts";
import { createSimulator, type Simulator, type SimulatorOptions } from "../../simulators/container-apps/simulator.ts";

/** Short steps: a release takes a quarter of an hour of virtual time. */
export const quickDefinition: Definition = {
  app: "welcome",
  labels: { live: "blue", next: "green" },
  test: [{ get: "/" }],
  steps: [
    { weight: 5, for: 180, confirm: false },
    { weight: 50, for: 180, confirm: false },
  ],
  bake: 180,
  checks: [
    { name: "5xx", source: "metrics", margin: 0.02, max: 0.5, lag: 60 },
    { name: "alive", source: "probe", get: "/readyz", every: 5, failures: 3 },
  ],
  inconclusive: { extend: 300, then: "hold" },
};

export interface Ended {
  readonly outcome: Outcome;
  readonly message: string;
}

export interface Simulated {
  readonly simulator: Simulator;
  /** Weights of the new revision, in the order in which they were in force, each once. */
  readonly weights: readonly number[];
  /** What broke a rule that always holds. */
  readonly violations: readonly string[];
  run(goal: Goal, options?: RunOptions): Promise<Ended>;
}

export interface RunOptions {
  readonly owner?: string;
  readonly signal?: AbortSignal;
  readonly definition?: Definition;
  readonly onReport?: (report: Report) => void;
  readonly clock?: Clock;
}

export function simulate(options: SimulatorOptions = {}): Simulated {
  const simulator = createSimulator({ workload: steady({ perSecond: 60 }), ...options });
  simulator.options.metricLag = { first: 30, whole: 60 };
  // Azure lists a revision some seconds after it is created.
  simulator.virtualClock.advance(60_000);
  simulator.options.requestTime = 200;
  const weights: number[] = [0];
  const violations: string[] = [];
  const probe = createProbe(simulator);
  let runs = 0;
  simulator.options.onRequest = () => observe();
  return { simulator, weights, violations, run };

  /** Rules that hold at any time, whatever fails and whoever is killed. */
  function observe() {
    const now = Object.entries(simulator.weights());
    const sum = now.reduce((total, [, weight]) => total + weight, 0);
    if (sum !== 100) violations.push(`the weights add to ${sum}`);
    for (const [name] of now) {
      const revision = simulator.app.revisions.find((one) => one.name === name);
      const isServed = revision !== undefined && isReady(revision, simulator.clock.now());
      if (!isServed) violations.push(`${name} has traffic, and no replica that is ready`);
    }
    const next = now.find(([name]) => /--r[0-9a-f]{8}$/.test(name))?.[1] ?? 0;
    const before = weights.at(-1) ?? 0;
    if (next === before) return;
    const ladder = [0, ...quickDefinition.steps.map(({ weight }) => weight), 100];
    if (next > before && ladder.indexOf(next) !== ladder.indexOf(before) + 1) {
      violations.push(`the new revision went from ${before} % to ${next} %`);
    }
    weights.push(next);
  }

  async function run(goal: Goal, { owner, signal, definition, onReport, clock }: RunOptions = {}): Promise<Ended> {
    runs += 1;
    let ended: Ended | undefined;
    await release({
      definition: definition ?? quickDefinition,
      goal,
      azure: createAzure(simulator, signal),
      clock: clock ?? simulator.virtualClock,
      probe,
      runTest: async () => ({ ok: true }),
      owner: owner ?? `run-${runs}`,
      show: {
        report: (report) => onReport?.(report),
        end: (outcome, message) => {
          ended = { outcome, message };
        },
      },
    });
    if (!ended) throw new Error("the release ends with an outcome");
    return ended;
  }
}

/** Kills the run at a request: before Azure does what it asks for, or after that and before its response. */
export async function runKilled(
  { simulator, run }: Simulated,
  goal: Goal,
  isTarget: (request: SeenRequest) => boolean,
  moment: "before" | "after",
): Promise<Ended | "killed"> {
  const controller = new AbortController();
  const { promise: killed, resolve } = Promise.withResolvers<"killed">();
  const { onRequest } = simulator.options;
  const kill = () => {
    controller.abort();
    resolve("killed");
  };
  simulator.options.intercept = (request) => {
    if (controller.signal.aborted || moment !== "before" || !isTarget(request)) return undefined;
    kill();
    return { hasEffect: false, response: "none" };
  };
  simulator.options.onRequest = async (when, request) => {
    await onRequest?.(when, request);
    if (when === "after" && moment === "after" && !controller.signal.aborted && isTarget(request)) kill();
  };
  const ended = await Promise.race([run(goal, { signal: controller.signal }), killed]);
  simulator.options.intercept = undefined;
  simulator.options.onRequest = onRequest;
  return ended;
}
