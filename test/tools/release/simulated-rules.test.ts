// A check that cannot fail proves nothing: for each rule, a history that breaks it.
import { describe, expect, test } from "vitest";
import type { Report } from "../../../tools/release/show/report.ts";
import type { Json } from "../../simulators/resource-manager/json.ts";
import { start } from "./model.ts";
import { quickDefinition, simulate } from "./simulated.ts";

const [old, id] = ["welcome--0000001", "r01234567"];
const next = `welcome--${id}`;
const row = (revisionName: string, weight: number, label: string) => ({ revisionName, weight, label });
const split = (weight: number) => [row(old, 100 - weight, "blue"), row(next, weight, "green")];
const back = [row(old, 100, "blue")];

interface Write {
  readonly phase: string;
  readonly traffic?: readonly Json[];
  readonly tags?: Record<string, string>;
  readonly properties?: Json;
}

type Run = ReturnType<typeof simulate> & { write(write: Write): void; pass(seconds: number): void };

/** A release that has done everything right until its candidate has this weight: 0, 5, 50 or 100. */
function rise(weight = 0): Run {
  const simulated = simulate({ mode: "Multiple" });
  const { simulator, rules } = simulated;
  const { app, virtualClock } = simulator;
  const pass = (seconds: number) => virtualClock.advance(seconds * 1_000);
  const write = ({ phase, traffic, tags = {}, properties = {} }: Write) => {
    const since = new Date(simulator.clock.now()).toISOString().replace(/\.\d+Z/, "Z");
    const other = app.wanted.ingress?.traffic.filter(({ label }) => label === "other") ?? [];
    const table = traffic && { configuration: { ingress: { traffic: [...traffic, ...other] } } };
    const progress = `id=${id} phase=${phase} since=${since} from=${old}`;
    app.write(
      { tags: { team: "a", "release-progress": progress, ...tags }, properties: { ...table, ...properties } },
      "PATCH",
    );
    pass(20);
    app.settle();
  };
  write({ phase: "pinned step=0", traffic: back });
  const template = { revisionSuffix: id, containers: [{ name: "welcome", image: "registry.example/welcome:2.0.0" }] };
  write({ phase: "created step=0", properties: { template } });
  pass(60);
  write({ phase: "testing step=0", traffic: split(0) });
  rules.probed("https://welcome---green.example/", { status: 200, body: "" });
  for (const [index, reached] of [5, 50, 100].entries()) {
    if (reached > weight) break;
    const [, since] = / since=(\S+)/.exec(app.wanted.tags["release-progress"] ?? "") ?? [];
    write({ phase: ["step step=1", "step step=2", `bake step=2 base=${since}`][index] ?? "", traffic: split(reached) });
    pass(300);
  }
  return { ...simulated, write, pass };
}

/** What the rules say about the last write, which they must not let pass. */
function expectBroken(run: Run, breakRule: () => void, ...expected: string[]): void {
  expect(run.rules.violations).toEqual([]);
  breakRule();
  expect(run.rules.violations).toEqual(expected);
  run.rules.allow(/./);
}

const failing = (verdict: "fail" | "pass") =>
  ({ next: { revision: next, weight: 5 }, checks: [{ verdict }] }) as unknown as Report;

