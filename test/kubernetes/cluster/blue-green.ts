import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { at, listAt, textAt } from "../../support/at.ts";
import { findPort, until } from "../../support/cluster.ts";
import { findSource } from "../../support/go-tools.ts";
import type { Pod } from "../../support/kubernetes-objects.ts";
import { root } from "../../support/processes.ts";
import { block, cluster, edit, get, list } from "./context.ts";

interface EndpointSlice {
  readonly endpoints: readonly { readonly targetRef: { readonly name: string } }[] | null;
}

export function describeBlueGreen(): void {
  describe("docs/operate/blue-green.md", () => {
    const runBlock = (pattern: RegExp) => cluster.sh(block("docs/operate/blue-green.md", pattern));
    const promotion = /^kubectl argo rollouts promote .*\n/;
    const inNamespace = ["-n", "blue-green"];
    const getRollout = () => get("rollout", "dev-superapi-geba", ...inNamespace);

    /** WELCOME of each pod behind a Service. Its label has the same version. */
    const welcomes = async (service: string) => {
      const selector = `kubernetes.io/service-name=${service}`;
      const slices = await list<EndpointSlice>("endpointslices", ...inNamespace, "-l", selector);
      const pods = slices.flatMap(({ endpoints }) => endpoints ?? []).map(({ targetRef }) => targetRef.name);
      return Promise.all(
        pods.map(async (name) => {
          const pod = await get<Pod>("pod", name, ...inNamespace);
          const configMap = textAt(pod, "spec.containers.0.envFrom.0.configMapRef.name");
          const welcome = textAt(await get("configmap", configMap, ...inNamespace), "data.WELCOME");
          expect(welcome).toBe(`Hello from ${pod.metadata.labels?.version}!`);
          return welcome;
        }),
      );
    };

    /** Waits for a phase of the Rollout with two pods of one version active and, if given, of one in preview. */
    const becomes = async (phase: string, active: string, preview?: string) => {
      const read = async () => ({
        phase: at(await getRollout(), "status.phase"),
        active: await welcomes("dev-superapi-svc-active-geba"),
        preview: await welcomes("dev-superapi-svc-preview-geba"),
      });
      const two = (version: string) => [`Hello from ${version}!`, `Hello from ${version}!`];
      await expect
        .poll(read, { timeout: 60_000, interval: 250 })
        .toEqual({ phase, active: two(active), preview: preview ? two(preview) : [] });
    };

    // The controller's default is 30 seconds.
    beforeAll(() =>
      edit("blue-green/rollout.yaml", (text) =>
        text.replace(
          /^( *)autoPromotionEnabled: false$/m,
          "$&\n$1scaleDownDelaySeconds: 8\n$1abortScaleDownDelaySeconds: 8",
        ),
      ),
    );

    test("the pods of an old and of an aborted version end after 30 seconds, the default of the controller", async () => {
      const source = await findSource("rollouts", "github.com/argoproj/argo-rollouts");
      const defaults = readFileSync(join(source, "utils/defaults/defaults.go"), "utf8");
      for (const name of ["DefaultScaleDownDelaySeconds", "DefaultAbortScaleDownDelaySeconds"])
        expect(defaults).toMatch(new RegExp(`^\\s*${name} += int32\\(30\\)$`, "m"));
      expect(readFileSync(join(root, "infra/kubernetes/blue-green/rollout.yaml"), "utf8")).not.toMatch(/delaySeconds/i);
      const page = readFileSync(join(root, "docs/operate/blue-green.md"), "utf8");
      expect(page).toContain("The pods of version 1 stop 30 seconds later.");
      expect(page).toContain("The pods of the preview stop after 30 seconds.");
    });

    test("the first version becomes active without a promotion, and runs the image that IMAGES selects", async () => {
      await runBlock(/^kubectl apply -k infra.kubernetes.blue-green\n/);
      await becomes("Healthy", "v1", "v1");
      const image = at(await getRollout(), "spec.template.spec.containers.0.image");
      expect(image).toBe("registry.example.com/samples/welcome:1.0.0");
    }, 90_000);

    test("a new WELCOME starts a second version in preview and pauses", async () => {
      expect(await runBlock(/^sed .*v2\/'/)).toContain("BlueGreenPause");
      await becomes("Paused", "v1", "v2");
    }, 90_000);

    test("the dashboard serves the Rollout with both versions on loopback", async () => {
      const port = await findPort();
      const [program = "", ...args] = block("docs/operate/blue-green.md", /^kubectl argo rollouts dashboard/).split(
        " ",
      );
      const stop = cluster.start(program, [...args, "--port", port]);
      const url = `http://127.0.0.1:${port}/rollouts/api/v1/rollouts/blue-green/info`;
      const info = await until("the dashboard responds", async () => {
        const response = await fetch(url);
        expect(response.status).toBe(200);
        return response.json();
      });
      expect(info).toMatchObject({
        rollouts: [{ status: "Paused", strategy: "BlueGreen", objectMeta: { name: "dev-superapi-geba" } }],
      });
      expect(listAt(info, "rollouts.0.replicaSets")).toHaveLength(2);
      await stop();
    }, 90_000);

    test("a promotion activates the new version, and the pods of the old one end within a minute", async () => {
      await runBlock(promotion);
      await becomes("Healthy", "v2", "v2");
      const countPods = () => list("pods", ...inNamespace).then(({ length }) => length);
      expect(await countPods()).toBe(4);
      await expect.poll(countPods, { timeout: 60_000, interval: 500 }).toBe(2);
    }, 120_000);

    test("an undo creates a third revision, which waits for a promotion", async () => {
      await runBlock(/^kubectl argo rollouts undo dev-superapi-geba -n blue-green$/);
      await becomes("Paused", "v2", "v1");
      expect((await getRollout()).metadata.annotations?.["rollout.argoproj.io/revision"]).toBe("3");
      await runBlock(promotion);
      await becomes("Healthy", "v1", "v1");
    }, 90_000);

    test("an abort keeps the active version, and the pods of the new one end within a minute", async () => {
      await cluster.sh(block("docs/operate/blue-green.md", /^sed .*v2\/'/).replace("v2/'", "v3/'"));
      await becomes("Paused", "v1", "v3");
      await runBlock(/abort/);
      await becomes("Degraded", "v1", "v3");
      await becomes("Degraded", "v1");
    }, 120_000);

    test("with sidecars, the Dapr operator creates a Service of the app id over the pods of both versions", async () => {
      await runBlock(/^kubectl apply -k \S+blue-green-dapr\n/);
      await becomes("Paused", "v1", "v3");
      expect(await welcomes("superapi-dapr")).toHaveLength(4);
      await runBlock(promotion);
      await becomes("Healthy", "v3", "v3");
    }, 90_000);
  });
}
