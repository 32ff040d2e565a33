import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { describeArgo } from "../../../tools/release/argo/manifests.ts";
import { countRequests, HASH } from "../../../tools/release/argo/promql.ts";
import { type Counts, judge, looksOf, type Verdict } from "../../../tools/release/core/judge.ts";
import type { Definition, RatioCheck } from "../../../tools/release/definition/definition.ts";
import { at, listAt, textAt } from "../../support/at.ts";
import { until } from "../../support/cluster.ts";
import type { KubernetesObject, Pod } from "../../support/kubernetes-objects.ts";
import { cluster, edit, get, kubectl, list, pods } from "./context.ts";
import { failEvery } from "./faults.ts";

const namespace = "canary";
const inNamespace = ["-n", namespace];
/** With this margin, 11 requests without an error are enough for a verdict on a busy machine. */
const errors: RatioCheck = { name: "5xx", source: "metrics", margin: 0.2, max: 0.9, lag: 0 };

/** Seconds in place of minutes. */
const definition: Definition = {
  app: "welcome",
  labels: { live: "blue", next: "green" },
  test: [{ get: "/readyz" }, { get: "/api/version", contains: '"message"' }],
  steps: [
    { weight: 25, for: 6, confirm: false },
    { weight: 50, for: 6, confirm: true },
  ],
  bake: 3,
  checks: [errors, { name: "alive", source: "probe", get: "/readyz", every: 2, failures: 2 }],
  inconclusive: { extend: 60, then: "hold" },
};

/** The judge needs 12 requests to find this fault. */
const everySecondFails = failEvery(2, "/api/version");

const of = (bad: number, total: number): Counts => ({ bad, total });
/** Counts of the new version and of the live one, and the verdict on them. */
const edges: readonly [Counts, Counts, Verdict][] = [
  [of(0, 0), of(0, 0), "inconclusive"],
  [of(0, 0), of(0, 1_000), "inconclusive"],
  [of(0, 1_000), of(0, 0), "inconclusive"],
  [of(1_000, 1_000), of(0, 0), "inconclusive"],
  [of(0, 267), of(0, 5_073), "inconclusive"],
  [of(0, 268), of(0, 5_092), "pass"],
  [of(0, 268), of(1, 5_092), "pass"],
  [of(2, 40), of(0, 760), "inconclusive"],
  [of(2, 2), of(0, 1_000), "inconclusive"],
  [of(3, 3), of(0, 57), "fail"],
  [of(3, 3), of(57, 57), "outage"],
  [of(57, 57), of(57, 57), "outage"],
  [of(1, 15), of(1, 15), "inconclusive"],
  [of(57, 57), of(0, 57), "fail"],
  [of(0, 57), of(57, 57), "pass"],
  [of(17, 1_000), of(0, 19_000), "inconclusive"],
  [of(40, 1_000), of(0, 19_000), "fail"],
  [of(100, 1_000), of(1_000, 10_000), "outage"],
  [of(600, 1_000), of(600, 10_000), "fail"],
  [of(5_100, 100_000), of(5_100, 100_000), "inconclusive"],
  [of(5_000, 100_000), of(5_000, 100_000), "pass"],
  [of(3_000_000, 1_000_000_000), of(2_000_000, 1_000_000_000), "pass"],
  [of(20_000_000, 1_000_000_000), of(2_000_000, 1_000_000_000), "fail"],
];
const edgeDefinition: Definition = { ...definition, checks: [{ ...errors, margin: 0.01, max: 0.05 }] };