describe("the rules of a release", () => {
  test("accept a history that keeps them", () => {
    const run = rise(100);
    run.write({ phase: "swapped step=2", traffic: [row(next, 100, "blue")] });
    run.simulator.app.setActive(old, false);
    expect(run.rules.violations).toEqual([]);
  });

  test("reject weights that do not add to 100", () => {
    const run = rise();
    const { app } = run.simulator;
    const { weightsOf } = app;
    // The simulator rejects such a table itself.
    app.weightsOf = (one, at) => new Map([...weightsOf(one, at)].filter(([name]) => name !== next));
    expectBroken(run, () => run.write({ phase: "step step=1", traffic: split(5) }), "the weights add to 95");
  });

  test("reject traffic for a revision of others", () => {
    const run = rise();
    const template = { revisionSuffix: "other", containers: [{ name: "welcome", image: "other" }] };
    run.simulator.writeAs({ properties: { template } });
    run.pass(60);
    const traffic = [row(old, 90, "blue"), row(next, 5, "green"), { revisionName: "welcome--other", weight: 5 }];
    const share = () => run.write({ phase: "step step=1", traffic });
    expectBroken(run, share, "welcome--other has traffic, and is not part of the release");
  });

  test("reject a step that is left out", () => {
    const run = rise();
    const jump = () => run.write({ phase: "step step=2", traffic: split(50) });
    expectBroken(run, jump, "the new revision goes from 0 % to 50 %");
  });

  test("reject a step before its time", () => {
    const run = rise(5);
    run.write({ phase: "step step=1" });
    const early = () => run.write({ phase: "step step=2", traffic: split(50) });
    expectBroken(
      run,
      early,
      `${next} rises before the time of step 1`,
      `${next} rises, and 5xx has not passed in step 1`,
    );
  });

  test("reject a step, and the end of the bake, whose checks have not passed", () => {
    for (const weight of [5, 100]) {
      const run = rise(weight);
      run.simulator.options.hasMetrics = false;
      const raise = () =>
        run.write(
          weight === 5
            ? { phase: "step step=2", traffic: split(50) }
            : { phase: "swapped step=2", traffic: [row(next, 100, "blue")] },
        );
      const where = weight === 5 ? "step 1" : "bake 2";
      expectBroken(run, raise, `${next} rises, and 5xx has not passed in ${where}`);
    }
  });

  test("reject errors of the new revision that a run overlooks", () => {
    const run = rise(5);
    const { requests, clock } = run.simulator;
    for (let at = clock.now() - 300_000; at < clock.now(); at += 30_000) {
      requests.add({ at, revision: next, status: 500, duration: 1, authority: "", userAgent: "", count: 100 });
    }
    const raise = () => run.write({ phase: "step step=2", traffic: split(50) });
    expectBroken(run, raise, `${next} rises, and 5xx has not passed in step 1`);
  });

  test("accept a promotion by a person, and reject one that nobody asked for", () => {
    const run = rise(5);
    run.simulator.options.hasMetrics = false;
    const approve = () => run.write({ phase: "step approved=yes step=1" });
    const allowed = rise(5);
    allowed.rules.asked({ kind: "promote", force: false });
    allowed.write({ phase: "step approved=yes step=1" });
    allowed.write({ phase: "step step=2", traffic: split(50) });
    expect(allowed.rules.violations).toEqual([]);
    expectBroken(run, approve, "nobody approved that");
  });

  test("reject traffic without tests, and without the label", () => {
    const run = rise();
    run.rules.probed("https://welcome---green.example/", { status: 500, body: "" });
    const raise = () => run.write({ phase: "step step=1", traffic: split(5) });
    expectBroken(run, raise, `${next} gets traffic without its tests`);
    const bare = rise();
    bare.write({ phase: "testing step=0", traffic: back });
    bare.pass(20);
    const raiseBare = () => bare.write({ phase: "step step=1", traffic: split(5) });
    expectBroken(bare, raiseBare, `${next} gets traffic without its label`);
  });

  test("reject traffic for a revision whose replica is not ready", () => {
    const run = rise();
    for (const revision of run.simulator.app.revisions) {
      if (revision.name === next) revision.crashesFrom = run.simulator.clock.now();
    }
    const raise = () => run.write({ phase: "step step=1", traffic: split(5) });
    expectBroken(run, raise, `${next} gets traffic, and no replica of it is ready`);
  });

  test("reject more traffic after a check that failed", () => {
    const run = rise(5);
    run.rules.reported(failing("pass"));
    run.rules.reported(failing("fail"));
    const raise = () => run.write({ phase: "step step=2", traffic: split(50) });
    expectBroken(run, raise, `${next} gets 50 % after a failure`);
  });

  test("reject traffic in the way back and after it, except for a release that starts again", () => {
    const run = rise(5);
    const half = () => run.write({ phase: "back step=1", traffic: split(5) });
    expectBroken(run, half, `${next} has traffic after the way back`);
    const again = rise(5);
    again.write({ phase: "back step=1", traffic: back });
    again.write({ phase: "testing step=0", traffic: split(0) });
    const raise = () => again.write({ phase: "step step=1", traffic: split(5) });
    expectBroken(again, raise, `${next} gets 5 % after a failure`);
    const retried = rise(5);
    retried.write({ phase: "back step=1", traffic: back });
    retried.rules.asked(start({ retry: true }));
    retried.write({ phase: "testing step=0", traffic: split(0) });
    retried.write({ phase: "step step=1", traffic: split(5) });
    expect(retried.rules.violations).toEqual([]);
  });

  test("reject a stop of a revision that has traffic, also when the write that moves it is not applied yet", () => {
    const run = rise(5);
    expectBroken(run, () => run.simulator.app.setActive(next, false), `${next} stops, and has traffic`);
    const early = rise(50);
    early.simulator.app.switches.keepsWeights = true;
    early.write({ phase: "back step=2", traffic: back });
    expectBroken(early, () => early.simulator.app.setActive(next, false), `${next} stops, and has traffic`);
  });

  test("reject a stop of a revision of others", () => {
    const run = rise();
    const template = { revisionSuffix: "other", containers: [{ name: "welcome", image: "other" }] };
    run.simulator.writeAs({ properties: { template } });
    const stop = () => run.simulator.app.setActive("welcome--other", false);
    expectBroken(run, stop, "welcome--other stops, and is not part of the release");
  });

  test.each<[string, Write, string]>([
    ["other tags that change", { phase: "testing step=0", tags: { team: "b" } }, "a write changes other tags"],
    [
      "a label of others that moves",
      { phase: "testing step=0", properties: { configuration: { ingress: { traffic: split(0) } } } },
      "a write changes other labels",
    ],
    [
      "settings of the app that change",
      { phase: "testing step=0", properties: { configuration: { ingress: { external: false } } } },
      "a write changes settings of the app",
    ],
    [
      "a template that changes later",
      { phase: "testing step=0", properties: { template: { terminationGracePeriodSeconds: 5 } } },
      "the phase testing changes the template",
    ],
    [
      "a write without progress that changes more than tags",
      { phase: "none", properties: { configuration: { ingress: { traffic: split(0) } } } },
      "a write without a progress changes more than tags",
    ],
    [
      "a first write that moves traffic",
      { phase: "pinned step=0", traffic: split(5) },
      "the first write moves traffic",
    ],
  ])("reject %s", (_, write, expected) => {
    const run = rise();
    expect(run.rules.violations).toEqual([]);
    run.write(write);
    expect(run.rules.violations).toContain(expected);
    run.rules.allow(/./);
  });

  test("leave the writes of others alone", () => {
    const run = rise();
    run.simulator.writeAs({ tags: {}, properties: { configuration: { ingress: { traffic: split(50) } } } });
    expect(run.rules.violations).toEqual([]);
    expect(quickDefinition.steps.map(({ weight }) => weight)).toContain(50);
  });
});
