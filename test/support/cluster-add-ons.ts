// What AKS or its users add to a cluster, as real programs beside it: Argo Rollouts, Gatekeeper, the webhook of workload
// identity, and Dapr's control plane. Each is installed from its own manifests, less what would run it in the cluster.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { accept, type Cluster, findPorts, until } from "./cluster.ts";
import { findSource, findTools } from "./kubernetes-tools.ts";
import { root } from "./processes.ts";

/** The image that Dapr's injector is installed with. */
export const sidecarImage = "daprio/daprd:1.18.2";

export async function startRollouts({ kubectl, start }: Cluster): Promise<void> {
  const programs = await findTools("rollouts");
  const source = await findSource("rollouts", "github.com/argoproj/argo-rollouts");
  const [metricsPort, healthzPort] = await findPorts(2);
  await kubectl("apply", "--server-side", "--kustomize", join(source, "manifests/crds"));
  start(join(programs, "rollouts-controller"), [
    ...["--namespace", "argo-rollouts", "--leader-elect=false"],
    ...["--metricsPort", `${metricsPort}`, "--healthzPort", `${healthzPort}`], // both on all addresses: it has no flag for that
  ]);
}

export async function startGatekeeper(cluster: Cluster): Promise<void> {
  const programs = await findTools("cluster");
  const source = await findSource("cluster", "github.com/open-policy-agent/gatekeeper/v3");
  const [port = 0, healthPort, metricsPort] = await findPorts(3);
  const folder = makeCertificates(cluster, "gatekeeper");
  await install(cluster, join(source, "deploy/gatekeeper.yaml"), port, async () => {
    // It keeps its state under its pod's name.
    await cluster.apply(podNamed("gatekeeper", "gatekeeper-system"));
    cluster.start(
      join(programs, "gatekeeper"),
      [
        ...["--host", "127.0.0.1", "--port", `${port}`, "--cert-dir", folder, "--disable-cert-rotation"],
        ...["--health-addr", `127.0.0.1:${healthPort}`, "--prometheus-port", `${metricsPort}`],
        ...["webhook", "mutation-webhook", "audit", "generate", "status", "mutation-status"].flatMap((each) => [
          "--operation",
          each,
        ]),
        ...["--audit-interval", "3", "--api-cache-dir", folder, "--exempt-namespace", "gatekeeper-system"],
      ],
      { NAMESPACE: "gatekeeper-system", POD_NAMESPACE: "gatekeeper-system", POD_NAME: "gatekeeper" },
    );
  });
}

export async function startWorkloadIdentity(cluster: Cluster, tenantId: string): Promise<void> {
  const programs = await findTools("dapr");
  const source = await findSource("dapr", "github.com/Azure/azure-workload-identity");
  const [port = 0] = await findPorts(1);
  const folder = makeCertificates(cluster, "workload-identity");
  await install(cluster, join(source, "deploy/azure-wi-webhook.yaml"), port, async () => {
    cluster.start(join(programs, "workload-identity-webhook"), ["--port", `${port}`, "--webhook-cert-dir", folder], {
      AZURE_TENANT_ID: tenantId,
      AZURE_ENVIRONMENT: "AzurePublicCloud",
    });
  });
}

