// People who change the app during a release, and computers that sleep.
import { describe, expect, test } from "vitest";
import type { Goal } from "../../../tools/release/core/goal.ts";
import type { Report } from "../../../tools/release/show/report.ts";
import { createProbe } from "../../simulators/container-apps/routing.ts";
import type { TrafficShare } from "../../simulators/resource-manager/traffic.ts";
import { resume, start } from "./model.ts";
import { quickDefinition, runKilled, type Simulated, simulate } from "./simulated.ts";

const image = (tag: string) => start({ image: `registry.example/welcome:${tag}` });
const abort: Goal = { kind: "abort" };
const noRequests = { workload: () => ({ total: 0, bad: 0 }) };

/** @returns a listener that acts once, when this phase has counts and Azure is idle */
function onceIn({ simulator }: Simulated, phase: string, act: (report: Report) => void) {
  let isDone = false;
  return (report: Report) => {
    const hasCounts = (report.checks[0]?.next.total ?? 0) > 0;
    if (isDone || report.phase !== phase || !hasCounts || simulator.app.isBusy()) return;
    isDone = true;
    act(report);
  };
}

const setTraffic = ({ simulator }: Simulated, traffic: readonly TrafficShare[]) =>
  simulator.writeAs({ properties: { configuration: { ingress: { traffic } } } });

const trafficOf = ({ simulator }: Simulated) => simulator.app.wanted.ingress?.traffic;

test("A run whose computer sleeps right before a write does not send it after another run has sent all traffic back", async () => {
  const simulated = simulate();
  const { simulator, run } = simulated;
  const asleep = Promise.withResolvers<void>();
  const awake = Promise.withResolvers<void>();
  let hasSlept = false;
  const sleeper = run(image("2.0.0"), {
    replace: (azure) => ({
      ...azure,
      async patch(change, check) {
        if (!hasSlept && change.tags?.["release-progress"]?.includes("phase=step step=2")) {
          hasSlept = true;
          asleep.resolve();
          await awake.promise;
        }
        await azure.patch(change, check);
      },
    }),
  });
  await asleep.promise;
  const next = simulator.app.revisions.at(-1)?.name ?? "";
  simulator.virtualClock.advance(6 * 60_000);
  for (let minutes = 5; minutes > 0; minutes -= 1) {
    const at = simulator.clock.now() - minutes * 60_000;
    const request = { status: 500, duration: 1, authority: "", userAgent: "", count: 100 };
    simulator.requests.add({ at, revision: next, ...request });
  }
  expect((await run(resume)).outcome).toBe("rolledBack");
  awake.resolve();
  expect((await sleeper).outcome).toBe("rolledBack");
  expect(simulated.weights).toEqual([0, 5, 0]);
});

describe("traffic that a person sends back in the portal", () => {
  test.each([0, 5])("to %s % at a step of 50 % never rises again", async (weight) => {
    const simulated = simulate();
    const { outcome, message } = await simulated.run(image("2.0.0"), {
      onReport: onceIn(simulated, "step 2 of 2", ({ live, next }) =>
        setTraffic(simulated, [
          { revisionName: live.revision, weight: 100 - weight, label: "blue" },
          { revisionName: next?.revision ?? "", weight, label: "green" },
        ]),
      ),
    });
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("another change sent");
    expect(simulated.weights.slice(0, 3)).toEqual([0, 5, 50]);
    expect(simulated.weights.slice(3).every((one) => one <= weight)).toBe(true);
  });

  test("by the name of the old revision ends with `abort`, which the message of every other command names", async () => {
    const simulated = simulate(noRequests);
    expect((await simulated.run(image("2.0.0"))).outcome).toBe("held");
    const old = simulated.simulator.app.revisions[0]?.name ?? "";
    simulated.simulator.virtualClock.advance(30_000);
    setTraffic(simulated, [{ revisionName: old, weight: 100 }]);
    for (const goal of [resume, image("2.0.0"), image("3.0.0"), { kind: "promote", force: true } as const]) {
      const { outcome, message } = await simulated.run(goal);
      expect(outcome).toBe("foreign");
      expect(message).toContain("`npm run release -- abort welcome`");
    }
    expect((await simulated.run(abort)).outcome).toBe("aborted");
    expect(trafficOf(simulated)).toEqual([{ revisionName: old, weight: 100, label: "blue" }]);
    expect((await simulated.run(image("3.0.0"))).outcome).toBe("held");
  });

  test("to a third revision, or by the mode Single, stays when `abort` gives the release up", async () => {
    const simulated = simulate(noRequests);
    expect((await simulated.run(image("2.0.0"))).outcome).toBe("held");
    simulated.simulator.virtualClock.advance(30_000);
    simulated.simulator.writeAs({ properties: { configuration: { activeRevisionsMode: "Single" } } });
    simulated.simulator.virtualClock.advance(30_000);
    const { outcome, message } = await simulated.run(abort);
    // The revision that was released is the latest one.
    expect(outcome).toBe("unconfirmed");
    expect(message).toMatch(/was given up, because the traffic is .*in the mode Single.*The traffic stays as it is/);
    expect((await simulated.run(resume)).outcome).toBe("nothing");
  });
});

