import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { describeArgo } from "../../../tools/release/argo/manifests.ts";
import { countRequests } from "../../../tools/release/argo/promql.ts";
import type { Definition, RatioCheck } from "../../../tools/release/definition/definition.ts";
import { at, listAt, textAt } from "../../support/at.ts";
import { root } from "../../support/processes.ts";

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

interface Analysis {
  readonly templates: readonly { readonly templateName: string }[];
  readonly args: readonly { readonly name: string; readonly value?: string }[];
}

/** The one in the background comes first. */
function analyses(): Analysis[] {
  const { analysis, steps } = find("Rollout", "welcome").spec.strategy.canary;
  return [analysis, ...steps.flatMap((step: { analysis?: Analysis }) => step.analysis ?? [])];
}

describe("describeArgo", () => {
  test("describes two Services, the templates of the analyses, and the Rollout", () => {
    expect(read().map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
      "Service welcome",
      "Service welcome-green",
      "AnalysisTemplate welcome-test",
      "AnalysisTemplate welcome-watch",
      "AnalysisTemplate welcome-pass",
      "Rollout welcome",
    ]);
  });

  test("takes the steps of the definition, with the tests in the first, a pause for confirm, and the bake", () => {
    const steps = listAt(find("Rollout", "welcome"), "spec.strategy.canary.steps").map((step) =>
      at(step, "analysis") ? textAt(step, "analysis.templates.0.templateName") : step,
    );
    expect(steps).toEqual([
      { setWeight: 25 },
      "welcome-test",
      { pause: { duration: "600s" } },
      "welcome-pass",
      { setWeight: 50 },
      { pause: { duration: "900s" } },
      "welcome-pass",
      { pause: {} },
      { setWeight: 100 },
      { pause: { duration: "1200s" } },
      "welcome-pass",
    ]);
  });

  test("counts requests since the start of the step, and in the bake since the start of the last step", () => {
    const windows = analyses()
      .flatMap(({ args }) => args.filter(({ name }) => name === "total-5xx"))
      .map(({ value = "" }) => [...new Set(value.match(/(?<=\[)\w+(?=\])|(?<=offset )\w+/g))]);
    expect(windows).toEqual([["2100s"], ["600s"], ["900s"], ["2100s"]]);
  });

  test("watches all checks from the first step on, without an end", () => {
    expect(find("Rollout", "welcome").spec.strategy.canary.analysis).toMatchObject({
      startingStep: 1,
      templates: [{ templateName: "welcome-watch" }],
    });
    const { metrics } = find("AnalysisTemplate", "welcome-watch").spec;
    expect(metrics.map(({ name }: { name: string }) => name)).toEqual(["5xx-fails", "slow-fails", "alive"]);
    for (const metric of metrics) expect(metric).not.toHaveProperty("count");
  });

  test("has so many pods that one of them is the smallest weight", () => {
    expect(find("Rollout", "welcome").spec.replicas).toBe(4);
    const steps = [{ weight: 3, for: 600, confirm: false }];
    expect(find("Rollout", "welcome", { steps }).spec.replicas).toBe(34);
  });

  test("aborts an inconclusive step only if the definition says so", () => {
    const conditionOf = (changes?: Partial<Definition>) =>
      textAt(find("AnalysisTemplate", "welcome-pass", changes), "spec.metrics.0.failureCondition");
    expect(conditionOf()).toBe("result[0] == -1");
    expect(conditionOf({ inconclusive: { extend: 1_200, then: "abort" } })).toBe("result[0] < 1");
  });

  test("gives every analysis the arguments that its template uses, and no other", () => {
    expect(analyses()).toHaveLength(5);
    for (const { templates, args } of analyses()) {
      const { spec } = find("AnalysisTemplate", templates[0]?.templateName ?? "");
      const used = JSON.stringify(spec.metrics).matchAll(/\{\{args\.([\w-]+)\}\}/g);
      const names = args.map(({ name }) => name);
      expect(spec.args.map(({ name }: { name: string }) => name)).toEqual(names);
      expect(new Set([...used].map(([, name]) => name))).toEqual(new Set(names));
    }
  });

  test("labels the pods of welcome and of its tests as the Prometheus and the network policies of the canary select them", () => {
    const read = (file: string) => readFileSync(join(root, "infra/kubernetes/blue-green-analysis", file), "utf8");
    const pods = find("Rollout", "welcome").spec.template.metadata.labels;
    const [job] = parse(read("scrape.yaml")).scrape_configs;
    expect(textAt(job, "kubernetes_sd_configs.0.selectors.0.label")).toBe(`app=${pods.app}`);
    const policies = parseAllDocuments(read("network-policies.yaml")).map((document) => document.toJS());
    const selected = (name: string) =>
      policies.find(({ metadata }) => metadata.name === name).spec.podSelector.matchLabels;
    expect(selected("metrics")).toEqual(pods);
    const { template } = find("AnalysisTemplate", "welcome-test").spec.metrics[0].provider.job.spec;
    expect(selected("smoke")).toEqual(template.metadata.labels);
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
