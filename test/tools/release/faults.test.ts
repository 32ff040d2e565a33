import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { armError } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { parseProgress } from "../../../tools/release/core/tags.ts";
import { type Fault, faults, type SeenRequest } from "../../simulators/container-apps/faults.ts";
import { start } from "./model.ts";
import { type Simulated, simulate } from "./simulated.ts";

/** Of each property, the same ones in each run. More of them: RELEASE_CASES=1000 npx vitest … */
const cases = Number(process.env.RELEASE_CASES ?? 50);

const good = start({ image: "registry.example/welcome:2.0.0" });
const bad = start({ image: "registry.example/welcome:2.0.0-errors" });

const transient: readonly Fault[] = [
  faults.busy,
  faults.busyInText,
  faults.throttled(20),
  faults.unavailable,
  faults.failedAfter,
  faults.lost,
  faults.lostAfter,
  faults.hanging,
  faults.hangingAfter,
  faults.expired,
];

/** Chooses up to a third of the requests, and a fault for each. */
const schedules = fc.array(fc.tuple(fc.integer({ min: 1, max: 300 }), fc.constantFrom(...transient)), {
  maxLength: 100,
});

/** Runs until a run ends well, as a watchdog does. */
async function settle(simulated: Simulated, goal = good) {
  for (let runs = 0; runs < 5; runs += 1) {
    const { outcome } = await simulated.run(goal);
    const { phase } = parseProgress(simulated.simulator.app.wanted.tags["release-progress"]) ?? {};
    if (phase === "promoted" || phase === "rolled-back") return { outcome, phase };
  }
  return { outcome: "unsettled", phase: undefined };
}

describe("with random faults of Azure", () => {
  test("a good release never breaks a rule, and is promoted in the end or sent back", {
    timeout: 120_000,
  }, async () => {
    const phases = new Set<string | undefined>();
    await fc.assert(
      fc.asyncProperty(schedules, async (schedule) => {
        const simulated = simulate();
        const planned = new Map(schedule);
        simulated.simulator.options.intercept = ({ number }: SeenRequest) => planned.get(number);
        const { phase } = await settle(simulated);
        phases.add(phase);
        expect(simulated.rules.violations).toEqual([]);
        expect(phase).toMatch(/^(promoted|rolled-back)$/);
      }),
      { numRuns: cases },
    );
    expect(phases).toContain("promoted");
  });

  test("a bad release never has more than the weight of its first step, and is sent back", {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(schedules, async (schedule) => {
        const simulated = simulate();
        const planned = new Map(schedule);
        simulated.simulator.options.intercept = ({ number }: SeenRequest) => planned.get(number);
        const { phase } = await settle(simulated, bad);
        expect(simulated.rules.violations).toEqual([]);
        expect(phase).toBe("rolled-back");
        expect(Math.max(...simulated.weights)).toBeLessThanOrEqual(5);
      }),
      { numRuns: cases },
    );
  });
});

describe("one request that Azure does not allow", () => {
  const missing: Fault = {
    hasEffect: false,
    response: armError(404, "ResourceNotFound", "The Resource 'welcome' was not found."),
  };

  const refused = [faults.expired, faults.denied, missing];

  test("does not end a run, whichever it is after the first look", { timeout: 180_000 }, async () => {
    for (let number = 3; ; number += 1) {
      // Before the release is under way, each of them; later, one of them for each request.
      const chosen = number < 15 ? refused : refused.slice(number % 3, (number % 3) + 1);
      for (const fault of chosen) {
        const simulated = simulate();
        let isHit = false;
        simulated.simulator.options.intercept = (request: SeenRequest) => {
          if (request.number !== number) return undefined;
          isHit = true;
          return fault;
        };
        const ended = await simulated.run(good);
        expect({ number, ...ended }).toMatchObject({ number, outcome: "promoted" });
        if (isHit) continue;
        expect(number).toBeGreaterThan(200);
        return;
      }
    }
  });
});

describe("scenario 14: two runs that start at the same time", () => {
  test("work on one release, whatever faults Azure has", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        schedules,
        fc.integer({ min: 0, max: 60_000 }),
        fc.boolean(),
        async (schedule, delay, isGood) => {
          const simulated = simulate();
          const { simulator } = simulated;
          const planned = new Map(schedule);
          let tables = 0;
          simulator.options.intercept = ({ number, method, body }: SeenRequest) => {
            if (method === "PATCH" && body.includes('"traffic"')) tables += 1;
            return planned.get(number);
          };
          simulator.virtualClock.runners = 2;
          const run = async (owner: string, wait: number) => {
            await simulator.virtualClock.sleep(wait);
            const ended = await simulated.run(isGood ? good : bad, { owner });
            simulator.virtualClock.runners -= 1;
            return ended;
          };
          const ended = await Promise.all([run("one", 0), run("two", delay)]);
          expect(simulated.rules.violations).toEqual([]);
          expect(simulator.app.revisions.length).toBeLessThanOrEqual(2);
          if (!isGood) expect(Math.max(...simulated.weights)).toBeLessThanOrEqual(5);
          if (schedule.length > 0) return;
          expect(ended.map(({ outcome }) => outcome)).toEqual(
            isGood ? ["promoted", "promoted"] : ["rolledBack", "rolledBack"],
          );
          // Each table is written once, by one of them.
          expect(tables).toBe(isGood ? 6 : 4);
        },
      ),
      {
        numRuns: cases,
        examples: [
          [[], 0, true],
          [[], 0, false],
          [[], 20_000, true],
        ],
      },
    );
  });
});

