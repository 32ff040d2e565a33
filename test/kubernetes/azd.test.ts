// Runs azd's hooks for AKS as azd runs them, with a real kubectl, and applies what they render to a real API server
// with the calls of azd:
// https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/project/service_target_aks.go
import { execFile } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { at } from "../support/at.ts";
import { imageVariable, listHooks, type PlacedHook, readProject, runHook } from "../support/azd.ts";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { buildTimeout, findSource, findTools } from "../support/go-tools.ts";
import { copyRepository } from "../support/repository.ts";

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

const services = ["group-lister", "state-api", "welcome"]; // in the order in which azd deploys them
const outputs = {
  AZURE_ENV_NAME: "samples",
  AZURE_AKS_CLUSTER_NAME: "test", // the context of startCluster; azd names the context like the cluster
  AZURE_TENANT_ID: "tenant",
  AZURE_SUBSCRIPTION_ID: "subscription",
  GROUP_LISTER_CLIENT_ID: "lister",
  STATE_API_CLIENT_ID: "state",
  WELCOME_CLIENT_ID: "welcome",
  COSMOS_URL: "https://account.documents.azure.com:443/",
  AZURE_KEY_VAULT_NAME: "kv-samples",
  KEY_VAULT_ADDON_CLIENT_ID: "addon",
};
const imageOf = (service: string, tag = "1") => `cr.azurecr.io/dapr-samples-aks/${service}-samples:azd-deploy-${tag}`;

const temporary = mkdtempSync(join(tmpdir(), "azd-hooks-"));
/** A copy of the repository without .git, as `azd init --template` makes one. */
const copy = join(temporary, "a path with spaces");
const project = join(copy, "infra/azd/aks");
const overlay = join(copy, "infra/kubernetes/overlays/aks/kustomization.yaml");
const azdCalls = join(temporary, "azd-calls");
let path: string;

beforeAll(async () => {
  copyRepository(copy);
  const bin = join(temporary, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "azd"), `#!/bin/sh\nfor word; do echo "$word"; done >>'${azdCalls}'\n`, { mode: 0o755 });
  path = [bin, await findTools("cluster"), process.env.PATH].join(delimiter);
}, buildTimeout);
afterAll(() => rmSync(temporary, { recursive: true }));

function hook(name: string, text = ""): PlacedHook {
  const found = listHooks(project).find((each) => each.name === name && each.run.includes(text));
  return found ?? expect.fail(`no hook ${name} with ${text}`);
}

/** Runs the hook that renders a service, with the image that azd has just pushed. */
async function render(service: string, env: NodeJS.ProcessEnv = {}): Promise<KubernetesObject[]> {
  const image = { [imageVariable(service)]: imageOf(service) };
  await runHook(hook(`predeploy of ${service}`), project, { PATH: path, ...outputs, ...image, ...env });
  return readManifests(service);
}

function readManifests(service: string): KubernetesObject[] {
  const folder = readProject(project).services[service]?.k8s?.deploymentPath ?? expect.fail(`no ${service}`);
  const text = readFileSync(join(project, folder, "manifests.yaml"), "utf8");
  return parseAllDocuments(text).map((document) => document.toJS());
}

const nameOf = ({ kind, metadata }: KubernetesObject) => `${kind}/${metadata.name}`;

