// Builds infra/kubernetes without a cluster and validates every object against the schemas of three Kubernetes versions
// and of the custom resources. Compares names and settings with the rest of the repository.
import { execFile } from "node:child_process";
import { cpSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { BlockList } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { variables as groupLister } from "../../services/group-lister/config.ts";
import { field } from "../../services/runtime/field.ts";
import { variables as stateApi } from "../../services/state-api/config.ts";
import { variables as welcome } from "../../services/welcome/config.ts";
import { at, listAt, numberAt, objectAt, textAt } from "../support/at.ts";
import { exemptNamespaces } from "../support/built-in-policies.ts";
import { buildTimeout, findNetworkCrds, findSource, findTools } from "../support/go-tools.ts";
import { root } from "../support/processes.ts";
import {
  build,
  buildAll,
  compose,
  folder,
  hostPlaceholder,
  kustomizations,
  type Resource,
  settings,
  temporary,
} from "./kustomize.ts";

/** The newest versions that kubectl-validate supports. cluster.test.ts runs a newer API server. */
const versions = ["1.33", "1.34", "1.35"];

const read = (path: string) => readFileSync(join(root, path), "utf8");

let tools: string;
let dapr: string;
let crds: string[];
/** What buildAll builds, and `policy`, which has the files of infra/kubernetes/policy itself. */
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
    ...(await findNetworkCrds()),
  ];
  const policy = ["template", "privileged-nginx"].map((name) => parse(read(`infra/kubernetes/policy/${name}.yaml`)));
  built = new Map([...(await buildAll()), ["policy", policy]]);
}, buildTimeout);

const run = promisify(execFile);

/** @param object `KIND/NAME` */
function find(kustomization: string, object: string): Resource {
  const found = built.get(kustomization)?.find(({ kind, metadata }) => `${kind}/${metadata.name}` === object);
  if (!found) throw new Error(`${kustomization} has no ${object}`);
  return found;
}

test("every kustomization builds objects, and every feature changes base", async () => {
  const base = await compose("no-feature", []);
  expect(kustomizations.Component.length).toBeGreaterThan(5);
  for (const name of kustomizations.Kustomization) expect(built.get(name), name).not.toEqual([]);
  for (const name of kustomizations.Component) expect(built.get(name), name).not.toEqual(base);
});

test("every kustomization creates each namespace before the objects in it", () => {
  for (const [name, objects] of built) {
    if (name.startsWith("policy")) continue; // cluster-scoped objects
    const created = new Set<string | undefined>();
    for (const { kind, metadata } of objects) {
      if (kind === "Namespace") created.add(metadata.name);
      else expect(created, `${name} ${kind}/${metadata.name}`).toContain(metadata.namespace);
    }
    expect(created, name).not.toEqual(new Set());
  }
});

test("every namespace enforces the restricted level of the pod security standards, or the baseline for two programs of others", () => {
  const levels = new Map(
    [...built.values()]
      .flat()
      .filter(({ kind }) => kind === "Namespace")
      .map((item) => [item.metadata.name, field(field(item.metadata, "labels"), "pod-security.kubernetes.io/enforce")]),
  );
  expect(Object.fromEntries(levels)).toEqual({
    "blue-green": "restricted",
    canary: "restricted",
    "dapr-samples": "restricted",
    gateway: "baseline",
    "hello-wasm": "baseline",
  });
});

test("the policies of Gatekeeper, of the API server and of Azure exempt the same namespaces", () => {
  const gatekeeper = find("policy/deny", "K8sNoPrivilege/no-privileged-containers");
  expect(at(gatekeeper, "spec.match.excludedNamespaces")).toEqual(exemptNamespaces);
  for (const name of ["containers", "workloads"]) {
    const folder = `policy/admission-policy/${name === "workloads" ? name : "deny"}`;
    const binding = find(folder, `ValidatingAdmissionPolicyBinding/no-privileged-${name}`);
    expect(listAt(binding, "spec.matchResources.namespaceSelector.matchExpressions")).toEqual([
      { key: "kubernetes.io/metadata.name", operator: "NotIn", values: exemptNamespaces },
    ]);
  }
});

