// Releases against the simulator of Container Apps, on its virtual clock.
import fc from "fast-check";
import type { Azure } from "../../../tools/release/azure/azure.ts";
import type { Goal } from "../../../tools/release/core/goal.ts";
import type { Definition } from "../../../tools/release/definition/definition.ts";
import type { Clock } from "../../../tools/release/run/clock.ts";
import { release } from "../../../tools/release/run/runner.ts";
import type { Outcome, Report } from "../../../tools/release/show/report.ts";
import type { SeenRequest } from "../../simulators/container-apps/faults.ts";
import { createAzure } from "../../simulators/container-apps/in-process.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import { createProbe } from "../../simulators/container-apps/routing.ts";
import { createSimulator, type Simulator, type SimulatorOptions } from "../../simulators/container-apps/simulator.ts";
import { type Rules, watch } from "./simulated-rules.ts";

// The same cases in each run.
fc.configureGlobal({ seed: 17 });

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
  readonly rules: Rules;
  run(goal: Goal, options?: RunOptions): Promise<Ended>;
}

export interface RunOptions {
  readonly owner?: string;
  readonly signal?: AbortSignal;
  readonly onReport?: (report: Report) => void;
  readonly clock?: Clock;
  /** A file that somebody has changed. */
  readonly definition?: Definition;
  /** What the run uses in the place of this. */
  readonly replace?: (azure: Azure) => Azure;
}

/** An app with a tag of others; in the mode Multiple with a label of others, too. */
export function simulate(options: SimulatorOptions = {}, definition = quickDefinition): Simulated {
  const simulator = createSimulator({ workload: steady({ perSecond: 60 }), tags: { team: "a" }, ...options });
  simulator.options.metricLag = { first: 30, whole: 60 };
  // Azure lists a revision some seconds after it is created.
  simulator.virtualClock.advance(60_000);
  if (options.mode === "Multiple") addLabel(simulator);
  simulator.options.requestTime = 200;
  const rules = watch(simulator, definition);
  const weights: number[] = [0];
  const probe = createProbe(simulator);
  let runs = 0;
  simulator.options.onRequest = () => {
    const next = Object.entries(simulator.weights()).find(([name]) => /--r[0-9a-f]{8}$/.test(name))?.[1] ?? 0;
    if (next !== weights.at(-1)) weights.push(next);
  };
  return { simulator, weights, rules, run };

  async function run(goal: Goal, options: RunOptions = {}): Promise<Ended> {
    const { owner, signal, onReport, clock, replace = (azure) => azure } = options;
    runs += 1;
    rules.asked(goal);
    let ended: Ended | undefined;
    await release({
      definition: options.definition ?? definition,
      goal,
      azure: replace(createAzure(simulator, signal)),
      clock: clock ?? simulator.virtualClock,
      async probe(url) {
        const result = await probe(url);
        rules.probed(url, result);
        return result;
      },
      runTest: async () => ({ ok: true }),
      owner: owner ?? `run-${runs}`,
      show: {
        report(report) {
          rules.reported(report);
          onReport?.(report);
        },
        end: (outcome, message) => {
          ended = { outcome, message };
        },
      },
    });
    if (!ended) throw new Error("the release ends with an outcome");
    return ended;
  }
}

function addLabel({ app, writeAs }: Simulator): void {
  const traffic = [
    { latestRevision: true, weight: 100 },
    { revisionName: app.revisions[0]?.name, weight: 0, label: "other" },
  ];
  writeAs({ properties: { configuration: { ingress: { traffic } } } });
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
