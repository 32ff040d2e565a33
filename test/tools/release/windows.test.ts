import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Underway } from "../../../tools/release/core/state.ts";
import type { Progress } from "../../../tools/release/core/tags.ts";
import { lookAt } from "../../../tools/release/core/windows.ts";
import type { Definition } from "../../../tools/release/definition/definition.ts";
import { definition, minute } from "./model.ts";

const since = Date.parse("2026-11-26T11:00:10Z");
const at = (time: string) => Date.parse(`2026-11-26T${time}Z`);
const id = "r00000000";
const step: Progress = { id, phase: "step", step: 2, since, from: "welcome--old" };

function stateAt(progress: Progress): Underway {
  const kept = { live: undefined, next: undefined, nextName: `welcome--${id}`, weight: 50, isBack: false };
  return { kind: "underway", progress, isLost: false, isTagged: true, isChanged: false, ...kept };
}

function countsAt(progress: Progress, now: number, rules: Definition = definition) {
  const [counts] = lookAt(rules, stateAt(progress), false, now).counts;
  if (!counts) throw new Error("a step and the bake are judged by counts");
  return counts;
}

describe("the windows of a look", () => {
  test("are in a step the same minutes for both revisions, from 30 seconds after its start until the lag", () => {
    const { next, live, turn } = countsAt(step, at("11:09:50"));
    expect(next).toEqual({ from: at("11:01:00"), to: at("11:05:00") });
    expect(live).toEqual(next);
    expect(turn).toBe(1);
  });

  test("are in the bake its own minutes for the new revision, and those of the last step for the live one", () => {
    const bake: Progress = { ...step, phase: "bake", base: since - 10 * minute };
    const { next, live } = countsAt(bake, at("11:09:50"));
    expect(next).toEqual({ from: at("11:01:00"), to: at("11:05:00") });
    expect(live).toEqual({ from: at("10:51:00"), to: at("11:00:00") });
  });

  test("end the lag ago or earlier, and have only whole minutes with the weights of their phase", () => {
    const cases = fc.record({
      phase: fc.constantFrom("step" as const, "bake" as const),
      start: fc.nat(120).map((seconds) => since + seconds * 1000),
      lasted: fc.integer({ min: 60, max: 100_000 }),
      base: fc.integer({ min: 60, max: 100_000 }),
      lag: fc.nat(600),
    });
    fc.assert(
      fc.property(cases, ({ phase, start, lasted, base, lag }) => {
        const now = start + lasted * 1000;
        const checks = [{ name: "5xx", source: "metrics" as const, margin: 0.01, max: 0.05, lag }];
        const before = start - base * 1000;
        const { next, live } = countsAt({ ...step, phase, since: start, base: before }, now, { ...definition, checks });
        for (const { from, to } of [next, live]) {
          expect([from % minute, to % minute]).toEqual([0, 0]);
          if (to > from) expect(to).toBeLessThanOrEqual(now - lag * 1000);
          expect(to - from).toBeLessThanOrEqual((10 + 10) * minute);
        }
        expect(next.from).toBeGreaterThanOrEqual(start + 30_000);
        if (phase === "step") expect(live).toEqual(next);
        else if (live.to > live.from) {
          expect(live.from).toBeGreaterThanOrEqual(before + 30_000);
          expect(live.to).toBeLessThanOrEqual(start);
        }
      }),
    );
  });

  test("hold in a hold the newest minutes, as many as the step and its extension, and count their turns", () => {
    const held: Progress = { ...step, hold: "confirm" };
    const whole = countsAt(held, at("11:25:00"));
    expect([whole.next, whole.turn]).toEqual([{ from: at("11:01:00"), to: at("11:21:00") }, 1]);
    const moved = countsAt(held, at("11:26:00"));
    expect([moved.next, moved.turn]).toEqual([{ from: at("11:02:00"), to: at("11:22:00") }, 2]);
    const days = countsAt(held, since + 60 * 60 * minute);
    expect(days.next.to - days.next.from).toBe(20 * minute);
    expect(days.live).toEqual(days.next);
    expect(days.turn).toBe(180);
  });

  test("are none while the tag of the release is lost", () => {
    expect(lookAt(definition, { ...stateAt(step), isLost: true }, false, at("11:09:50")).counts).toEqual([]);
  });
});

describe("the probes that Azure can have counted", () => {
  const probes = (checks: Definition["checks"]) => countsAt(step, at("11:09:50"), { ...definition, checks }).probes;
  const metrics = { name: "5xx", source: "metrics", margin: 0.01, max: 0.05, lag: 240 } as const;
  const logs = { name: "slow", source: "httpLogs", over: 0.5, margin: 0.01, max: 1, lag: 240 } as const;
  const alive = { name: "alive", source: "probe", get: "/readyz", every: 5, failures: 3 } as const;

  test("are four a minute for each check that sends one a look, and more if it repeats them", () => {
    expect(probes([metrics])).toBe(0);
    expect(probes([metrics, { ...alive, failures: 1 }])).toBe(4 * 4);
    expect(probes([metrics, alive])).toBe(Math.ceil(4 * (60 / 25) * 3));
    expect(probes([metrics, alive, { ...alive, failures: 1 }])).toBe(Math.ceil(4 * (60 / 25) * 3 + 16));
    expect(probes([metrics, { ...alive, every: 60 }])).toBe(4 * 4);
  });

  test("are none for the logs, whose query leaves the requests to labels out", () => {
    expect(probes([logs, alive])).toBe(0);
  });
});