describe.each(versions)("kubectl-validate with the schemas of Kubernetes %s and of the custom resources", (version) => {
  /** Validates files of objects and returns the error messages of each file. */
  async function validate(name: string, files: ReadonlyMap<string, readonly Resource[]>) {
    const target = join(temporary, `${name}-${version}`);
    mkdirSync(target);
    for (const [file, objects] of files) {
      writeFileSync(
        join(target, `${file.replaceAll("/", "_")}.yaml`),
        objects.map((object) => stringify(object)).join("---\n"),
      );
    }
    const args = [target, "--version", version, "--local-crds", crds.join(","), "--output", "json"];
    const { stdout } = await run(join(tools, "kubectl-validate"), args).catch((error) => error);
    const results: Record<string, { message?: string }[]> = JSON.parse(stdout);
    expect(Object.keys(results)).toHaveLength(files.size);
    return Object.values(results).map((objects) => objects.flatMap(({ message }) => message ?? []));
  }

  test("accepts every object", async () => {
    const files = new Map(built);
    // Gatekeeper creates the schema of a constraint from its template: cluster.test.ts applies the constraints.
    files.delete("policy/audit");
    files.delete("policy/deny");
    expect((await validate("valid", files)).flat()).toEqual([]);
  });

  test("rejects every invalid object with the expected message", async () => {
    /** Each object becomes invalid by one change: the value at a path, or no value there. */
    const invalid: [kustomization: string, object: string, path: string, value: unknown, message: RegExp][] = [
      ["base", "Deployment/welcome", "spec.replicas", "two", /spec.replicas: .*must be of type integer/],
      ["base", "Deployment/welcome", "spec.template.spec.container", [], /container: .* unknown field/],
      ["base", "HorizontalPodAutoscaler/welcome", "apiVersion", "autoscaling/v2beta2", /locate OpenAPI spec/],
      ["base", "NetworkPolicy/sidecars", "spec.egress.0.from", [], /egress\[0\].from: .* unknown field/],
      ["base", "Configuration/sidecar", "spec.metric.enabled", undefined, /spec.metric.enabled: Required/],
      ["base", "Resiliency/statestore", "spec.policies.retry", {}, /policies.retry: .* unknown field/],
      ["features/cosmos", "Component/statestore", "spec.version", undefined, /spec.version: Required/],
      ["features/cosmos", "Component/statestore", "spec.scopes", [], /spec.scopes: .* unknown field/],
      [
        "features/key-vault",
        "SecretProviderClass/demo-secret",
        "spec.parameters.usePodIdentity",
        false,
        /usePodIdentity: .*must be of type string/,
      ],
      ["blue-green", "Rollout/dev-superapi-geba", "spec.strategy.bluegreen", {}, /bluegreen: .* unknown field/],
      [
        "blue-green",
        "Rollout/dev-superapi-geba",
        "spec.strategy.blueGreen.activeService",
        undefined,
        /activeService: Required/,
      ],
      [
        "blue-green-analysis",
        "AnalysisTemplate/smoke",
        "spec.metrics.0.provider.web.url",
        undefined,
        /metrics\[0\].provider.web.url: Required/,
      ],
      ["canary", "Rollout/dev-superapi-geba", "spec.strategy.canary.steps.0.weight", 1, /weight: .* unknown field/],
      ["hello-wasm", "SpinApp/hello-wasm", "spec.executor", undefined, /spec.executor: Required/],
      [
        "features/local-dns",
        "CiliumNetworkPolicy/local-dns",
        "spec.egress.0.toEntities",
        ["node"],
        /Unsupported value/,
      ],
      ["features/gateway", "Gateway/public", "spec.listeners.1.hostname", hostPlaceholder, /hostname.*should match/],
      ["features/gateway", "HTTPRoute/welcome", "spec.rules.0.backendRefs.0.port", "http", /type integer/],
      ["features/gateway", "ReferenceGrant/welcome-tls", "spec.to", undefined, /spec.to: Required/],
      ["policy", "ConstraintTemplate/k8snoprivilege", "spec.targets.0.regi", "", /regi: .* unknown field/],
      [
        "policy/admission-policy/deny",
        "ValidatingAdmissionPolicy/no-privileged-containers",
        "spec.validation",
        [],
        /validation: .* unknown field/,
      ],
    ];
    const files = new Map(
      invalid.map(([kustomization, name, path, value], index) => {
        const object = structuredClone(find(kustomization, name));
        const [, parent = "", property = path] = /^(.*)\.(\w+)$/.exec(path) ?? [];
        // The YAML writer omits properties that are undefined.
        Object.assign(parent === "" ? object : objectAt(object, parent), { [property]: value });
        return [String(index).padStart(2, "0"), [object]];
      }),
    );
    const messages = await validate("invalid", files);
    for (const [index, [, , , , message]] of invalid.entries()) expect(messages[index]?.join("\n")).toMatch(message);
  });
});

