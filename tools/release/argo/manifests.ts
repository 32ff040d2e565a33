// The release of an app as objects of Kubernetes for Argo Rollouts: the same steps, checks and verdicts.
import { stringify } from "yaml";
import { looksOf } from "../core/judge.ts";
import type { Check, Definition, RatioCheck } from "../definition/definition.ts";
import { countRequests, judgeQuery } from "./promql.ts";

export interface Version {
  readonly image: string;
  /** Environment variables of the new version, by name. */
  readonly set: Readonly<Record<string, string>>;
}

function headerOf({ app }: Definition): string {
  const own =
    app === "welcome"
      ? `infra/kubernetes/canary/ has one:
#   kubectl apply -k infra/kubernetes/canary && kubectl delete rollouts,services -n canary -l app=superapi`
      : `The pods get no Dapr sidecar: add the annotations of
# infra/kubernetes/base to the Rollout first.`;
  return `# Argo Rollouts releases each change of the Rollout's pods in these steps. Its analyses need a Service \`prometheus\` in
# the same namespace, of a Prometheus that scrapes port 9464 of the pods and labels the series with
# rollouts_pod_template_hash. ${own}
# Without a traffic router, a weight is a share of the pods. Steps are not extended: an inconclusive analysis pauses the
# Rollout until \`kubectl argo rollouts promote\` or \`abort\`. Tests that run a command are left out.
`;
}

/** The network policies and the Prometheus of infra/kubernetes/canary/ select welcome by the label superapi. */
const labelOf = ({ app }: Definition) => ({ app: app === "welcome" ? "superapi" : app });

/**
 * @returns YAML for `kubectl apply`
 * @throws {DefinitionError} when Prometheus cannot judge a check
 */
export function describeArgo(definition: Definition, version: Version): string {
  const objects = [
    ...describeServices(definition),
    ...describeTests(definition, version),
    describeWatch(definition),
    describePass(definition),
    describeRollout(definition, version),
  ];
  const format = { lineWidth: 0, aliasDuplicateObjects: false };
  return headerOf(definition) + objects.map((object) => stringify(object, format)).join("---\n");
}

/** The second Service selects only pods of the new version: Argo Rollouts adds their hash to its selector. */
function describeServices(definition: Definition) {
  const { app, labels } = definition;
  return [app, `${app}-${labels.next}`].map((name) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { selector: labelOf(definition), ports: [{ port: 80, targetPort: 8080 }] },
  }));
}

function describeTemplate(name: string, args: readonly string[], metrics: readonly object[]) {
  return {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "AnalysisTemplate",
    metadata: { name },
    spec: { args: args.map((arg) => ({ name: arg })), metrics },
  };
}

/** A Job, because the provider web accepts every response with 2xx that is not JSON. */
const testScript = `import { setTimeout as sleep } from "node:timers/promises";
async function check({ get, contains = "" }) {
  const response = await fetch(new URL(get, process.env.URL_OF_VERSION), { signal: AbortSignal.timeout(5_000) });
  if (!response.ok) throw new Error(get + ": status " + response.status);
  if (!(await response.text()).includes(contains)) throw new Error(get + ": the response does not contain " + contains);
}
for (const test of JSON.parse(process.env.TESTS)) {
  // Until the network knows the pods of the new version, there is no response, or an old one.
  for (let seconds = 10; ; seconds -= 1) {
    try {
      await check(test);
      break;
    } catch (error) {
      if (seconds > 0) await sleep(1_000);
      else {
        console.error([error.message, error.cause?.message].filter(Boolean).join(": "));
        process.exit(1);
      }
    }
  }
}
`;

