import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Goal } from "../../../tools/release/core/goal.ts";
import { parseProgress } from "../../../tools/release/core/tags.ts";
import { faults } from "../../simulators/container-apps/faults.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import type { SimulatorOptions } from "../../simulators/container-apps/simulator.ts";
import { root } from "../../support/processes.ts";
import { resume, start } from "./model.ts";
import { quickDefinition, type RunOptions, runKilled, type Simulated, simulate } from "./simulated.ts";

const goal = (variant = "good") => start({ image: `registry.example/welcome:2.0.0-${variant}` });
const abort: Goal = { kind: "abort" };
const promote: Goal = { kind: "promote", force: false };

const phaseOf = ({ simulator }: Simulated) => parseProgress(simulator.app.wanted.tags["release-progress"])?.phase;
const activeOf = ({ simulator }: Simulated) =>
  simulator.app.revisions.filter(({ runs }) => runs.at(-1)?.to === Number.POSITIVE_INFINITY).map(({ name }) => name);

/** The usual end: one run, the weights that were in force, and no rule broken. */
async function release(variant: string, options: SimulatorOptions = {}, run: RunOptions = {}) {
  const simulated = simulate(options);
  const ended = await simulated.run(goal(variant), run);
  return { ...ended, simulated, weights: simulated.weights };
}

/** Rolled back: all traffic is on the old revision, and the new one has stopped. */
function expectBack({ outcome, simulated }: Awaited<ReturnType<typeof release>>, weights: readonly number[]): void {
  expect({ outcome, weights: simulated.weights }).toEqual({ outcome: "rolledBack", weights });
  const [old] = simulated.simulator.app.revisions;
  expect(simulated.simulator.weights()).toEqual({ [old?.name ?? ""]: 100 });
  expect(phaseOf(simulated)).toBe("rolled-back");
  expect(activeOf(simulated)).toEqual([old?.name]);
}

/** Held at the first step; each `promote` takes it one step further. */
async function expectHeldUntilPromoted(simulated: Simulated): Promise<void> {
  expect((await simulated.run(goal())).outcome).toBe("held");
  expect(simulated.weights).toEqual([0, 5]);
  expect((await simulated.run(promote)).outcome).toBe("held");
  expect(simulated.weights).toEqual([0, 5, 50]);
  expect((await simulated.run(promote)).outcome).toBe("held");
  expect((await simulated.run(promote)).outcome).toBe("promoted");
  expect(simulated.weights).toEqual([0, 5, 50, 100]);
}

