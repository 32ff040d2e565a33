// Releases of an image that Azure does not find, and of apps with secrets, in the simulator of Container Apps.
import { describe, expect, test } from "vitest";
import { readPlan } from "../../../tools/release/plan.ts";
import type { Report } from "../../../tools/release/show/report.ts";
import { createAzure } from "../../simulators/container-apps/in-process.ts";
import { resume, start } from "./model.ts";
import { quickDefinition, runKilled, simulate } from "./simulated.ts";

const image = (tag: string) => `registry.example/welcome:${tag}`;
const mistyped = image("2.0.0-no-image");
const reason = `Azure did not create it: Invalid value: "${mistyped}": GET https:: MANIFEST_UNKNOWN: manifest unknown`;
const second = 1_000;

describe("a release of an image that does not exist", () => {
  test("goes back at once and ends within 90 seconds of its creation, with the image and Azure's reason, also in the tag", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    let createdAt = 0;
    simulator.options.onRequest = (_, { method, body }) => {
      if (method === "PATCH" && body.includes("no-image") && createdAt === 0) createdAt = simulator.clock.now();
    };
    let backAt = 0;
    const onReport = ({ message }: Report) => {
      if (message.startsWith("all traffic goes back") && backAt === 0) backAt = simulator.clock.now();
    };
    const { outcome, message } = await simulated.run(start({ image: mistyped }), { onReport });
    expect(outcome).toBe("rolledBack");
    expect(message).toContain(reason);
    expect(createdAt).toBeGreaterThan(0);
    expect(backAt - createdAt).toBeLessThan(25 * second);
    expect(simulator.clock.now() - createdAt).toBeLessThan(90 * second);
    expect(simulator.app.wanted.tags["release-progress"]).toContain(mistyped);
    expect(simulator.weights()).toEqual({ "welcome--0000001": 100 });
  });

  test.each([
    ["", false, false],
    [", also when Azure rejects changes to a failed app that have no template", true, false],
    [", also when Azure creates no revision with a suffix that was used before", false, true],
  ])("leaves an app that the next release promotes%s", async (_, rejectsWhenFailed, rejectsUsedSuffix) => {
    const simulated = simulate();
    const { simulator, run } = simulated;
    Object.assign(simulator.app.switches, { rejectsWhenFailed, rejectsUsedSuffix });
    expect((await run(start({ image: mistyped }))).outcome).toBe("rolledBack");
    expect(simulator.app.revisions.map(({ name }) => name)).toEqual(["welcome--0000001"]);
    expect(await run(start({ image: image("2.0.0") }))).toMatchObject({ outcome: "promoted" });
  });

  test("says which image it is when the run that takes over cannot read why", async () => {
    const simulated = simulate();
    const killed = await runKilled(
      simulated,
      start({ image: mistyped }),
      ({ method, body }) => method === "PATCH" && body.includes("no-image"),
      "after",
    );
    expect(killed).toBe("killed");
    simulated.simulator.virtualClock.advance(10 * 60 * second); // the lock of the killed run ends
    const { outcome, message } = await simulated.run(resume);
    expect(outcome).toBe("rolledBack");
    expect(message).toContain(`${mistyped}: Azure does not say why`);
  });
});

test("a revision that does not become ready goes back with the reasons of its replica and of Azure", async () => {
  const crashing = await simulate().run(start({ image: image("2.0.0-crash-loop") }));
  expect(crashing.message).toMatch(/did not become ready within 10 minutes \(Failed, CrashLoopBackOff\)/);
  const refused = await simulate().run(start({ image: image("2.0.0-activation-failed") }));
  expect(refused.message).toContain("(ActivationFailed: Error activating revision. The container did not start.)");
});

