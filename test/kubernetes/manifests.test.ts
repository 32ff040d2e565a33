// infra/kubernetes without a cluster: everything builds, has the form that the API servers of three versions and the custom
// resources ask for, and names what the rest of the repository names.
import { execFile } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { variables as groupLister } from "../../services/group-lister/config.ts";
import { variables as stateApi } from "../../services/state-api/config.ts";
import { variables as welcome } from "../../services/welcome/config.ts";
import { buildTimeout, findSource, findTools } from "../support/kubernetes-tools.ts";
import { root } from "../support/processes.ts";

/** The newest that kubectl-validate knows; cluster.test.ts has an API server of a newer one. */
const versions = ["1.33", "1.34", "1.35"];

const folder = join(root, "infra/kubernetes");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const azure = parse(read("infra/kubernetes/overlays/aks/settings.yaml"));

/** Folders with a kustomization, by kind: what is applied, and the switches of it. */
const kustomizations: Record<"Kustomization" | "Component", string[]> = { Kustomization: [], Component: [] };
for (const file of globSync("**/kustomization.yaml", { cwd: folder }).sort()) {
  const { kind }: { kind: keyof typeof kustomizations } = parse(readFileSync(join(folder, file), "utf8"));
  kustomizations[kind].push(dirname(file));
}

// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds; whether they have the right form is what is tested
type Resource = any;

const temporary = mkdtempSync(join(tmpdir(), "manifests-test-"));
afterAll(() => rmSync(temporary, { recursive: true }));
let tools: string;
let dapr: string;
let crds: string[];
/** What each kustomization builds, the components upon base; and under `policy` what has none. */
let built: Map<string, Resource[]>;

beforeAll(async () => {
  tools = await findTools("cluster");
  dapr = await findSource("dapr", "github.com/dapr/dapr");
  crds = [
    join(dapr, "charts/dapr/crds"),
    join(await findSource("rollouts", "github.com/argoproj/argo-rollouts"), "manifests/crds"),
    join(await findSource("cluster", "github.com/open-policy-agent/gatekeeper/v3"), "charts/gatekeeper/crds"),
    join(await findSource("dapr", "sigs.k8s.io/secrets-store-csi-driver"), "config/crd/bases"),
    join(await findSource("cluster", "github.com/spinkube/spin-operator@v0.6.1"), "config/crd/bases"),
  ];
  const applied = kustomizations.Kustomization.map(async (name) => [name, await build(join(folder, name))] as const);
  const switched = kustomizations.Component.map(async (name) => [name, await compose(basename(name), [name])] as const);
  const policy = ["template", "privileged-nginx"].map((name) => parse(read(`infra/kubernetes/policy/${name}.yaml`)));
  built = new Map([...(await Promise.all([...applied, ...switched])), ["policy", policy]]);
}, buildTimeout);

const run = promisify(execFile);

async function build(path: string): Promise<Resource[]> {
  const { stdout } = await run(join(tools, "kubectl"), ["kustomize", path]);
  return parseAllDocuments(stdout).map((document) => document.toJS());
}

/** Base, components and settings, put together as overlays/aks does. */
function compose(name: string, components: readonly string[], data: Record<string, string> = azure.data) {
  const at = join(temporary, name);
  mkdirSync(at);
  const path = (to: string) => relative(at, join(folder, to));
  writeFileSync(join(at, "settings.yaml"), stringify({ ...azure, data }));
  const kustomization = { resources: [path("base"), "settings.yaml"], components: components.map(path) };
  writeFileSync(join(at, "kustomization.yaml"), stringify(kustomization));
  return build(at);
}

/** @param object as `Kind/name` */
function find(kustomization: string, object: string): Resource {
  const found = built.get(kustomization)?.find(({ kind, metadata }) => `${kind}/${metadata.name}` === object);
  if (!found) throw new Error(`${kustomization} has no ${object}`);
  return found;
}