describe("a release", () => {
  test("scenario 1: a good revision is promoted step by step, and the old revision stops", async () => {
    const { outcome, weights, simulated } = await release("good");
    expect({ outcome, weights }).toEqual({ outcome: "promoted", weights: [0, 5, 50, 100] });
    expect(activeOf(simulated)).toEqual([simulated.simulator.app.revisions[1]?.name]);
  });

  test("scenario 2: a revision that fails its test at the label goes back before a user sees it", async () => {
    const ended = await release("broken");
    expectBack(ended, [0]);
    expect(ended.message).toContain("GET / at the new revision: status 500");
  });

  test("scenario 3: a revision with 20 % errors at 5 % of the traffic goes back", async () => {
    const ended = await release("errors");
    expectBack(ended, [0, 5, 0]);
    expect(ended.message).toContain("check 5xx");
  });

  test("scenario 4: a revision whose errors begin at 50 % of the traffic goes back", async () => {
    const ended = await release("errors-at-50");
    expectBack(ended, [0, 5, 50, 0]);
    expect(ended.message).toContain("check 5xx");
  });

  test("scenario 5: a revision that is slow without errors goes back, by its logs", async () => {
    const slow = { name: "slow", source: "httpLogs", over: 0.5, margin: 0.02, max: 0.5, lag: 60 } as const;
    const simulated = simulate({}, { ...quickDefinition, checks: [slow] });
    simulated.simulator.options.logLag = 30;
    const ended = await simulated.run(goal("slow"));
    expectBack({ ...ended, simulated, weights: simulated.weights }, [0, 5, 0]);
    expect(ended.message).toContain("check slow");
  });

  test("scenario 6: a revision that crashes again and again in the bake goes back", async () => {
    const ended = await release("crash-at-100");
    expectBack(ended, [0, 5, 50, 100, 0]);
    expect(ended.message).toMatch(/check alive|a replica of .* restarted/);
  });

  test.each(["never-ready", "activation-failed"])("of the revision %s gives up after 10 minutes", async (variant) => {
    const ended = await release(variant);
    expectBack(ended, [0]);
    expect(ended.message).toContain("did not become ready within 10 minutes");
  });

  test("scenario 7: with low traffic it holds at the first step, and goes on with promote", async () => {
    await expectHeldUntilPromoted(simulate({ workload: steady({ perSecond: 0.2 }) }));
  });

  test("scenario 8: without traffic it holds at the first step, and goes on with promote", async () => {
    await expectHeldUntilPromoted(simulate({ workload: () => ({ total: 0, bad: 0 }) }));
  });

  test("scenario 9: without metrics it holds at the first step, and goes on with promote", async () => {
    const simulated = simulate();
    simulated.simulator.options.hasMetrics = false;
    await expectHeldUntilPromoted(simulated);
  });

  test("scenario 10: in an outage of both revisions it holds", async () => {
    const { outcome, message, weights } = await release("good", {
      workload: steady({ perSecond: 60, errors: 0.8 }),
    });
    expect({ outcome, weights }).toEqual({ outcome: "held", weights: [0, 5] });
    expect(message).toContain("at both revisions");
  });

  test("scenario 19: it holds when Azure shows weights that are not in force", async () => {
    const simulated = simulate();
    const ended = await simulated.run(goal(), {
      onReport: ({ phase }) => {
        if (phase === "step 1 of 2" && simulated.weights.includes(5))
          simulated.simulator.app.switches.keepsWeights = true;
      },
    });
    expect(ended.outcome).toBe("held");
    expect(ended.message).toContain("another share of the requests than its weight");
    expect(simulated.weights).toEqual([0, 5]);
  });
});

test("each of the twenty scenarios has one test", () => {
  const files = globSync(["test/tools/release/*.test.ts", "test/kubernetes/cluster/release.ts"], { cwd: root });
  const titles = files.flatMap((file) => [
    ...readFileSync(join(root, file), "utf8").matchAll(
      /^ *(?:test|describe)[^\n]*\("scenario (\d+):|^ *"scenario (\d+):/gm,
    ),
  ]);
  const numbers = titles.map(([, inline, wrapped]) => Number(inline ?? wrapped)).toSorted((a, b) => a - b);
  expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
});

describe("a dead run", () => {
  test("scenario 13: a watchdog without an image takes it over, after its lock has expired", async () => {
    const simulated = simulate();
    const dead = await runKilled(simulated, goal(), ({ number }) => number === 120, "after");
    expect(dead).toBe("killed");
    expect((await simulated.run(resume)).outcome).toBe("ongoing");
    simulated.simulator.virtualClock.advance(5 * 60_000);
    expect((await simulated.run(resume)).outcome).toBe("promoted");
    expect(simulated.rules.violations).toEqual([]);
  });

  test("is taken over by ticks of at most one change each, which leave no lock", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    const once = { ...goal(), once: true };
    const outcomes: string[] = [];
    while (outcomes.at(-1) !== "promoted" && outcomes.length < 100) {
      let changes = 0;
      simulator.options.intercept = ({ method, body }) => {
        const isChange =
          method === "PATCH" &&
          JSON.parse(body).tags["release-progress"] !== simulator.app.wanted.tags["release-progress"];
        if (isChange || method === "POST") changes += 1;
        return undefined;
      };
      outcomes.push((await simulated.run(once)).outcome);
      expect(changes).toBeLessThanOrEqual(1);
      expect(simulator.app.wanted.tags["release-lock"]).toBeUndefined();
      simulator.virtualClock.advance(60_000);
    }
    expect(new Set(outcomes)).toEqual(new Set(["ongoing", "promoted"]));
    expect(simulated.weights).toEqual([0, 5, 50, 100]);
    expect(simulated.rules.violations).toEqual([]);
  });
});

