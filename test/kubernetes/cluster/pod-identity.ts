import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findSource } from "../../support/go-tools.ts";
import { root } from "../../support/processes.ts";
import { block, cluster, ensureSuite, kubectl, namespace, stderr } from "./context.ts";

const page = "docs/operate/pod-identity.md";
const kinds = ["azureidentities", "azureidentitybindings", "azurepodidentityexceptions"].map(
  (kind) => `${kind}.aadpodidentity.k8s.io`,
);

export function describePodIdentity(): void {
  describe(page, () => {
    let source: string;
    let manifest: string;
    beforeAll(async () => {
      await ensureSuite();
      // The last release. https://github.com/Azure/aad-pod-identity/releases/tag/v1.8.17
      source = await findSource("dapr", "github.com/Azure/aad-pod-identity@v1.8.17");
      manifest = readFileSync(join(source, "deploy/infra/managed-mode-deployment.yaml"), "utf8");
    }, 90_000);
    afterAll(() => kubectl("delete", "crd", ...kinds, "--ignore-not-found"));

    const look = () => block(page, /^kubectl get azureidentities/);

    test("without the custom resource definitions, the first look prints the message of the page", async () => {
      const [message = ""] =
        /the server doesn't have a resource type "\w+"/.exec(readFileSync(join(root, page), "utf8")) ?? [];
      expect(message).not.toBe("");
      expect(await stderr(...(look().split("\n")[0]?.split(" ").slice(1) ?? []))).toContain(message);
    });

    test("with the definitions of the add-on, the API server stores the objects of the page, and the first look lists them", async () => {
      const documents = manifest.split(/^---$/m);
      await cluster.apply(documents.filter((each) => each.includes("kind: CustomResourceDefinition")).join("\n---\n"));
      await kubectl("wait", ...kinds.map((kind) => `crd/${kind}`), "--for=condition=Established", "--timeout=30s");
      const [, objects = ""] = /```yaml\n(.*?)```/s.exec(readFileSync(join(root, page), "utf8")) ?? [];
      await cluster.apply(objects);
      const printed = await cluster.sh(look());
      for (const name of ["azureidentity", "azureidentitybinding", "azurepodidentityexception"]) {
        expect(printed).toMatch(new RegExp(`^${namespace} .*${name}\\.aadpodidentity\\.k8s\\.io/`, "m"));
      }
    });

    test("the pods of NMI have the label that the page selects, and NMI logs the messages that it quotes", () => {
      const [, daemonSet = ""] = manifest.split("kind: DaemonSet");
      const [, label = ""] = /kubectl logs -n kube-system -l (\S+)/.exec(block(page, /kubectl logs/)) ?? [];
      expect(daemonSet).toMatch(/\n {2}namespace: kube-system\n/);
      expect(daemonSet).toContain(`\n        ${label.replace("=", ": ")}\n`);
      const text = readFileSync(join(root, page), "utf8").replaceAll(/\s+/g, " ");
      for (const [message, file] of [
        ["no azure identity found for request clientID", "pkg/nmi/managed.go"],
        ["status (200) took", "pkg/nmi/server/server.go"],
      ] as const) {
        expect(text).toContain(`\`${message}`);
        expect(readFileSync(join(source, file), "utf8")).toContain(message.replace("200", "%d"));
      }
    });

    test("the clean-up deletes the custom resource definitions, and the objects with them", async () => {
      const [command = ""] = block(page, /^kubectl delete crd/).split("\naz ");
      await cluster.sh(command);
      expect(await kubectl("get", "crd", "-o", "name")).not.toContain("aadpodidentity");
    });
  });
}
