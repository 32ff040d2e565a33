import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments, stringify } from "yaml";
import { field } from "../../../services/runtime/field.ts";
import { at } from "../../support/at.ts";
import { until } from "../../support/cluster.ts";
import { findSource } from "../../support/go-tools.ts";
import {
  block,
  cluster,
  deleteConstraints,
  ensureSuite,
  get,
  kubectl,
  list,
  namespace,
  runPrivileged,
  services,
  stderr,
} from "./context.ts";

const page = "docs/operate/policy.md";
const runBlock = (pattern: RegExp) => cluster.sh(block(page, pattern));
const deployNginx = /^kubectl apply -f \S*privileged-nginx/;
const nginx = "infra/kubernetes/policy/privileged-nginx.yaml";

/** Runs shell commands and resolves with stderr if they fail, else with "". */
const shellErrors = (commands: string) =>
  cluster.sh(commands).then(
    () => "",
    (error) => String(field(error, "stderr")),
  );

export function describePolicy(): void {
  describe("docs/operate/policy.md with Gatekeeper", () => {
    const webhook = 'admission webhook "validation.gatekeeper.sh" denied the request:';
    const violations = async () => JSON.parse((await runBlock(/violations/)) || "[]");
    const violation = { enforcementAction: "dryrun", kind: "Pod", name: expect.stringContaining("nginx-privileged") };
    const runIn = (target: string, ...more: string[]) => stderr(...runPrivileged, "-n", target, ...more);

    test("deny admits the Deployment of a privileged nginx and rejects its pods", async () => {
      const message = `${webhook} [no-privileged-containers] Privileged container is not allowed: nginx, securityContext: {"privileged": true}`;
      await expect.poll(() => runBlock(deployNginx), { timeout: 30_000 }).toContain(message);
      expect(await list("pods", "-l", "app=nginx-privileged")).toEqual([]);
    }, 60_000);

    test("deny rejects a privileged ephemeral container in a pod that runs", async () => {
      await kubectl("run", "plain", "--image", "nginx:1.29");
      await kubectl("wait", "pod/plain", "--for=condition=Ready", "--timeout=30s");
      const debug = block(page, /^kubectl debug/).replace("POD", "plain");
      expect(await shellErrors(debug)).toContain(`${webhook} [no-privileged-containers] Privileged container`);
      await kubectl("delete", "pod", "plain", "--now");
    }, 60_000);

    test("audit admits the pod when the Deployment restarts, and reports only it", async () => {
      await runBlock(/\/policy\/audit$/);
      await until("Gatekeeper admits a privileged pod", () => kubectl(...runPrivileged));
      await runBlock(/^kubectl rollout restart deployment\/nginx-privileged/);
      await kubectl("rollout", "status", "deployment/nginx-privileged", "--timeout=30s");
      await expect.poll(violations, { timeout: 30_000 }).toMatchObject([violation]);
    }, 90_000);

    test("beside the audit of all namespaces, pods are rejected in a chosen namespace and admitted in another", async () => {
      await runBlock(/policy\/chosen\/namespaces/);
      const inBoth = block(page, /^kubectl run .* -n team-b\nkubectl run .* -n team-a$/);
      await expect
        .poll(() => shellErrors(inBoth), { timeout: 30_000 })
        .toContain(`${webhook} [no-privileged-containers-in-namespaces] Privileged container is not allowed`);
      expect(await violations()).toMatchObject([violation]);
      const constraints = await list("k8snoprivilege");
      expect(constraints.map((item) => [item.metadata.name, at(item, "spec.enforcementAction")])).toEqual([
        ["no-privileged-containers", "dryrun"],
        ["no-privileged-containers-in-namespaces", "deny"],
      ]);
    }, 60_000);

    test("pods are rejected in a namespace that gets the label of the constraint", async () => {
      await runBlock(/policy\/chosen\/namespace-label/);
      const inTeamB = block(page, /^kubectl run .* -n team-b$/);
      await expect
        .poll(() => shellErrors(inTeamB), { timeout: 30_000 })
        .toContain(`${webhook} [no-privileged-containers-in-labelled-namespaces]`);
      expect(await runIn("default")).toBe("");
    }, 60_000);

    test("a pod with the label of the constraint is rejected, and one without is admitted", async () => {
      await runBlock(/policy\/chosen\/pod-label/);
      const labelled = block(page, /^kubectl run .* --labels /);
      await expect
        .poll(() => shellErrors(labelled), { timeout: 30_000 })
        .toContain(`${webhook} [no-privileged-containers-with-label]`);
      expect(await runIn("default")).toBe("");
    }, 60_000);

    test("a constraint is rejected when a namespace in it has a name that infra/bicep rejects, too", async () => {
      const constraint = readFileSync(join(cluster.folder, "infra/kubernetes/policy/chosen/namespaces.yaml"), "utf8");
      await expect(cluster.apply(constraint.replace("team-a", "Team_A"))).rejects.toThrow(/namespaces.* should match/);
    });

    test("a pod whose privileged containers are older than the policy can still be changed, so that it can lose finalizers", async () => {
      const [pod] = await list("pods", "-l", "app=nginx-privileged");
      await cluster.sh(block(page, /^kubectl debug/).replace("POD", pod?.metadata.name ?? ""));
      await kubectl("apply", "-k", "infra/kubernetes/policy/deny");
      await expect.poll(() => runIn("default"), { timeout: 30_000 }).toContain("[no-privileged-containers]");
      await kubectl("label", "pods", "-l", "app=nginx-privileged", "older=true");
      expect(await list("pods", "-l", "older=true")).toHaveLength(1);
    }, 60_000);

    test("the clean-up deletes the demonstration, the constraints and their template", async () => {
      await runBlock(/^kubectl delete -f \S*privileged-nginx/);
      await cluster.sh(block(page, /^kubectl delete -f \S*template/).split("\n")[0] ?? "");
      const crd = ["get", "crd", "k8snoprivilege.constraints.gatekeeper.sh"];
      await expect.poll(() => stderr(...crd), { timeout: 30_000 }).toContain("not found");
      await expect.poll(() => list("pods"), { timeout: 30_000 }).toEqual([]);
    }, 60_000);
  });

  describe("docs/operate/policy.md without an add-on", () => {
    const denied = (policy: string, containers: string) =>
      `ValidatingAdmissionPolicy '${policy}' with binding '${policy}' denied request: Privileged containers are not allowed: ${containers}`;
    const kustomization = "infra/kubernetes/policy/admission-policy";
    const policies = async (kind = "validatingadmissionpolicies") =>
      (await list(kind)).filter(({ metadata }) => metadata.name.startsWith("no-privileged"));

    beforeAll(async () => {
      await deleteConstraints(); // nothing of Gatekeeper can reject
      await ensureSuite();
      await kubectl("delete", "events", "--all", "-n", "default");
    }, 90_000);

    test("the API server admits the Deployment of a privileged nginx and rejects its pods", async () => {
      await runBlock(/admission-policy\/deny$/);
      await expect
        .poll(() => stderr(...runPrivileged), { timeout: 30_000 })
        .toContain(denied("no-privileged-containers", "privileged"));
      await expect
        .poll(() => runBlock(deployNginx), { timeout: 30_000 })
        .toContain(denied("no-privileged-containers", "nginx"));
      expect(await list("pods", "-l", "app=nginx-privileged")).toEqual([]);
      await kubectl("delete", "-f", nginx);
    }, 60_000);

    test("a privileged init container is rejected, and a privileged pod in an exempt namespace is admitted", async () => {
      const container = (name: string, privileged: boolean) => ({
        name,
        image: "nginx:1.29",
        securityContext: { privileged },
      });
      const pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "with-init" },
        spec: { initContainers: [container("setup", true)], containers: [container("app", false)] },
      };
      const create = `kubectl create --dry-run=server -f - <<'EOF'\n${JSON.stringify(pod)}\nEOF`;
      expect(await shellErrors(create)).toContain(denied("no-privileged-containers", "setup"));
      expect(await stderr(...runPrivileged, "-n", "kube-system")).toBe("");
    });

    test("a privileged ephemeral container is rejected, and another one is admitted", async () => {
      await kubectl("run", "plain", "--image", "nginx:1.29");
      await kubectl("wait", "pod/plain", "--for=condition=Ready", "--timeout=30s");
      const debug = block(page, /^kubectl debug/).replace("POD", "plain");
      expect(await shellErrors(debug)).toContain(denied("no-privileged-containers", "debugger-"));
      await cluster.sh(debug.replace("sysadmin", "general"));
      expect(at(await get("pod", "plain"), "spec.ephemeralContainers.0.image")).toBe("busybox");
      await kubectl("delete", "pod", "plain", "--now");
    }, 60_000);

    test("the pods of the suite are admitted when they restart, and so are those of a new Rollout", async () => {
      await kubectl("rollout", "restart", "deployment", "-n", namespace);
      for (const name of services)
        await kubectl("rollout", "status", `deployment/${name}`, "-n", namespace, "--timeout=60s");
      await kubectl("apply", "-k", "infra/kubernetes/blue-green");
      const rollout = () => get("rollout", "dev-superapi-geba", "-n", "blue-green");
      await expect.poll(async () => at(await rollout(), "status.phase"), { timeout: 60_000 }).toBe("Healthy");
      await kubectl("delete", "namespace", "blue-green", "--wait=false");
    }, 180_000);

    test("the second policy rejects the Deployment itself, and admits the Deployments of the suite", async () => {
      await runBlock(/admission-policy\/workloads$/);
      await expect
        .poll(() => stderr("apply", "--dry-run=server", "-f", nginx), { timeout: 30_000 })
        .toContain(denied("no-privileged-workloads", "nginx"));
      const deployments = await list("deployments", "-n", namespace);
      expect(deployments.map(({ metadata }) => metadata.name)).toEqual(services);
      for (const deployment of deployments) {
        const metadata = { name: `${deployment.metadata.name}-copy`, namespace };
        const copy = stringify({ ...deployment, metadata });
        await cluster.sh(`kubectl create --dry-run=server -f - <<'EOF'\n${copy}\nEOF`);
      }
      await kubectl("delete", "-k", `${kustomization}/workloads`);
    }, 60_000);

    test("audit admits the pod with a warning, and the page's command lists it and a pod with a privileged ephemeral container", async () => {
      await runBlock(/admission-policy\/audit$/);
      await until("the API server admits a privileged pod", () => kubectl(...runPrivileged));
      const warning = "Validation failed for ValidatingAdmissionPolicy 'no-privileged-containers'";
      expect(await stderr(...runPrivileged, "--warnings-as-errors")).toContain(warning);
      await kubectl("apply", "-f", nginx);
      await kubectl("wait", "deployment/nginx-privileged", "--for=condition=Available", "--timeout=30s");
      await kubectl("run", "plain", "--image", "nginx:1.29");
      await kubectl("wait", "pod/plain", "--for=condition=Ready", "--timeout=30s");
      await cluster.sh(block(page, /^kubectl debug/).replace("POD", "plain"));
      const [head, ...rows] = (await runBlock(/^kubectl get pods -A/)).trim().split("\n");
      expect(head).toMatch(/^NAMESPACE +POD +CONTAINERS +INIT +EPHEMERAL$/);
      expect(rows).toEqual([
        expect.stringMatching(/^default +nginx-privileged-\S+ +true +<none> +<none>$/),
        expect.stringMatching(/^default +plain +<none> +<none> +true$/),
      ]);
      await kubectl("delete", "pod", "plain", "--now");
    }, 60_000);

    test("a container that is not privileged can be added to a privileged pod that is older than the policy", async () => {
      await runBlock(/admission-policy\/deny$/);
      await expect
        .poll(() => stderr(...runPrivileged), { timeout: 30_000 })
        .toContain(denied("no-privileged-containers", "privileged"));
      const [pod] = await list("pods", "-l", "app=nginx-privileged");
      const debug = block(page, /^kubectl debug/).replace("POD", pod?.metadata.name ?? "");
      expect(await shellErrors(debug.replace("sysadmin", "general"))).toBe("");
      await kubectl("delete", "-f", nginx);
    }, 60_000);

    test("the controller manager finds no type errors in the expressions", async () => {
      await runBlock(/admission-policy\/workloads$/);
      const checked = async () =>
        (await policies()).map((policy) => [
          policy.metadata.name,
          at(policy, "status.observedGeneration") === at(policy, "metadata.generation"),
          at(policy, "status.typeChecking.expressionWarnings"),
        ]);
      await expect.poll(checked, { timeout: 30_000 }).toEqual([
        ["no-privileged-containers", true, undefined],
        ["no-privileged-workloads", true, undefined],
      ]);
    }, 60_000);

    test("the clean-up deletes the policies and their bindings", async () => {
      await runBlock(/^kubectl delete -k \S*admission-policy/);
      expect(await policies()).toEqual([]);
      expect(await policies("validatingadmissionpolicybindings")).toEqual([]);
    });
  });

  test("the pods of Gatekeeper, Argo Rollouts and the workload identity webhook pass the baseline, and a privileged pod does not", async () => {
    const files = [
      join(await findSource("cluster", "github.com/open-policy-agent/gatekeeper/v3"), "deploy/gatekeeper.yaml"),
      join(await findSource("rollouts", "github.com/argoproj/argo-rollouts"), "manifests/install.yaml"),
      join(await findSource("dapr", "github.com/Azure/azure-workload-identity"), "deploy/azure-wi-webhook.yaml"),
    ];
    const label = "pod-security.kubernetes.io/warn=baseline";
    await kubectl("create", "namespace", "baseline");
    await kubectl("label", "namespace", "baseline", label);
    const createIn = (deployment: unknown) => {
      const copy = { ...Object(deployment), metadata: { name: "copy" } };
      const options = "-n baseline --dry-run=server --warnings-as-errors";
      return shellErrors(`kubectl create ${options} -f - <<'EOF'\n${JSON.stringify(copy)}\nEOF`);
    };
    const deploymentsOf = (file: string): unknown[] =>
      parseAllDocuments(readFileSync(file, "utf8"))
        .map((document): unknown => document.toJS())
        .filter((object) => field(object, "kind") === "Deployment");
    for (const file of files) {
      expect(deploymentsOf(file), file).not.toEqual([]);
      for (const deployment of deploymentsOf(file)) expect(await createIn(deployment), file).toBe("");
    }
    const [privileged] = deploymentsOf(join(cluster.folder, nginx));
    expect(await createIn(privileged)).toContain('would violate PodSecurity "baseline:latest": privileged');
    await kubectl("delete", "namespace", "baseline", "--wait=false");
  }, 60_000);
}
