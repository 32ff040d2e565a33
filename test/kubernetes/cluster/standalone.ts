import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sampleSubscription } from "../../../stand-ins/azure/sample.ts";
import { at } from "../../support/at.ts";
import { until } from "../../support/cluster.ts";
import { buildTimeout } from "../../support/go-tools.ts";
import { type Process, startService } from "../../support/processes.ts";
import { startSecretsStore } from "../../support/secrets-store.ts";
import {
  application,
  azure,
  cluster,
  kubectl,
  list,
  listContainers,
  namespace,
  publishIssuer,
  readyPod,
  readyPods,
  resolveVariables,
  tokenOf,
} from "./context.ts";

/** group-lister with workload identity and welcome with Key Vault, side by side, without the suite. */
export function describeStandalone(): void {
  describe("standalone/workload-identity and standalone/key-vault", () => {
    const folders = ["workload-identity", "key-vault"].map((name) => `infra/kubernetes/standalone/${name}`);
    let service: Process | undefined;

    beforeAll(async () => {
      await publishIssuer();
      await kubectl("delete", "namespace", namespace, "--ignore-not-found");
      const values = { AZURE_SUBSCRIPTION_ID: sampleSubscription.id, GROUP_LISTER_CLIENT_ID: application.clientId };
      for (const folder of folders) {
        for (const [name, value] of Object.entries(values))
          await cluster.sh(`sed -i 's|^  ${name}: .*|  ${name}: ${value}|' ${folder}/settings.yaml`);
        await cluster.sh(`kubectl apply -k ${folder}`);
      }
    }, buildTimeout);
    afterAll(() => service?.end());

    test.each(["group-lister", "welcome"])(
      "%s runs in two ready pods without a sidecar, and its Service leads to them",
      async (name) => {
        await kubectl("wait", `deployment/${name}`, "-n", namespace, "--for=condition=Available", "--timeout=60s");
        await expect.poll(() => readyPods(name).then(({ length }) => length), { timeout: 30_000 }).toBe(2);
        const pods = await readyPods(name);
        for (const pod of pods) expect(listContainers(pod).map((container) => container.name)).toEqual(["app"]);
        const [slice] = await list("endpointslices", "-n", namespace, "-l", `kubernetes.io/service-name=${name}`);
        expect(at(slice, "ports.0.port")).toBe(8080);
        expect(at(slice, "endpoints")).toEqual(
          expect.arrayContaining(
            pods.map(({ metadata }) =>
              expect.objectContaining({ targetRef: expect.objectContaining({ name: metadata.name }) }),
            ),
          ),
        );
      },
      120_000,
    );

    test("group-lister lists groups with the variables of its pod and a token of its service account", async () => {
      const [app] = (await readyPod("group-lister")).spec.containers;
      const file = join(cluster.folder, "token-of-group-lister-alone");
      writeFileSync(file, await tokenOf("group-lister"));
      service = await startService("group-lister", {
        ...(await resolveVariables(app?.env)),
        AZURE_FEDERATED_TOKEN_FILE: file,
        AZURE_AUTHORITY_HOST: azure.httpsUrl,
        AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
        NODE_EXTRA_CA_CERTS: azure.caFile,
        AZURE_TOKEN_CREDENTIALS: "WorkloadIdentityCredential",
      });
      const response = await fetch(`${service.origin}/groupz`);
      expect(await response.json()).toEqual(sampleSubscription.groups.map(({ name }) => name));
      await service.end();
    });

    test("welcome returns the text of the ConfigMap, and reports the secret that the driver mounts", async () => {
      const pod = await readyPod("welcome");
      const store = await startSecretsStore(cluster, pod, "secret-store", () => "demovalue");
      try {
        const folder = await store.publish();
        const variables = await until("the driver has created the Secret", () =>
          resolveVariables(pod.spec.containers[0]?.env),
        );
        service = await startService("welcome", { ...variables, SECRET_FILE: join(folder, "demosecret") });
      } finally {
        store.close();
      }
      const { origin } = service;
      const text = await fetch(origin, { headers: { Accept: "text/plain" } });
      expect(await text.text()).toContain("Hello from Super API on AKS");
      const secret = await fetch(`${origin}/api/secret`);
      expect(await secret.json()).toMatchObject({ mounted: { bytes: 9 }, synced: { bytes: 9 }, restartNeeded: false });
    }, 60_000);
  });
}
