// The cluster that the tests of a file share, with the add-ons that an AKS cluster has, and helpers to read it.
import { execFileSync } from "node:child_process";
import { cpSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import { expect } from "vitest";
import { parse } from "yaml";
import { field } from "../../../services/runtime/field.ts";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { sampleSubscription } from "../../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../../stand-ins/azure/start.ts";
import { textAt } from "../../support/at.ts";
import { type Cluster, startCluster, until } from "../../support/cluster.ts";
import {
  createToken,
  type Dapr,
  startDapr,
  startGatekeeper,
  startRollouts,
  startWorkloadIdentity,
} from "../../support/cluster-add-ons.ts";
import { findNetworkCrds, findSource } from "../../support/go-tools.ts";
import type { Container, KubernetesObject, Pod, Variable } from "../../support/kubernetes-objects.ts";
import { readBlocks } from "../../support/markdown.ts";
import { root } from "../../support/processes.ts";
import { type StaticWebsite, startStaticWebsite } from "../../support/static-website.ts";
import { type PodProcesses, startPodProcesses } from "./pod-processes.ts";

export const namespace = "dapr-samples";
export const services = ["group-lister", "state-api", "welcome"];
export const federatedSubject = `system:serviceaccount:${namespace}:group-lister`;
/** Application in the Microsoft Entra ID stand-in that trusts the service account of group-lister. */
export const application = {
  clientId: "00000000-5a4d-4b1e-8000-0000000000c4",
  objectId: "00000000-5a4d-4b1e-8000-0000000000b4",
};

export let cluster: Cluster;
export let azure: Azure;
export let dapr: Dapr;
/** Its address is the issuer of the cluster's tokens. Empty until workload-identity.ts publishes the documents. */
export let website: StaticWebsite;
export let pods: PodProcesses;

/** Host name in the settings of overlays/aks, in place of a placeholder that no Gateway accepts. */
export const welcomeHost = "samples.westeurope.cloudapp.azure.com";

/**
 * Starts the cluster and its add-ons, and copies infra/ into the folder of the cluster.
 *
 * @param admission whether Gatekeeper and the webhook of workload identity see new pods
 */
export async function setUp({ admission = true } = {}): Promise<void> {
  const keys = await loadKeys();
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), keys.ca]);
  website = await startStaticWebsite(keys);
  cluster = await startCluster(readKindFlags(website.url));
  pods = await startPodProcesses(cluster);
  const federated = { issuer: website.url, subject: federatedSubject };
  azure = await startAzure({ applications: [{ ...application, federatedCredentials: [federated] }], record: true });
  cpSync(join(root, "infra"), join(cluster.folder, "infra"), { recursive: true });
  // Pods on simulated nodes end at once, but a namespace that is deleted waits for half of their grace period. It must
  // be longer than the 5 seconds of preStop.
  for (const file of globSync("**/*.yaml", { cwd: join(cluster.folder, "infra/kubernetes") }))
    edit(file, (text) => text.replaceAll(/(?<=terminationGracePeriodSeconds: )\d{2}/g, "6"));
  const settings = join(cluster.folder, "infra/kubernetes/overlays/aks/settings.yaml");
  const text = readFileSync(settings, "utf8");
  const values = {
    AZURE_SUBSCRIPTION_ID: sampleSubscription.id,
    GROUP_LISTER_CLIENT_ID: application.clientId,
    WELCOME_HOST: welcomeHost,
  };
  const filled = Object.entries(values).reduce(
    (written, [name, value]) => written.replace(new RegExp(`(?<=  ${name}: ).*`), value),
    text,
  );
  writeFileSync(settings, filled);

  const crds = [
    join(await findSource("dapr", "sigs.k8s.io/secrets-store-csi-driver"), "config/crd/bases"),
    join(await findSource("cluster", "github.com/spinkube/spin-operator@v0.6.1"), "config/crd/bases"),
    ...(await findNetworkCrds()),
  ];
  [dapr] = await Promise.all([
    startDapr(cluster),
    startRollouts(cluster, block("docs/operate/blue-green.md", /^kubectl create namespace/), pods.proxy),
    ...(admission
      ? [
          startGatekeeper(cluster),
          startWorkloadIdentity(cluster, readHelmCommand().replace("TENANT-ID", azure.tenantId)),
        ]
      : []),
    kubectl("apply", "--server-side", "-f", crds.join(",")),
  ]);
  if (!admission) return;
  await cluster.sh(block("docs/operate/policy.md", /^kubectl apply -f .*template/));
  // Gatekeeper admits every pod until it has loaded the constraint. Without this wait, later tests would prove nothing.
  await until("Gatekeeper rejects a privileged pod", async () => {
    expect(await stderr(...runPrivileged)).toContain("validation.gatekeeper.sh");
  });
}

export async function tearDown(): Promise<void> {
  await azure?.close();
  await pods?.end();
  await cluster?.end();
  website?.close();
}

/** The flags of the API server in the cluster that kind creates on the page. */
function readKindFlags(issuer: string): Record<string, string> {
  const script = `kind() { cat; }\n${block("docs/operate/workload-identity.md", /^kind create/)}`;
  const config = parse(execFileSync("bash", ["--norc", "-euc", script], { env: { ISSUER: issuer }, encoding: "utf8" }));
  return parse(textAt(config, "kubeadmConfigPatches.0")).apiServer.extraArgs;
}