describe("a run that is killed at any request of a release of an image that does not exist", () => {
  test.each(["before", "after"] as const)("%s its effect leaves an app for the next run", async (moment) => {
    for (let target = 1, killed: unknown = "killed"; killed === "killed"; target++) {
      const simulated = simulate();
      const { simulator, run } = simulated;
      simulator.app.switches.rejectsWhenFailed = true;
      let requests = 0;
      killed = await runKilled(simulated, start({ image: mistyped }), () => ++requests === target, moment);
      simulator.virtualClock.advance(10 * 60 * second);
      expect((await run(start({ image: mistyped }))).outcome).toBe("rolledBack");
      expect(simulator.weights()).toEqual({ "welcome--0000001": 100 });
      expect((await run(start({ image: image("2.0.0") }))).outcome).toBe("promoted");
    }
  });
});

test("a step that Azure takes back goes back within 90 seconds of its write, with Azure's reason, and without more traffic", async () => {
  const simulated = simulate();
  const { simulator } = simulated;
  let writtenAt = 0;
  let backAt = 0;
  simulator.options.onRequest = (moment, { method, body }) => {
    if (moment !== "before" || method !== "PATCH") return;
    if (body.includes("phase=step step=1")) writtenAt ||= simulator.clock.now();
    simulator.app.switches.takesBack = body.includes("phase=step step=1");
  };
  const onReport = ({ message }: Report) => {
    if (message.startsWith("all traffic goes back")) backAt ||= simulator.clock.now();
  };
  const { outcome, message } = await simulated.run(start({ image: image("2.0.0") }), { onReport });
  expect(outcome).toBe("rolledBack");
  expect(message).toContain("Azure took this back: welcome--");
  // The tag has no room for the end of the reason.
  expect(message).toContain("(registry.example/welcome:2.0.0: ContainerAppOperationError: Operation");
  expect(writtenAt).toBeGreaterThan(0);
  expect(backAt - writtenAt).toBeLessThan(90 * second);
  expect(simulator.weights()).toEqual({ "welcome--0000001": 100 });
});

describe("an app whose variables refer to secrets", () => {
  const options = { secrets: ["key", "password"], env: [{ name: "KEY", secretRef: "key" }] };
  const keyOf = ({ simulator }: ReturnType<typeof simulate>) =>
    simulator.app.revisions.at(-1)?.template.containers[0]?.env;

  test("is released with the names of its secrets, which Azure renames in each revision", async () => {
    const simulated = simulate(options);
    expect((await simulated.run(start({ image: image("2.0.0") }))).outcome).toBe("promoted");
    expect(keyOf(simulated)).toEqual(options.env);
    // The live revision is now one of a release.
    expect((await simulated.run(start({ image: image("3.0.0") }))).outcome).toBe("promoted");
    expect(keyOf(simulated)).toEqual(options.env);
  });

  test("is released by the run after one that was killed, as the same revision", async () => {
    const simulated = simulate(options);
    const goal = start({ image: image("2.0.0") });
    const creates = ({ method, body }: { method: string; body: string }) =>
      method === "PATCH" && body.includes("welcome:2.0.0");
    expect(await runKilled(simulated, goal, creates, "after")).toBe("killed");
    expect((await simulated.run(goal)).outcome).toBe("promoted");
    expect(simulated.simulator.app.revisions).toHaveLength(2);
  });

  test("is not released, and a plan says so, when a secret is not found", async () => {
    const simulated = simulate(options);
    const { simulator } = simulated;
    const goal = start({ image: image("2.0.0-broken"), set: { KEY: "text" } });
    expect((await simulated.run(goal)).outcome).toBe("rolledBack");
    const fault = /refers to the secret capp-welcome, and the secrets of the app are: key, password\. .*--set/;
    const refused = await simulated.run(start({ image: image("3.0.0") }));
    expect(refused).toEqual({ outcome: "input", message: expect.stringMatching(fault) });
    const plan = await readPlan(createAzure(simulator), {
      definition: quickDefinition,
      wanted: { image: image("3.0.0"), set: {} },
      allowQueue: false,
    });
    expect(plan.refusals).toEqual([expect.stringMatching(fault)]);
    expect(simulator.app.revisions).toHaveLength(2);
    const replaced = await simulated.run(start({ image: image("3.0.0"), set: { KEY: "text" } }));
    expect(replaced.outcome).toBe("promoted");
  });
});