export async function startDapr({ kubectl, apply, start, folder }: Cluster): Promise<void> {
  const programs = await findTools("dapr");
  const source = await findSource("dapr", "github.com/dapr/dapr");
  const [sentry, sentryHealth, injector, injectorHealth, operator, operatorHealth, operatorWebhook] = (
    await findPorts(7)
  ).map(String) as [string, string, string, string, string, string, string];
  await kubectl("apply", "--server-side", "--filename", join(source, "charts/dapr/crds"));
  const system = readFileSync(join(root, "test/kubernetes/dapr-system.yaml"), "utf8");
  await apply(system.replace("SENTRY_PORT", sentry).replace("INJECTOR_PORT", injector));

  const issuer = join(folder, "sentry");
  const trustAnchors = join(folder, "dapr-ca.crt");
  mkdirSync(issuer);
  const env = {
    NAMESPACE: "dapr-system",
    DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK: "true", // they refuse to be root
  };
  start(
    join(programs, "sentry"),
    [
      ...["--mode", "kubernetes", "--trust-domain", "cluster.local", "--issuer-credentials", issuer],
      ...["--listen-address", "127.0.0.1", "--port", sentry, "--enable-metrics=false"],
      ...["--healthz-listen-address", "127.0.0.1", "--healthz-port", sentryHealth],
    ],
    env,
  );
  await until("Sentry publishes its root certificate", async () => {
    const bundle = JSON.parse(
      await kubectl("get", "configmap", "dapr-trust-bundle", "-n", "dapr-system", "-o", "json"),
    );
    writeFileSync(trustAnchors, bundle.data["ca.crt"]);
  });

  const isolated = async (name: string, args: string[], more: Record<string, string>) => {
    const audience = "spiffe://cluster.local/ns/dapr-system/dapr-sentry";
    const token = await kubectl(
      ...["create", "token", `dapr-${name}`, "-n", "dapr-system", "--audience", audience],
      ...["--bound-object-kind", "Pod", "--bound-object-name", `dapr-${name}`],
    );
    writeFileSync(join(folder, `${name}-token`), token);
    // They look for their token where a pod has it, and nowhere else: each gets a view of its own of the file system.
    const place = "/run/secrets/dapr.io/sentrytoken";
    const mount = `mount -t tmpfs none /run && mkdir -p ${place} && cp "$0" ${place}/token && exec "$@"`;
    start(
      "unshare",
      ["--mount", "--map-root-user", "sh", "-c", mount, join(folder, `${name}-token`), join(programs, name), ...args],
      { ...env, ...more, DAPR_TRUST_ANCHORS_FILE: trustAnchors },
    );
  };
  await isolated(
    "injector",
    [
      ...["--listen-address", "127.0.0.1", "--port", injector, "--enable-metrics=false"],
      ...["--healthz-listen-address", "127.0.0.1", "--healthz-port", injectorHealth],
    ],
    {
      SIDECAR_IMAGE: sidecarImage,
      SIDECAR_DROP_ALL_CAPABILITIES: "true", // dapr_sidecar_injector.sidecarDropALLCapabilities of the Helm chart
      KUBE_CLUSTER_DOMAIN: "cluster.local",
      DAPR_CONTROL_PLANE_TRUST_DOMAIN: "cluster.local",
      DAPR_SENTRY_ADDRESS: `127.0.0.1:${sentry}`,
    },
  );
  await isolated(
    "operator",
    [
      ...["--disable-leader-election", "--trust-anchors-file", trustAnchors, "--enable-metrics=false"],
      ...["--listen-address", "127.0.0.1", "--port", operator, "--watch-interval", "0"],
      ...["--healthz-listen-address", "127.0.0.1", "--healthz-port", operatorHealth],
      ...["--webhook-server-listen-address", "127.0.0.1", "--webhook-server-port", operatorWebhook],
      "--enable-argo-rollout-service-reconciler", // global.argoRolloutServiceReconciler.enabled of the Helm chart
    ],
    {},
  );
  await until("the injector signs in at the API server", async () => {
    const path = "{.webhooks[0].clientConfig.caBundle}";
    const bundle = await kubectl(
      "get",
      "mutatingwebhookconfiguration",
      "dapr-sidecar-injector",
      "-o",
      `jsonpath=${path}`,
    );
    if (bundle === "") throw new Error("its webhook has no caBundle");
    await accept(Number(injector));
  });
}

/** Applies what a component needs in the cluster; its webhooks when it listens. */
async function install(
  { apply, keys }: Cluster,
  file: string,
  port: number,
  start: () => Promise<void>,
): Promise<void> {
  const objects = parseAllDocuments(readFileSync(file, "utf8")).map((document) => document.toJS());
  const inCluster = ["Deployment", "Service", "Secret", "ResourceQuota", "PodDisruptionBudget"];
  const isWebhook = ({ kind }: { kind: string }) => kind.endsWith("WebhookConfiguration");
  const rest = objects.filter((object) => object && !inCluster.includes(object.kind));
  const applyAll = (items: unknown[]) => apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }));

  await applyAll(rest.filter((object) => !isWebhook(object)));
  await start();
  await until(`${file} listens`, () => accept(port));
  const webhooks = rest.filter(isWebhook);
  for (const { clientConfig } of webhooks.flatMap(({ webhooks }) => webhooks)) {
    clientConfig.url = `https://127.0.0.1:${port}${clientConfig.service.path}`;
    clientConfig.caBundle = Buffer.from(keys.ca).toString("base64");
    delete clientConfig.service;
  }
  await applyAll(webhooks);
}

/** A folder with the certificate of a webhook under the names that controller-runtime expects. */
function makeCertificates({ folder }: Cluster, name: string): string {
  const to = join(folder, name);
  mkdirSync(to);
  copyFileSync(join(folder, "keys/cert.pem"), join(to, "tls.crt"));
  copyFileSync(join(folder, "keys/key.pem"), join(to, "tls.key"));
  return to;
}

function podNamed(name: string, namespace: string): string {
  const restricted = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: {
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      containers: [{ name, image: "runs-as-a-process", securityContext: restricted }],
    },
  });
}
