import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { flags } from "../../../tools/processes/flags.ts";
import { at } from "../../support/at.ts";
import { findPort, until } from "../../support/cluster.ts";
import { buildTimeout, findSource, findTools } from "../../support/go-tools.ts";
import type { Pod } from "../../support/kubernetes-objects.ts";
import { readBlocks } from "../../support/markdown.ts";
import { root } from "../../support/processes.ts";
import { block, cluster, deleteConstraints, get, kubectl } from "./context.ts";

const page = "docs/operate/wasm.md";
const [operatorModule, managerModule] = ["spin-operator@v0.6.1", "runtime-class-manager@v0.2.0"];

/**
 * Runs the real Runtime Class Manager. The nodes are simulated, so its installer runs nowhere. No Spin Operator makes
 * pods of the SpinApp: the tests create them.
 */
export function describeWasm(): void {
  describe(page, () => {
    /** Files that the page applies, in the sources of the modules. */
    let local: Record<string, string>;
    let stop: () => Promise<unknown>;

    beforeAll(async () => {
      await deleteConstraints(); // they reject the privileged installer of the shim
      const operator = await findSource("cluster", `github.com/spinkube/${operatorModule}`);
      const manager = await findSource("spinkube", `github.com/spinkube/${managerModule}`);
      local = {
        "https://github.com/spinframework/spin-operator/releases/download/v0.6.1/spin-operator.crds.yaml": join(
          operator,
          "config/crd/bases",
        ),
        "https://raw.githubusercontent.com/spinframework/runtime-class-manager/v0.2.0/": `${manager}/`,
      };
      await kubectl("apply", "--server-side", "-f", join(manager, "config/crd/bases"));
      await kubectl("create", "namespace", "runtime-class-manager");
      const managerFlags = {
        "metrics-bind-address": "0",
        "health-probe-bind-address": `127.0.0.1:${await findPort()}`,
      };
      stop = cluster.start(join(await findTools("spinkube"), "rcm"), flags(managerFlags), {
        CONTROLLER_NAMESPACE: "runtime-class-manager",
        SHIM_DOWNLOADER_IMAGE: "shim-downloader",
        SHIM_NODE_INSTALLER_IMAGE: "node-installer",
      });
    }, buildTimeout);
    afterAll(async () => {
      await stop?.();
    });

    /** Runs the lines of a block that match, with local files in place of downloads. */
    function runLines(pattern: RegExp, lines: RegExp): Promise<string> {
      const commands = block(page, pattern)
        .replaceAll(/\\\n\s*/g, "")
        .split("\n");
      const chosen = commands.filter((line) => lines.test(line)).join("\n");
      const offline = Object.entries(local).reduce((text, [url, path]) => text.replaceAll(url, path), chosen);
      expect(offline).not.toMatch(/^$|https:/);
      return cluster.sh(offline.replaceAll("NODE", "node-2"));
    }

    /** Creates a pod like those that Spin Operator makes of a SpinApp. */
    async function createPod(name: string): Promise<void> {
      const executor = await get<{ spec: { deploymentConfig: { runtimeClassName: string } } }>(
        "spinappexecutor",
        "containerd-shim-spin",
        "-n",
        "hello-wasm",
      );
      const { runtimeClassName } = executor.spec.deploymentConfig;
      const containers = [{ name: "hello-wasm", image: "hello-wasm-spin" }];
      const metadata = { name, namespace: "hello-wasm" };
      const spec = { runtimeClassName, containers, terminationGracePeriodSeconds: 1 };
      await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec }));
    }
    const getPod = (name: string) => get<Pod>("pod", name, "-n", "hello-wasm");
    const isPending = async (name: string) =>
      (await getPod(name)).status.conditions?.some(({ type, status }) => type === "PodScheduled" && status === "False");

    test("installs the versions whose manifests and programs the tests run", () => {
      const commands = readBlocks(page).map(({ command }) => command.replaceAll(/\\\n\s*/g, ""));
      const versions = commands.flatMap((text) =>
        [...text.matchAll(/charts\/(\S+) --version (\S+)/g)].map(([, chart, version]) => `${chart}@v${version}`),
      );
      expect(versions.sort()).toEqual([managerModule, operatorModule].sort());
      const module = readFileSync(join(root, "test/kubernetes/tools/spinkube/go.mod"), "utf8");
      expect(module).toContain(`github.com/spinkube/${managerModule.replace("@", " ")}\n`);
    });

    test("Helm accepts the commands: it tries to reach the registry of the charts, and finds no release to uninstall", async () => {
      const helm = await findTools("helm");
      const lines = readBlocks(page)
        .flatMap(({ command }) => command.replaceAll(/\\\n\s*/g, "").split("\n"))
        .filter((line) => /^ *helm /.test(line));
      expect(lines).toHaveLength(4);
      for (const line of lines) {
        const offline = line.replace("oci://ghcr.io/", "oci://127.0.0.1:1/");
        const run = cluster.sh(`PATH="${helm}:$PATH"\n${offline}`);
        await expect(run, line).rejects.toThrow(/127\.0\.0\.1:1: connect: connection refused|release: not found/);
      }
    }, 120_000);

    test("the API server stores the SpinApp and its executor", async () => {
      await runLines(/^ *helm upgrade/m, /kubectl apply .*spin-operator.crds/);
      await cluster.sh("kubectl apply -k infra/kubernetes/hello-wasm");
      const app = await get("spinapp", "hello-wasm", "-n", "hello-wasm");
      expect(await get("spinappexecutor", `${at(app, "spec.executor")}`, "-n", "hello-wasm")).toBeDefined();
    });

    test("Runtime Class Manager makes a RuntimeClass that selects the labelled nodes: a pod waits for the first", async () => {
      await runLines(/^ *helm upgrade/m, /kubectl apply .*sample_shim_spin/);
      await until("the RuntimeClass exists", () => kubectl("get", "runtimeclass", "wasmtime-spin-v2"));
      await createPod("first");
      expect(at(await getPod("first"), "spec.nodeSelector")).toEqual({ spin: "true" });
      await expect.poll(() => isPending("first"), { timeout: 20_000 }).toBe(true);
      const shown = await runLines(/^kubectl label node/, /./);
      expect(shown).toContain('spin-v2 {"spin":"true"}');
      await kubectl("wait", "pod/first", "-n", "hello-wasm", "--for=condition=PodScheduled", "--timeout=60s");
      expect((await getPod("first")).spec.nodeName).toBe("node-2");
      const label = async () => at(await get("node", "node-2"), "metadata.labels.spin-v2");
      await expect.poll(label, { timeout: 60_000 }).toBe("provisioned");
    }, 180_000);

    test("a tainted node takes pods of the RuntimeClass only, and Runtime Class Manager keeps its tolerations", async () => {
      await kubectl("taint", "node", "node-2", "spin=true:NoSchedule");
      await createPod("second");
      await expect.poll(() => isPending("second"), { timeout: 20_000 }).toBe(true);
      await kubectl("taint", "node", "node-2", "spin-");
      await runLines(/^kubectl taint/, /./);
      await kubectl("annotate", "shim", "spin-v2", "touched=yes");
      await createPod("third");
      await kubectl("wait", "pod/third", "-n", "hello-wasm", "--for=condition=PodScheduled", "--timeout=60s");
      expect((await getPod("third")).spec.nodeName).toBe("node-2");
      const { scheduling } = await get<{ scheduling: object }>("runtimeclass", "wasmtime-spin-v2");
      expect(scheduling).toEqual({
        nodeSelector: { spin: "true" },
        tolerations: [{ key: "spin", value: "true", effect: "NoSchedule" }],
      });
    }, 180_000);

    test("the clean-up removes the application, the shim from the nodes, and the RuntimeClass", async () => {
      await runLines(/^kubectl delete -k infra\/kubernetes\/hello-wasm/, /kubectl delete (-k|shim|-f)/);
      const label = async () => at(await get("node", "node-2"), "metadata.labels.spin-v2");
      await expect.poll(label, { timeout: 60_000 }).toBeUndefined();
      expect(await kubectl("get", "namespace", "hello-wasm", "--ignore-not-found")).toBe("");
      await kubectl("taint", "node", "node-2", "spin-");
    }, 180_000);
  });
}
