import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decode } from "../../../stand-ins/azure/tokens.ts";
import { until } from "../../support/cluster.ts";
import { buildTimeout } from "../../support/go-tools.ts";
import { type Process, startService } from "../../support/processes.ts";
import { startSecretsStore } from "../../support/secrets-store.ts";
import { cluster, ensureSuite, get, namespace, readyPod } from "./context.ts";

export function describeKeyVault(): void {
  describe("features/key-vault", () => {
    let store: Awaited<ReturnType<typeof startSecretsStore>>;
    let service: Process;
    let vaultValue = "demovalue";
    const readReport = async () => (await fetch(`${service.origin}/api/secret`)).json();
    const readSecret = async () => {
      const { data } = await get<{ data: { demosecret: string } }>("secret", "demosecret", "-n", namespace);
      return Buffer.from(data.demosecret, "base64").toString();
    };

    beforeAll(async () => {
      await ensureSuite();
      const pod = await readyPod("welcome");
      store = await startSecretsStore(cluster, pod, "secret-store", (name) =>
        name === "demosecret" ? vaultValue : "",
      );
    }, buildTimeout);
    afterAll(async () => {
      await service?.end();
      store?.close();
    });

    test("the driver requests the secret with the SecretProviderClass and a token of welcome's service account", async () => {
      await store.publish();
      const [request = {}] = store.mountRequests;
      expect(request).toMatchObject({
        usePodIdentity: "false",
        clientID: "YOUR-CLIENT-ID",
        keyvaultName: "YOUR-KEY-VAULT",
        tenantId: "YOUR-TENANT-ID",
      });
      const tokens = JSON.parse(request["csi.storage.k8s.io/serviceAccount.tokens"] ?? "");
      expect(decode(tokens["api://AzureADTokenExchange"].token)?.claims.sub).toBe(
        `system:serviceaccount:${namespace}:welcome`,
      );
    });

    test("welcome reports the secret as a file and as a variable from the Kubernetes Secret", async () => {
      const folder = await store.publish();
      const demosecret = await until("the driver has created the Secret", readSecret);
      service = await startService("welcome", { SECRET_FILE: join(folder, "demosecret"), demosecret });
      expect(await readReport()).toEqual({
        name: "demosecret",
        mounted: { bytes: 9, ageSeconds: expect.any(Number) },
        synced: { bytes: 9 },
        restartNeeded: false,
      });
    });

    test("a rotation updates the file and the Kubernetes Secret, and welcome reports that its variable is outdated", async () => {
      vaultValue = "another value";
      await store.publish();
      expect(await readReport()).toMatchObject({ mounted: { bytes: 13 }, synced: { bytes: 9 }, restartNeeded: true });
      await expect.poll(readSecret, { timeout: 10_000 }).toBe(vaultValue);
    });
  });
}