describe("a release.yaml that changes during a release", () => {
  const other = { ...quickDefinition, steps: [{ weight: 10, for: 180, confirm: false }] };

  async function hold() {
    const simulated = simulate(noRequests);
    expect((await simulated.run(image("2.0.0"))).outcome).toBe("held");
    return simulated;
  }

  test.each<Goal>([resume, { ...resume, once: true }, image("2.0.0"), { kind: "promote", force: true }])(
    "stops %j before it changes anything",
    async (goal) => {
      const simulated = await hold();
      const before = simulated.simulator.app.wanted.tags["release-progress"];
      const { outcome, message } = await simulated.run(goal, { definition: other });
      expect(outcome).toBe("input");
      expect(message).toContain("release.yaml has other labels, weights or confirm than when this release started");
      expect(simulated.simulator.app.wanted.tags["release-progress"]).toBe(before);
      expect(simulated.weights).toEqual([0, 5]);
    },
  );

  test("does not stop `abort`", async () => {
    const simulated = await hold();
    expect((await simulated.run(abort, { definition: other })).outcome).toBe("aborted");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test("does not stop a check that fails", async () => {
    const simulated = simulate();
    const { simulator, run } = simulated;
    await runKilled(
      simulated,
      image("2.0.0"),
      ({ method, body }) => method === "PATCH" && body.includes("step=1"),
      "after",
    );
    simulator.virtualClock.advance(6 * 60_000);
    const revision = simulator.app.revisions.at(-1)?.name ?? "";
    for (let minutes = 4; minutes > 1; minutes -= 1) {
      const request = { status: 500, duration: 1, authority: "", userAgent: "", count: 500 };
      simulator.requests.add({ at: simulator.clock.now() - minutes * 60_000, revision, ...request });
    }
    expect((await run(resume, { definition: other })).outcome).toBe("rolledBack");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });
});

describe("tags that another deployment drops", () => {
  test("in a step that then asks for a person hold the release", async () => {
    const steps = [
      { weight: 5, for: 600, confirm: true },
      { weight: 50, for: 180, confirm: false },
    ];
    const simulated = simulate({}, { ...quickDefinition, steps });
    const onReport = onceIn(simulated, "step 1 of 2", () => simulated.simulator.writeAs({ tags: {} }));
    expect((await simulated.run(image("2.0.0"), { onReport })).outcome).toBe("held");
    expect(simulated.simulator.app.wanted.tags["release-progress"]).toContain("hold=confirm");
  });

  test("in the bake do not hide errors of the new revision from the run", async () => {
    const variants = (name: string) => ({
      startup: 20,
      ...(name.endsWith("late") && { errors: 0.2, errorsFromWeight: 100 }),
    });
    const simulated = simulate({ variants });
    const { simulator } = simulated;
    let [from, to, isDropped] = [0, 0, false];
    const { outcome, message } = await simulated.run(image("2.0.0-late"), {
      onReport: ({ phase, next }) => {
        if (simulator.weights()[next?.revision ?? ""] === 100)
          [from, to] = [from || simulator.clock.now(), simulator.clock.now()];
        if (phase !== "bake" || isDropped || simulator.app.isBusy()) return;
        isDropped = true;
        simulator.writeAs({ tags: {} });
      },
    });
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("check 5xx is worse");
    expect(to - from).toBeLessThan(5 * 60_000);
  });

  test("leave a run that does not know the release without a right to raise it", async () => {
    const simulated = simulate();
    const isStep = ({ method, body }: { method: string; body: string }) =>
      method === "PATCH" && body.includes("step=1");
    await runKilled(simulated, image("2.0.0"), isStep, "after");
    simulated.simulator.virtualClock.advance(30_000);
    simulated.simulator.writeAs({ tags: {} });
    simulated.simulator.virtualClock.advance(6 * 60_000);
    const { outcome, message } = await simulated.run(resume);
    expect(outcome).toBe("foreign");
    expect(message).toContain("go on by `run` with its --image");
    expect(simulated.weights).toEqual([0, 5]);
    expect((await simulated.run(image("2.0.0"))).outcome).toBe("promoted");
  });
});

test("A watchdog does not release an older revision that a person gives the label of the next one", async () => {
  const simulated = simulate();
  const { simulator, run } = simulated;
  expect((await run(image("2.0.0"))).outcome).toBe("promoted");
  expect((await run(image("3.0.0"))).outcome).toBe("promoted");
  const [, two, three] = simulator.app.revisions.map(({ name }) => name);
  simulator.virtualClock.advance(30_000);
  simulator.app.setActive(two ?? "", true);
  simulator.virtualClock.advance(60_000);
  const table = [
    { revisionName: three ?? "", weight: 100, label: "blue" },
    { revisionName: two ?? "", weight: 0, label: "green" },
  ];
  setTraffic(simulated, table);
  for (let ticks = 0; ticks < 3; ticks += 1) {
    expect((await run({ ...resume, once: true })).outcome).toBe("nothing");
    simulator.virtualClock.advance(15 * 60_000);
  }
  expect(trafficOf(simulated)).toEqual(table);
  expect((await run(image("4.0.0"))).outcome).toBe("promoted");
});

describe("a live revision that somebody stops", () => {
  const stopped = /^welcome--0000001 stops, and has traffic$/;

  test("in a step holds the release", async () => {
    const simulated = simulate();
    simulated.rules.allow(stopped);
    const onReport = onceIn(simulated, "step 1 of 2", ({ live }) =>
      simulated.simulator.app.setActive(live.revision, false),
    );
    const { outcome, message } = await simulated.run(image("2.0.0"), { onReport });
    expect(outcome).toBe("held");
    expect(message).toContain("somebody stopped the live revision");
    expect(simulated.weights).toEqual([0, 5]);
  });

  test("in the bake gets the traffic back only when it is ready", async () => {
    const variants = (name: string) =>
      name.endsWith("late") ? { startup: 20, errors: 0.04, errorsFromWeight: 100 } : { startup: 90 };
    const simulated = simulate({ variants });
    const onReport = onceIn(simulated, "bake", ({ live }) => simulated.simulator.app.setActive(live.revision, false));
    const { outcome } = await simulated.run(image("2.0.0-late"), { onReport });
    // The checker of the rules rejects traffic for a revision that is not ready.
    expect(outcome).toBe("rolledBack");
    expect(simulated.weights).toEqual([0, 5, 50, 100, 0]);
  });
});

test("A run that finishes the way back of another release does not send its own release back", async () => {
  const simulated = simulate();
  await runKilled(
    simulated,
    image("2.0.0-errors"),
    ({ method, body }) => method === "PATCH" && body.includes("phase=back"),
    "after",
  );
  simulated.simulator.virtualClock.advance(6 * 60_000);
  expect((await simulated.run(image("3.0.0"))).outcome).toBe("promoted");
});

test("A label of a person on the latest revision does not show the new revision", async () => {
  const simulated = simulate({ mode: "Multiple" });
  setTraffic(simulated, [{ latestRevision: true, weight: 100, label: "prod" }]);
  const probe = createProbe(simulated.simulator);
  const statuses = new Set<number | undefined>();
  await simulated.run(image("2.0.0-broken"), {
    replace: (azure) => ({
      ...azure,
      async readApp() {
        statuses.add((await probe("https://welcome---prod.example/")).status);
        return azure.readApp();
      },
    }),
  });
  expect(statuses).toEqual(new Set([200]));
});
