// Attacks the manifests from outside: which pods and addresses can open a connection, what a sidecar accepts, and
// whether anything that faces the Internet serves callers who have not signed in. No cluster: cluster.test.ts tries the
// sidecars' rules with real sidecars.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { field } from "../../services/runtime/field.ts";
import { at, listAt, objectAt, textAt } from "../support/at.ts";
import { buildTimeout, findSource } from "../support/go-tools.ts";
import { allows, type Endpoint, type NetworkPolicy } from "../support/network-policies.ts";
import { root } from "../support/processes.ts";
import { buildAll, compose, folder, kustomizations, type Resource, settings } from "./kustomize.ts";

let built: Map<string, Resource[]>;
beforeAll(async () => {
  built = await buildAll();
}, buildTimeout);

const isPolicy = (object: Resource): object is Resource & NetworkPolicy => object.kind === "NetworkPolicy";
/** Builds with objects in namespaces; the constraints of policy/ belong to the cluster. */
const builds = () => [...built].filter(([name]) => !name.startsWith("policy/"));

interface PodTemplate {
  readonly label: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Labels that controllers add to pods whose templates they create; "the labels of …" below compares their sources. */
const spinLabels = { "core.spinkube.dev/app-name": "hello-wasm" };
const gatewayLabels = { "gateway.networking.k8s.io/gateway-name": "public" };

/** The pods that the objects of a build lead to. */
function podsOf(name: string, objects: readonly Resource[]): PodTemplate[] {
  return objects.flatMap((object) => {
    const { kind, metadata } = object;
    const pod = { label: `${name} ${metadata.name}`, namespace: metadata.namespace ?? "", annotations: {} };
    if (kind === "SpinApp") return [{ ...pod, labels: spinLabels }];
    if (kind === "Gateway") return [{ ...pod, labels: gatewayLabels }];
    if (kind !== "Deployment" && kind !== "Rollout") return [];
    const template = objectAt(object, "spec.template.metadata");
    const { labels = {}, annotations = {} }: Partial<PodTemplate> = template;
    return [{ ...pod, labels, annotations }];
  });
}

describe("every kustomization", () => {
  test("denies all traffic by default, in both directions, in each of its namespaces", () => {
    for (const [name, objects] of builds()) {
      const namespaces = new Set(
        objects.map(({ kind, metadata }) => (kind === "Namespace" ? metadata.name : metadata.namespace)),
      );
      const denied = objects
        .filter(isPolicy)
        .filter(({ spec }) => JSON.stringify(spec) === '{"podSelector":{},"policyTypes":["Ingress","Egress"]}')
        .map(({ metadata }) => metadata.namespace);
      expect(new Set(denied), name).toEqual(namespaces);
    }
  });

  test("lets no pod reach the metadata service or the WireServer of its node, except group-lister with pod-identity", () => {
    const open = builds().flatMap(([name, objects]) => {
      const policies = objects.filter(isPolicy);
      const anyPod = [...new Set(policies.map(({ metadata }) => metadata.namespace ?? ""))].map((namespace) => ({
        label: `${name} any pod of ${namespace}`,
        namespace,
        labels: {},
      }));
      const targets = [
        ["169.254.169.254", 80],
        ["168.63.129.16", 80],
        ["168.63.129.16", 32526],
      ] as const;
      return [...podsOf(name, objects), ...anyPod].flatMap((pod) =>
        targets
          .filter(([address, port]) => allows(policies, { from: pod, to: { address }, port }))
          .map(([address, port]) => `${pod.label} -> ${address}:${port}`),
      );
    });
    expect(open.sort()).toEqual([
      "features/pod-identity group-lister -> 169.254.169.254:80",
      "standalone/pod-identity group-lister -> 169.254.169.254:80",
    ]);
  });

  test("gives every Dapr pod a Configuration of its namespace that denies calls by default", () => {
    const withSidecar = builds().flatMap(([name, objects]) =>
      podsOf(name, objects)
        .filter(({ annotations }) => annotations["dapr.io/enabled"] === "true")
        .map((pod) => ({ pod, objects })),
    );
    expect(withSidecar.length).toBeGreaterThan(30);
    for (const { pod, objects } of withSidecar) {
      const configuration = objects.find(
        ({ kind, metadata }) =>
          kind === "Configuration" &&
          metadata.namespace === pod.namespace &&
          metadata.name === pod.annotations["dapr.io/config"],
      );
      expect(at(configuration, "spec.accessControl.defaultAction"), pod.label).toBe("deny");
      for (const policy of listAt({ policies: [], ...objectAt(configuration, "spec.accessControl") }, "policies")) {
        expect(policy, pod.label).toMatchObject({ defaultAction: "deny", namespace: pod.namespace });
      }
    }
  });

  test("gives a token of the sidecar to every service that another sidecar calls, and no token's value", () => {
    for (const [name, objects] of builds()) {
      expect(
        objects.filter(({ kind }) => kind === "Secret"),
        name,
      ).toEqual([]);
      for (const object of objects.filter(
        (each) => each.kind === "Deployment" && each.metadata.name !== "prometheus",
      )) {
        const { annotations = {} }: Partial<PodTemplate> = objectAt(object, "spec.template.metadata");
        const env = listAt(object, "spec.template.spec.containers.0.env");
        const token = env.find((variable) => field(variable, "name") === "APP_API_TOKEN");
        const isCalled = object.metadata.name !== "welcome" && !name.startsWith("standalone/");
        expect(annotations["dapr.io/app-token-secret"], name).toBe(
          isCalled ? `${object.metadata.name}-token` : undefined,
        );
        // The injector reads the key `token`.
        expect(token, name).toEqual(
          isCalled
            ? {
                name: "APP_API_TOKEN",
                valueFrom: { secretKeyRef: { name: `${object.metadata.name}-token`, key: "token" } },
              }
            : undefined,
        );
      }
    }
  });
});

describe("connections", () => {
  const pods: Record<string, Endpoint> = {
    welcome: { namespace: "dapr-samples", labels: { "app.kubernetes.io/name": "welcome" } },
    "state-api": { namespace: "dapr-samples", labels: { "app.kubernetes.io/name": "state-api" } },
    "group-lister": { namespace: "dapr-samples", labels: { "app.kubernetes.io/name": "group-lister" } },
    neighbor: { namespace: "dapr-samples", labels: {} },
    superapi: { namespace: "blue-green", labels: { app: "superapi" } },
    prometheus: { namespace: "blue-green", labels: { app: "prometheus" } },
    "hello-wasm": { namespace: "hello-wasm", labels: spinLabels },
    gateway: { namespace: "gateway", labels: gatewayLabels },
    stranger: {
      namespace: "default",
      labels: { app: "superapi", ...gatewayLabels, "app.kubernetes.io/name": "welcome" },
    },
    CoreDNS: { namespace: "kube-system", labels: { "k8s-app": "kube-dns" } },
    "kube-system": { namespace: "kube-system", labels: {} },
    Sentry: { namespace: "dapr-system", labels: { app: "dapr-sentry" } },
    operator: { namespace: "dapr-system", labels: { app: "dapr-operator" } },
    injector: { namespace: "dapr-system", labels: { app: "dapr-sidecar-injector" } },
    istiod: { namespace: "aks-istio-system", labels: { app: "istiod" } },
    monitoring: { namespace: "monitoring", labels: { app: "prometheus" } },
    "Argo Rollouts": { namespace: "argo-rollouts", labels: { "app.kubernetes.io/name": "argo-rollouts" } },
  };
  const addresses: Record<string, Endpoint> = {
    Internet: { address: "203.0.113.7" },
    LocalDNS: { address: "169.254.10.11" },
    "metadata service": { address: "169.254.169.254" },
  };
  const ports = [
    53, 80, 443, 2579, 3500, 3501, 6443, 6500, 8080, 8443, 9090, 9464, 15012, 15020, 15021, 15090, 50001, 50002,
  ];

  /** All connections to or from a pod of the namespaces that the policies apply to, as `FROM -> TO:PORT`. */
  function listConnections(policies: readonly NetworkPolicy[], isListed: (port: number) => boolean = () => true) {
    const namespaces = new Set(policies.map(({ metadata }) => metadata.namespace));
    const isOurs = (endpoint: Endpoint) => "namespace" in endpoint && namespaces.has(endpoint.namespace);
    const all = Object.entries({ ...pods, ...addresses });
    return all.flatMap(([fromName, from]) =>
      all
        .filter(([toName, to]) => toName !== fromName && (isOurs(from) || isOurs(to)))
        .flatMap(([toName, to]) =>
          ports
            .filter((port) => isListed(port) && allows(policies, { from, to, port }))
            .map((port) => `${fromName} -> ${toName}:${port}`),
        ),
    );
  }
  const policiesOf = (...names: string[]) => names.flatMap((name) => built.get(name) ?? []).filter(isPolicy);
  const everyone = Object.keys({ ...pods, ...addresses });
  const dns = (...from: string[]) => from.flatMap((name) => [`${name} -> CoreDNS:53`, `${name} -> LocalDNS:53`]);
  const controlPlane = (...from: string[]) =>
    from.flatMap((name) => ["Sentry", "operator"].flatMap((to) => [`${name} -> ${to}:50001`, `${name} -> ${to}:6500`]));
  /** Port 443 of any address, and of pods that no policy protects. */
  const https = (from: string, unprotected: readonly string[]) => unprotected.map((to) => `${from} -> ${to}:443`);
  const outside = [
    ...["stranger", "prometheus", "CoreDNS", "kube-system", "Sentry", "operator", "injector", "istiod", "monitoring"],
    "Argo Rollouts",
  ];
  const senders = everyone.filter((name) => !["state-api", "group-lister", "neighbor"].includes(name));

  test("in dapr-samples: welcome is open to the cluster, and its sidecar calls those of the other two services", () => {
    const elsewhere = ["superapi", "hello-wasm", "gateway", ...outside, ...Object.keys(addresses)];
    expect(listConnections(policiesOf("overlays/aks")).sort()).toEqual(
      [
        ...senders.filter((name) => name !== "welcome").map((name) => `${name} -> welcome:8080`),
        "welcome -> state-api:50002",
        "welcome -> group-lister:50002",
        ...dns("welcome", "state-api", "group-lister", "neighbor"),
        ...controlPlane("welcome", "state-api", "group-lister", "neighbor"),
        ...https("group-lister", elsewhere),
        ...https("state-api", elsewhere),
      ].sort(),
    );
  });

  test("in overlays/local: group-lister calls DNS and Dapr's control plane, and nothing of Azure", () => {
    const sent = listConnections(policiesOf("overlays/local")).filter((each) => each.startsWith("group-lister -> "));
    expect(sent.sort()).toEqual([...dns("group-lister"), ...controlPlane("group-lister")].sort());
  });

  test("with the gateway: the Internet reaches only the Gateway, and the Gateway reaches only welcome", () => {
    const strangers = ["superapi", "hello-wasm", ...outside, ...Object.keys(addresses)];
    const inside = ["welcome", "state-api", "group-lister", "neighbor"];
    expect(listConnections(policiesOf("features/gateway")).sort()).toEqual(
      [
        ...strangers.flatMap((name) => [80, 443, 15021].map((port) => `${name} -> gateway:${port}`)),
        "gateway -> welcome:8080",
        "gateway -> istiod:15012",
        "welcome -> state-api:50002",
        "welcome -> group-lister:50002",
        ...dns("gateway", ...inside),
        ...controlPlane(...inside),
        ...https("group-lister", ["gateway", ...strangers]),
        ...https("welcome", ["gateway", ...strangers]), // the keys of Entra ID
      ].sort(),
    );
  });

  test("in hello-wasm: any pod may call the module, which calls nothing", () => {
    expect(listConnections(policiesOf("hello-wasm")).sort()).toEqual(
      everyone
        .filter((name) => name !== "hello-wasm")
        .map((name) => `${name} -> hello-wasm:80`)
        .sort(),
    );
  });

  const callersOfSuperapi = everyone
    .filter((name) => !["superapi", "prometheus"].includes(name))
    .map((name) => `${name} -> superapi:8080`);

  test("in blue-green: any pod may call welcome, which calls nothing; with Dapr, DNS and Dapr's control plane", () => {
    expect(listConnections(policiesOf("blue-green")).sort()).toEqual(callersOfSuperapi.toSorted());
    const inside = ["superapi", "prometheus"];
    expect(listConnections(policiesOf("blue-green-dapr")).sort()).toEqual(
      [...callersOfSuperapi, ...dns(...inside), ...controlPlane(...inside)].sort(),
    );
  });

  test.each(["workload-identity", "pod-identity"])(
    "in standalone/%s: any pod may call group-lister, which calls DNS, Azure and, with pod identity, the metadata service",
    (name) => {
      const others = everyone.filter((other) => other !== "group-lister");
      const inside = ["welcome", "state-api", "neighbor"];
      const identity =
        name === "pod-identity" ? ["metadata service:80", ...others.map((other) => `${other}:2579`)] : [];
      expect(listConnections(policiesOf(`standalone/${name}`)).sort()).toEqual(
        [
          ...others.filter((other) => !inside.includes(other)).map((other) => `${other} -> group-lister:8080`),
          ...dns("group-lister", ...inside),
          ...https("group-lister", ["superapi", "hello-wasm", "gateway", ...outside, ...Object.keys(addresses)]),
          ...identity
            .filter((target) => !inside.some((other) => target.startsWith(`${other}:`)))
            .map((target) => `group-lister -> ${target}`),
        ].sort(),
      );
    },
  );

  test("the pod az calls DNS and Azure, and nothing calls it", () => {
    const [pod, policy] = parseAllDocuments(readFileSync(join(folder, "az.yaml"), "utf8")).map((each) => each.toJS());
    const az: Endpoint = { namespace: "dapr-samples", labels: pod.metadata.labels };
    const policies = [...policiesOf("standalone/workload-identity"), policy];
    const names = Object.keys({ ...pods, ...addresses });
    const open = Object.entries({ ...pods, ...addresses }).flatMap(([name, other]) =>
      ports.flatMap((port) => [
        ...(allows(policies, { from: az, to: other, port }) ? [`az -> ${name}:${port}`] : []),
        ...(allows(policies, { from: other, to: az, port }) ? [`${name} -> az:${port}`] : []),
      ]),
    );
    const unprotected = names.filter((name) => !["welcome", "state-api", "group-lister", "neighbor"].includes(name));
    expect(open.sort()).toEqual([...dns("az"), ...https("az", unprotected)].sort());
  });

  test("in standalone/key-vault: any pod may call welcome, which calls nothing", () => {
    const inside = ["welcome", "state-api", "group-lister", "neighbor"];
    expect(listConnections(policiesOf("standalone/key-vault")).sort()).toEqual(
      everyone
        .filter((name) => !inside.includes(name))
        .map((name) => `${name} -> welcome:8080`)
        .sort(),
    );
  });

  test("in blue-green-analysis and canary: Prometheus reaches the metrics and the API server, and Argo Rollouts reaches it", () => {
    const apiServers = everyone.filter((name) => !["superapi", "prometheus"].includes(name));
    expect(listConnections(policiesOf("blue-green-analysis")).sort()).toEqual(
      [
        ...callersOfSuperapi,
        "prometheus -> superapi:9464",
        "Argo Rollouts -> prometheus:9090",
        ...apiServers.flatMap((name) => [443, 6443, 8443].map((port) => `prometheus -> ${name}:${port}`)),
      ].sort(),
    );
    const specs = (name: string) => policiesOf(name).map(({ spec }) => spec);
    expect(specs("canary")).toEqual(specs("blue-green-analysis"));
  });

  test("the metric smoke of blue-green-analysis reaches welcome and DNS, and nothing reaches it", () => {
    const template = built
      .get("blue-green-analysis")
      ?.find(({ kind, metadata }) => kind === "AnalysisTemplate" && metadata.name === "smoke");
    const labels = objectAt(template, "spec.metrics.1.provider.job.spec.template.metadata.labels");
    const smoke: Endpoint = { namespace: "blue-green", labels: { ...labels } };
    const policies = policiesOf("blue-green-analysis");
    const open = Object.entries({ ...pods, ...addresses }).flatMap(([name, other]) =>
      ports.flatMap((port) => [
        ...(allows(policies, { from: smoke, to: other, port }) ? [`smoke -> ${name}:${port}`] : []),
        ...(allows(policies, { from: other, to: smoke, port }) ? [`${name} -> smoke:${port}`] : []),
      ]),
    );
    expect(open.sort()).toEqual([...dns("smoke"), "smoke -> superapi:8080"].sort());
  });

  test("metrics are closed, and open to the namespace monitoring with the policy on the page", () => {
    const page = readFileSync(join(root, "docs/deploy/kubernetes.md"), "utf8");
    const [, yaml = ""] = /```yaml\n(apiVersion: networking.k8s.io\/v1\n.*?)```/s.exec(page) ?? [];
    const isMetrics = (port: number) => port === 9464 || port === 9090;
    const policies = policiesOf("overlays/aks");
    expect(listConnections(policies, isMetrics)).toEqual([]);
    expect(listConnections([...policies, parse(yaml)], isMetrics)).toEqual(
      ["welcome", "state-api", "group-lister", "neighbor"].flatMap((name) => [
        `monitoring -> ${name}:9090`,
        `monitoring -> ${name}:9464`,
      ]),
    );
  });

  test("the labels of Spin's pods and their port are those that Spin Operator sets", async () => {
    const operator = await findSource("cluster", "github.com/spinkube/spin-operator@v0.6.1");
    const source = (path: string) => readFileSync(join(operator, path), "utf8");
    const [, keyspace] = /OperatorResourceKeyspace = "(.*)"/.exec(source("internal/constants/constants.go")) ?? [];
    const [, label] =
      /NameLabelKey = constants.ConstructResourceLabelKey\("(.*)"\)/.exec(source("pkg/spinapp/spinapp.go")) ?? [];
    expect(Object.keys(spinLabels)).toEqual([`${keyspace}/${label}`]);
    expect(source("internal/controller/spinapp_controller.go")).toMatch(/spinapp\.NameLabelKey: +app\.Name,/);
    expect(source("pkg/spinapp/spinapp.go")).toContain("DefaultHTTPPort = 80\n");
  });
});

describe("on the Internet", () => {
  /** Objects through which the Internet could reach a pod. */
  const publishes = ({ kind, ...object }: Resource) =>
    /^(Ingress|Gateway|X?ListenerSet|.*Route)$/.test(kind) ||
    (kind === "Service" && at(object, "spec.type") !== undefined && at(object, "spec.type") !== "ClusterIP") ||
    /"host(Network|Port)":/.test(JSON.stringify(object));

  const publishers = ["features/gateway", "features/gateway-key-vault"];

  /** Fails if the Internet can reach anything but welcome, or if another namespace can add a route. */
  function expectOnlyWelcome(objects: readonly Resource[]) {
    const published = objects.filter(publishes);
    expect(published.map(({ kind }) => kind).sort()).toEqual(["Gateway", "HTTPRoute", "HTTPRoute"]);
    const welcome = objects.find(({ kind, metadata }) => kind === "Service" && metadata.name === "welcome");
    expect(at(welcome, "spec.selector")).toEqual({ "app.kubernetes.io/name": "welcome" });
    for (const { kind, metadata, ...object } of published) {
      if (kind === "Gateway") {
        // A route of another namespace could take a path of welcome and receive the tokens of its users.
        for (const listener of listAt(object, "spec.listeners")) {
          expect(at(listener, "allowedRoutes")).toEqual({
            namespaces: {
              from: "Selector",
              selector: { matchLabels: { "kubernetes.io/metadata.name": "dapr-samples" } },
            },
          });
        }
      } else {
        expect(metadata.namespace).toBe("dapr-samples");
        expect(at(object, "spec.rules")).toEqual([
          metadata.name === "welcome"
            ? { backendRefs: [{ name: "welcome", port: 80 }] }
            : { filters: [expect.objectContaining({ type: "RequestRedirect" })] },
        ]);
      }
    }
  }

  test("of all builds, only the gateway features publish anything, and they publish only welcome", () => {
    const published = builds().filter(([, objects]) => objects.some(publishes));
    expect(published.map(([name]) => name).sort()).toEqual(publishers);
    for (const [, objects] of published) expectOnlyWelcome(objects);
  });

  const others = kustomizations.Component.filter((name) => !publishers.includes(name));
  const combinations = publishers.flatMap((publisher) => [
    [publisher],
    ...others.flatMap((other) => [
      [publisher, other],
      [other, publisher],
    ]),
  ]);

  test.concurrent.each(combinations.map((features) => [features.join(", ")] as const))(
    "only welcome is published, and requires a sign-in, with %s",
    async (names) => {
      const objects = await compose(`published ${names.replaceAll(/\W/g, "-")}`, names.split(", "));
      expectOnlyWelcome(objects);
      const welcome = objects.find(({ kind, metadata }) => kind === "Deployment" && metadata.name === "welcome");
      const env = listAt(welcome, "spec.template.spec.containers.0.env").map(
        (variable) => [textAt(variable, "name"), field(variable, "value")] as const,
      );
      expect(Object.fromEntries(env)).toMatchObject({
        SIGN_IN_CLIENT_ID: "YOUR-SIGN-IN-CLIENT-ID",
        SIGN_IN_TENANT_ID: "YOUR-TENANT-ID",
      });
      expect(env.map(([name]) => name)).not.toContain("DIRECT_CALLS");
    },
  );

  test("no build publishes welcome without the client id of a sign-in", async () => {
    const { WELCOME_SIGN_IN_CLIENT_ID, ...data } = settings.data;
    for (const name of publishers) {
      await expect(compose(`unsigned ${name.replaceAll("/", "-")}`, [name], data), name).rejects.toThrow(
        /WELCOME_SIGN_IN_CLIENT_ID/,
      );
    }
  });

  test("the overlays and the standalone folders serve callers without a sign-in, and publish nothing", () => {
    for (const [name, objects] of builds().filter(([each]) => /^(overlays|standalone)\//.test(each))) {
      expect(objects.filter(publishes), name).toEqual([]);
      expect(JSON.stringify(objects)).toContain('{"name":"DIRECT_CALLS","value":"anywhere"}');
    }
  });
});
