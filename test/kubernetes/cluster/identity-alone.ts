import { describe, expect, test } from "vitest";
import { sampleSubscription } from "../../../stand-ins/azure/sample.ts";
import type { Pod } from "../../support/kubernetes-objects.ts";
import {
  application,
  azure,
  azureVariables,
  block,
  cluster,
  kubectl,
  listContainers,
  namespace,
  readyPods,
  stderr,
} from "./context.ts";

/** group-lister alone, in a cluster without the suite: first with pod identity, then with workload identity. */
export function describeIdentityAlone(): void {
  describe("group-lister alone", () => {
    /** Stands for az in the commands that fill in the settings. */
    const az = `IMAGES=registry.example
      az() { case $* in "account show"*) echo ${sampleSubscription.id} ;; *clientId*) echo ${application.clientId} ;; esac; }`;
    const subscription = { AZURE_SUBSCRIPTION_ID: sampleSubscription.id };

    /** Runs the block of the page that fills in the settings and applies a folder, except for what it does not end. */
    const deploy = async (page: string, folder: string) => {
      const commands = block(page, new RegExp(`^folder=[^]*apply -k \\S+/${folder}`)).replace(/\n.*port-forward.*/, "");
      await cluster.sh(`${az}\n${commands}`);
    };
    /** The only container of both pods: image and variables. */
    const containers = async (pods: readonly Pod[]) =>
      pods
        .flatMap(listContainers)
        .map((container) => ({ image: container.image, variables: azureVariables(container) }));
    const pair = <T>(value: T) => [value, value];
    const image = "registry.example/group-lister:1.0.0";

    test("with pod identity: two ready pods with the label of the binding, without a token", async () => {
      await deploy("docs/operate/pod-identity.md", "pod-identity");
      await expect.poll(() => readyPods("group-lister").then(({ length }) => length), { timeout: 30_000 }).toBe(2);
      expect(await containers(await readyPods("group-lister"))).toEqual(pair({ image, variables: subscription }));
      const labeled = await kubectl("get", "pods", "-n", namespace, "-l", "aadpodidbinding=group-lister", "-o", "name");
      expect(labeled.trim().split("\n")).toHaveLength(2);
    }, 90_000);

    test("the migration replaces the pods: the new ones have the token and no label of pod identity", async () => {
      await deploy("docs/operate/workload-identity.md", "workload-identity");
      await cluster.sh(block("docs/operate/pod-identity.md", /rollout status/));
      const variables = {
        ...subscription,
        AZURE_CLIENT_ID: application.clientId,
        AZURE_TENANT_ID: azure.tenantId,
        AZURE_FEDERATED_TOKEN_FILE: "/var/run/secrets/azure/wi/token/azure-identity-token",
        AZURE_AUTHORITY_HOST: "https://login.microsoftonline.com/",
      };
      await expect.poll(() => readyPods("group-lister").then(containers)).toEqual(pair({ image, variables }));
      expect(await kubectl("get", "pods", "-n", namespace, "-l", "aadpodidbinding", "-o", "name")).toBe("");
    }, 90_000);

    test("the clean-up deletes the policy that opens the metadata service, then roles, namespace and identity", async () => {
      await kubectl("get", "networkpolicy", "pod-identity", "-n", namespace);
      await cluster.sh(block("docs/operate/pod-identity.md", /^kubectl delete networkpolicy/));
      expect(await stderr("get", "networkpolicy", "pod-identity", "-n", namespace)).toContain("NotFound");
      const record = `az() { case $* in *" list "*) echo ROLE-ID ;; *" show "*) echo PRINCIPAL-ID ;; *) echo "az $*" ;; esac; }`;
      const output = await cluster.sh(`${record}\n${block("docs/operate/workload-identity.md", /kubectl delete -k/)}`);
      expect(output.match(/^az .*/gm)).toEqual([
        "az role assignment delete --ids ROLE-ID",
        "az identity delete --resource-group GROUP --name id-group-lister",
      ]);
      expect(await stderr("get", "namespace", namespace)).toContain("NotFound");
    }, 90_000);
  });
}
