// What AKS or its users add to a cluster, as real programs beside it: Argo Rollouts, Gatekeeper, the webhook of workload
// identity, and Dapr's control plane. Each is installed from its own manifests, less what would run it in the cluster.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { accept, type Cluster, findPort, until } from "./cluster.ts";
import { findSource, findTools } from "./kubernetes-tools.ts";
import { root } from "./processes.ts";

/** Whom the tokens are for that Dapr's control plane and its sidecars sign in with. */
const sentryAudience = "spiffe://cluster.local/ns/dapr-system/dapr-sentry";

/** The image that Dapr's injector is installed with. */
export const sidecarImage = "daprio/daprd:1.18.2";

export async function startRollouts({ kubectl, start }: Cluster): Promise<void> {
  const programs = await findTools("rollouts");
  const source = await findSource("rollouts", "github.com/argoproj/argo-rollouts");
  await kubectl("apply", "--server-side", "--kustomize", join(source, "manifests/crds"));
  start(join(programs, "rollouts-controller"), [
    ...["--namespace", "argo-rollouts", "--leader-elect=false"],
    ...["--metricsPort", await findPort(), "--healthzPort", await findPort()], // both on all addresses: it has no flag for that
  ]);
}

export async function startGatekeeper(cluster: Cluster): Promise<void> {
  const programs = await findTools("cluster");
  const source = await findSource("cluster", "github.com/open-policy-agent/gatekeeper/v3");
  const port = await findPort();
  const folder = makeCertificates(cluster, "gatekeeper");
  await install(cluster, join(source, "deploy/gatekeeper.yaml"), port, async () => {
    // It keeps its state under its pod's name.
    await cluster.apply(podNamed("gatekeeper", "gatekeeper-system"));
    cluster.start(
      join(programs, "gatekeeper"),
      [
        ...["--host", "127.0.0.1", "--port", port, "--cert-dir", folder, "--disable-cert-rotation"],
        ...["--health-addr", `127.0.0.1:${await findPort()}`, "--prometheus-port", await findPort()],
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
  const port = await findPort();
  const folder = makeCertificates(cluster, "workload-identity");
  await install(cluster, join(source, "deploy/azure-wi-webhook.yaml"), port, async () => {
    cluster.start(join(programs, "workload-identity-webhook"), ["--port", port, "--webhook-cert-dir", folder], {
      AZURE_TENANT_ID: tenantId,
      AZURE_ENVIRONMENT: "AzurePublicCloud",
    });
  });
}

const evenAsRoot = { DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK: "true" };

export interface Dapr {
  /** Addresses for sidecars. */
  readonly sentry: string;
  readonly operator: string;
}

export async function startDapr(cluster: Cluster): Promise<Dapr> {
  const { kubectl, apply, start, folder } = cluster;
  const programs = await findTools("dapr");
  const source = await findSource("dapr", "github.com/dapr/dapr");
  const [sentry, injector, operator] = [await findPort(), await findPort(), await findPort()];
  await kubectl("apply", "--server-side", "--filename", join(source, "charts/dapr/crds"));
  const system = readFileSync(join(root, "test/kubernetes/dapr-system.yaml"), "utf8");
  await apply(system.replace("SENTRY_PORT", sentry).replace("INJECTOR_PORT", injector));

  const issuer = join(folder, "sentry");
  const trustAnchors = join(folder, "dapr-ca.crt");
  mkdirSync(issuer);
  start(
    join(programs, "sentry"),
    [
      ...["--mode", "kubernetes", "--trust-domain", "cluster.local", "--issuer-credentials", issuer],
      ...["--listen-address", "127.0.0.1", "--port", sentry, "--enable-metrics=false"],
      ...["--healthz-listen-address", "127.0.0.1", "--healthz-port", await findPort()],
    ],
    { NAMESPACE: "dapr-system", ...evenAsRoot },
  );
  await until("Sentry publishes its root certificate", async () => {
    const bundle = JSON.parse(
      await kubectl("get", "configmap", "dapr-trust-bundle", "-n", "dapr-system", "-o", "json"),
    );
    writeFileSync(trustAnchors, bundle.data["ca.crt"]);
  });

  const startPart = async (name: string, args: string[], more: Record<string, string> = {}) =>
    startAsInPod(cluster, {
      token: await createToken(cluster, `dapr-${name}`, "dapr-system", `dapr-${name}`, sentryAudience),
      path: join(programs, name),
      args,
      env: { NAMESPACE: "dapr-system", ...more, DAPR_TRUST_ANCHORS_FILE: trustAnchors },
    });
  await startPart(
    "injector",
    [
      ...["--listen-address", "127.0.0.1", "--port", injector, "--enable-metrics=false"],
      ...["--healthz-listen-address", "127.0.0.1", "--healthz-port", await findPort()],
    ],
    {
      SIDECAR_IMAGE: sidecarImage,
      SIDECAR_DROP_ALL_CAPABILITIES: "true", // dapr_sidecar_injector.sidecarDropALLCapabilities of the Helm chart
      KUBE_CLUSTER_DOMAIN: "cluster.local",
      DAPR_CONTROL_PLANE_TRUST_DOMAIN: "cluster.local",
      DAPR_SENTRY_ADDRESS: `127.0.0.1:${sentry}`,
    },
  );
  await startPart("operator", [
    ...["--disable-leader-election", "--trust-anchors-file", trustAnchors, "--enable-metrics=false"],
    ...["--listen-address", "127.0.0.1", "--port", operator, "--watch-interval", "0"],
    ...["--healthz-listen-address", "127.0.0.1", "--healthz-port", await findPort()],
    ...["--webhook-server-listen-address", "127.0.0.1", "--webhook-server-port", await findPort()],
    "--enable-argo-rollout-service-reconciler", // global.argoRolloutServiceReconciler.enabled of the Helm chart
  ]);
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
    await accept(injector);
  });
  return { sentry: `127.0.0.1:${sentry}`, operator: `127.0.0.1:${operator}` };
}

/** What kubelet asks the API server for, and puts into the pod. */
export function createToken(
  { kubectl }: Cluster,
  serviceAccount: string,
  namespace: string,
  pod: string,
  audience: string,
): Promise<string> {
  return kubectl(
    ...["create", "token", serviceAccount, "-n", namespace, "--audience", audience, "--duration", "3600s"],
    ...["--bound-object-kind", "Pod", "--bound-object-name", pod],
  );
}

interface Program {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** For Sentry. */
  readonly token: string;
  /** More of /etc/hosts, for what the cluster's DNS would know. */
  readonly hosts?: string;
}

/**
 * Dapr's programs look for their token where a pod has it, and nowhere else, and for other sidecars in the cluster's DNS:
 * each gets a view of its own of the file system.
 */
export function startAsInPod({ start, folder }: Cluster, { path, args, env, token, hosts = "" }: Program): void {
  const own = mkdtempSync(join(folder, "pod-"));
  writeFileSync(join(own, "token"), token);
  writeFileSync(join(own, "hosts"), `127.0.0.1 localhost\n${hosts}`);
  const place = "/run/secrets/dapr.io/sentrytoken";
  const script = `cd "$0"; mount --bind hosts /etc/hosts && mount -t tmpfs none /run && mkdir -p ${place} && cp token ${place} && exec "$@"`;
  start("unshare", ["--mount", "--map-root-user", "sh", "-c", script, own, path, ...args], { ...env, ...evenAsRoot });
}

/** Applies what a component needs in the cluster; its webhooks when it listens. */
async function install(
  { apply, keys }: Cluster,
  file: string,
  port: string,
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