describe("two starts", () => {
  test("of different images release one of them, and the other says how to end that", async () => {
    const simulated = simulate();
    const { virtualClock } = simulated.simulator;
    virtualClock.runners = 2;
    const run = async (owner: string, image: string) => {
      const ended = await simulated.run(start({ image }), { owner });
      virtualClock.runners -= 1;
      return ended;
    };
    const [one, other] = await Promise.all([
      run("one", "registry.example/welcome:2"),
      run("two", "registry.example/welcome:3"),
    ]);
    const [promoted, refused] = one.outcome === "promoted" ? [one, other] : [other, one];
    expect([promoted.outcome, refused.outcome]).toEqual(["promoted", "input"]);
    expect(refused.message).toMatch(
      /^the release of welcome--r[0-9a-f]{8} .* is under way: .*`npm run release -- abort welcome`$/,
    );
    expect(simulated.simulator.app.revisions).toHaveLength(2);
    expect(simulated.rules.violations).toEqual([]);
  });
});

describe("a computer whose clock is wrong", () => {
  test.each([-3_600_000, 3_600_000])("by %i ms releases as any other, by the clock of Azure", async (skew) => {
    const simulated = simulate();
    const local = simulated.simulator.virtualClock;
    const clock = { now: () => local.now() + skew, sleep: local.sleep };
    const { outcome } = await simulated.run(goal(), { clock });
    expect(outcome).toBe("promoted");
    expect(simulated.weights).toEqual([0, 5, 50, 100]);
    // Half an hour of virtual time at most: no wait depends on the wrong clock.
    expect(local.now() - Date.parse("2026-10-05T08:00:00Z")).toBeLessThan(30 * 60_000);
  });
});

