import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse, stringify } from "yaml";
import { at, textAt } from "../../support/at.ts";
import { until } from "../../support/cluster.ts";
import type { KubernetesObject, Pod } from "../../support/kubernetes-objects.ts";
import { root } from "../../support/processes.ts";
import { block, cluster, edit, get, kubectl, list, pods, stderr } from "./context.ts";
import { failEvery, respond } from "./faults.ts";

interface AnalysisRun extends KubernetesObject {
  readonly status?: { readonly phase: string; readonly message?: string; readonly metricResults?: MetricResult[] };
}

interface MetricResult {
  readonly name: string;
  readonly phase: string;
  readonly measurements?: readonly { readonly phase: string }[];
}

const page = "docs/operate/blue-green.md";

/** Settings of versions with a fault. */
const faults = {
  readinessAfterStart: respond("/readyz", "res.writeHead(503).end()", 1_500),
  otherVersionFormat: respond("/api/version", 'res.writeHead(200, { "Content-Type": "text/html" }).end("It works!")'),
  page: respond("/", "res.writeHead(500).end()"),
  /** The metric smoke does not request this route. */
  everyThirdSignIn: failEvery(3, "/api/sign-in"),
};

/** The new versions run as real processes, which the controller and a real Prometheus reach through a proxy. */
export function describeAnalysis(): void {
  describe("analysis", () => {
    const active = "dev-superapi-svc-active-geba";
    const preview = "dev-superapi-svc-preview-geba";

    /**
     * Callers of a Service, until the test ends. Most requests are for a route that does not fail. Each pod gets its
     * share of the others, because 9 and the number of pods have no common divisor.
     */
    const calls: { stop: boolean; ended: Promise<void> }[] = [];
    function call(service: string, namespace = "blue-green"): void {
      const caller = { stop: false, ended: Promise.resolve() };
      const repeat = async () => {
        for (let count = 0; !caller.stop; count += 1) {
          await pods.get(`http://${service}.${namespace}.svc/api/${count % 9 === 0 ? "sign-in" : "version"}`);
          await sleep(20);
        }
      };
      caller.ended = repeat();
      calls.push(caller);
    }
    afterEach(async () => {
      for (const caller of calls.splice(0)) {
        caller.stop = true;
        await caller.ended;
      }
    });

    /** Puts a version, with a setting of its own, into the manifests. */
    async function write(version: string, fault?: string): Promise<void> {
      await cluster.sh(
        block(page, /^sed .*v3\/'/)
          .replace("v3/'", `${version}/'`)
          .replace(/\n.*/s, ""),
      );
      edit("blue-green/kustomization.yaml", (text) => {
        const kustomization = parse(text);
        const [{ literals }] = kustomization.configMapGenerator;
        kustomization.configMapGenerator[0].literals = [
          ...literals.filter((literal: string) => !literal.startsWith("NODE_OPTIONS=")),
          ...(fault ? [`NODE_OPTIONS=${fault}`] : []),
        ];
        return stringify(kustomization);
      });
    }

    async function release(version: string, fault?: string, folder = "blue-green-analysis"): Promise<void> {
      await write(version, fault);
      await kubectl("apply", "-k", join(cluster.folder, "infra/kubernetes", folder));
    }

    const versionsOf = async (service: string, namespace = "blue-green") => {
      const { spec } = await get<{ spec: { selector: Record<string, string> } }>("service", service, "-n", namespace);
      const selector = Object.entries(spec.selector).map(([name, value]) => `${name}=${value}`);
      const selected = await list<Pod>("pods", "-n", namespace, "-l", selector.join(","));
      return [...new Set(selected.map(({ metadata }) => metadata.labels?.version))].sort();
    };

    /** Undefined while the controller has not seen the newest manifest: the phase is then that of an older version. */
    const phaseOf = async (namespace = "blue-green") => {
      const rollout = await get("rollout", "dev-superapi-geba", "-n", namespace);
      const isNew = at(rollout, "status.observedGeneration") === String(at(rollout, "metadata.generation"));
      return isNew ? at(rollout, "status.phase") : undefined;
    };
    const state = async () => ({ phase: await phaseOf(), active: await versionsOf(active) });
    const waitUntil = (phase: string, version: string) =>
      expect.poll(state, { timeout: 90_000, interval: 250 }).toEqual({ phase, active: [version] });

    /** The analyses of the newest revision. */
    async function analyses(namespace = "blue-green"): Promise<AnalysisRun[]> {
      const rollout = await get("rollout", "dev-superapi-geba", "-n", namespace);
      const revision = rollout.metadata.annotations?.["rollout.argoproj.io/revision"];
      const all = await list<AnalysisRun>("analysisruns", "-n", namespace, "--sort-by", ".metadata.creationTimestamp");
      return all.filter(({ metadata }) => metadata.annotations?.["rollout.argoproj.io/revision"] === revision);
    }
    const results = (runs: readonly AnalysisRun[]) =>
      runs.map(({ status }) => status?.metricResults?.map(({ name, phase }) => `${name} ${phase}`).sort());

    /** Starts Prometheus, whose process otherwise starts with the first query, which would find no data. */
    const startPrometheus = (namespace: string) =>
      until(`Prometheus has metrics of all pods in ${namespace}`, async () => {
        const query = encodeURIComponent('count(up{job="superapi"} == 1)');
        const body = await pods.get(`http://prometheus.${namespace}.svc:9090/api/v1/query?query=${query}`);
        const running = await list("pods", "-n", namespace, "-l", "app=superapi");
        expect(textAt(JSON.parse(body), "data.result.0.value.1")).toBe(`${running.length}`);
      });

    beforeAll(() => {
      // The waits of the manifests are for a network; the processes of the test respond in milliseconds. Prometheus has
      // the first metrics of new pods within 4 seconds. On a busy machine, the Service of the preview leads to the old
      // pods for seconds, so readyz requests it for 8 seconds, and the first loop of smoke keeps its 10 seconds. The
      // controller stores the time of a request without fractions of a second: with an interval below 1s, the next
      // request would be due at once, and all ten of readyz could go to the old pods.
      edit("blue-green-analysis/analysis.yaml", (text) =>
        text
          .replaceAll(/interval: \d+s/g, "interval: 1s")
          .replaceAll(/(?<=initialDelay: |offset )\d+s/g, "7s")
          .replace(/(?<=round < 20.*\n.*sleep\()1_000/, "100")
          .replace("round < 20", "round < 5"),
      );
      edit("blue-green-analysis/rollout.yaml", (text) =>
        text.replace("scaleDownDelaySeconds: 120", "scaleDownDelaySeconds: 20\n      abortScaleDownDelaySeconds: 2"),
      );
      edit("blue-green-analysis/prometheus.yaml", (text) =>
        text.replace("      serviceAccountName: prometheus", "$&\n      terminationGracePeriodSeconds: 1"),
      );
      edit("canary/rollout.yaml", (text) => text.replace(/duration: \d+s/, "duration: 2s"));
      edit("blue-green-analysis/scrape.yaml", (text) => {
        const { scrape_configs, ...rest } = parse(text);
        const [job] = scrape_configs;
        return stringify({ ...rest, scrape_configs: [{ ...job, scrape_interval: "500ms", proxy_url: pods.proxy }] });
      });
    });

    test("a good version is promoted by itself while callers of the old one get errors", async () => {
      await write("v2", faults.everyThirdSignIn);
      await cluster.sh(block(page, /^kubectl delete namespace blue-green --ignore-not-found\n/));
      await waitUntil("Healthy", "v2");
      expect(await analyses()).toEqual([]); // nothing to go back to
      await startPrometheus("blue-green");
      call(active);
      await write("v2");
      await cluster.sh(block(page, /^sed .*v3\/'/));
      await waitUntil("Healthy", "v3");
      expect(results(await analyses())).toEqual([
        ["error-rate Successful", "readyz Successful", "smoke Successful"],
        ["error-rate Successful"],
      ]);
    }, 180_000);

    const reason = async () => (await analyses()).map(({ status }) => status?.message);

    test("a version whose /readyz turns to 503 after its start is aborted", async () => {
      await release("v4", faults.readinessAfterStart);
      await waitUntil("Degraded", "v3");
      expect(await reason()).toEqual([
        expect.stringMatching(/^Metric "readyz" assessed Error .*received non 2xx response code: 503/),
      ]);
      const [run] = await analyses();
      const readyz = run?.status?.metricResults?.find(({ name }) => name === "readyz");
      expect(readyz?.measurements?.[0]?.phase).toBe("Successful");
    }, 120_000);

    test.each([
      ["responds with HTML at /api/version", faults.otherVersionFormat],
      ["returns 500 for its page", faults.page],
    ])(
      "a version that %s is aborted",
      async (_fault, fault) => {
        await release("v4", fault);
        await waitUntil("Degraded", "v3");
        expect(await reason()).toEqual([expect.stringMatching(/^Metric "smoke" assessed Failed/)]);
      },
      120_000,
    );

    test("a version that fails the smoke request is aborted, and the pages quote the reason", async () => {
      await release("v3");
      await waitUntil("Healthy", "v3");
      const output = await cluster.sh(block(page, /^kubectl patch rollout/));
      const [printed = "nothing"] = /Metric "smoke" .*$/m.exec(output) ?? [];
      const read = (file: string) => readFileSync(join(root, file), "utf8");
      expect(read(page).replaceAll("\n", " ")).toContain(printed);
      const [, entry = ""] = /^### \d+\. `(RolloutAborted: .*)`$/m.exec(read("docs/troubleshooting.md")) ?? [];
      const rollout = await get("rollout", "dev-superapi-geba", "-n", "blue-green");
      expect(at(rollout, "status.message")).toMatch(new RegExp(`^${entry.split("…").map(RegExp.escape).join(".*")}`));
      await waitUntil("Degraded", "v3");
    }, 120_000);

    test("a version that fails every third request for one route is aborted, although other routes get more requests", async () => {
      await release("v4", faults.everyThirdSignIn);
      call(preview);
      await waitUntil("Degraded", "v3");
      expect(await reason()).toEqual([
        expect.stringMatching(/^Metric "error-rate" assessed Failed due to failed \(1\) > failureLimit \(0\)/),
      ]);
      // The next test shows that smoke does not find this fault. smoke may still run when the error rate fails.
      expect(results(await analyses())).toEqual([expect.arrayContaining(["error-rate Failed", "readyz Successful"])]);
    }, 120_000);

    test("a version that fails after its promotion is replaced with the old one", async () => {
      await release("v5", faults.everyThirdSignIn);
      await expect.poll(() => versionsOf(active), { timeout: 90_000, interval: 100 }).toEqual(["v5"]);
      call(active);
      await waitUntil("Degraded", "v3");
      expect(results(await analyses())).toEqual([
        ["error-rate Successful", "readyz Successful", "smoke Successful"],
        ["error-rate Failed"],
      ]);
    }, 120_000);

    test("after the pods of an aborted version have ended, a version whose pods do not become ready is aborted without an analysis", async () => {
      const countPods = () => list("pods", "-n", "blue-green", "-l", "app=superapi").then(({ length }) => length);
      await expect.poll(countPods, { timeout: 60_000, interval: 500 }).toBe(2);
      edit("blue-green-analysis/rollout.yaml", (text) => text.replace(/(progressDeadlineSeconds:) \d+/, "$1 5"));
      await kubectl("cordon", "--selector", "kubernetes.io/os=linux");
      onTestFinished(async () => {
        await kubectl("uncordon", "--selector", "kubernetes.io/os=linux");
        // The canary has the same settings. Its pods may need longer than 5 seconds on a busy machine.
        edit("blue-green-analysis/rollout.yaml", (text) => text.replace(/(progressDeadlineSeconds:) 5\n/, "$1 300\n"));
      });
      await release("v6");
      await expect.poll(() => phaseOf(), { timeout: 30_000 }).toBe("Progressing");
      await cluster.sh(block(page, /^kubectl annotate replicasets/));
      await waitUntil("Degraded", "v3");
      expect(await analyses()).toEqual([]);
    }, 120_000);

    describe("canary", () => {
      const stateOfCanary = async () => {
        const inNamespace = await list<Pod>("pods", "-n", "canary", "-l", "app=superapi");
        const running = inNamespace.filter(({ metadata }) => !metadata.deletionTimestamp);
        return {
          phase: await phaseOf("canary"),
          pods: running.map(({ metadata }) => metadata.labels?.version).sort(),
        };
      };
      const four = (version: string) => [version, version, version, version];

      test("a good version replaces the old one in steps", async () => {
        await write("v3");
        await cluster.sh(block(page, /^kubectl apply -k infra.kubernetes.canary\n/));
        expect(await stateOfCanary()).toEqual({ phase: "Healthy", pods: four("v3") });
        await startPrometheus("canary");
        const released = cluster.sh(block(page, /^sed .*v4\/'/));
        const during = { phase: "Progressing", pods: ["v3", "v3", "v3", "v4"] };
        await expect.poll(stateOfCanary, { timeout: 60_000, interval: 100 }).toMatchObject(during);
        expect(await versionsOf(active, "canary")).toEqual(["v3", "v4"]);
        expect(await versionsOf(preview, "canary")).toEqual(["v4"]);
        expect(await released).toContain("Healthy");
        expect(await stateOfCanary()).toEqual({ phase: "Healthy", pods: four("v4") });
        expect(results(await analyses("canary"))).toEqual([
          ["error-rate Successful", "readyz Successful", "smoke Successful"],
          ["error-rate Successful"],
        ]);
      }, 180_000);

      test("a version that fails every third request for one route is aborted, and all pods run the old version", async () => {
        call(active, "canary");
        await release("v5", faults.everyThirdSignIn, "canary");
        await expect
          .poll(stateOfCanary, { timeout: 90_000, interval: 250 })
          .toEqual({ phase: "Degraded", pods: four("v4") });
        const runs = await analyses("canary");
        expect(runs.at(-1)?.status?.message).toMatch(/^Metric "error-rate" assessed Failed/);
      }, 120_000);
    });

    test("the clean-up deletes both namespaces and restores version 1", async () => {
      await cluster.sh(block(page, /^kubectl delete namespace blue-green canary/));
      for (const namespace of ["blue-green", "canary"])
        expect(await stderr("get", "namespace", namespace)).toContain("not found");
      const restored = readFileSync(join(cluster.folder, "infra/kubernetes/blue-green/kustomization.yaml"), "utf8");
      expect(restored.match(/(Hello from |version: )v\d+/g)?.sort()).toEqual(["Hello from v1", "version: v1"]);
    }, 60_000);
  });
}