describe("features", () => {
  test("each setting except IMAGES and TAG is copied to the expected fields and no others", async () => {
    const { IMAGES: _, TAG: __, ...others } = settings.data;
    const values = Object.keys(others).map((name) => [name, `value-of-${name.toLowerCase()}`]);
    const data = { ...settings.data, ...Object.fromEntries(values) };
    const all = ["workload-identity", "cosmos-keyless", "key-vault", "gateway-key-vault"];
    const fieldsWithSettings = (objects: Resource[]) =>
      objects.flatMap(({ kind, metadata, ...rest }) =>
        [...JSON.stringify({ metadata, ...rest }).matchAll(/"([^"]+)":"value-of-([^"]+)"/g)].map(
          ([, field, setting]) => `${setting}: ${field} of ${kind} ${metadata.name}`,
        ),
      );
    const objects = await compose(
      "all",
      all.map((name) => `features/${name}`),
      data,
    );
    expect(fieldsWithSettings(objects).sort()).toEqual([
      "azure_key_vault_name: keyvaultName of SecretProviderClass demo-secret",
      "azure_key_vault_name: keyvaultName of SecretProviderClass welcome-tls",
      "azure_subscription_id: value of Deployment group-lister",
      "azure_tenant_id: tenantId of SecretProviderClass demo-secret",
      "azure_tenant_id: tenantId of SecretProviderClass welcome-tls",
      "azure_tenant_id: value of Deployment welcome",
      "cosmos_url: value of Component statestore",
      "group_lister_client_id: azure.workload.identity/client-id of ServiceAccount group-lister",
      "state_api_client_id: azure.workload.identity/client-id of ServiceAccount state-api",
      "state_api_client_id: value of Component statestore",
      "welcome_client_id: clientID of SecretProviderClass demo-secret",
      "welcome_client_id: clientID of SecretProviderClass welcome-tls",
      "welcome_dns_label: service.beta.kubernetes.io/azure-dns-label-name of Gateway public",
      "welcome_host: hostname of Gateway public",
      "welcome_host: hostname of Gateway public",
      "welcome_sign_in_client_id: value of Deployment welcome",
    ]);
    expect(fieldsWithSettings(await compose("addon", ["features/key-vault-addon-identity"], data)).sort()).toEqual([
      "azure_key_vault_name: keyvaultName of SecretProviderClass demo-secret",
      "azure_tenant_id: tenantId of SecretProviderClass demo-secret",
      "key_vault_addon_client_id: userAssignedIdentityID of SecretProviderClass demo-secret",
    ]);
  });

  test("key-vault and key-vault-addon-identity use different identities", () => {
    const parameters = (feature: string) =>
      Object.keys(objectAt(find(`features/${feature}`, "SecretProviderClass/demo-secret"), "spec.parameters")).sort();
    const both = ["keyvaultName", "objects", "tenantId", "usePodIdentity"];
    expect(parameters("key-vault")).toEqual(["clientID", ...both]);
    expect(parameters("key-vault-addon-identity")).toEqual([...both, "useVMManagedIdentity", "userAssignedIdentityID"]);
  });

  test("a missing setting fails the build", async () => {
    const { COSMOS_URL, ...data } = settings.data;
    await expect(compose("incomplete", ["features/cosmos"], data)).rejects.toThrow(/COSMOS_URL/);
  });

  test("only pods that use a federated identity have the label of the webhook", () => {
    const labelled = (kustomization: string) =>
      ["state-api", "group-lister", "welcome"].filter(
        (name) =>
          field(
            at(find(kustomization, `Deployment/${name}`), "spec.template.metadata.labels"),
            "azure.workload.identity/use",
          ) === "true",
      );
    expect(labelled("base")).toEqual([]);
    expect(labelled("features/workload-identity")).toEqual(["group-lister"]);
    expect(labelled("features/cosmos-keyless")).toEqual(["state-api"]);
    expect(labelled("features/key-vault")).toEqual([]); // the CSI driver requests the token, not the pod
  });

  test("local-store has an in-memory store, and neither an autoscaler nor a number of replicas", () => {
    expect(() => find("features/local-store", "HorizontalPodAutoscaler/state-api")).toThrow(/has no/);
    expect(find("features/local-store", "Deployment/state-api")).not.toHaveProperty("spec.replicas");
    expect(find("features/local-store", "Component/statestore")).toHaveProperty("spec.type", "state.in-memory");
  });

  test.each(["overlays/aks", "overlays/local"])(
    "%s creates the namespace first and the Deployments last, because sidecars read their resources at start",
    (overlay) => {
      const kinds = built.get(overlay)?.map(({ kind }) => kind) ?? [];
      expect(kinds[0]).toBe("Namespace");
      expect(kinds.slice(-3)).toEqual(["Deployment", "Deployment", "Deployment"]);
    },
  );

  test("policy/audit differs from policy/deny only in the enforcement action dryrun", () => {
    const [deny, audit] = ["policy/deny", "policy/audit"].map((name) => built.get(name)?.[0]);
    expect(deny).toHaveProperty("spec.enforcementAction", "deny");
    expect(audit).toEqual({ ...deny, spec: { ...objectAt(deny, "spec"), enforcementAction: "dryrun" } });
  });
});

