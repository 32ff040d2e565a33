import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { at } from "../../support/at.ts";
import { sidecarImage } from "../../support/cluster-add-ons.ts";
import { root } from "../../support/processes.ts";
import {
  cluster,
  ensureSuite,
  get,
  kubectl,
  listContainers,
  namespace,
  readyPods,
  services,
  stderr,
} from "./context.ts";

export function describeSuite(): void {
  describe("overlays/aks", () => {
    test("starts two ready pods of each service, each with a native sidecar", async () => {
      await cluster.sh("kubectl apply --server-side -k infra/kubernetes/overlays/aks");
      for (const name of services) {
        await expect.poll(() => readyPods(name).then(({ length }) => length), { timeout: 60_000 }).toBe(2);
        for (const pod of await readyPods(name)) {
          const [daprd, ...rest] = listContainers(pod);
          expect(daprd).toMatchObject({ name: "daprd", image: sidecarImage, restartPolicy: "Always" });
          expect(daprd?.args?.join(" ")).toMatch(new RegExp(`--app-id ${name} .*--config sidecar`));
          expect(daprd?.args?.join(" ")).toContain("--dapr-block-shutdown-duration 15s");
          expect(rest.map((container) => container.name)).toEqual(["app"]);
        }
      }
    }, 90_000);

    test("spreads the two pods of each service over different zones", async () => {
      // Each node is the only one of its zone.
      for (const name of services) {
        const nodes = (await readyPods(name)).map(({ spec }) => spec.nodeName);
        expect(new Set(nodes).size).toBe(2);
      }
    });

    test("rejects a pod that exceeds the restricted Pod Security level", async () => {
      const unrestricted = ["run", "unrestricted", "-n", namespace, "--image", "nginx", "--dry-run=server"];
      expect(await stderr(...unrestricted)).toContain('violates PodSecurity "restricted:latest"');
    });

    test("allows the eviction of one pod of each service and rejects the second with 429", async () => {
      await kubectl("cordon", "--selector", "kubernetes.io/os=linux"); // no replacement can start
      for (const name of services) {
        const allowed = async () =>
          at(await get("poddisruptionbudget", name, "-n", namespace), "status.disruptionsAllowed");
        await expect.poll(allowed, { timeout: 30_000 }).toBe(1);
        const [first = "", second = ""] = (await readyPods(name)).map(({ metadata }) => metadata.name);
        expect(await evict(first)).toBe(201);
        expect(await evict(second)).toBe(429);
      }
      await kubectl("uncordon", "--selector", "kubernetes.io/os=linux");
      await kubectl("wait", "deployments", "--all", "-n", namespace, "--for=condition=Available", "--timeout=30s");
    }, 60_000);
  });

  describe("features", () => {
    const overlays = () => join(cluster.folder, "infra/kubernetes/overlays");

    /** Applies an overlay as a dry run and returns stderr. The API server only skips storage; warnings are errors. */
    const dryRun = (overlay: string) => {
      const options = ["--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors"];
      return stderr("apply", ...options, "-k", join(overlays(), overlay));
    };

    /** Copies overlays/aks under another name, with changes to its kustomization. */
    function derive(name: string, changes: object): void {
      cpSync(join(overlays(), "aks"), join(overlays(), name), { recursive: true });
      const file = join(overlays(), name, "kustomization.yaml");
      const kustomization = parse(readFileSync(file, "utf8"));
      expect(kustomization.components).not.toEqual([]);
      writeFileSync(file, stringify({ ...kustomization, ...changes }));
    }

    // A dry run creates no namespace for the objects after it.
    beforeAll(async () => {
      await ensureSuite();
      await kubectl("create", "namespace", "gateway");
    }, 90_000);

    test.concurrent.each(readdirSync(join(root, "infra/kubernetes/features")))(
      "%s is accepted without a warning",
      async (name) => {
        derive(name, { components: [`../../features/${name}`] });
        expect(await dryRun(name)).toBe("");
      },
    );

    test("the API server warns when a pod exceeds the restricted Pod Security level", async () => {
      const path = "/spec/template/spec/securityContext/runAsNonRoot";
      const patch = { target: { kind: "Deployment" }, patch: `[{ "op": "remove", "path": "${path}" }]` };
      derive("unrestricted", { patches: [patch] });
      expect(await dryRun("unrestricted")).toContain('would violate PodSecurity "restricted:latest"');
    });
  });
}

/** Requests an eviction, as `kubectl drain` does, and resolves with the status. */
async function evict(name: string): Promise<number> {
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } };
  const response = await fetch(`${cluster.proxy}/api/v1/namespaces/${namespace}/pods/${name}/eviction`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(eviction),
  });
  return response.status;
}