/** The releases that tools/release/argo describes, with the real Argo Rollouts and a real Prometheus. */
export function describeRelease(): void {
  describe("plan --argo", () => {
    /** Metrics for Prometheus, in place of those of pods. */
    let page = "";
    const metrics = createServer((_request, response) => {
      response.setHeader("Content-Type", "text/plain; version=0.0.4");
      response.end(page);
    });

    const query = async (text: string) => {
      const url = `http://prometheus.${namespace}.svc:9090/api/v1/query?query=${encodeURIComponent(text)}`;
      return listAt(JSON.parse(await pods.get(url)), "data.result");
    };
    const numberOf = async (text: string) => Number(textAt((await query(text))[0] ?? {}, "value.1"));

    beforeAll(async () => {
      await new Promise<void>((resolve) => metrics.listen(0, "127.0.0.1", resolve));
      const { port } = metrics.address() as AddressInfo;
      const counts = {
        job_name: "counts",
        scrape_interval: "500ms",
        static_configs: [{ targets: [`127.0.0.1:${port}`] }],
      };
      edit("blue-green-analysis/scrape.yaml", (text) => {
        const [job] = parse(text).scrape_configs;
        return stringify({ scrape_configs: [{ ...job, scrape_interval: "500ms", proxy_url: pods.proxy }, counts] });
      });
      const [setup = ""] = /kubectl apply -k .*/.exec(describeArgo(definition, { image: "welcome", set: {} })) ?? [];
      await cluster.sh(setup);
      await until("Prometheus responds", () => query("vector(1)"));
    }, 60_000);
    afterAll(async () => {
      await new Promise((resolve) => metrics.close(resolve));
      await kubectl("delete", "namespace", namespace, "--wait=false");
    });

    const show = (lines: readonly string[]) => {
      page = `${lines.join("\n")}\n`;
    };

    test("scenario 20: TypeScript, Prometheus and Argo Rollouts come to the same verdict on the same counts", async () => {
      show(
        edges.flatMap(([candidate, stable], index) =>
          Object.entries({ new: candidate, live: stable })
            .filter(([, { total }]) => total > 0) // a version without requests has no series
            .flatMap(([side, { bad, total }]) => [
              `edge_requests_total{${HASH}="${side}${index}"} ${total}`,
              ...(bad > 0 ? [`edge_bad_total{${HASH}="${side}${index}"} ${bad}`] : []),
            ]),
        ),
      );
      const args = (index: number) => ({
        namespace,
        new: `new${index}`,
        live: `live${index}`,
        "total-5xx": `sum by (${HASH}) (edge_requests_total)`,
        "bad-5xx": `sum by (${HASH}) (edge_bad_total)`,
      });
      const template = parseAllDocuments(describeArgo(edgeDefinition, { image: "welcome", set: {} }))
        .map((document) => document.toJS())
        .find(({ metadata }) => metadata.name === "welcome-pass");
      const [decide] = template.spec.metrics;
      const runs = edges.map((_counts, index) => ({
        apiVersion: "argoproj.io/v1alpha1",
        kind: "AnalysisRun",
        metadata: { name: `edge-${index}`, namespace },
        spec: { args: Object.entries(args(index)).map(([name, value]) => ({ name, value })), metrics: [decide] },
      }));
      const series = edges.flat().filter((counts) => typeof counts === "object" && counts.total > 0).length;
      await until("Prometheus has the counts", async () => {
        expect(await numberOf("count(edge_requests_total)")).toBe(series);
      });
      await cluster.apply(runs.map((run) => stringify(run)).join("---\n"));

      const { margin, max } = edgeDefinition.checks[0] as RatioCheck;
      const rule = { margin, max, looks: looksOf(edgeDefinition) };
      const values: Record<Verdict, number> = { pass: 1, fail: -1, inconclusive: 0, outage: 0 };
      const phases: Record<Verdict, string> = {
        pass: "Successful",
        fail: "Failed",
        inconclusive: "Inconclusive",
        outage: "Inconclusive",
      };
      const text = textAt(decide, "provider.prometheus.query");
      const phasesOfRuns = async () => {
        const found = await list("analysisruns", ...inNamespace);
        return edges.map((_counts, index) =>
          at(found.find(({ metadata }) => metadata.name === `edge-${index}`) ?? {}, "status.phase"),
        );
      };
      for (const [index, [candidate, stable, verdict]] of edges.entries()) {
        expect.soft(judge(candidate, stable, rule).verdict, `TypeScript, ${index}`).toBe(verdict);
        const filled = Object.entries(args(index)).reduce(
          (filling, [name, value]) => filling.replaceAll(`{{args.${name}}}`, value),
          text,
        );
        expect.soft(await numberOf(filled), `Prometheus, ${index}`).toBe(values[verdict]);
      }
      await expect
        .poll(phasesOfRuns, { timeout: 30_000, interval: 500 })
        .toEqual(edges.map(([, , verdict]) => phases[verdict]));
    }, 60_000);

    test("the queries count each request once: of new and of ended pods, without probes, slow ones by the histogram", async () => {
      const slow: RatioCheck = { name: "slow", source: "httpLogs", over: 1, margin: 0.01, max: 1, lag: 0 };
      const write = (hash: string, route: string, status: number, total: number, fast: number) => {
        const labels = `${HASH}="${hash}",route="${route}",status="${status}"`;
        return [
          `http_request_duration_seconds_bucket{${labels},le="1"} ${fast}`,
          `http_request_duration_seconds_bucket{${labels},le="+Inf"} ${total}`,
          `http_request_duration_seconds_sum{${labels}} 1`,
          `http_request_duration_seconds_count{${labels}} ${total}`,
        ];
      };
      const seconds = 5;
      const read = async (text: string) =>
        Object.fromEntries(
          (await query(text)).map((result) => [at(result, `metric.${HASH}`), Number(textAt(result, "value.1"))]),
        );
      const counts = async () => ({
        total: await read(countRequests(errors, seconds).total),
        bad: await read(countRequests(errors, seconds).bad),
        slow: await read(countRequests(slow, seconds).bad),
      });
      const type = "# TYPE http_request_duration_seconds histogram";
      const before = write("old", "/", 200, 100, 90);
      show([type, ...before]);
      await sleep((seconds + 2) * 1_000);
      const old = [...write("old", "/", 200, 130, 115), ...write("old", "/", 503, 1, 1)];
      show([
        type,
        ...old,
        ...write("new", "/", 200, 5, 3),
        ...write("new", "/", 500, 2, 2),
        ...write("new", "/readyz", 503, 50, 0),
      ]);
      const wanted = { total: { old: 31, new: 7 }, bad: { old: 1, new: 2 }, slow: { old: 5, new: 2 } };
      await expect.poll(counts, { timeout: 3_000, interval: 200 }).toEqual(wanted);
      show([type, ...old]);
      await sleep(1_200);
      expect(await counts()).toEqual(wanted);
    }, 30_000);

    const callers: { stop: boolean; ended: Promise<void> }[] = [];
    function call(): void {
      const caller = { stop: false, ended: Promise.resolve() };
      const repeat = async () => {
        while (!caller.stop) {
          await pods.get(`http://welcome.${namespace}.svc/api/version`);
          await sleep(15);
        }
      };
      caller.ended = repeat();
      callers.push(caller);
    }
    afterEach(async () => {
      for (const caller of callers.splice(0)) {
        caller.stop = true;
        await caller.ended;
      }
    });

    /** Applies what plan --argo prints, with looks that are a second apart. */
    async function release(set: Record<string, string>): Promise<void> {
      const manifests = describeArgo(definition, { image: "registry.example.com/welcome:1.0.1", set });
      const file = join(cluster.folder, "release.yaml");
      writeFileSync(file, manifests.replaceAll(/(interval|initialDelay): 60s/g, "$1: 1s"));
      await kubectl("apply", "-f", file, ...inNamespace);
    }

    const state = async () => {
      const rollout = await get("rollout", "welcome", ...inNamespace);
      if (at(rollout, "status.observedGeneration") !== String(at(rollout, "metadata.generation"))) return undefined;
      return {
        phase: at(rollout, "status.phase"),
        pause: at(rollout, "status.pauseConditions.0.reason"),
        step: at(rollout, "status.currentStepIndex"),
      };
    };
    const becomes = (wanted: { phase: string; pause?: string; step?: number }) =>
      expect.poll(state, { timeout: 60_000, interval: 250 }).toMatchObject(wanted);
    const settings = async () => {
      const running = await list<Pod>("pods", ...inNamespace, "-l", "app=superapi");
      const kept = running.filter(({ metadata }) => !metadata.deletionTimestamp);
      return kept.map(({ spec }) => spec.containers[0]?.env?.find(({ name }) => name === "WELCOME")?.value).sort();
    };
    const results = async () => {
      const runs = await list<KubernetesObject>(
        "analysisruns",
        ...inNamespace,
        "--sort-by",
        ".metadata.creationTimestamp",
      );
      const own = runs.filter(({ metadata }) => metadata.name.startsWith("welcome-"));
      const revision = own.at(-1)?.metadata.annotations?.["rollout.argoproj.io/revision"];
      return own
        .filter(({ metadata }) => metadata.annotations?.["rollout.argoproj.io/revision"] === revision)
        .flatMap((run) => listAt(run, "status.metricResults"))
        .map((result) => `${at(result, "name")} ${at(result, "phase")}`)
        .sort();
    };

    test("a good version passes each step, waits for the confirmation and is promoted", async () => {
      await release({ WELCOME: "v1" });
      await becomes({ phase: "Healthy" });
      call();
      await sleep(1_000);
      await release({ WELCOME: "v2" });
      const confirmation = 7; // after setWeight, test, pause and pass, and setWeight, pause and pass
      await becomes({ phase: "Paused", pause: "CanaryPauseStep", step: confirmation });
      expect(await settings()).toEqual(["v1", "v1", "v2", "v2"]);
      expect(await results()).toEqual([
        "5xx-fails Running",
        "5xx-passes Successful",
        "5xx-passes Successful",
        "alive Running",
        "test Successful",
      ]);
      await kubectl("argo", "rollouts", "promote", "welcome", ...inNamespace);
      await becomes({ phase: "Healthy" });
      expect(await settings()).toEqual(["v2", "v2", "v2", "v2"]);
    }, 120_000);

    test("a version with errors is rolled back before its first step ends", async () => {
      call();
      await release({ WELCOME: "v3", NODE_OPTIONS: everySecondFails });
      await becomes({ phase: "Degraded" });
      expect(await results()).toContain("5xx-fails Failed");
      expect((await results()).filter((result) => result.startsWith("5xx-passes"))).toEqual([]);
      await expect.poll(settings, { timeout: 30_000, interval: 250 }).toEqual(["v2", "v2", "v2", "v2"]);
    }, 90_000);

    test("a version without requests is held in its first step", async () => {
      await release({ WELCOME: "v4" });
      await becomes({ phase: "Paused", pause: "InconclusiveAnalysisRun", step: 3 });
      expect(await results()).toContain("5xx-passes Inconclusive");
      expect(await settings()).toEqual(["v2", "v2", "v2", "v4"]);
    }, 90_000);
  });
}