describe("the predeploy hooks of AKS", () => {
  test("render at the same time, from a copy without .git, each its own service and what all share", async () => {
    const rendered = await Promise.all(services.map((service) => render(service)));
    const names = rendered.map((objects) => objects.map(nameOf));
    for (const [index, service] of services.entries()) {
      const own = (names[index] ?? []).filter((name) => services.some((each) => name.endsWith(`/${each}`)));
      expect(own.map((name) => name.split("/")[1])).toEqual(own.map(() => service));
      expect(own).toContain(`Deployment/${service}`);
      expect(JSON.stringify(rendered[index]?.at(-1))).toContain(`"image":"${imageOf(service)}"`);
      for (const path of ["metadata.labels", "spec.template.metadata.labels"])
        expect(at(rendered[index]?.at(-1), path)).toHaveProperty(["app.kubernetes.io/version"], "azd-deploy-1");
    }
    const hasText = names.map((each) => each.some((name) => name.startsWith("ConfigMap/welcome-")));
    expect(hasText).toEqual(services.map((service) => service === "welcome"));
    // Nothing of the overlay is lost, except the namespace, which azd creates.
    const { stdout } = await promisify(execFile)("kubectl", ["kustomize", dirname(overlay)], { env: { PATH: path } });
    const expected = parseAllDocuments(stdout).map((document) => nameOf(document.toJS()));
    expect([...new Set(names.flat()), "Namespace/dapr-samples"].sort()).toEqual(expected.sort());
  });

  test("fill in every output of the deployment, and ignore a manifest of an earlier run", async () => {
    appendFileSync(join(project, "manifests/welcome/manifests.yaml"), "---\nkind: Stale\nmetadata: {name: stale}\n");
    const objects = await render("welcome", { COSMOS_URL: "https://other.documents.azure.com:443/" });
    const text = JSON.stringify(objects);
    for (const value of ["https://other.documents.azure.com:443/", "kv-samples", "tenant"])
      expect(text).toContain(value);
    expect(objects.map(nameOf)).not.toContain("Stale/stale");
  });

  test("render the image that azd has built, also when settings.yaml names another registry", async () => {
    const settings = join(dirname(overlay), "settings.yaml");
    const original = readFileSync(settings, "utf8");
    writeFileSync(settings, original.replace(/(?<=^ {2}IMAGES: ).*$/m, "ghcr.io/owner/dapr-on-azure-samples"));
    try {
      const objects = await render("welcome", { IMAGES: "ghcr.io/another/dapr-on-azure-samples" });
      expect(JSON.stringify(objects.at(-1))).toContain(`"image":"${imageOf("welcome")}"`);
    } finally {
      writeFileSync(settings, original);
    }
  });

  test("use the features of the overlay as it is on disk", async () => {
    const original = readFileSync(overlay, "utf8");
    const changed = parse(original);
    changed.components = ["../../features/workload-identity", "../../features/local-store"];
    writeFileSync(overlay, stringify(changed));
    try {
      expect((await render("welcome")).map(nameOf)).not.toContain("SecretProviderClass/demo-secret");
    } finally {
      writeFileSync(overlay, original);
    }
  });

  test("fail before azd applies anything when an image or an output is missing, and name the command that helps", async () => {
    rmSync(join(project, "manifests"), { recursive: true, force: true });
    await expect(render("welcome", { [imageVariable("welcome")]: "" })).rejects.toThrow(
      "SERVICE_WELCOME_IMAGE_NAME is not set. azd sets it when it builds the image: run azd deploy welcome",
    );
    await expect(render("welcome", { AZURE_KEY_VAULT_NAME: "" })).rejects.toThrow(
      /Run azd provision, which sets the values that these lines lack:\n *keyvaultName: YOUR-KEY-VAULT/,
    );
    await expect(render("group-lister", { AZURE_SUBSCRIPTION_ID: "" })).rejects.toThrow(
      /which sets the values that these lines lack:\n *value: YOUR-SUBSCRIPTION-ID/,
    );
    expect(existsSync(join(project, "manifests"))).toBe(false);
  });

  test.each(services)("refuse WELCOME_HOST without a sign-in before azd applies anything of %s", async (service) => {
    rmSync(join(project, "manifests"), { recursive: true, force: true });
    await expect(render(service, { WELCOME_HOST: "welcome.example.com" })).rejects.toThrow(
      /WELCOME_HOST needs WELCOME_SIGN_IN_CLIENT_ID.* azd env set WELCOME_SIGN_IN_CLIENT_ID CLIENT-ID/,
    );
    expect(existsSync(join(project, "manifests"))).toBe(false);
  });

  test("render on a computer whose kubeconfig lacks the cluster, because azd adds it only after the hook", async () => {
    expect((await render("welcome", { KUBECONFIG: join(temporary, "missing") })).map(nameOf)).toContain(
      "Deployment/welcome",
    );
  });

  test("tell azd the endpoint of welcome: a tunnel, or the URL of the gateway when that feature is on", async () => {
    const set = (endpoint: string) => `env\nset\nSERVICE_WELCOME_ENDPOINTS\n["${endpoint}"]\n--environment\nsamples\n`;
    writeFileSync(azdCalls, "");
    await render("group-lister");
    await render("state-api");
    expect(readFileSync(azdCalls, "utf8")).toBe("");
    await render("welcome");
    expect(readFileSync(azdCalls, "utf8")).toBe(
      set("kubectl port-forward --namespace dapr-samples service/welcome 8080:80"),
    );

    writeFileSync(azdCalls, "");
    const original = readFileSync(overlay, "utf8");
    writeFileSync(overlay, original.replace(/^components:$/m, "components:\n  - ../../features/gateway"));
    try {
      const published = { WELCOME_HOST: "welcome.example.com", WELCOME_DNS_LABEL: "welcome-1" };
      const objects = await render("welcome", { ...published, WELCOME_SIGN_IN_CLIENT_ID: "sign-in" });
      expect(objects.map(nameOf)).toEqual(expect.arrayContaining(["Namespace/gateway", "HTTPRoute/welcome"]));
      expect(JSON.stringify(objects)).toContain('{"name":"SIGN_IN_CLIENT_ID","value":"sign-in"}');
    } finally {
      writeFileSync(overlay, original);
    }
    expect(readFileSync(azdCalls, "utf8")).toBe(set("https://welcome.example.com/"));
  });
});

