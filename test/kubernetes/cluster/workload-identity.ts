import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { field } from "../../../services/runtime/field.ts";
import { sampleSubscription } from "../../../stand-ins/azure/sample.ts";
import { decode } from "../../../stand-ins/azure/tokens.ts";
import { startFederatedIssuer } from "../../support/federated-issuer.ts";
import type { Container } from "../../support/kubernetes-objects.ts";
import { type Process, startService } from "../../support/processes.ts";
import { application, azure, cluster, federatedSubject, listContainers, readyPods, tokenOf } from "./context.ts";

export function describeWorkloadIdentity(): void {
  describe("workload identity", () => {
    const variables = () => ({
      AZURE_CLIENT_ID: application.clientId,
      AZURE_TENANT_ID: azure.tenantId,
      AZURE_FEDERATED_TOKEN_FILE: "/var/run/secrets/azure/wi/token/azure-identity-token",
      AZURE_AUTHORITY_HOST: "https://login.microsoftonline.com/",
      AZURE_SUBSCRIPTION_ID: sampleSubscription.id,
    });
    const azureVariables = ({ env = [] }: Container) =>
      Object.fromEntries(env.filter(({ name }) => name.startsWith("AZURE_")).map(({ name, value }) => [name, value]));

    test("the webhook adds variables and a token to group-lister, and not to its sidecar", async () => {
      for (const pod of await readyPods("group-lister")) {
        const volumes = pod.spec.volumes.filter(({ name }) => name.startsWith("azure-workload-identity"));
        expect(volumes).toHaveLength(1);
        expect(volumes[0]?.projected?.sources).toEqual([
          {
            serviceAccountToken: {
              audience: "api://AzureADTokenExchange",
              expirationSeconds: 3600,
              path: "token/azure-identity-token",
            },
          },
        ]);
        const mount = { name: volumes[0]?.name, mountPath: "/var/run/secrets/azure/wi", readOnly: true };
        const [daprd, app] = listContainers(pod);
        expect(app && azureVariables(app)).toEqual(variables());
        expect(app?.volumeMounts).toContainEqual(mount);
        expect(daprd && azureVariables(daprd)).toEqual({});
        expect(daprd?.volumeMounts).not.toContainEqual(mount);
      }
    });

    test("the webhook adds variables and a token only to the sidecars of state-api", async () => {
      for (const pod of await readyPods("state-api")) {
        const [daprd, app] = listContainers(pod);
        expect(daprd && azureVariables(daprd)).toMatchObject({ AZURE_FEDERATED_TOKEN_FILE: expect.any(String) });
        expect(JSON.stringify(daprd?.volumeMounts)).toContain("/var/run/secrets/azure/wi");
        expect(app && azureVariables(app)).toEqual({});
        expect(JSON.stringify(app?.volumeMounts ?? [])).not.toContain("/var/run/secrets/azure/wi");
      }
    });

    test("the webhook adds no variables to the pods of welcome", async () => {
      for (const pod of await readyPods("welcome")) {
        for (const container of listContainers(pod)) expect(azureVariables(container)).toEqual({});
      }
    });

    describe("group-lister", () => {
      let lister: Process | undefined;
      afterEach(async () => {
        await lister?.end();
      });

      /**
       * Runs group-lister with the variables of its pod, except for the token file and the addresses of the stand-in.
       */
      const listGroups = async (token: string) => {
        const file = join(cluster.folder, "azure-identity-token");
        writeFileSync(file, token);
        lister = await startService(
          "group-lister",
          {
            ...variables(),
            AZURE_FEDERATED_TOKEN_FILE: file,
            AZURE_AUTHORITY_HOST: azure.httpsUrl,
            AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
            NODE_EXTRA_CA_CERTS: azure.caFile,
            AZURE_TOKEN_CREDENTIALS: "WorkloadIdentityCredential",
          },
          "/healthz",
        );
        const response = await fetch(`${lister.origin}/groupz`);
        const body: unknown = await response.json();
        return { status: response.status, body };
      };

      test("lists groups with a token of its service account", async () => {
        const groups = sampleSubscription.groups.map(({ name }) => name);
        expect(await listGroups(await tokenOf("group-lister"))).toEqual({ status: 200, body: groups });
      });

      test.each([
        ["of another service account", () => tokenOf("welcome"), /AADSTS700213/],
        ["for the API server", () => tokenOf("group-lister", cluster.issuer), /AADSTS700212/],
        ["of another cluster", () => signWithOtherKey({ sub: federatedSubject }), /AADSTS700211/],
        ["signed with another key", forge, /AADSTS700027/],
      ])("returns 502 with the error code of Entra ID for a token %s", async (_token, makeToken, reason) => {
        const { status, body } = await listGroups(await makeToken());
        expect({ status, type: field(body, "type"), detail: field(body, "detail") }).toEqual({
          status: 502,
          type: "urn:problem:credential-refused",
          detail: expect.stringMatching(reason),
        });
      });

      /** Signs header and claims of a valid token with another key. */
      async function forge(): Promise<string> {
        const { header, claims } = decode(await tokenOf("group-lister")) ?? {};
        return signWithOtherKey({ ...claims }, { ...header });
      }

      async function signWithOtherKey(claims: Record<string, unknown>, header = {}): Promise<string> {
        const issuer = await startFederatedIssuer();
        issuer.close();
        return issuer.token(claims, { header });
      }
    });
  });
}
