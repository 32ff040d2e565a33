import { createPrivateKey, X509Certificate } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { at } from "../../support/at.ts";
import { until } from "../../support/cluster.ts";
import { findSource } from "../../support/go-tools.ts";
import { startSecretsStore } from "../../support/secrets-store.ts";
import { cluster, get, kubectl, namespace, readyPod, stderr, welcomeHost } from "./context.ts";

/** The cluster has the objects of the Gateway API; no controller gives the Gateway an address. */
export function describeGateway(): void {
  describe("features/gateway-key-vault", () => {
    let store: Awaited<ReturnType<typeof startSecretsStore>> | undefined;

    beforeAll(async () => {
      const overlays = join(cluster.folder, "infra/kubernetes/overlays");
      cpSync(join(overlays, "aks"), join(overlays, "public"), { recursive: true });
      const file = join(overlays, "public/kustomization.yaml");
      const { components, ...rest } = parse(readFileSync(file, "utf8"));
      writeFileSync(file, stringify({ ...rest, components: [...components, "../../features/gateway-key-vault"] }));
      await cluster.sh("kubectl apply --server-side --force-conflicts -k infra/kubernetes/overlays/public");
      await kubectl("rollout", "status", "deployment/welcome", "-n", namespace, "--timeout=60s");
    }, 90_000);
    afterAll(() => store?.close());

    test("the API server stores the Gateway with the host name of the settings, and the routes to it", async () => {
      const gateway = await get("gateway", "public", "-n", "gateway");
      expect(at(gateway, "spec")).toMatchObject({
        gatewayClassName: "approuting-istio",
        listeners: [
          { protocol: "HTTP", port: 80, hostname: welcomeHost },
          { protocol: "HTTPS", port: 443, hostname: welcomeHost },
        ],
      });
      for (const route of ["welcome", "redirect-to-https"]) {
        expect(at(await get("httproute", route, "-n", namespace), "spec.parentRefs.0")).toMatchObject({
          kind: "Gateway",
          name: "public",
          namespace: "gateway",
        });
      }
    });

    test("the driver writes the certificate and the key of one Key Vault object to the Secret of the Gateway", async () => {
      const { cert, key } = cluster.keys;
      const vault = (name: string) => (name === "welcome-tls" ? key + cert : "");
      store = await startSecretsStore(cluster, await readyPod("welcome"), "welcome-tls", vault);
      await store.publish();
      const find = () => get<{ data: Record<string, string>; type: string }>("secret", "welcome-tls", "-n", namespace);
      const { data, type } = await until("the driver has created the Secret", find);
      expect(type).toBe("kubernetes.io/tls");
      const [certificate, privateKey] = ["tls.crt", "tls.key"].map((name) => Buffer.from(data[name] ?? "", "base64"));
      expect(new X509Certificate(certificate ?? "").fingerprint256).toBe(new X509Certificate(cert).fingerprint256);
      expect(new X509Certificate(cert).checkPrivateKey(createPrivateKey(privateKey ?? ""))).toBe(true);
    });

    test.each([
      ["a placeholder as host name", "/spec/listeners/1/hostname", "YOUR-HOST", /should match/],
      ["an HTTPS listener without a certificate", "/spec/listeners/1/tls", { mode: "Terminate" }, /certificateRefs/],
    ])("the API server rejects %s", async (_fault, path, value, message) => {
      const patch = JSON.stringify([{ op: "replace", path, value }]);
      const options = ["-n", "gateway", "--type", "json", "--dry-run=server", "--patch"];
      expect(await stderr("patch", "gateway", "public", ...options, patch)).toMatch(message);
    });

    test("namespace gateway admits the pods that Istio creates for a Gateway, dapr-samples rejects them", async () => {
      const istio = await findSource("cluster", "istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad");
      const file = "manifests/charts/istio-control/istio-discovery/files/kube-gateway.yaml";
      const template = readFileSync(join(istio, file), "utf8").replaceAll(
        /\{\{ \.Proxy.ID \| default "(\d+)" \}\}/g,
        "$1",
      );
      const [, sysctls = ""] = /\n( {8}sysctls:\n.*?)\n {6}\{\{/s.exec(template) ?? [];
      const [, container = ""] = /\n {8}securityContext:\n(.*?)\n {8}ports:/s.exec(template) ?? [];
      const pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "proxy" },
        spec: {
          securityContext: parse(sysctls),
          containers: [{ name: "istio-proxy", image: "proxy", securityContext: parse(container) }],
        },
      };
      expect(pod.spec.securityContext).toHaveProperty("sysctls");
      expect(pod.spec.containers[0]?.securityContext).toHaveProperty("runAsNonRoot", true);
      writeFileSync(join(cluster.folder, "proxy.json"), JSON.stringify(pod));
      const create = ["create", "--dry-run=server", "--filename", join(cluster.folder, "proxy.json"), "-n"];
      await kubectl(...create, "gateway");
      expect(await stderr(...create, namespace)).toContain('violates PodSecurity "restricted:latest": seccompProfile');
    });
  });
}
