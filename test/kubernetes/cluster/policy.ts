import { describe, expect, test } from "vitest";
import { until } from "../../support/cluster.ts";
import { block, cluster, kubectl, list, runPrivileged, stderr } from "./context.ts";

export function describePolicy(): void {
  describe("docs/operate/policy.md", () => {
    const runBlock = (pattern: RegExp) => cluster.sh(block("docs/operate/policy.md", pattern));
    const deployNginx = /events/;

    test("deny admits the Deployment of a privileged nginx and rejects its pods", async () => {
      const message =
        'admission webhook "validation.gatekeeper.sh" denied the request: [no-privileged-containers] ' +
        'Privileged container is not allowed: nginx, securityContext: {"privileged": true}';
      await expect.poll(() => runBlock(deployNginx), { timeout: 30_000 }).toContain(message);
      expect(await list("pods", "-l", "app=nginx-privileged")).toEqual([]);
      await kubectl("delete", "deployment", "nginx-privileged");
    }, 60_000);

    test("audit admits the pod and reports only it", async () => {
      await cluster.sh("kubectl apply -k infra/kubernetes/policy/audit");
      await until("Gatekeeper admits a privileged pod", () => kubectl(...runPrivileged));
      await runBlock(deployNginx);
      await kubectl("wait", "deployment/nginx-privileged", "--for=condition=Available", "--timeout=30s");
      const violations = async () => JSON.parse((await runBlock(/violations/)) || "[]");
      const name = expect.stringContaining("nginx-privileged");
      await expect
        .poll(violations, { timeout: 30_000 })
        .toMatchObject([{ enforcementAction: "dryrun", kind: "Pod", name }]);
    }, 90_000);

    test("the clean-up deletes the constraint and its template", async () => {
      await cluster.sh(block("docs/operate/policy.md", /^kubectl delete/).replace(/^az .*/m, ""));
      const crd = ["get", "crd", "k8snoprivilege.constraints.gatekeeper.sh"];
      await expect.poll(() => stderr(...crd), { timeout: 30_000 }).toContain("not found");
    }, 60_000);
  });
}