test("every kustomization builds something, and every component changes it", () => {
  expect(kustomizations.Component.length).toBeGreaterThan(5);
  for (const name of kustomizations.Kustomization) expect(built.get(name), name).not.toEqual([]);
  for (const name of kustomizations.Component) expect(built.get(name), name).not.toEqual(built.get("base"));
});

test("every object is in a namespace that comes with it", () => {
  for (const [name, objects] of built) {
    if (name.startsWith("policy")) continue; // for the whole cluster
    const [namespace, ...rest] = objects;
    expect(namespace.kind, name).toBe("Namespace");
    for (const { kind, metadata } of rest) expect(metadata.namespace, `${name} ${kind}`).toBe(namespace.metadata.name);
  }
});

describe.each(versions)("by the schemas of Kubernetes %s and of the custom resources", (version) => {
  /** What is wrong with the objects of each file, none for those that are right. */
  async function validate(name: string, files: ReadonlyMap<string, readonly Resource[]>) {
    const at = join(temporary, `${name}-${version}`);
    mkdirSync(at);
    for (const [file, objects] of files) {
      writeFileSync(
        join(at, `${file.replaceAll("/", "_")}.yaml`),
        objects.map((object) => stringify(object)).join("---\n"),
      );
    }
    const args = [at, "--version", version, "--local-crds", crds.join(","), "--output", "json"];
    const { stdout } = await run(join(tools, "kubectl-validate"), args).catch((error) => error);
    const results: Record<string, { message?: string }[]> = JSON.parse(stdout);
    expect(Object.keys(results)).toHaveLength(files.size);
    return Object.values(results).map((objects) => objects.flatMap(({ message }) => message ?? []));
  }

  test("every object is valid", async () => {
    const files = new Map(built);
    // What a constraint may have in it is Gatekeeper's to say, once it has the template: cluster.test.ts asks it.
    files.delete("policy/audit");
    files.delete("policy/deny");
    expect((await validate("right", files)).flat()).toEqual([]);
  });

  test("every broken one is refused, for the right reason", async () => {
    const broken: [kustomization: string, object: string, damage: (it: Resource) => void, reason: RegExp][] = [
      ["base", "Deployment/welcome", (it) => (it.spec.replicas = "two"), /spec.replicas: .*must be of type integer/],
      ["base", "Deployment/welcome", (it) => (it.spec.template.spec.container = []), /container: .* unknown field/],
      [
        "base",
        "HorizontalPodAutoscaler/welcome",
        (it) => (it.apiVersion = "autoscaling/v2beta2"),
        /locate OpenAPI spec/,
      ],
      ["base", "NetworkPolicy/welcome", (it) => (it.spec.egress[0].from = []), /egress\[0\].from: .* unknown field/],
      ["base", "Configuration/sidecar", (it) => delete it.spec.metric.enabled, /spec.metric.enabled: Required/],
      ["base", "Resiliency/statestore", (it) => (it.spec.policies.retry = {}), /policies.retry: .* unknown field/],
      ["features/cosmos", "Component/statestore", (it) => delete it.spec.version, /spec.version: Required/],
      ["features/cosmos", "Component/statestore", (it) => (it.spec.scopes = []), /spec.scopes: .* unknown field/],
      [
        "features/key-vault",
        "SecretProviderClass/demo-secret",
        (it) => (it.spec.parameters.usePodIdentity = false),
        /usePodIdentity: .*must be of type string/,
      ],
      [
        "blue-green",
        "Rollout/dev-superapi-geba",
        (it) => (it.spec.strategy.bluegreen = {}),
        /bluegreen: .* unknown field/,
      ],
      [
        "blue-green",
        "Rollout/dev-superapi-geba",
        (it) => delete it.spec.strategy.blueGreen.activeService,
        /activeService: Required/,
      ],
      ["hello-wasm", "SpinApp/hello-wasm", (it) => delete it.spec.executor, /spec.executor: Required/],
      ["policy", "ConstraintTemplate/k8snoprivilege", (it) => (it.spec.targets[0].regi = ""), /regi: .* unknown field/],
    ];
    const files = new Map(
      broken.map(([kustomization, name, damage], index) => {
        const object = structuredClone(find(kustomization, name));
        damage(object);
        return [String(index).padStart(2, "0"), [object]];
      }),
    );
    const said = await validate("wrong", files);
    for (const [index, [, , , reason]] of broken.entries()) expect(said[index]?.join("\n")).toMatch(reason);
  });
});