function describeTests({ app, labels, test }: Definition, { image }: Version) {
  const gets = test.filter((one) => "get" in one);
  if (gets.length === 0) return [];
  const env = [
    { name: "URL_OF_VERSION", value: `http://${app}-${labels.next}.{{args.namespace}}.svc` },
    { name: "TESTS", value: JSON.stringify(gets) },
  ];
  const container = {
    name: "test",
    image,
    command: ["node", "--input-type=module", "--eval", testScript],
    env,
    securityContext: restricted,
    resources: { requests: { cpu: "50m", memory: "128Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
  };
  const template = {
    metadata: { labels: { app: "smoke" } }, // infra/kubernetes/canary/ lets these pods call welcome
    spec: { restartPolicy: "Never", ...unprivileged, containers: [container] },
  };
  const job = { spec: { backoffLimit: 0, activeDeadlineSeconds: 120 * gets.length, template } };
  return [describeTemplate(`${app}-test`, ["namespace"], [{ name: "test", provider: { job } }])];
}

const unprivileged = {
  automountServiceAccountToken: false,
  securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
};
const restricted = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

const isRatio = (check: Check): check is RatioCheck => check.source !== "probe";

/** Fails as soon as a check fails, also during a pause, until the new version has all traffic and its bake is over. */
function describeWatch(definition: Definition) {
  const { app, labels, checks } = definition;
  const metrics = checks.map((check) => {
    if (isRatio(check)) {
      return {
        name: `${check.name}-fails`,
        initialDelay: "60s",
        interval: "60s",
        successCondition: "result[0] > -1",
        failureCondition: "result[0] == -1",
        provider: describeQuery(definition, check),
      };
    }
    const url = `http://${app}-${labels.next}.{{args.namespace}}.svc${check.get}`;
    return {
      name: check.name,
      interval: `${check.every}s`,
      consecutiveErrorLimit: check.failures - 1,
      provider: { web: { url, timeoutSeconds: 5 } },
    };
  });
  return describeTemplate(`${app}-watch`, nameArguments(checks), metrics);
}

/** Passes when each check passes. One that is inconclusive pauses the Rollout. */
function describePass(definition: Definition) {
  const { app, checks, inconclusive } = definition;
  const metrics = checks.filter(isRatio).map((check) => ({
    name: `${check.name}-passes`,
    successCondition: "result[0] == 1",
    failureCondition: inconclusive.then === "hold" ? "result[0] == -1" : "result[0] < 1",
    provider: describeQuery(definition, check),
  }));
  return describeTemplate(`${app}-pass`, nameArguments(checks), metrics);
}

function describeQuery(definition: Definition, { name, margin, max }: RatioCheck) {
  const counts = { total: `{{args.total-${name}}}`, bad: `{{args.bad-${name}}}` };
  const query = judgeQuery(counts, "{{args.new}}", "{{args.live}}", { margin, max, looks: looksOf(definition) });
  return { prometheus: { address: "http://prometheus.{{args.namespace}}.svc:9090", query } };
}

const nameArguments = (checks: readonly Check[]) => [
  "namespace",
  "new",
  "live",
  ...checks.filter(isRatio).flatMap(({ name }) => [`total-${name}`, `bad-${name}`]),
];

/** @param window seconds in which requests count */
function describeAnalysis({ app, checks }: Definition, template: "watch" | "pass", window: number) {
  const counts = checks.filter(isRatio).flatMap((check) => {
    const { total, bad } = countRequests(check, window);
    return [
      { name: `total-${check.name}`, value: total },
      { name: `bad-${check.name}`, value: bad },
    ];
  });
  return {
    templates: [{ templateName: `${app}-${template}` }],
    args: [
      namespace,
      { name: "new", valueFrom: { podTemplateHashValue: "Latest" } },
      { name: "live", valueFrom: { podTemplateHashValue: "Stable" } },
      ...counts,
    ],
  };
}

function describeRollout(definition: Definition, { image, set }: Version) {
  const { app, labels, test, steps, bake } = definition;
  const variables = { DIRECT_CALLS: "anywhere", ...set };
  // In the bake, the live version has no requests: those of the last step count, of both versions.
  const bakeWindow = (steps.at(-1)?.for ?? 0) + bake;
  const phases = [
    ...steps.map((step) => ({ ...step, window: step.for })),
    { weight: 100, for: bake, window: bakeWindow, confirm: false },
  ];
  const probe = (path: string) => ({ httpGet: { path, port: 8080 } });
  const container = {
    name: app,
    image,
    ports: [{ containerPort: 8080 }, { containerPort: 9464 }],
    env: [
      ...Object.entries(variables).map(([name, value]) => ({ name, value })),
      // The page of welcome shows it as the version.
      field("POD_TEMPLATE_HASH", "metadata.labels['rollouts-pod-template-hash']"),
    ],
    startupProbe: { ...probe("/healthz"), periodSeconds: 1, failureThreshold: 60 },
    livenessProbe: { ...probe("/healthz"), timeoutSeconds: 2 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 5, timeoutSeconds: 3 },
    lifecycle: { preStop: { sleep: { seconds: 5 } } },
    securityContext: restricted,
    resources: { requests: { cpu: "50m", memory: "128Mi" }, limits: { cpu: "50m", memory: "128Mi" } },
  };
  return {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "Rollout",
    metadata: { name: app },
    spec: {
      // So many pods that one of them is the smallest weight.
      replicas: Math.ceil(100 / Math.min(...steps.map(({ weight }) => weight))),
      selector: { matchLabels: labelOf(definition) },
      progressDeadlineSeconds: 600,
      progressDeadlineAbort: true,
      strategy: {
        canary: {
          canaryService: `${app}-${labels.next}`,
          maxUnavailable: 0,
          analysis: { startingStep: 1, ...describeAnalysis(definition, "watch", bakeWindow) },
          steps: phases.flatMap((phase, index) => [
            { setWeight: phase.weight },
            ...(index === 0 && test.some((one) => "get" in one)
              ? [{ analysis: { templates: [{ templateName: `${app}-test` }], args: [namespace] } }]
              : []),
            { pause: { duration: `${phase.for}s` } },
            { analysis: describeAnalysis(definition, "pass", phase.window) },
            ...(phase.confirm ? [{ pause: {} }] : []),
          ]),
        },
      },
      template: {
        metadata: { labels: labelOf(definition) },
        spec: {
          nodeSelector: { "kubernetes.io/os": "linux" },
          terminationGracePeriodSeconds: 30,
          ...unprivileged,
          containers: [container],
        },
      },
    },
  };
}

const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const namespace = field("namespace", "metadata.namespace");