describe("abort", () => {
  test("at any time of a release that another run works on sends all traffic back, and both end", {
    timeout: 180_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 720_000 }),
        fc.integer({ min: 0, max: 20 }),
        async (delay, staleness) => {
          const simulated = simulate();
          simulated.simulator.options.staleness = staleness;
          // Azure has no conditional writes: with old reads, a raise can follow the way back, and abort repeats it.
          if (staleness > 0) simulated.rules.allow(/ after a failure$| goes from | without its label$| rises from /);
          const { virtualClock } = simulated.simulator;
          virtualClock.runners = 2;
          const running = simulated.run(goal(), { owner: "runner" }).then((ended) => {
            virtualClock.runners -= 1;
            return ended;
          });
          await virtualClock.sleep(delay);
          const { outcome } = await simulated.run(abort, { owner: "person" });
          virtualClock.runners -= 1;
          const other = await running;
          if (outcome === "nothing" || outcome === "input") {
            expect(other.outcome).toBe("promoted");
            return;
          }
          expect(outcome).toBe("aborted");
          expect(other.outcome).toBe("rolledBack");
          expect(simulated.weights.at(-1)).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("somebody else's write", () => {
  test("scenario 15: a PUT of other weights, without the tags, ends the run, which touches nothing", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    const { app } = simulator;
    let theirs: unknown;
    const ended = await simulated.run(goal(), {
      onReport: ({ phase, live, next, checks }) => {
        if (phase !== "step 1 of 2" || theirs || !next || checks[0]?.next.total === 0) return;
        const traffic = [
          { revisionName: live.revision, weight: 60, label: "blue" },
          { revisionName: next.revision, weight: 40, label: "green" },
        ];
        const { configuration, ingress, template, mode } = app.wanted;
        const properties = {
          template,
          configuration: { ...configuration, activeRevisionsMode: mode, ingress: { ...ingress, traffic } },
        };
        simulator.writeAs({ tags: {}, properties }, "PUT");
        theirs = app.wanted;
      },
    });
    expect(ended.outcome).toBe("foreign");
    expect(ended.message).toContain("60 % (blue)");
    expect(app.wanted).toBe(theirs);
  });

  test("that drops the tags starts the step again", async () => {
    const simulated = simulate();
    let isDone = false;
    const ended = await simulated.run(goal(), {
      onReport: ({ phase, checks }) => {
        if (phase !== "step 2 of 2" || isDone || (checks[0]?.next.total ?? 0) === 0) return;
        isDone = true;
        simulated.simulator.writeAs({ tags: { team: "b" } });
      },
    });
    expect(ended.outcome).toBe("promoted");
    expect(simulated.weights).toEqual([0, 5, 50, 100]);
    expect(simulated.simulator.app.wanted.tags.team).toBe("b");
  });
});

describe("a fault of Azure that lasts", () => {
  test("scenario 16: a 409 that lasts in the way back ends as unconfirmed after 10 minutes, and the next run finishes it", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    simulator.options.intercept = ({ method, body }) =>
      method === "PATCH" && body.includes("phase=back") ? faults.busy : undefined;
    const ended = await simulated.run(goal("errors"));
    expect(ended.outcome).toBe("unconfirmed");
    simulator.options.intercept = undefined;
    expect((await simulated.run(resume)).outcome).toBe("rolledBack");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test("while the traffic rises sends it back", async () => {
    const simulated = simulate();
    simulated.simulator.options.intercept = ({ method, body }) =>
      method === "PATCH" && body.includes("step=2") && body.includes("phase=step") ? faults.busyInText : undefined;
    const ended = await simulated.run(goal());
    expect(ended.outcome).toBe("rolledBack");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test.each(["isStuck", "dropsTags"] as const)("%s in a step ends without more traffic", async (name) => {
    const simulated = simulate();
    const { simulator } = simulated;
    const ended = await simulated.run(goal(), {
      onReport: ({ phase, checks }) => {
        if (phase === "step 1 of 2" && (checks[0]?.next.total ?? 0) > 0) simulator.app.switches[name] = true;
      },
    });
    expect(ended.outcome).toBe("unconfirmed");
    expect(Math.max(...simulated.weights)).toBe(5);
    simulator.app.switches[name] = false;
    simulator.virtualClock.advance(60_000);
    await simulated.run(abort);
    expect(simulated.weights.at(-1)).toBe(0);
    expect(simulated.rules.violations).toEqual([]);
  });

  test.each([
    ["lost", faults.lost],
    ["hanging", faults.hanging],
    ["unavailable", faults.unavailable],
    ["throttled", faults.throttled(30)],
  ])("%s ends as unreachable, and nothing is raised", async (_, fault) => {
    const simulated = simulate();
    simulated.simulator.options.intercept = ({ number }) => (number > 80 ? fault : undefined);
    const ended = await simulated.run(goal());
    expect(ended.outcome).toBe("unreachable");
    expect(simulated.weights).toEqual([0, 5]);
    simulated.simulator.options.intercept = undefined;
    expect((await simulated.run(resume)).outcome).toBe("promoted");
  });

  test("of permissions ends within a minute when nothing has begun", async () => {
    const simulated = simulate();
    const { virtualClock, options } = simulated.simulator;
    options.intercept = ({ method }) => (method === "PATCH" ? faults.denied : undefined);
    const before = virtualClock.now();
    const ended = await simulated.run(goal());
    expect(ended.outcome).toBe("input");
    expect(ended.message).toContain("role");
    expect(virtualClock.now() - before).toBeLessThan(60_000);
  });

  test("of permissions ends at once when the app cannot be read", async () => {
    const simulated = simulate();
    let requests = 0;
    simulated.simulator.options.intercept = () => {
      requests += 1;
      return faults.denied;
    };
    expect((await simulated.run(goal())).outcome).toBe("input");
    expect(requests).toBe(1);
  });

  test("of reads that are up to 40 seconds old breaks no rule, and the release ends as it should", {
    timeout: 180_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 40 }), fc.boolean(), async (staleness, isGood) => {
        const simulated = simulate();
        simulated.simulator.options.staleness = staleness;
        const ended = await simulated.run(goal(isGood ? "good" : "errors"));
        expect(ended.outcome).toBe(isGood ? "promoted" : "rolledBack");
        expect(simulated.weights).toEqual(isGood ? [0, 5, 50, 100] : [0, 5, 0]);
        expect(simulated.rules.violations).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});