describe("the switches", () => {
  test("every setting goes where it belongs, and nowhere else", async () => {
    const data = Object.fromEntries(Object.keys(azure.data).map((name) => [name, `its-${name.toLowerCase()}`]));
    const all = ["workload-identity", "cosmos-keyless", "key-vault"].map((name) => `features/${name}`);
    const placed = (objects: Resource[]) =>
      objects.flatMap(({ kind, metadata, ...rest }) =>
        [...JSON.stringify({ metadata, ...rest }).matchAll(/"([^"]+)":"its-([^"]+)"/g)].map(
          ([, field, setting]) => `${setting}: ${field} of ${kind} ${metadata.name}`,
        ),
      );
    expect(placed(await compose("all", all, data)).sort()).toEqual([
      "azure_key_vault_name: keyvaultName of SecretProviderClass demo-secret",
      "azure_tenant_id: tenantId of SecretProviderClass demo-secret",
      "cosmos_url: value of Component statestore",
      "group_lister_client_id: azure.workload.identity/client-id of ServiceAccount group-lister",
      "state_api_client_id: azure.workload.identity/client-id of ServiceAccount state-api",
      "state_api_client_id: value of Component statestore",
      "welcome_client_id: clientID of SecretProviderClass demo-secret",
    ]);
    expect(placed(await compose("addon", ["features/key-vault-addon-identity"], data)).sort()).toEqual([
      "azure_key_vault_name: keyvaultName of SecretProviderClass demo-secret",
      "azure_tenant_id: tenantId of SecretProviderClass demo-secret",
      "key_vault_addon_client_id: userAssignedIdentityID of SecretProviderClass demo-secret",
    ]);
  });

  test("Key Vault is read with one identity or the other", () => {
    const parameters = (component: string) =>
      Object.keys(find(`features/${component}`, "SecretProviderClass/demo-secret").spec.parameters).sort();
    const both = ["keyvaultName", "objects", "tenantId", "usePodIdentity"];
    expect(parameters("key-vault")).toEqual(["clientID", ...both]);
    expect(parameters("key-vault-addon-identity")).toEqual([...both, "useVMManagedIdentity", "userAssignedIdentityID"]);
  });

  test("a setting that is not there fails the build", async () => {
    const { COSMOS_URL, ...data } = azure.data;
    await expect(compose("incomplete", ["features/cosmos"], data)).rejects.toThrow(/COSMOS_URL/);
  });

  test("only pods whose identity is used get the label that the webhook looks for", () => {
    const labelled = (kustomization: string) =>
      ["state-api", "group-lister", "welcome"].filter(
        (name) =>
          find(kustomization, `Deployment/${name}`).spec.template.metadata.labels["azure.workload.identity/use"] ===
          "true",
      );
    expect(labelled("base")).toEqual([]);
    expect(labelled("features/workload-identity")).toEqual(["group-lister"]);
    expect(labelled("features/cosmos-keyless")).toEqual(["state-api"]);
    expect(labelled("features/key-vault")).toEqual([]); // the driver asks for the token, not the pod
  });

  test("the store in memory has one pod, so nothing that makes a second", () => {
    expect(() => find("features/local-store", "HorizontalPodAutoscaler/state-api")).toThrow(/has no/);
    expect(find("features/local-store", "Deployment/state-api").spec).not.toHaveProperty("replicas");
    expect(find("features/local-store", "Component/statestore").spec.type).toBe("state.in-memory");
  });

  test.each(["overlays/aks", "overlays/local"])(
    "%s: what a sidecar reads when it starts is there before its pod",
    (overlay) => {
      const kinds = built.get(overlay)?.map(({ kind }) => kind) ?? [];
      expect(kinds[0]).toBe("Namespace");
      expect(kinds.slice(-3)).toEqual(["Deployment", "Deployment", "Deployment"]);
    },
  );

  test("audit is the same constraint, which only reports", () => {
    const [deny, audit] = ["policy/deny", "policy/audit"].map((name) => structuredClone(built.get(name)?.[0]));
    expect([deny.spec.enforcementAction, audit.spec.enforcementAction]).toEqual(["deny", "dryrun"]);
    deny.spec.enforcementAction = "dryrun";
    expect(audit).toEqual(deny);
  });
});

