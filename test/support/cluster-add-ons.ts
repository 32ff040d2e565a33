// Starts add-ons of a cluster as processes on loopback: Argo Rollouts, Gatekeeper, the workload identity webhook and
// the Dapr control plane. Each is installed from its own manifests, except for the objects that would run it inside the
// cluster.
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { parse, parseAllDocuments } from "yaml";
import { flags } from "../../tools/processes/flags.ts";
import { type Cluster, connectTo, findPort, until } from "./cluster.ts";
import { findSource, findTools } from "./go-tools.ts";
import { root } from "./processes.ts";

/** Audience of the tokens that the Dapr control plane and its sidecars present to Sentry. */
const sentryAudience = "spiffe://cluster.local/ns/dapr-system/dapr-sentry";

/** Where Dapr programs read that token, below /run/secrets. */
export const sentryToken = "dapr.io/sentrytoken/token";

/** Sidecar image that the Dapr injector is configured with. */
export const sidecarImage = "daprio/daprd:1.18.2";

/**
 * @param install commands of docs/operate/blue-green.md
 * @param proxy of its requests to Services
 */
export async function startRollouts({ sh, start }: Cluster, install: string, proxy: string): Promise<void> {
  const programs = await findTools("rollouts");
  const source = await findSource("rollouts", "github.com/argoproj/argo-rollouts");
  // The manifest of a release differs from that of its module only in the tag of the image.
  await sh(install.replace(/https:\S+/, join(source, "manifests/install.yaml")));
  const rolloutsFlags = {
    namespace: "argo-rollouts",
    "leader-elect": false,
    // The controller listens on all addresses; it has no flag to change that.
    metricsPort: await findPort(),
    healthzPort: await findPort(),
  };
  start(join(programs, "rollouts-controller"), flags(rolloutsFlags), { HTTP_PROXY: proxy });
}

export async function startGatekeeper(cluster: Cluster): Promise<void> {
  const programs = await findTools("cluster");
  const source = await findSource("cluster", "github.com/open-policy-agent/gatekeeper/v3");
  const port = await findPort();
  const folder = makeCertificates(cluster, "gatekeeper");
  await install(cluster, join(source, "deploy/gatekeeper.yaml"), port, async () => {
    // Gatekeeper stores its status in objects that its own pod owns, so the pod must exist.
    await cluster.apply(describePod("gatekeeper", "gatekeeper-system"));
    const gatekeeperFlags = {
      host: "127.0.0.1",
      port,
      "cert-dir": folder,
      "disable-cert-rotation": true,
      "health-addr": `127.0.0.1:${await findPort()}`,
      "prometheus-port": await findPort(),
      operation: ["webhook", "mutation-webhook", "audit", "generate", "status", "mutation-status"],
      "audit-interval": "3", // seconds
      "api-cache-dir": folder,
      "exempt-namespace": "gatekeeper-system",
    };
    const env = { NAMESPACE: "gatekeeper-system", POD_NAMESPACE: "gatekeeper-system", POD_NAME: "gatekeeper" };
    cluster.start(join(programs, "gatekeeper"), flags(gatekeeperFlags), env);
  });
}

/** @param command `helm upgrade` of the webhook's chart; the program gets the variables of the chart's ConfigMap */
export async function startWorkloadIdentity(cluster: Cluster, command: string): Promise<void> {
  const programs = await findTools("dapr");
  const source = await findSource("dapr", "github.com/Azure/azure-workload-identity");
  const port = await findPort();
  const folder = makeCertificates(cluster, "workload-identity");
  const rendered = join(cluster.folder, "workload-identity-webhook.yaml");
  const manifests = await renderChart(command, join(source, "charts/workload-identity-webhook"));
  const config = parseAllDocuments(manifests)
    .map((document) => document.toJS())
    .find((object) => object?.kind === "ConfigMap");
  writeFileSync(rendered, manifests);
  const [, namespace = ""] = / --namespace (\S+)/.exec(command) ?? [];
  await cluster.kubectl("create", "namespace", namespace); // --create-namespace
  await install(cluster, rendered, port, async () => {
    const webhookFlags = { port, "webhook-cert-dir": folder };
    cluster.start(join(programs, "workload-identity-webhook"), flags(webhookFlags), config.data);
  });
}

/**
 * Renders what a `helm upgrade --install RELEASE CHART --repo URL …` of a page would install.
 *
 * @param chart folder with the chart, which must have the version that the command names
 */