describe("two runs whose reads are each up to 14 seconds old", () => {
  const ages = fc.array(fc.integer({ min: 0, max: 14 }), { minLength: 1, maxLength: 40 });
  const variants = fc.constantFrom("good", "errors", "errors-at-50");
  const limits: Readonly<Record<string, number>> = { good: 100, errors: 5, "errors-at-50": 50 };

  test("take turns by the rules, also when one of them is killed", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        ages,
        variants,
        fc.integer({ min: 0, max: 60_000 }),
        fc.option(fc.integer({ min: 1, max: 300 })),
        async (seconds, variant, delay, killAt) => {
          const simulated = simulate();
          const { simulator } = simulated;
          const { virtualClock } = simulator;
          const goal = start({ image: `registry.example/welcome:2.0.0-${variant}` });
          const controller = new AbortController();
          const { promise: killed, resolve } = Promise.withResolvers<"killed">();
          simulator.options.intercept = ({ number }: SeenRequest) => {
            // A later read can show something older.
            simulator.options.staleness = seconds[number % seconds.length] ?? 0;
            if (number === killAt) {
              controller.abort();
              resolve("killed");
            }
            return undefined;
          };
          virtualClock.runners = 2;
          const run = async (owner: string, wait: number, signal?: AbortSignal) => {
            await virtualClock.sleep(wait);
            const ended = simulated.run(goal, { owner, ...(signal && { signal }) });
            const outcome = await Promise.race([ended.then((one) => one.outcome), ...(signal ? [killed] : [])]);
            virtualClock.runners -= 1;
            return outcome;
          };
          const outcomes = await Promise.all([run("one", 0, controller.signal), run("two", delay)]);
          const isGood = variant === "good";
          expect(outcomes[1]).toMatch(isGood ? /^(promoted|nothing)$/ : /^rolledBack$/);
          expect(outcomes[0]).toMatch(isGood ? /^(promoted|nothing|killed)$/ : /^(rolledBack|killed)$/);
          expect(simulated.rules.violations).toEqual([]);
          expect(simulator.app.revisions).toHaveLength(2);
          expect(Math.max(...simulated.weights)).toBe(limits[variant]);
        },
      ),
      { numRuns: cases },
    );
  });
});

describe("runs that are killed again and again, with faults and old answers of Azure", () => {
  /** The most traffic that a revision may get before what is bad about it shows. */
  const limits = { good: 100, errors: 5, "errors-at-50": 50, broken: 0 } as const;
  const variants = fc.constantFrom(...(Object.keys(limits) as (keyof typeof limits)[]));
  const kills = fc.array(fc.integer({ min: 1, max: 150 }), { maxLength: 4 });
  const staleness = fc.integer({ min: 0, max: 25 });

  test("leave a release that the next runs end, by the rules", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(schedules, variants, kills, staleness, async (schedule, variant, counts, seconds) => {
        const simulated = simulate();
        const { simulator } = simulated;
        simulator.options.staleness = seconds;
        const planned = new Map(schedule);
        const goal = start({ image: `registry.example/welcome:2.0.0-${variant}` });
        for (const count of counts) await runUntil(count);
        simulator.options.intercept = ({ number }: SeenRequest) => planned.get(number);
        const { phase } = await settle(simulated, goal);
        expect(simulated.rules.violations).toEqual([]);
        expect(Math.max(...simulated.weights)).toBeLessThanOrEqual(limits[variant]);
        expect(phase).toMatch(variant === "good" ? /^(promoted|rolled-back)$/ : /^rolled-back$/);

        /** Kills a run at this request of it, which may still take effect. */
        async function runUntil(count: number) {
          const controller = new AbortController();
          const { promise: killed, resolve } = Promise.withResolvers<void>();
          let left = count;
          simulator.options.intercept = ({ number }: SeenRequest) => {
            left -= 1;
            if (left === 0) {
              controller.abort();
              resolve();
            }
            return planned.get(number);
          };
          await Promise.race([simulated.run(goal, { signal: controller.signal }), killed]);
        }
      }),
      { numRuns: cases },
    );
  });
});
