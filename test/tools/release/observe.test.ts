import { describe, expect, test } from "vitest";
import { stateOf } from "../../../tools/release/core/state.ts";
import type { Definition } from "../../../tools/release/definition/definition.ts";
import { observe } from "../../../tools/release/run/observe.ts";
import type { Probe } from "../../../tools/release/run/probe.ts";
import { release } from "../../../tools/release/run/runner.ts";
import type { CheckReport } from "../../../tools/release/show/report.ts";
import { createAzure } from "../../simulators/container-apps/in-process.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import { createProbe } from "../../simulators/container-apps/routing.ts";
import { createSimulator } from "../../simulators/container-apps/simulator.ts";
import { createModel, definition, type ModelOptions, minute, oldRevision, resume, runRelease, start } from "./model.ts";
import { quickDefinition } from "./simulated.ts";

/** A release without requests, which holds in its first step. */
async function hold(options: ModelOptions = {}) {
  const model = createModel({ rate: 0, ...options });
  await runRelease(model, start());
  const { requests, clock, azure, probe } = model;
  const state = stateOf(definition, model.show());
  if (state.kind !== "underway") throw new Error(`the release is ${state.kind}`);
  return { model, next: state.nextName, look };

  async function look() {
    const [began, sent] = [clock.now(), requests.length];
    const now = stateOf(definition, model.show());
    if (now.kind !== "underway") throw new Error(`the release is ${now.kind}`);
    const seen = await observe({ definition, azure, clock, probe }, now, "example.com");
    return { seen, seconds: (clock.now() - began) / 1000, requests: requests.slice(sent).map(({ name }) => name) };
  }
}

describe("a look at a release", () => {
  test.each([
    [50, false],
    [70, true],
  ])("at a revision that is unhealthy for %d seconds: %s", async (lasts, isUnhealthy) => {
    let until = Number.POSITIVE_INFINITY;
    const { model, next, look } = await hold({
      meddle: ({ clock, faulty }) => {
        if (clock.now() >= until) faulty.unhealthy.clear();
      },
    });
    model.faulty.unhealthy.add(next);
    until = model.clock.now() + lasts * 1000;
    expect((await look()).seen.isUnhealthy).toBe(isUnhealthy);
  });

  test("ends at a restart, without a look at the health, which takes a minute", async () => {
    const { model, next, look } = await hold();
    model.faulty.unhealthy.add(next);
    model.faulty.restarts.set(next, 1);
    const { seen, seconds, requests } = await look();
    expect(seen.restarts).toBe(1);
    expect(seconds).toBeLessThan(5);
    expect(requests).toEqual(["readReplicas"]);
  });

  test("sees a check fail whose probes fail at the new revision alone", async () => {
    const { model, next, look } = await hold();
    model.faulty.silent.add(next);
    const { seen } = await look();
    expect([[...seen.failing], [...seen.silent], seen.notes]).toEqual([["alive"], [], []]);
  });

  test("sees no check fail whose probes fail at both revisions, and notes their path", async () => {
    const { model, next, look } = await hold();
    for (const name of [next, oldRevision]) model.faulty.silent.add(name);
    const { seen } = await look();
    expect([[...seen.failing], [...seen.silent]]).toEqual([[], ["alive"]]);
    expect(seen.notes).toEqual(["Check alive: GET /readyz fails at both labels."]);
  });
});

describe("a release whose probes fail at both revisions", () => {
  const probe: Probe = async (url) => ({ status: url.endsWith("/readz") ? 404 : 200, body: "" });
  const misspelt = (then: "hold" | "abort"): Definition => ({
    ...definition,
    checks: definition.checks.map((check) => (check.source === "probe" ? { ...check, get: "/readz" } : check)),
    inconclusive: { extend: 600, then },
  });

  test("holds, and names the path and the check", async () => {
    const { outcome, message } = await runRelease(createModel(), start(), { definition: misspelt("hold"), probe });
    expect(outcome).toBe("held");
    expect(message).toContain("step 1 of 2 cannot pass, because GET /readz of check alive fails at both revisions");
  });

  test("goes back with the same words, if release.yaml says abort", async () => {
    const { outcome, message } = await runRelease(createModel(), start(), { definition: misspelt("abort"), probe });
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("step 1 of 2 cannot pass, because GET /readz of check alive fails at both revisions");
  });
});

describe("a hold", () => {
  test("of 60 hours at 5 % goes back within 10 minutes when half of the requests of the new revision fail", async () => {
    let rate = 0;
    const model = createModel({ rate: 600, bad: (name) => (name === oldRevision ? 0 : rate) });
    const asking = { ...definition, steps: [{ weight: 5, for: 600, confirm: true }] };
    expect((await runRelease(model, start(), { definition: asking })).outcome).toBe("held");
    model.passTime(60 * 60 * minute);
    expect((await runRelease(model, resume, { definition: asking })).outcome).toBe("held");
    rate = 0.5;
    const broken = model.clock.now();
    expect((await runRelease(model, resume, { definition: asking })).outcome).toBe("rolledBack");
    expect(model.clock.now() - broken).toBeLessThan(10 * minute);
  });
});

describe("probes that Azure counts as requests of the new revision", () => {
  test.each([0.5, 1])("do not hold a release of %d requests/s for its share", async (perSecond) => {
    const simulator = createSimulator({ workload: steady({ perSecond }) });
    simulator.virtualClock.advance(60_000);
    const send = createProbe(simulator);
    const steps = [5, 50].map((weight) => ({ weight, for: 600, confirm: false }));
    const checks: CheckReport[] = [];
    let probes = 0;
    let message = "";
    await release({
      definition: { ...quickDefinition, steps, inconclusive: { extend: 1200, then: "hold" } },
      goal: start(),
      azure: createAzure(simulator),
      clock: simulator.virtualClock,
      async probe(url) {
        const answer = await send(url);
        const [, label] = /---(\w+)\./.exec(url) ?? [];
        const share = simulator.app.wanted.ingress?.traffic.find((one) => one.label === label);
        probes += 1;
        simulator.requests.add({
          at: simulator.clock.now(),
          revision: share?.revisionName ?? "",
          status: answer.status ?? 0,
          duration: 5,
          authority: `welcome---${label}`,
          userAgent: "dapr-on-azure-release",
          count: 1,
        });
        return answer;
      },
      runTest: async () => ({ ok: true }),
      owner: "run-1",
      show: {
        report: (report) => checks.push(...report.checks),
        end: (_, text) => {
          message = text;
        },
      },
    });
    expect(probes).toBeGreaterThan(50);
    expect(checks.some(({ next, live }) => next.total / (next.total + live.total) > 0.1)).toBe(true);
    expect(message).not.toContain("another share of the requests");
  });
});