describe("azd up on a cluster", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startCluster();
    const dapr = join(await findSource("dapr", "github.com/dapr/dapr"), "charts/dapr/crds");
    const driver = join(await findSource("dapr", "sigs.k8s.io/secrets-store-csi-driver"), "config/crd/bases");
    for (const crds of [dapr, driver]) await cluster.kubectl("apply", "--server-side", "--filename", crds);
    await cluster.kubectl("config", "set-context", "test", "--namespace", "dapr-samples");
    cpSync(join(cluster.folder, ".kube/config"), join(temporary, "kubeconfig"));
  }, buildTimeout);
  afterAll(() => cluster?.end());

  const env = () => ({ KUBECONFIG: join(temporary, "kubeconfig") });
  /** ensureNamespace; azd calls it for each service after provisioning and before each deployment. */
  const ensureNamespace = () =>
    cluster.sh("kubectl create namespace dapr-samples --dry-run=client -o yaml | kubectl apply -f -");
  async function provision() {
    await ensureNamespace();
    for (const text of ["namespace.yaml", "create-tokens.sh"])
      await runHook(hook("postprovision", text), project, { PATH: path, ...outputs, ...env() });
  }
  const readToken = async (service: string) => {
    const token = await cluster.sh(`kubectl get secret ${service}-token -n dapr-samples -o jsonpath={.data.token}`);
    return Buffer.from(token, "base64").toString();
  };
  /** deployManifests: azd applies each file of the folder, then waits for the Deployment. */
  async function deploy(service: string, tag = "1") {
    await render(service, { [imageVariable(service)]: imageOf(service, tag), ...env() });
    await ensureNamespace();
    await cluster.kubectl("apply", "-f", join(project, "manifests", service, "manifests.yaml"));
    await cluster.kubectl("rollout", "status", `deployment/${service}`, "--timeout=60s");
  }
  const readImages = () =>
    cluster.sh("kubectl get deployments -o jsonpath='{.items[*].spec.template.spec.containers[0].image}'");
  const readLabels = () => cluster.sh("kubectl get namespace dapr-samples -o jsonpath='{.metadata.labels}'");

  test("deploys one service after the other, releases one, and rolls it back", async () => {
    await provision();
    for (const service of services) await deploy(service);
    expect((await readImages()).split(" ")).toEqual(services.map((service) => imageOf(service)));

    await deploy("welcome", "2");
    const [groupLister, stateApi] = services.map((service) => imageOf(service));
    expect((await readImages()).split(" ")).toEqual([groupLister, stateApi, imageOf("welcome", "2")]);

    await cluster.sh("kubectl rollout undo deployment/welcome -n dapr-samples"); // docs/deploy/azd.md
    expect((await readImages()).split(" ")).toEqual([groupLister, stateApi, imageOf("welcome")]);
  }, 120_000);

  test("keeps the Pod Security labels of the namespace, although azd applies it without labels", async () => {
    await provision();
    await ensureNamespace();
    expect(JSON.parse(await readLabels())).toMatchObject({ "pod-security.kubernetes.io/enforce": "restricted" });
  });

  test("gives each service a random token, and keeps it in later deployments", async () => {
    await cluster.sh("kubectl delete secret state-api-token -n dapr-samples --ignore-not-found");
    await provision();
    const tokens = await Promise.all(["state-api", "group-lister"].map(readToken));
    for (const token of tokens) expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(tokens).size).toBe(2);
    await provision();
    expect(await Promise.all(["state-api", "group-lister"].map(readToken))).toEqual(tokens);
  });

  test.each(["state-api", "group-lister"])(
    "stops before azd applies anything of %s when its Secret is missing, and names the remedy",
    async (service) => {
      await cluster.sh(`kubectl delete secret ${service}-token -n dapr-samples`);
      rmSync(join(project, "manifests"), { recursive: true, force: true });
      await expect(render(service, env())).rejects.toThrow(
        `The cluster has no Secret ${service}-token. Run azd provision, which creates it. Then run azd deploy`,
      );
      expect(existsSync(join(project, "manifests"))).toBe(false);
      await provision();
    },
  );

  test("stops before azd applies anything when the cluster has no Dapr, and names the page that installs it", async () => {
    await cluster.kubectl("delete", "crd", "components.dapr.io");
    rmSync(join(project, "manifests"), { recursive: true, force: true });
    await expect(render("welcome", env())).rejects.toThrow(
      "The cluster has no Dapr. Install it with Helm: docs/deploy/kubernetes.md#install-dapr. Then run azd deploy",
    );
    expect(existsSync(join(project, "manifests"))).toBe(false);
  });
});