async function renderChart(command: string, chart: string): Promise<string> {
  const helm = join(await findTools("helm"), "helm");
  const [, release = "", version = "", options = ""] =
    /^helm upgrade --install (\S+) \S+ --repo https:\S+ --version (\S+) (.*)$/.exec(command) ?? [];
  const { version: found } = parse(readFileSync(join(chart, "Chart.yaml"), "utf8"));
  if (found !== version) throw new Error(`${chart} has the version ${found}, and not that of: ${command}`);
  const values = options.replaceAll(/ --(wait|create-namespace)\b/g, "");
  const template = `exec "$0" template ${release} "$1" ${values}`;
  const home = mkdtempSync(join(tmpdir(), "helm-"));
  try {
    const { stdout } = await promisify(execFile)("bash", ["--norc", "-euc", template, helm, chart], {
      env: { HOME: home },
      maxBuffer: 10e6,
    });
    return stdout;
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** Dapr programs check the user that they run as. `unshare --map-root-user` maps it to root, which they reject. */
const allowRoot = { DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK: "true" };

export interface Dapr {
  /** Address for sidecars, as host:port. */
  readonly sentry: string;
  /** Address for sidecars, as host:port. */
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
  const onLoopback = async (port: string) => ({
    "listen-address": "127.0.0.1",
    port,
    "healthz-listen-address": "127.0.0.1",
    "healthz-port": await findPort(),
    "enable-metrics": false,
  });
  start(
    join(programs, "sentry"),
    flags({
      ...(await onLoopback(sentry)),
      mode: "kubernetes",
      "trust-domain": "cluster.local",
      "issuer-credentials": issuer,
    }),
    { NAMESPACE: "dapr-system", ...allowRoot },
  );
  await until("Sentry publishes its root certificate", async () => {
    const bundle = JSON.parse(
      await kubectl("get", "configmap", "dapr-trust-bundle", "-n", "dapr-system", "-o", "json"),
    );
    writeFileSync(trustAnchors, bundle.data["ca.crt"]);
  });

  const startPart = async (name: string, args: string[], more: Record<string, string> = {}) =>
    startAsInPod(cluster, {
      secrets: {
        [sentryToken]: await createToken(cluster, `dapr-${name}`, "dapr-system", `dapr-${name}`, sentryAudience),
      },
      path: join(programs, name),
      args,
      env: { NAMESPACE: "dapr-system", ...more, DAPR_TRUST_ANCHORS_FILE: trustAnchors },
    });
  await startPart("injector", flags(await onLoopback(injector)), {
    SIDECAR_IMAGE: sidecarImage,
    SIDECAR_DROP_ALL_CAPABILITIES: "true", // dapr_sidecar_injector.sidecarDropALLCapabilities in the Helm chart
    KUBE_CLUSTER_DOMAIN: "cluster.local",
    DAPR_CONTROL_PLANE_TRUST_DOMAIN: "cluster.local",
    DAPR_SENTRY_ADDRESS: `127.0.0.1:${sentry}`,
  });
  const operatorFlags = {
    ...(await onLoopback(operator)),
    "disable-leader-election": true,
    "trust-anchors-file": trustAnchors,
    "watch-interval": "0",
    "webhook-server-listen-address": "127.0.0.1",
    "webhook-server-port": await findPort(),
    "enable-argo-rollout-service-reconciler": true, // global.argoRolloutServiceReconciler.enabled in the Helm chart
  };
  await startPart("operator", flags(operatorFlags));
  await until("the injector has set the caBundle of its webhook", async () => {
    const path = "{.webhooks[0].clientConfig.caBundle}";
    const bundle = await kubectl(
      "get",
      "mutatingwebhookconfiguration",
      "dapr-sidecar-injector",
      "-o",
      `jsonpath=${path}`,
    );
    if (bundle === "") throw new Error("the webhook has no caBundle");
    await connectTo(injector);
  });
  return { sentry: `127.0.0.1:${sentry}`, operator: `127.0.0.1:${operator}` };
}

/** Requests a pod-bound service account token, as kubelet does for a projected volume. */
export function createToken(
  { kubectl }: Cluster,
  serviceAccount: string,
  namespace: string,
  pod: string,
  audience: string,
): Promise<string> {
  const tokenFlags = {
    namespace,
    audience,
    duration: "3600s",
    "bound-object-kind": "Pod",
    "bound-object-name": pod,
  };
  return kubectl("create", "token", serviceAccount, ...flags(tokenFlags));
}

interface Program {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Files to mount, by their path below /run/secrets. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Lines for /etc/hosts, in place of the cluster's DNS. */
  readonly hosts?: string;
}

/**
 * Starts a program in a mount namespace with a /run and an /etc/hosts of its own: programs read the token of their
 * service account from a fixed path, and sidecars resolve each other through DNS.
 */
export function startAsInPod({ start, folder }: Cluster, { path, args, env, secrets, hosts = "" }: Program) {
  const own = mkdtempSync(join(folder, "pod-"));
  for (const [name, content] of Object.entries(secrets)) {
    mkdirSync(join(own, "secrets", dirname(name)), { recursive: true });
    writeFileSync(join(own, "secrets", name), content);
  }
  writeFileSync(join(own, "hosts"), `127.0.0.1 localhost\n${hosts}`);
  const script =
    'cd "$0"; mount --bind hosts /etc/hosts && mount -t tmpfs none /run && cp -r secrets /run && exec "$@"';
  const namespaced = ["--mount", "--map-root-user", "sh", "-c", script, own];
  return start("unshare", [...namespaced, path, ...args], { ...env, ...allowRoot });
}

/** Applies the manifests of an add-on, starts its program, and applies its webhooks once the program listens. */
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
  await until(`the program of ${file} listens`, () => connectTo(port));
  const webhooks = rest.filter(isWebhook);
  for (const { clientConfig } of webhooks.flatMap(({ webhooks }) => webhooks)) {
    clientConfig.url = `https://127.0.0.1:${port}${clientConfig.service.path}`;
    clientConfig.caBundle = Buffer.from(keys.ca).toString("base64");
    delete clientConfig.service;
  }
  await applyAll(webhooks);
}

/** Creates a folder with a certificate and key under the names that controller-runtime expects. */
function makeCertificates({ folder }: Cluster, name: string): string {
  const to = join(folder, name);
  mkdirSync(to);
  copyFileSync(join(folder, "keys/cert.pem"), join(to, "tls.crt"));
  copyFileSync(join(folder, "keys/key.pem"), join(to, "tls.key"));
  return to;
}

function describePod(name: string, namespace: string): string {
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
