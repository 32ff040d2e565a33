// A watchdog of ticks (`run --once`) that no other run helps. A tick remembers nothing of the ticks before it.
import { describe, expect, test } from "vitest";
import { parseProgress } from "../../../tools/release/core/tags.ts";
import { type Fault, faults, type SeenRequest } from "../../simulators/container-apps/faults.ts";
import { start } from "./model.ts";
import { type Simulated, simulate } from "./simulated.ts";

const tickOf = (variant: string) => start({ image: `registry.example/welcome:2.0.0-${variant}`, once: true });
const phaseOf = ({ simulator }: Simulated) => parseProgress(simulator.app.wanted.tags["release-progress"])?.phase;

/** One tick every five minutes, until one ends so, or for two hours. @returns the outcomes */
async function tickUntil(simulated: Simulated, variant: string, last: RegExp): Promise<string[]> {
  const outcomes: string[] = [];
  while (outcomes.length < 24) {
    const { outcome } = await simulated.run(tickOf(variant));
    outcomes.push(outcome);
    if (last.test(outcome)) break;
    simulated.simulator.virtualClock.advance(5 * 60_000);
  }
  return outcomes;
}

/** Runs ticks until the release is at a phase. */
async function tickTo(simulated: Simulated, variant: string, phase: string): Promise<void> {
  for (let ticks = 0; ticks < 24 && phaseOf(simulated) !== phase; ticks += 1) {
    await simulated.run(tickOf(variant));
    if (phaseOf(simulated) !== phase) simulated.simulator.virtualClock.advance(60_000);
  }
  expect(phaseOf(simulated)).toBe(phase);
}

describe("a watchdog of ticks alone", () => {
  test.each([
    ["broken", 0],
    ["crash-loop", 0],
    ["never-ready", 0],
    ["activation-failed", 0],
    ["errors", 5],
    ["errors-at-50", 50],
    ["crash-at-100", 100],
  ])("sends a revision back that is %s", async (variant, most) => {
    const simulated = simulate();
    const outcomes = await tickUntil(simulated, variant, /rolledBack/);
    expect(new Set(outcomes)).toEqual(new Set(["ongoing", "rolledBack"]));
    expect(Math.max(...simulated.weights)).toBe(most);
    expect(phaseOf(simulated)).toBe("rolled-back");
  });

  const refused = (phase: string) => (request: SeenRequest) =>
    request.method === "PATCH" && request.body.includes(`phase=${phase} `) ? faults.busy : undefined;
  const ignored: Fault = { hasEffect: false, response: { status: 200, body: {} } };

  test.each<[string, (simulated: Simulated) => void, (simulated: Simulated) => void]>([
    [
      "refuses it",
      ({ simulator }) => Object.assign(simulator.options, { intercept: refused("back") }),
      ({ simulator }) => Object.assign(simulator.options, { intercept: undefined }),
    ],
    [
      "never ends its operation",
      ({ simulator }) => Object.assign(simulator.app.switches, { isStuck: true }),
      ({ simulator }) => Object.assign(simulator.app.switches, { isStuck: false }),
    ],
    [
      "takes it back each time",
      ({ simulator }) => Object.assign(simulator.app.switches, { takesBack: true }),
      ({ simulator }) => Object.assign(simulator.app.switches, { takesBack: false }),
    ],
    [
      "drops the tags each time",
      ({ simulator }) => Object.assign(simulator.app.switches, { dropsTags: true }),
      ({ simulator }) => Object.assign(simulator.app.switches, { dropsTags: false }),
    ],
    [
      "does not stop the new revision",
      ({ simulator }) =>
        Object.assign(simulator.options, {
          intercept: ({ kind }: SeenRequest) => (kind === "activation" ? ignored : undefined),
        }),
      ({ simulator }) => Object.assign(simulator.options, { intercept: undefined }),
    ],
  ])("ends with unconfirmed when Azure %s in the way back, and later finishes it", async (_, breakIt, repair) => {
    const simulated = simulate();
    await tickTo(simulated, "errors", "step");
    breakIt(simulated);
    const outcomes = await tickUntil(simulated, "errors", /unconfirmed/);
    expect(new Set(outcomes)).toEqual(new Set(["ongoing", "unconfirmed"]));
    expect((await tickUntil(simulated, "errors", /x/)).slice(0, 3)).toContain("unconfirmed");
    repair(simulated);
    expect(await tickUntil(simulated, "errors", /rolledBack/)).toContain("rolledBack");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test.each<[string, (simulated: Simulated) => void]>([
    [
      "refuses to raise",
      ({ simulator }) => {
        simulator.options.intercept = ({ method, body }) =>
          method === "PATCH" && body.includes("step=2") && body.includes("phase=step") ? faults.busy : undefined;
      },
    ],
    [
      "takes back when it raises",
      ({ simulator }) => {
        simulator.options.intercept = ({ method, body }) => {
          if (method === "PATCH") simulator.app.switches.takesBack = body.includes("phase=step step=2");
          return undefined;
        };
      },
    ],
  ])("sends a good revision back whose traffic Azure %s", async (_, breakIt) => {
    const simulated = simulate();
    await tickTo(simulated, "good", "step");
    breakIt(simulated);
    const outcomes = await tickUntil(simulated, "good", /rolledBack/);
    expect(new Set(outcomes)).toEqual(new Set(["ongoing", "rolledBack"]));
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test("does not wait longer than 10 minutes in a tick for an operation of others", async () => {
    const simulated = simulate();
    await tickTo(simulated, "good", "step");
    simulated.simulator.app.switches.isStuck = true;
    simulated.simulator.app.write({ tags: simulated.simulator.app.wanted.tags }, "PATCH");
    const { virtualClock } = simulated.simulator;
    const before = virtualClock.now();
    expect((await simulated.run(tickOf("good"))).outcome).toBe("ongoing");
    expect(virtualClock.now() - before).toBeLessThan(10 * 60_000);
  });
});

describe("a run", () => {
  test("of a promoted revision ends although Azure never ends the operation of its last write", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    const { outcome, message } = await simulated.run(start(), {
      onReport: () => {
        if (phaseOf(simulated) === "swapped") simulator.app.switches.isStuck = true;
      },
    });
    expect(outcome).toBe("promoted");
    expect(message).toContain("Azure did not do this within 5 minutes: stops welcome--0000001");
  });
});