function readHelmCommand(): string {
  const command = block("docs/operate/workload-identity.md", /^helm upgrade/).replaceAll(/\\\n\s*/g, "");
  expect(command).toContain("TENANT-ID");
  return command;
}

/** kubectl arguments of a dry run that creates a privileged pod. */
export const runPrivileged = ["run", "privileged", "--image", "nginx", "--privileged", "--dry-run=server"];

/** The only shell block of a page that matches. */
export function block(page: string, pattern: RegExp): string {
  const [found, ...more] = readBlocks(page).filter(({ command }) => pattern.test(command));
  if (!found || more.length > 0) throw new Error(`${found ? more.length + 1 : 0} blocks of ${page} match ${pattern}`);
  return found.command;
}

/** Changes a file in the copy of infra/kubernetes. */
export function edit(file: string, change: (text: string) => string): void {
  const path = join(cluster.folder, "infra/kubernetes", file);
  writeFileSync(path, change(readFileSync(path, "utf8")));
}

/** Sets IMAGES as docs/operate/blue-green.md does. Its clean-up undoes it. */
export function setImages(images: string): Promise<string> {
  return cluster.sh(`IMAGES=${images}\n${block("docs/operate/blue-green.md", /^sed .*settings\.yaml$/)}`);
}

export const kubectl = (...args: string[]) => cluster.kubectl(...args);

/** Runs kubectl and resolves with stderr if it fails, else with "". */
export const stderr = (...args: string[]) =>
  kubectl(...args).then(
    () => "",
    (error) => String(field(error, "stderr")),
  );

export async function get<T = KubernetesObject>(...args: string[]): Promise<T> {
  return JSON.parse(await kubectl("get", ...args, "-o", "json"));
}

export async function list<T = KubernetesObject>(...args: string[]): Promise<T[]> {
  return (await get<{ items: T[] }>(...args)).items;
}

/** Applies overlays/aks and waits for its pods, unless an earlier group has. */
export async function ensureSuite(): Promise<void> {
  if ((await list("deployments", "-n", namespace)).length === services.length) return;
  await cluster.sh("kubectl apply --server-side -k infra/kubernetes/overlays/aks");
  await kubectl("wait", "deployments", "--all", "-n", namespace, "--for=condition=Available", "--timeout=60s");
}

/** Publishes the documents of the API server on the website, with the commands of docs/operate/workload-identity.md. */
export async function publishIssuer(): Promise<void> {
  const az = `az() {
    while [ $# -gt 0 ]; do
      case $1 in --name) name=$2 ;; --file) file=$2 ;; --container-name) [ "$2" = '$web' ] ;; esac
      shift
    done
    mkdir -p "$(dirname "${website.folder}/$name")"
    cp "$file" "${website.folder}/$name"
  }`;
  await cluster.sh(`${az}\n${block("docs/operate/workload-identity.md", /^ *publish\(\)/)}`);
}

/** Deletes the constraints of docs/operate/policy.md, so that Gatekeeper admits every pod. */
export async function deleteConstraints(): Promise<void> {
  await kubectl("delete", "constrainttemplates", "--all");
  await until("Gatekeeper has deleted the kind of the constraints", async () => {
    expect(await stderr("get", "crd", "k8snoprivilege.constraints.gatekeeper.sh")).toContain("not found");
  });
}

export async function readyPods(service: string): Promise<Pod[]> {
  const pods = await list<Pod>("pods", "-n", namespace, "-l", `app.kubernetes.io/name=${service}`);
  return pods.filter(
    ({ metadata, status }) =>
      !metadata.deletionTimestamp &&
      status.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True"),
  );
}

export async function readyPod(service: string): Promise<Pod> {
  const [pod] = await readyPods(service);
  return pod ?? expect.fail(`no pod of ${service} is ready`);
}

/** Containers in the order of their start. Native sidecars are init containers. */
export const listContainers = ({ spec }: Pod): Container[] => [...(spec.initContainers ?? []), ...spec.containers];

/** A service account token, bound to a pod of the service. */
export async function tokenOf(service: string, audience = "api://AzureADTokenExchange"): Promise<string> {
  return createPodToken(await readyPod(service), service, audience);
}

export function createPodToken({ metadata }: Pod, serviceAccount: string, audience: string): Promise<string> {
  return createToken(cluster, serviceAccount, metadata.namespace, metadata.name, audience);
}

/** The variables of a container whose names begin with AZURE_. */
export const azureVariables = ({ env = [] }: Container) =>
  Object.fromEntries(env.filter(({ name }) => name.startsWith("AZURE_")).map(({ name, value }) => [name, value]));

/** Variables with their values; those of a Secret or a ConfigMap are read from the cluster. */
export async function resolveVariables(variables: readonly Variable[] = []): Promise<Record<string, string>> {
  const resolved = variables.map(async ({ name, value, valueFrom }) => {
    if (value) return [[name, value]] as const;
    if (valueFrom?.configMapKeyRef) {
      const { name: configMap, key } = valueFrom.configMapKeyRef;
      return [[name, textAt(await get("configmap", configMap, "-n", namespace), `data.${key}`)]] as const;
    }
    if (!valueFrom?.secretKeyRef) return [];
    const { name: secret, key } = valueFrom.secretKeyRef;
    const { data } = await get<{ data: Record<string, string> }>("secret", secret, "-n", namespace);
    return [[name, Buffer.from(data[key] ?? "", "base64").toString()]] as const;
  });
  return Object.fromEntries((await Promise.all(resolved)).flat());
}