test.each(["overlays/aks", "overlays/local", "standalone/key-vault"])(
  "%s: another WELCOME names another ConfigMap, which replaces the pods of welcome and no others",
  async (name) => {
    const changed = join(temporary, `welcome-${name.replace("/", "-")}`);
    cpSync(folder, changed, { recursive: true });
    const file = join(changed, name, "kustomization.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace("WELCOME=Hello from Super API", "WELCOME=Changed"));
    const templates = (objects: readonly Resource[] = []) =>
      Object.fromEntries(
        objects
          .filter(({ kind }) => kind === "Deployment")
          .map((object) => [object.metadata.name, at(object, "spec.template")]),
      );
    const [{ welcome: before, ...others }, { welcome: after, ...same }] = [
      templates(built.get(name)),
      templates(await build(join(changed, name))),
    ];
    expect(after).not.toEqual(before);
    expect(same).toEqual(others);
  },
);

describe("standalone", () => {
  const folders = kustomizations.Kustomization.filter((name) => name.startsWith("standalone/"));

  test.each(folders)("%s needs nothing of Dapr: no object, annotation, Secret or port of a sidecar", (name) => {
    expect(JSON.stringify(built.get(name))).not.toMatch(/dapr\.io|dapr-system|-token"|50001|50002/);
  });

  test.each(folders)(
    "every setting of %s is copied to an object, and none has another name than in overlays/aks",
    (name) => {
      const { data }: typeof settings = parse(read(`infra/kubernetes/${name}/settings.yaml`));
      const placeholders = JSON.stringify(built.get(name)).match(/YOUR-[A-Z-]+|REGISTRY\.azurecr\.io/g);
      const { TAG: _, ...others } = data; // no placeholder
      expect(new Set(placeholders)).toEqual(new Set(Object.values(others)));
      expect(settings.data).toMatchObject(data);
    },
  );

  test("the pods run under the service accounts of the suite, which the federated credentials name", () => {
    const accounts = (name: string) =>
      (built.get(name) ?? [])
        .filter(({ kind }) => kind === "Deployment")
        .map((object) => `${object.metadata.namespace} ${textAt(object, "spec.template.spec.serviceAccountName")}`);
    const suite = accounts("overlays/aks");
    expect(folders.flatMap(accounts).filter((account) => suite.includes(account))).toHaveLength(folders.length);
  });
});

describe("blue-green", () => {
  test("has the names in docs/operate/blue-green.md, and the Rollout refers to the objects by these names", () => {
    const objects = built.get("blue-green") ?? [];
    const [config] = objects.filter(({ kind }) => kind === "ConfigMap");
    expect(objects.map(({ kind, metadata: { name } }) => `${kind} ${name}`).sort()).toEqual([
      expect.stringMatching(/^ConfigMap dev-superapi-config-geba-[a-z0-9]{10}$/),
      "Namespace blue-green",
      "NetworkPolicy dev-default-deny-geba",
      "NetworkPolicy dev-superapi-geba",
      "Rollout dev-superapi-geba",
      "Service dev-superapi-svc-active-geba",
      "Service dev-superapi-svc-preview-geba",
    ]);
    const rollout = find("blue-green", "Rollout/dev-superapi-geba");
    expect(at(rollout, "metadata.labels")).toEqual({ app: "superapi", version: "v1", env: "dev" });
    expect(at(rollout, "spec")).toMatchObject({
      replicas: 2,
      strategy: {
        blueGreen: {
          activeService: "dev-superapi-svc-active-geba",
          previewService: "dev-superapi-svc-preview-geba",
          autoPromotionEnabled: false,
        },
      },
    });
    const container = at(rollout, "spec.template.spec.containers.0");
    expect(field(container, "envFrom")).toEqual([{ configMapRef: { name: config?.metadata.name } }]);
    const resources = { cpu: "50m", memory: "128Mi" };
    expect(field(container, "resources")).toEqual({ requests: resources, limits: resources });
    expect(field(config, "data")).toEqual({ WELCOME: "Hello from v1!", PORT: "8080" });
  });

  test("the pods have the label version, and no selector has it", () => {
    for (const name of ["blue-green", "blue-green-dapr", "blue-green-analysis", "canary"]) {
      const objects = built.get(name) ?? [];
      const rollout = find(name, "Rollout/dev-superapi-geba");
      expect(at(rollout, "spec.template.metadata.labels"), name).toEqual({ app: "superapi", version: "v1" });
      const selectors = objects.flatMap((object) => {
        const selector = at(object, "spec.selector") ?? at(object, "spec.podSelector");
        return selector ? JSON.stringify(selector) : [];
      });
      expect(selectors.length, name).toBeGreaterThan(4);
      expect(selectors.join(), name).not.toContain("version");
    }
  });

  const services = ["active", "preview"].map((name) => `superapi-svc-${name}`);

  test.each([
    [
      "blue-green-analysis",
      ["spec.strategy.blueGreen.prePromotionAnalysis", "spec.strategy.blueGreen.postPromotionAnalysis"],
    ],
    ["canary", ["spec.strategy.canary.steps.1.analysis", "spec.strategy.canary.steps.4.analysis"]],
  ])("the analyses of %s name templates that exist, and give their arguments and no others", (name, paths) => {
    const rollout = find(name, "Rollout/dev-superapi-geba");
    for (const path of paths) {
      const declared = listAt(rollout, `${path}.templates`).flatMap((template) =>
        listAt(find(name, `AnalysisTemplate/${textAt(template, "templateName")}`), "spec.args"),
      );
      const given = listAt(rollout, `${path}.args`).map((argument) => textAt(argument, "name"));
      expect(new Set(given)).toEqual(new Set(declared.map((argument) => textAt(argument, "name"))));
    }
  });

  test.each(["blue-green-analysis", "canary"])(
    "with another prefix, the Rollout of %s and its analyses name Services that exist",
    async (name) => {
      const changed = join(temporary, `prefix-${name}`);
      cpSync(folder, changed, { recursive: true });
      const file = join(changed, "blue-green/kustomization.yaml");
      writeFileSync(file, readFileSync(file, "utf8").replace("namePrefix: dev-", "namePrefix: test-"));
      const objects = await build(join(changed, name));
      const named = objects.filter(({ kind }) => kind === "Service").map(({ metadata }) => metadata.name);
      expect(named).toEqual(expect.arrayContaining(services.map((service) => `test-${service}-geba`)));
      const rollout = objects.find(({ kind }) => kind === "Rollout");
      const references = JSON.stringify(at(rollout, "spec.strategy")).match(/[\w-]*superapi-svc[\w-]*/g) ?? [];
      expect(references.length).toBeGreaterThan(1);
      expect(named).toEqual(expect.arrayContaining(references));
    },
  );

  test("the metric smoke runs the image of the Rollout", () => {
    const image = at(find("canary", "Rollout/dev-superapi-geba"), "spec.template.spec.containers.0.image");
    const [, smoke] = listAt(find("canary", "AnalysisTemplate/smoke"), "spec.metrics");
    expect(at(smoke, "provider.job.spec.template.spec.containers.0.image")).toBe(image);
  });

  test("blue-green-analysis has the objects of blue-green, and its Rollout differs only in strategy and deadline", () => {
    /** Without the parts that differ. */
    const common = (object: Resource) => {
      if (object.kind !== "Rollout") return object;
      const { strategy, progressDeadlineAbort, progressDeadlineSeconds, ...spec } = {
        strategy: {},
        progressDeadlineAbort: false,
        progressDeadlineSeconds: 0,
        ...objectAt(object, "spec"),
      };
      return { ...object, spec };
    };
    const [manual = [], automatic] = ["blue-green", "blue-green-analysis"].map((name) =>
      (built.get(name) ?? []).map(common),
    );
    expect(manual.length).toBeGreaterThan(5);
    expect(automatic).toEqual(expect.arrayContaining(manual));
    const strategyOf = (name: string) => objectAt(find(name, "Rollout/dev-superapi-geba"), "spec.strategy.blueGreen");
    expect(strategyOf("blue-green-analysis")).toMatchObject({
      ...strategyOf("blue-green"),
      autoPromotionEnabled: true,
    });
  });

  test("the old pods of blue-green-analysis outlive the analysis after a promotion", () => {
    const [metric] = listAt(find("blue-green-analysis", "AnalysisTemplate/error-rate"), "spec.metrics");
    const [delay, interval] = ["initialDelay", "interval"].map((name) => Number.parseInt(textAt(metric, name), 10));
    const duration = (delay ?? 0) + (interval ?? 0) * (numberAt(metric, "count") - 1);
    const blueGreen = at(find("blue-green-analysis", "Rollout/dev-superapi-geba"), "spec.strategy.blueGreen");
    expect(duration).toBe(50);
    expect(numberAt(blueGreen, "scaleDownDelaySeconds")).toBeGreaterThan(2 * duration);
  });

  test("without its Prometheus, as the page says, the analyses still have the metrics readyz and smoke", async () => {
    const changed = join(temporary, "without-prometheus");
    cpSync(folder, changed, { recursive: true });
    const readYaml = (file: string) => parse(readFileSync(join(changed, file), "utf8"));
    const writeYaml = (file: string, content: object) => writeFileSync(join(changed, file), stringify(content));
    const { configMapGenerator, resources, ...kustomization } = readYaml("blue-green-analysis/kustomization.yaml");
    expect(configMapGenerator).toEqual([{ name: "prometheus", files: ["prometheus.yaml=scrape.yaml"] }]);
    const rest = resources.filter((name: string) => name !== "prometheus.yaml");
    writeYaml("blue-green-analysis/kustomization.yaml", { ...kustomization, resources: rest });
    const blueGreen = readYaml("blue-green-analysis/rollout.yaml");
    delete blueGreen.spec.strategy.blueGreen.postPromotionAnalysis;
    expect(blueGreen.spec.strategy.blueGreen.prePromotionAnalysis.templates.pop()?.templateName).toBe("error-rate");
    writeYaml("blue-green-analysis/rollout.yaml", blueGreen);
    const canary = readYaml("canary/rollout.yaml");
    canary.spec.strategy.canary.steps.pop();
    expect(canary.spec.strategy.canary.steps[1].analysis.templates.pop()?.templateName).toBe("error-rate");
    writeYaml("canary/rollout.yaml", canary);

    for (const name of ["blue-green-analysis", "canary"]) {
      const objects = await build(join(changed, name));
      const leftOver = objects.filter(({ metadata }) => metadata.name.startsWith("prometheus"));
      expect(leftOver.map(({ kind }) => kind)).toEqual(["NetworkPolicy"]);
      const strategy = JSON.stringify(
        at(
          objects.find(({ kind }) => kind === "Rollout"),
          "spec.strategy",
        ),
      );
      expect(strategy).not.toMatch(/error-rate|postPromotionAnalysis/);
      expect(strategy).toContain('"templates":[{"templateName":"smoke"}]');
      const smoke = objects.find(({ kind, metadata }) => kind === "AnalysisTemplate" && metadata.name === "smoke");
      expect(listAt(smoke, "spec.metrics").map((metric) => field(metric, "name"))).toEqual(["readyz", "smoke"]);
    }
  });

  test("Prometheus has the version that the cluster test runs, and scrapes METRICS_PORT of the image", () => {
    const image = textAt(find("blue-green-analysis", "Deployment/prometheus"), "spec.template.spec.containers.0.image");
    const [, version = ""] = /:v3\.(\d+\.\d+)$/.exec(image) ?? [];
    // The Go module of Prometheus 3.13.5 is 0.313.5.
    const module = read("test/kubernetes/tools/prometheus/go.mod");
    expect(module).toContain(`\tgithub.com/prometheus/prometheus v0.3${version}`);
    const [, port] = /METRICS_PORT=(\d+)/.exec(read("Dockerfile")) ?? [];
    expect(read("infra/kubernetes/blue-green-analysis/scrape.yaml")).toContain(`regex: "${port}"`);
  });

  test("another WELCOME changes the pod template, so it starts a new version", async () => {
    const changed = join(temporary, "v2");
    cpSync(folder, changed, { recursive: true });
    const file = join(changed, "blue-green/kustomization.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace("v1!", "v2!"));
    const [before, after] = [built.get("blue-green") ?? [], await build(join(changed, "blue-green"))].map((objects) =>
      at(
        objects.find(({ kind }) => kind === "Rollout"),
        "spec.template",
      ),
    );
    expect(after).not.toEqual(before);
  });

  test("without rollout.transform.yaml the Rollout refers to a Service that does not exist", async () => {
    const changed = join(temporary, "untransformed");
    cpSync(folder, changed, { recursive: true });
    writeFileSync(join(changed, "blue-green/rollout.transform.yaml"), "");
    const rollout = (await build(join(changed, "blue-green"))).find(({ kind }) => kind === "Rollout");
    expect(rollout).toHaveProperty("spec.strategy.blueGreen.activeService", "superapi-svc-active");
  });
});

test.each([
  ["overlays/aks", ["group-lister", "state-api", "welcome"]],
  ["overlays/local", ["azure-stand-in", "group-lister", "state-api", "welcome"]],
  ["standalone/workload-identity", ["group-lister"]],
  ["standalone/pod-identity", ["group-lister"]],
  ["standalone/key-vault", ["welcome"]],
  ["blue-green", ["welcome"]],
  ["blue-green-dapr", ["welcome"]],
])(
  "%s pulls every image from IMAGES in its settings, under the image's name and the tag TAG in its settings",
  async (name, services) => {
    const changed = join(temporary, `images-${name.replace("/", "-")}`);
    cpSync(folder, changed, { recursive: true });
    const images = "registry.example.com:5000/owner/samples";
    for (const file of globSync("**/settings.yaml", { cwd: changed })) {
      const text = readFileSync(join(changed, file), "utf8");
      const lines = /^ {2}IMAGES: .*\n {2}TAG: .*/m;
      expect(text).toMatch(lines);
      writeFileSync(join(changed, file), text.replace(lines, `  IMAGES: ${images}\n  TAG: v2`));
    }
    const workloads = (await build(join(changed, name))).filter(({ kind }) => /^(Deployment|Rollout)$/.test(kind));
    const pulled = workloads.flatMap((object) =>
      ["initContainers", "containers"].flatMap((list) => at(object, `spec.template.spec.${list}.0.image`) ?? []),
    );
    expect(pulled).toEqual(services.map((service) => `${images}/${service}:v2`));
  },
);

describe("files that repeat each other", () => {
  test("Configuration and Resiliency equal those of components/local, but for names, access control and metrics", () => {
    const { nameResolution, ...spec } = parse(read("components/local/config.yaml")).spec;
    const { accessControl, ...built } = {
      accessControl: {},
      ...objectAt(find("base", "Configuration/sidecar"), "spec"),
    };
    // On a laptop, web pages could read them; on Kubernetes, network policies close their port.
    expect(built).toEqual({ ...spec, metric: { ...spec.metric, enabled: true } });
    const { metadata, ...resiliency } = parse(read("components/local/resiliency.yaml"));
    expect(find("base", "Resiliency/statestore")).toMatchObject(resiliency);
  });

  test.each([
    ["cosmos", "sidecar-key"],
    ["cosmos-keyless", "sidecar-keyless"],
  ])(
    "features/%s has the component of components/cosmos/%s, except for the sources of its values",
    (feature, folder) => {
      const sources = ["value", "envRef", "secretKeyRef"];
      /** The metadata items by name. Only database and collection keep their values. */
      const withoutSources = (component: unknown) =>
        Object.fromEntries(
          listAt(component, "spec.metadata").map((item) => {
            const name = textAt(item, "name");
            const value = ["database", "collection"].includes(name) ? field(item, "value") : "from a source";
            expect(sources.some((source) => field(item, source) !== undefined)).toBe(true);
            return [name, value];
          }),
        );
      const built = find(`features/${feature}`, "Component/statestore");
      const file: unknown = parse(read(`components/cosmos/${folder}/statestore.yaml`));
      expect(withoutSources(built)).toEqual(withoutSources(file));
      expect({ ...objectAt(built, "spec"), metadata: [] }).toEqual({ ...objectAt(file, "spec"), metadata: [] });
      expect(field(built, "scopes")).toEqual(field(file, "scopes"));
    },
  );

  test("the pods of the Rollout have the same settings as those of the Deployments", () => {
    const deployment = at(find("base", "Deployment/welcome"), "spec.template.spec");
    const rollout = at(find("blue-green-dapr", "Rollout/dev-superapi-geba"), "spec.template.spec");
    const paths = [
      "securityContext",
      "terminationGracePeriodSeconds",
      "containers.0.securityContext",
      "containers.0.lifecycle",
    ];
    for (const path of paths) {
      expect(at(rollout, path), path).toBeDefined();
      expect(at(rollout, path), path).toEqual(at(deployment, path));
    }
  });

  test("the sidecars of the Rollout have the annotations of the Deployments, and a Configuration that admits no caller", () => {
    const annotations = (kustomization: string, object: string) =>
      objectAt(find(kustomization, object), "spec.template.metadata.annotations");
    expect(annotations("blue-green-dapr", "Rollout/dev-superapi-geba")).toEqual({
      ...annotations("base", "Deployment/welcome"),
      "dapr.io/app-id": "superapi",
    });
    const spec = (kustomization: string) => objectAt(find(kustomization, "Configuration/sidecar"), "spec");
    expect(spec("blue-green-dapr")).toEqual({
      ...spec("base"),
      accessControl: { defaultAction: "deny", trustDomain: "public" },
    });
  });

  test("the sidecars of the Rollout may send the same requests as every pod of base", () => {
    const rulesOf = (kustomization: string, ...names: string[]) =>
      names.map((name) => objectAt(find(kustomization, `NetworkPolicy/${name}`), "spec"));
    const [dns, sidecars] = rulesOf("base", "dns", "sidecars");
    expect(rulesOf("blue-green-dapr", "sidecar")).toEqual([
      { ...sidecars, egress: [...listAt(dns, "egress"), ...listAt(sidecars, "egress")] },
    ]);
  });
});

describe("pods", () => {
  const services: Record<string, object> = { "state-api": stateApi, "group-lister": groupLister, welcome };

  /** Pod templates of the suite's Deployments and Rollouts, each with a label for error messages. */
  const templates = () =>
    [...built].flatMap(([kustomization, objects]) =>
      objects
        .filter(({ kind }) => kustomization !== "policy" && ["Deployment", "Rollout"].includes(kind))
        .filter(({ metadata }) => metadata.name !== "prometheus")
        .map((object) => ({
          label: `${kustomization} ${object.metadata.name}`,
          template: objectAt(object, "spec.template"),
        })),
    );

  /** Read by @azure/identity and by Node, not by group-lister. */
  const credentials = [
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TOKEN_CREDENTIALS",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "NODE_EXTRA_CA_CERTS",
  ];

  test("pods have only environment variables that their service reads", () => {
    for (const { label, template } of templates()) {
      const container = at(template, "spec.containers.0");
      const [, service = ""] = /(?:^|\/)([a-z-]+)(?::|$)/.exec(textAt(container, "image")) ?? [];
      for (const variable of field(container, "env") === undefined ? [] : listAt(container, "env")) {
        const known = [...Object.keys(services[service] ?? {}), ...(service === "group-lister" ? credentials : [])];
        expect(known, label).toContain(field(variable, "name"));
      }
    }
  });

  /** The Deployments of the three services, each with its kustomization. */
  const deployments = () =>
    [...built].flatMap(([kustomization, objects]) =>
      objects
        .filter(({ kind, metadata }) => kind === "Deployment" && metadata.namespace === "dapr-samples")
        .map((object) => [kustomization, object] as const),
    );

  test("Deployments and their pods have the tag of their image as the label version, and no selector has that label", () => {
    const label = "app.kubernetes.io/version";
    for (const [kustomization, object] of deployments()) {
      if (kustomization === "base") continue; // no settings
      const [tag] = /[^:]*$/.exec(textAt(object, "spec.template.spec.containers.0.image")) ?? [];
      for (const path of ["metadata.labels", "spec.template.metadata.labels"])
        expect(objectAt(object, path), kustomization).toHaveProperty([label], tag);
      expect(at(object, "spec.selector.matchLabels"), kustomization).not.toHaveProperty([label]);
    }
    const selecting = ["Service", "PodDisruptionBudget", "NetworkPolicy"];
    for (const { kind, metadata, ...object } of [...built.values()].flat())
      if (selecting.includes(kind)) expect(JSON.stringify(object), metadata.name).not.toContain(label);
  });

  test("the pods of the services run on Linux nodes only", () => {
    expect(templates().length).toBeGreaterThan(10);
    for (const { label, template } of templates())
      expect(at(template, "spec.nodeSelector"), label).toEqual({ "kubernetes.io/os": "linux" });
  });

  test("pods read named keys of a Secret, never all of them", () => {
    const sources = templates().map(({ template }) => at(template, "spec.containers.0.envFrom"));
    expect(JSON.stringify(sources)).not.toContain("secretRef");
  });

  /** Seconds from SIGTERM until the service has ended: preStop and SHUTDOWN_TIMEOUT_MS. */
  const shutdownOf = (template: unknown) =>
    numberAt(template, "spec.containers.0.lifecycle.preStop.sleep.seconds") +
    welcome.SHUTDOWN_TIMEOUT_MS.default / 1000;

  /** Seconds that a sidecar works on after SIGTERM. */
  const blockOf = (template: unknown) => {
    const duration = field(at(template, "metadata.annotations"), "dapr.io/block-shutdown-duration");
    return Number(/^(\d+)s$/.exec(String(duration))?.[1]);
  };

  const hasSidecar = (template: unknown) => field(at(template, "metadata.annotations"), "dapr.io/enabled") === "true";

  test("sidecars work on after SIGTERM for as long as the service can take to end", () => {
    const withSidecar = templates().filter(({ template }) => hasSidecar(template));
    expect(withSidecar.length).toBeGreaterThan(3);
    for (const { label, template } of withSidecar) {
      expect(blockOf(template), label).toBeGreaterThanOrEqual(shutdownOf(template));
    }
  });

  test("pods have a grace period longer than the end of the service and, after it, that of the sidecar", () => {
    for (const { label, template } of templates()) {
      const sidecar = hasSidecar(template) ? blockOf(template) + 5 : 0; // 5 s: the default of daprd
      expect(numberAt(template, "spec.terminationGracePeriodSeconds"), label).toBeGreaterThan(
        shutdownOf(template) + sidecar,
      );
    }
  });

  test("pods have only annotations that the Dapr injector or the webhook of workload identity reads", async () => {
    const webhook = await findSource("dapr", "github.com/Azure/azure-workload-identity");
    const known = [join(dapr, "pkg/injector/annotations/annotations.go"), join(webhook, "pkg/webhook/consts.go")]
      .map((file) => readFileSync(file, "utf8"))
      .join("");
    for (const { label, template } of templates()) {
      const annotations = at(template, "metadata.annotations") ?? {};
      for (const name of Object.keys(annotations)) expect(known, label).toContain(`"${name}"`);
    }
  });
});

test("the network policy for the Dapr control plane has the ports of its Helm chart", () => {
  const rule = at(find("base", "NetworkPolicy/sidecars"), "spec.egress.0");
  const apps = listAt(rule, "to.0.podSelector.matchExpressions.0.values").map(String);
  const chartPorts = apps.map((app) => {
    const name = app.replace("-", "_");
    const file = join(dapr, "charts/dapr/charts", name, "templates", `${name}_deployment.yaml`);
    const deployment = readFileSync(file, "utf8");
    expect(deployment).toContain(`app: ${app}\n`);
    return Number(/containerPort: (\d+)/.exec(deployment)?.[1]);
  });
  expect(listAt(rule, "ports").map((item) => field(item, "port"))).toEqual(chartPorts);
});

test("every pod may send DNS requests to the pods of CoreDNS and to both addresses of AKS LocalDNS", () => {
  const rule = at(find("base", "NetworkPolicy/dns"), "spec.egress.0");
  expect(at(rule, "to.0.podSelector.matchLabels")).toEqual({ "k8s-app": "kube-dns" });
  const [, network = "", prefix] = /^(.*)\/(\d+)$/.exec(textAt(rule, "to.1.ipBlock.cidr")) ?? [];
  const allowed = new BlockList();
  allowed.addSubnet(network, Number(prefix));
  const addresses = ["169.254.10.10", "169.254.10.11", "169.254.169.254"]; // the last one is not DNS
  expect(addresses.filter((address) => allowed.check(address))).toEqual(addresses.slice(0, 2));
  const ports = ["UDP", "TCP"].map((protocol) => ({ protocol, port: 53 }));
  expect(field(rule, "ports")).toEqual(ports);
  expect(at(find("features/local-dns", "CiliumNetworkPolicy/local-dns"), "spec")).toEqual({
    endpointSelector: {},
    egress: [
      { toEntities: ["host"], toPorts: [{ ports: ["UDP", "TCP"].map((protocol) => ({ protocol, port: "53" })) }] },
    ],
  });
});

describe("features/gateway", () => {
  const gateway = () => find("features/gateway", "Gateway/public");
  const namespaceLabel = "kubernetes.io/metadata.name";

  // https://learn.microsoft.com/azure/aks/configure-load-balancer-standard#custom-load-balancer-health-probe-for-port
  test("the load balancer probes the port of HTTPS by a TCP connection, which needs no host name", () => {
    const listeners = listAt(gateway(), "spec.listeners").filter((item) => field(item, "protocol") === "HTTPS");
    expect(listeners).toHaveLength(1);
    const annotation = `service.beta.kubernetes.io/port_${field(listeners[0], "port")}_health-probe_protocol`;
    expect(field(at(gateway(), "spec.infrastructure.annotations"), annotation)).toBe("tcp");
  });

  test("the network policy admits only the pods that Istio creates for the Gateway to welcome", async () => {
    // AKS runs Istio, which creates the pods of a Gateway from this template.
    const istio = await findSource("cluster", "istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad");
    const template = readFileSync(
      join(istio, "manifests/charts/istio-control/istio-discovery/files/kube-gateway.yaml"),
      "utf8",
    );
    const label = "gateway.networking.k8s.io/gateway-name";
    const [, pod = ""] = /\n {2}template:\n(.*?)\n {4}spec:/s.exec(template) ?? [];
    expect(pod).toContain(`"${label}" .Name`);
    const { name, namespace } = gateway().metadata;
    expect(at(find("features/gateway", "NetworkPolicy/welcome"), "spec.ingress")).toEqual([
      {
        from: [
          {
            namespaceSelector: { matchLabels: { [namespaceLabel]: namespace } },
            podSelector: { matchLabels: { [label]: name } },
          },
        ],
        ports: [{ protocol: "TCP", port: 8080 }],
      },
    ]);
  });

  test.each([
    ["welcome", "https"],
    ["redirect-to-https", "http"],
  ])("the listener of route %s is %s, which admits its namespace", (name, listenerName) => {
    const route = find("features/gateway", `HTTPRoute/${name}`);
    const { name: parent, namespace } = gateway().metadata;
    expect(at(route, "spec.parentRefs")).toEqual([{ name: parent, namespace, sectionName: listenerName }]);
    const listener = listAt(gateway(), "spec.listeners").find((item) => field(item, "name") === listenerName);
    expect(at(listener, "allowedRoutes.namespaces.selector")).toEqual({
      matchLabels: { [namespaceLabel]: route.metadata.namespace },
    });
  });

  test("port 80 only redirects to https", () => {
    expect(at(find("features/gateway", "HTTPRoute/redirect-to-https"), "spec.rules")).toEqual([
      { filters: [{ type: "RequestRedirect", requestRedirect: { scheme: "https", statusCode: 301 } }] },
    ]);
  });

  test("the Gateway may read its certificate, and features/gateway-key-vault creates the Secret of that name", () => {
    const [certificate] = listAt(gateway(), "spec.listeners.1.tls.certificateRefs");
    const grant = find("features/gateway", "ReferenceGrant/welcome-tls");
    expect(certificate).toEqual({ name: "welcome-tls", namespace: grant.metadata.namespace });
    expect(at(grant, "spec")).toEqual({
      from: [{ group: "gateway.networking.k8s.io", kind: "Gateway", namespace: gateway().metadata.namespace }],
      to: [{ group: "", kind: "Secret", name: "welcome-tls" }],
    });
    const provider = find("features/gateway-key-vault", "SecretProviderClass/welcome-tls");
    expect(provider.metadata.namespace).toBe(grant.metadata.namespace);
    expect(at(provider, "spec.secretObjects.0")).toMatchObject({
      secretName: "welcome-tls",
      type: "kubernetes.io/tls",
    });
    expect(at(find("features/gateway-key-vault", "Deployment/welcome"), "spec.template.spec.volumes")).toContainEqual(
      expect.objectContaining({
        csi: expect.objectContaining({ volumeAttributes: { secretProviderClass: "welcome-tls" } }),
      }),
    );
  });
});

test("every feature has a README that starts with its name", () => {
  for (const feature of readdirSync(join(folder, "features"))) {
    const readme = readFileSync(join(folder, "features", feature, "README.md"), "utf8");
    expect(readme).toMatch(new RegExp(`^# ${feature}\n`));
  }
});
