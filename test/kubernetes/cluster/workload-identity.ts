import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../../services/runtime/field.ts";
import { sampleSubscription } from "../../../stand-ins/azure/sample.ts";
import { decode } from "../../../stand-ins/azure/tokens.ts";
import { type AzureCli, startAzureCli } from "../../support/az.ts";
import { startFederatedIssuer } from "../../support/federated-issuer.ts";
import type { Pod } from "../../support/kubernetes-objects.ts";
import { type Process, startService } from "../../support/processes.ts";
import {
  application,
  azure,
  azureVariables,
  block,
  cluster,
  createPodToken,
  ensureSuite,
  federatedSubject,
  get,
  kubectl,
  listContainers,
  namespace,
  publishIssuer,
  readyPods,
  tokenOf,
  website,
} from "./context.ts";

const page = "docs/operate/workload-identity.md";
/** Shell function that runs the command of a `kubectl exec` locally: simulated nodes run no containers. */
const execHere = 'kubectl() { while [ "$1" != -- ]; do shift; done; shift; "$@"; }';

export function describeWorkloadIdentity(): void {
  describe("workload identity", () => {
    beforeAll(ensureSuite, 90_000);

    const variables = () => ({
      AZURE_CLIENT_ID: application.clientId,
      AZURE_TENANT_ID: azure.tenantId,
      AZURE_FEDERATED_TOKEN_FILE: "/var/run/secrets/azure/wi/token/azure-identity-token",
      AZURE_AUTHORITY_HOST: "https://login.microsoftonline.com/",
    });
    const ofGroupLister = () => ({ ...variables(), AZURE_SUBSCRIPTION_ID: sampleSubscription.id });

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
        expect(app && azureVariables(app)).toEqual(ofGroupLister());
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

    test("the annotation of the tenant on the page sets AZURE_TENANT_ID in the new pods", async () => {
      const annotation = "azure.workload.identity/tenant-id";
      const tenant = "11111111-1111-4111-8111-111111111111";
      const tenants = async () =>
        (await readyPods("group-lister"))
          .flatMap(({ spec }) => spec.containers)
          .map((container) => azureVariables(container).AZURE_TENANT_ID);
      const restart = `kubectl rollout status deployment/group-lister -n ${namespace} --timeout=60s`;
      const commands = block(page, /^ *kubectl annotate/).replace("TENANT-ID", tenant);
      await cluster.sh(`${commands}\n${restart}`);
      await expect.poll(tenants).toEqual([tenant, tenant]);
      // kubectl rejects a second restart within the same second.
      await cluster.sh(`sleep 1\n${commands.replace(`${annotation}=${tenant}`, `${annotation}-`)}\n${restart}`);
      await expect.poll(tenants).toEqual([azure.tenantId, azure.tenantId]);
    }, 90_000);

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
            ...ofGroupLister(),
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

      test("cannot sign in before the documents of the issuer are published", async () => {
        const { status, body } = await listGroups(await tokenOf("group-lister"));
        expect({ status, detail: field(body, "detail") }).toEqual({
          status: 502,
          detail: expect.stringMatching(/AADSTS50166/),
        });
      });

      test("lists groups after the commands of the page have published the documents of the API server", async () => {
        await publishIssuer();
        const groups = sampleSubscription.groups.map(({ name }) => name);
        expect(await listGroups(await tokenOf("group-lister"))).toEqual({ status: 200, body: groups });
      });

      test("has an issuer whose document the page fetches: its own address, and that of the keys", async () => {
        const settings = `ISSUER=${website.url} CURL_CA_BUNDLE=${azure.caFile}`;
        const document = await cluster.sh(`export ${settings}\n${block(page, /^curl "\$\{ISSUER/)}`);
        expect(JSON.parse(document)).toMatchObject({
          issuer: website.url,
          jwks_uri: `${website.url}openid/v1/jwks`,
          id_token_signing_alg_values_supported: ["RS256"],
        });
      });

      test("has a token with the issuer, subject and audience that the page's command prints", async () => {
        const file = join(cluster.folder, "azure-identity-token");
        writeFileSync(file, await tokenOf("group-lister"));
        const exec = block(page, /kubectl exec .* node -p/).replace(/^kubectl get .*\n/, "");
        const printed = await cluster.sh(`export AZURE_FEDERATED_TOKEN_FILE=${file}\n${execHere}\n${exec}`);
        expect(JSON.parse(printed)).toMatchObject({
          iss: website.url,
          sub: federatedSubject,
          aud: ["api://AzureADTokenExchange"],
        });
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

    describe("the pod az of the page", () => {
      let az: AzureCli;
      let pod: Pod;
      beforeAll(async () => {
        const [apply = "", wait = ""] = block(page, /kubectl apply -f infra\/kubernetes\/az.yaml/).split("\n");
        await cluster.sh(`${apply}\n${wait}`); // the namespace enforces the restricted Pod Security level
        pod = await get<Pod>("pod", "az", "-n", namespace);
        az = await startAzureCli(azure);
      }, 120_000);
      afterAll(async () => {
        await kubectl("delete", "-f", "infra/kubernetes/az.yaml");
        az?.close();
      });

      /** Runs the page's `kubectl exec` commands locally, with the variables of the container except for the file. */
      async function runInPod(token: string): Promise<string> {
        const [container] = pod.spec.containers;
        const file = join(cluster.folder, "az-identity-token");
        writeFileSync(file, token);
        const env = { ...(container && azureVariables(container)), AZURE_FEDERATED_TOKEN_FILE: file };
        const assignments = Object.entries(env).map(([name, value]) => `export ${name}=${value}`);
        const commands = block(page, /az login --service-principal/)
          .split("\n")
          .slice(2)
          .join("\n");
        // A new pod has no cache of tokens.
        return az.run([...assignments, 'rm -f "$AZURE_CONFIG_DIR"/msal_*', execHere, commands].join("\n"));
      }

      test("has the variables with which group-lister signs in", () => {
        expect(pod.spec.containers.map(azureVariables)).toEqual([variables()]);
      });

      test("signs in with the token of the service account and lists groups, as the application", async () => {
        const printed = await runInPod(await createPodToken(pod, "group-lister", "api://AzureADTokenExchange"));
        const names = printed.trim().split("\n").slice(-sampleSubscription.groups.length);
        expect(names).toEqual(sampleSubscription.groups.map(({ name }) => name));
        expect(azure.requests.at(-1)).toMatchObject({ part: "arm", token: { clientId: application.clientId } });
      }, 60_000);

      test.each([
        ["of another service account", () => tokenOf("welcome"), /AADSTS700213/],
        ["with another audience", () => createPodToken(pod, "group-lister", cluster.issuer), /AADSTS700212/],
      ])(
        "gets an error with the code of Entra ID for a token %s",
        async (_token, makeToken, reason) => {
          await expect(makeToken().then(runInPod)).rejects.toThrow(reason);
        },
        60_000,
      );
    });
  });
}
