import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { describeArgo } from "../../../tools/release/argo/manifests.ts";
import { countRequests } from "../../../tools/release/argo/promql.ts";
import type { Definition, RatioCheck } from "../../../tools/release/definition.ts";
import { listAt, textAt } from "../../support/at.ts";

const errors: RatioCheck = { name: "5xx", source: "metrics", margin: 0.01, max: 0.05, lag: 240 };
const slow: RatioCheck = { name: "slow", source: "httpLogs", over: 0.5, margin: 0.02, max: 0.2, lag: 360 };

const definition: Definition = {
  app: "welcome",
  labels: { live: "blue", next: "green" },
  test: [{ get: "/readyz" }, { get: "/", contains: "Hello" }, { run: "npm run smoke" }],
  steps: [
    { weight: 25, for: 600, confirm: false },
    { weight: 50, for: 900, confirm: true },
  ],
  bake: 1_200,
  checks: [errors, slow, { name: "alive", source: "probe", get: "/readyz", every: 5, failures: 3 }],
  inconclusive: { extend: 1_200, then: "hold" },
};
const version = { image: "registry.example.com/welcome:1.0.1", set: { WELCOME: "Hello!" } };

const read = (changes: Partial<Definition> = {}) =>
  parseAllDocuments(describeArgo({ ...definition, ...changes }, version)).map((document) => document.toJS());
const find = (kind: string, name: string, changes?: Partial<Definition>) =>
  read(changes).find((object) => object.kind === kind && object.metadata.name === name);

describe("describeArgo", () => {
  test("describes two Services, a template for the tests and for each check, and the Rollout", () => {
    expect(read().map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
      "Service welcome",
      "Service welcome-green",
      "AnalysisTemplate welcome-test",
      "AnalysisTemplate welcome-5xx",
      "AnalysisTemplate welcome-slow",
      "AnalysisTemplate welcome-alive",
      "Rollout welcome",
    ]);
  });

  test("takes the steps of the definition, the tests before the first analysis, a pause for confirm, and the bake", () => {
    const checks = ["welcome-5xx", "welcome-slow", "welcome-alive"];
    const steps = listAt(find("Rollout", "welcome"), "spec.strategy.canary.steps").map((step) => {
      const [name] = Object.keys(step as object);
      if (name !== "analysis") return step;
      const seconds = listAt(step, "analysis.args").find((arg) => textAt(arg, "name") === "seconds");
      const templates = listAt(step, "analysis.templates").map((template) => textAt(template, "templateName"));
      return { templates, ...(seconds ? { seconds: textAt(seconds, "value") } : {}) };
    });
    expect(steps).toEqual([
      { setWeight: 25 },
      { templates: ["welcome-test"] },
      { templates: checks, seconds: "600" },
      { setWeight: 50 },
      { templates: checks, seconds: "900" },
      { pause: {} },
      { setWeight: 100 },
      { templates: checks, seconds: "1200" },
    ]);
  });

  test("counts requests since the start of the step, and in the bake since the start of the last step", () => {
    const windows = listAt(find("Rollout", "welcome"), "spec.strategy.canary.steps")
      .flatMap((step) => (step as { analysis?: { args: { name: string; value: string }[] } }).analysis?.args ?? [])
      .filter(({ name }) => name === "total-5xx")
      .map(({ value }) => [...new Set(value.match(/(?<=\[)\w+(?=\])|(?<=offset )\w+/g))]);
    expect(windows).toEqual([["600s"], ["900s"], ["2100s"]]);
  });

  test("has so many pods that one of them is the smallest weight", () => {
    expect(find("Rollout", "welcome").spec.replicas).toBe(4);
    const steps = [{ weight: 3, for: 600, confirm: false }];
    expect(find("Rollout", "welcome", { steps }).spec.replicas).toBe(34);
  });

  test("aborts an inconclusive step only if the definition says so", () => {
    const conditionOf = (changes?: Partial<Definition>) =>
      find("AnalysisTemplate", "welcome-5xx", changes).spec.metrics.map(
        (metric: { failureCondition: string }) => metric.failureCondition,
      );
    expect(conditionOf()).toEqual(["result[0] == -1", "result[0] == -1"]);
    expect(conditionOf({ inconclusive: { extend: 1_200, then: "abort" } })).toEqual([
      "result[0] == -1",
      "result[0] < 1",
    ]);
  });

  test("gives every analysis the arguments that its templates name, and no other", () => {
    const templates = read().filter(({ kind }) => kind === "AnalysisTemplate");
    const declared = (name: string) =>
      templates.find(({ metadata }) => metadata.name === name).spec.args.map((arg: { name: string }) => arg.name);
    for (const { analysis } of find("Rollout", "welcome").spec.strategy.canary.steps) {
      if (!analysis) continue;
      const wanted = analysis.templates.flatMap(({ templateName }: { templateName: string }) => declared(templateName));
      const given = analysis.args.map(({ name }: { name: string }) => name);
      expect(given.sort()).toEqual([...new Set(wanted)].sort());
    }
    for (const { spec } of templates) {
      const used = JSON.stringify(spec.metrics).matchAll(/\{\{args\.([\w-]+)\}\}/g);
      const declaredHere = spec.args.map((arg: { name: string }) => arg.name);
      expect(declaredHere).toEqual(expect.arrayContaining([...used].map(([, name]) => name)));
    }
  });

  test("gives the new version its image and its variables", () => {
    const [container] = find("Rollout", "welcome").spec.template.spec.containers;
    expect(container.image).toBe(version.image);
    expect(container.env).toContainEqual({ name: "WELCOME", value: "Hello!" });
  });
});

describe("countRequests", () => {
  test("counts as slow what is in no bucket up to the limit", () => {
    const { total, bad } = countRequests(slow, 600);
    expect(bad.startsWith(`${total} - sum by`)).toBe(true);
    expect(bad).toContain('le="0.5"');
    expect(countRequests({ ...slow, over: 1 }, 600).bad).toContain('le=~"1|1.0"');
  });

  test("rejects a limit at which no bucket ends, and lists those that do", () => {
    expect(() => countRequests({ ...slow, over: 0.3 }, 600)).toThrow(
      /^checks\.slow\.over: .* 250ms, 500ms, 1s, .*5s\./,
    );
  });
});