describe("blue-green", () => {
  test("has the names of the walkthrough, and every name in the Rollout is that of an object", () => {
    const objects = built.get("blue-green") ?? [];
    const [config] = objects.filter(({ kind }) => kind === "ConfigMap");
    expect(objects.map(({ kind, metadata: { name } }) => `${kind} ${name}`).sort()).toEqual([
      expect.stringMatching(/^ConfigMap dev-superapi-config-geba-[a-z0-9]{10}$/),
      "Namespace blue-green",
      "Rollout dev-superapi-geba",
      "Service dev-superapi-svc-active-geba",
      "Service dev-superapi-svc-preview-geba",
    ]);
    const { metadata, spec } = find("blue-green", "Rollout/dev-superapi-geba");
    expect(metadata.labels).toEqual({ app: "superapi", version: "v1", env: "dev" });
    expect(spec).toMatchObject({
      replicas: 2,
      strategy: {
        blueGreen: {
          activeService: "dev-superapi-svc-active-geba",
          previewService: "dev-superapi-svc-preview-geba",
          autoPromotionEnabled: false,
        },
      },
    });
    const [container] = spec.template.spec.containers;
    expect(container.envFrom).toEqual([{ configMapRef: { name: config.metadata.name } }]);
    const resources = { cpu: "50m", memory: "128Mi" };
    expect(container.resources).toEqual({ requests: resources, limits: resources });
    expect(config.data).toEqual({ WELCOME: "Hello from v1!", PORT: "8080" });
  });

  test("another WELCOME is another ConfigMap, and so another pod template", async () => {
    const changed = join(temporary, "v2");
    cpSync(join(folder, "blue-green"), changed, { recursive: true });
    const file = join(changed, "kustomization.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace("v1!", "v2!"));
    const [before, after] = [built.get("blue-green") ?? [], await build(changed)].map(
      (objects) => objects.find(({ kind }) => kind === "Rollout").spec.template,
    );
    expect(after).not.toEqual(before);
  });

  test("without the transformer configuration the Rollout names what is not there", async () => {
    const changed = join(temporary, "untransformed");
    cpSync(join(folder, "blue-green"), changed, { recursive: true });
    writeFileSync(join(changed, "rollout.transform.yaml"), "");
    const rollout = (await build(changed)).find(({ kind }) => kind === "Rollout");
    expect(rollout.spec.strategy.blueGreen.activeService).toBe("superapi-svc-active");
  });
});

describe("what is written twice is the same", () => {
  test("the sidecar's Configuration and the Resiliency: as `npm start` has them, but for name resolution", () => {
    const { nameResolution, ...spec } = parse(read("components/local/config.yaml")).spec;
    expect(find("base", "Configuration/sidecar").spec).toEqual(spec);
    const { metadata, ...resiliency } = parse(read("components/local/resiliency.yaml"));
    expect(find("base", "Resiliency/statestore")).toMatchObject(resiliency);
  });

  test.each([
    ["cosmos", "sidecar-key"],
    ["cosmos-keyless", "sidecar-keyless"],
  ])("components/%s and components/cosmos/%s, but for where values come from", (kubernetes, sidecar) => {
    const source = ["value", "envRef", "secretKeyRef"];
    const essence = ({ spec, scopes }: Resource) => ({
      ...spec,
      scopes,
      metadata: spec.metadata
        .map((item: Resource) =>
          ["database", "collection"].includes(item.name)
            ? item
            : {
                name: item.name,
                ...Object.fromEntries(
                  Object.keys(item).map((key) => (source.includes(key) ? ["source", true] : [key, item[key]])),
                ),
              },
        )
        .sort((a: Resource, b: Resource) => a.name.localeCompare(b.name)),
    });
    const component = parse(read(`components/cosmos/${sidecar}/statestore.yaml`));
    expect(essence(find(`features/${kubernetes}`, "Component/statestore"))).toEqual(essence(component));
  });

  test("both forms of the pod: what a Rollout cannot be patched with is what Deployments are patched with", () => {
    const [pod, rollout] = [find("base", "Deployment/welcome"), find("blue-green", "Rollout/dev-superapi-geba")].map(
      ({ spec }) => spec.template.spec,
    );
    for (const key of ["securityContext", "terminationGracePeriodSeconds"]) expect(rollout[key]).toEqual(pod[key]);
    for (const key of ["securityContext", "lifecycle"]) {
      expect(rollout.containers[0][key]).toEqual(pod.containers[0][key]);
    }
    const [deployment, sidecar] = [
      find("base", "Deployment/welcome"),
      find("blue-green-dapr", "Rollout/dev-superapi-geba"),
    ].map(({ spec }) => spec.template.metadata.annotations);
    const { "dapr.io/config": config, ...same } = deployment;
    expect(sidecar).toEqual({ ...same, "dapr.io/app-id": "superapi" });
  });
});

describe("what the rest is called", () => {
  const services: Record<string, object> = { "state-api": stateApi, "group-lister": groupLister, welcome };
  /** Of the suite's own Deployments and Rollouts. */
  const pods = () =>
    [...built].flatMap(([kustomization, objects]) =>
      objects
        .filter(({ kind }) => kustomization !== "policy" && ["Deployment", "Rollout"].includes(kind))
        .map(({ metadata, spec }) => ({ at: `${kustomization} ${metadata.name}`, ...spec.template })),
    );

  test("every variable is one that the service reads", () => {
    for (const { at, spec } of pods()) {
      const [container] = spec.containers;
      const service = /(?:^|\/)([a-z-]+)(?::|$)/.exec(container.image)?.[1] ?? "";
      for (const { name } of container.env ?? []) expect(Object.keys(services[service] ?? {}), at).toContain(name);
    }
  });

  test("every pod has longer to end than everything that ends it takes", () => {
    for (const { at, spec } of pods()) {
      const preStop = spec.containers[0].lifecycle.preStop.sleep.seconds;
      expect(spec.terminationGracePeriodSeconds, at).toBeGreaterThan(
        preStop + welcome.SHUTDOWN_TIMEOUT_MS.default / 1000 + 5,
      );
    }
  });

  test("every annotation of Dapr is one that its injector knows", () => {
    const known = readFileSync(join(dapr, "pkg/injector/annotations/annotations.go"), "utf8");
    for (const { at, metadata } of pods()) {
      for (const name of Object.keys(metadata.annotations ?? {})) expect(known, at).toContain(`"${name}"`);
    }
  });

  test("the policies let through what Dapr's chart opens", () => {
    const [, { to, ports }] = find("base", "NetworkPolicy/every-pod").spec.egress;
    const apps: string[] = to[0].podSelector.matchExpressions[0].values;
    const opened = apps.map((app) => {
      const file = `${app.replace("-", "_")}`;
      const deployment = readFileSync(
        join(dapr, "charts/dapr/charts", file, "templates", `${file}_deployment.yaml`),
        "utf8",
      );
      expect(deployment).toContain(`app: ${app}\n`);
      return Number(/containerPort: (\d+)/.exec(deployment)?.[1]);
    });
    expect(ports.map(({ port }: { port: number }) => port)).toEqual(opened);
  });
});
