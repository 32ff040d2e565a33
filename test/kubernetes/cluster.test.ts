// infra/kubernetes on a cluster of real programs (nodes are simulated): the API server with Pod Security, Argo Rollouts,
// Gatekeeper, the webhook of workload identity and Dapr's control plane, all at once as on a cluster that has them all.
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { sampleSubscription } from "../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { decode } from "../../stand-ins/azure/tokens.ts";
import { findDaprd } from "../../tools/daprd/find.ts";
import { type Cluster, findPort, startCluster, until } from "../support/cluster.ts";
import {
  createToken,
  type Dapr,
  sidecarImage,
  startAsInPod,
  startDapr,
  startGatekeeper,
  startRollouts,
  startWorkloadIdentity,
} from "../support/cluster-add-ons.ts";
import { startFederatedIssuer } from "../support/federated-issuer.ts";
import { buildTimeout, findSource } from "../support/kubernetes-tools.ts";
import { readBlocks } from "../support/markdown.ts";
import { type Process, root, startService } from "../support/processes.ts";
import { startSecretsStore } from "../support/secrets-store.ts";

const namespace = "dapr-samples";
const services = ["group-lister", "state-api", "welcome"];
const federatedSubject = `system:serviceaccount:${namespace}:group-lister`;
const application = {
  clientId: "00000000-5a4d-4b1e-8000-0000000000c4",
  objectId: "00000000-5a4d-4b1e-8000-0000000000b4",
};

let cluster: Cluster;
let azure: Azure;
let dapr: Dapr;

beforeAll(async () => {
  cluster = await startCluster();
  const { issuer, proxy } = cluster;
  const federated = { issuer, subject: federatedSubject, jwksUri: `${proxy}/openid/v1/jwks` };
  azure = await startAzure({ applications: [{ ...application, federatedCredentials: [federated] }] });
  cpSync(join(root, "infra"), join(cluster.folder, "infra"), { recursive: true });
  const settings = join(cluster.folder, "infra/kubernetes/overlays/aks/settings.yaml");
  const text = readFileSync(settings, "utf8");
  writeFileSync(settings, text.replace(/(?<=GROUP_LISTER_CLIENT_ID: ).*/, application.clientId));

  const driver = await findSource("dapr", "sigs.k8s.io/secrets-store-csi-driver");
  [dapr] = await Promise.all([
    startDapr(cluster),
    startRollouts(cluster),
    startGatekeeper(cluster),
    startWorkloadIdentity(cluster, azure.tenantId),
    kubectl("apply", "--server-side", "-f", join(driver, "config/crd/bases")),
  ]);
  await cluster.sh(block("docs/operate/policy.md", /^kubectl apply -f .*template/));
  // Until then it admits everything, and would have proven nothing.
  await until("Gatekeeper refuses a privileged pod", async () => {
    expect(await refusal(...privileged)).toContain("validation.gatekeeper.sh");
  });
}, buildTimeout);
afterAll(async () => {
  await azure?.close();
  await cluster?.end();
});

/** The one block of a page that fits, to be run as it stands there. */
function block(page: string, pattern: RegExp): string {
  const [found, ...more] = readBlocks(page).filter(({ command }) => pattern.test(command));
  if (!found || more.length > 0) throw new Error(`${page} has ${more.length} more blocks like ${pattern}`);
  return found.command;
}

const kubectl = (...args: string[]) => cluster.kubectl(...args);
const refusal = (...args: string[]) =>
  kubectl(...args).then(
    () => "",
    (error) => String(error.stderr),
  );

const privileged = ["run", "privileged", "--image", "nginx", "--privileged", "--dry-run=server"];

// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds, and what is in them is what is tested
type Resource = any;
const get = async (...args: string[]): Promise<Resource> => JSON.parse(await kubectl("get", ...args, "-o", "json"));
const list = async (...args: string[]): Promise<Resource[]> => (await get(...args)).items;
const readyPods = async (name: string) => {
  const pods = await list("pods", "-n", namespace, "-l", `app.kubernetes.io/name=${name}`);
  const isReady = ({ type, status }: Resource) => type === "Ready" && status === "True";
  return pods.filter(({ metadata, status }) => !metadata.deletionTimestamp && status.conditions?.some(isReady));
};

async function tokenOf(service: string, audience = "api://AzureADTokenExchange"): Promise<string> {
  const [pod] = await readyPods(service);
  return createToken(cluster, service, namespace, pod.metadata.name, audience);
}

/** What a drain asks for. */
async function evict(name: string): Promise<number> {
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } };
  const response = await fetch(`${cluster.proxy}/api/v1/namespaces/${namespace}/pods/${name}/eviction`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(eviction),
  });
  return response.status;
}

/** Sidecars that start before their service are among the init containers. */
const listContainers = ({ spec }: Resource): Resource[] => [...(spec.initContainers ?? []), ...spec.containers];

describe("the suite", () => {
  test("is applied by one command, and every pod of it is admitted and ready, each with its sidecar", async () => {
    await cluster.sh("kubectl apply --server-side -k infra/kubernetes/overlays/aks");
    for (const name of services) {
      // Two, says its autoscaler.
      await expect.poll(() => readyPods(name).then(({ length }) => length), { timeout: 60_000 }).toBe(2);
      for (const pod of await readyPods(name)) {
        const [daprd, ...rest] = listContainers(pod);
        expect(daprd).toMatchObject({ name: "daprd", image: sidecarImage, restartPolicy: "Always" });
        expect(daprd.args.join(" ")).toMatch(new RegExp(`--app-id ${name} .*--config sidecar`));
        expect(rest.map((container) => container.name)).toEqual(["app"]);
      }
    }
  }, 90_000);

  test("has the two pods of each service in different zones", async () => {
    for (const name of services) {
      const nodes = (await readyPods(name)).map(({ spec }) => spec.nodeName);
      expect(new Set(nodes).size).toBe(2);
    }
  });

  test("is in a namespace that admits *restricted* pods only", async () => {
    const loose = ["run", "loose", "-n", namespace, "--image", "nginx", "--dry-run=server"];
    expect(await refusal(...loose)).toContain('violates PodSecurity "restricted:latest"');
  });

  test("loses one pod of a service at a time to a drain", async () => {
    await kubectl("cordon", "--selector", "kubernetes.io/os=linux"); // nobody takes the place of who goes
    for (const name of services) {
      const allowed = async () => (await get("poddisruptionbudget", name, "-n", namespace)).status.disruptionsAllowed;
      await expect.poll(allowed, { timeout: 30_000 }).toBe(1);
      const [first, second] = (await readyPods(name)).map(({ metadata }) => metadata.name);
      expect(await evict(first)).toBe(201);
      expect(await evict(second)).toBe(429);
    }
    await kubectl("uncordon", "--selector", "kubernetes.io/os=linux");
    await kubectl("wait", "deployments", "--all", "-n", namespace, "--for=condition=Available", "--timeout=30s");
  }, 60_000);
});

describe("every switch", () => {
  const overlays = () => join(cluster.folder, "infra/kubernetes/overlays");
  /** What the API server says that has everything but the will to store it; a warning is an error. */
  const dryRun = (overlay: string) =>
    refusal(
      ...["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors"],
      ...["-k", join(overlays(), overlay)],
    );

  test.each(readdirSync(join(root, "infra/kubernetes/features")))("%s is accepted, without a warning", async (name) => {
    cpSync(join(overlays(), "aks"), join(overlays(), name), { recursive: true });
    const file = join(overlays(), name, "kustomization.yaml");
    const { components, ...rest } = parse(readFileSync(file, "utf8"));
    expect(components).not.toEqual([]);
    writeFileSync(file, stringify({ ...rest, components: [`../../features/${name}`] }));
    expect(await dryRun(name)).toBe("");
  });

  test("would be warned of when its pods were more than *restricted*", async () => {
    cpSync(join(overlays(), "aks"), join(overlays(), "loose"), { recursive: true });
    const file = join(overlays(), "loose/kustomization.yaml");
    const kustomization = parse(readFileSync(file, "utf8"));
    const path = "/spec/template/spec/securityContext/runAsNonRoot";
    const patch = { target: { kind: "Deployment" }, patch: `[{ "op": "remove", "path": "${path}" }]` };
    writeFileSync(file, stringify({ ...kustomization, patches: [patch] }));
    expect(await dryRun("loose")).toContain('would violate PodSecurity "restricted:latest"');
  });
});

describe("workload identity", () => {
  const variables = () => ({
    AZURE_CLIENT_ID: application.clientId,
    AZURE_TENANT_ID: azure.tenantId,
    AZURE_FEDERATED_TOKEN_FILE: "/var/run/secrets/azure/wi/token/azure-identity-token",
    AZURE_AUTHORITY_HOST: "https://login.microsoftonline.com/",
  });
  const azureVariables = (container: Resource) =>
    Object.fromEntries(
      (container.env ?? []).flatMap(({ name, value }: Resource) => (/^AZURE_/.test(name) ? [[name, value]] : [])),
    );

  test("gives the pods of group-lister its variables and a token of the service account, and nothing to welcome", async () => {
    for (const pod of await readyPods("group-lister")) {
      const volumes = pod.spec.volumes.filter(({ name }: Resource) => name.startsWith("azure-workload-identity"));
      expect(volumes).toHaveLength(1);
      expect(volumes[0].projected.sources).toEqual([
        {
          serviceAccountToken: {
            audience: "api://AzureADTokenExchange",
            expirationSeconds: 3600,
            path: "token/azure-identity-token",
          },
        },
      ]);
      for (const container of listContainers(pod)) {
        expect(azureVariables(container)).toEqual(variables());
        expect(container.volumeMounts).toContainEqual({
          name: volumes[0].name,
          mountPath: "/var/run/secrets/azure/wi",
          readOnly: true,
        });
      }
    }
    for (const pod of await readyPods("welcome")) {
      for (const container of listContainers(pod)) expect(azureVariables(container)).toEqual({});
    }
  });

  describe("with a token", () => {
    let lister: Process | undefined;
    afterEach(async () => {
      await lister?.end();
    });

    /** group-lister as a process with the variables of its pod; only what is elsewhere here differs. */
    const listGroups = async (token: string) => {
      const file = join(cluster.folder, "azure-identity-token");
      writeFileSync(file, token);
      lister = await startService(
        "group-lister",
        {
          ...variables(),
          AZURE_FEDERATED_TOKEN_FILE: file,
          AZURE_AUTHORITY_HOST: azure.httpsUrl,
          AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
          NODE_EXTRA_CA_CERTS: azure.caFile,
          AZURE_TOKEN_CREDENTIALS: "WorkloadIdentityCredential",
        },
        "/healthz",
      );
      const response = await fetch(`${lister.origin}/groupz`);
      return { status: response.status, body: Object(await response.json()) };
    };

    test("of the cluster for its service account, group-lister lists groups", async () => {
      const { status, body } = await listGroups(await tokenOf("group-lister"));
      expect({ status, body }).toEqual({ status: 200, body: sampleSubscription.groups.map(({ name }) => name) });
    });

    test.each([
      ["of the cluster for another service account", () => tokenOf("welcome"), /AADSTS700213.*dapr-samples:welcome/],
      ["of the cluster for the API server itself", () => tokenOf("group-lister", cluster.issuer), /AADSTS700212/],
      ["of another cluster", () => signElsewhere({ sub: federatedSubject }), /AADSTS700211/],
      ["that another key has signed", forge, /AADSTS700027/],
    ])("%s, it is refused", async (_what, token, reason) => {
      const { status, body } = await listGroups(await token());
      expect({ status, detail: body.detail }).toEqual({ status: 503, detail: expect.stringMatching(reason) });
    });

    async function forge(): Promise<string> {
      const { header, claims } = decode(await tokenOf("group-lister")) ?? {};
      return signElsewhere({ ...claims }, { ...header });
    }

    async function signElsewhere(claims: Record<string, unknown>, header = {}): Promise<string> {
      const issuer = await startFederatedIssuer();
      issuer.close();
      return issuer.token(claims, { header });
    }
  });
});

describe("the secret of Key Vault", () => {
  let store: Awaited<ReturnType<typeof startSecretsStore>>;
  let service: Process;
  let inVault = "demovalue";
  const tell = async () => (await fetch(`${service.origin}/api/secret`)).json();
  const inSecret = async () =>
    Buffer.from((await get("secret", "demosecret", "-n", namespace)).data.demosecret, "base64");

  beforeAll(async () => {
    const [pod] = await readyPods("welcome");
    store = await startSecretsStore(cluster, pod, (name) => (name === "demosecret" ? inVault : ""));
  }, buildTimeout);
  afterAll(async () => {
    await service?.end();
    store?.close();
  });

  test("is asked for as the SecretProviderClass says, with a token of welcome's service account", async () => {
    await store.publish();
    const [asked = {}] = store.asked;
    expect(asked).toMatchObject({
      usePodIdentity: "false",
      clientID: "YOUR-CLIENT-ID",
      keyvaultName: "YOUR-KEY-VAULT",
      tenantId: "YOUR-TENANT-ID",
    });
    const tokens = JSON.parse(asked["csi.storage.k8s.io/serviceAccount.tokens"] ?? "");
    expect(decode(tokens["api://AzureADTokenExchange"].token)?.claims.sub).toBe(
      `system:serviceaccount:${namespace}:welcome`,
    );
  });

  test("is a file and a Secret, which welcome tells of", async () => {
    const folder = await store.publish();
    const demosecret = String(await until("the driver has made the Secret", inSecret));
    service = await startService("welcome", { SECRET_FILE: join(folder, "demosecret"), demosecret });
    expect(await tell()).toEqual({
      name: "demosecret",
      mounted: { bytes: 9, ageSeconds: expect.any(Number) },
      synced: { bytes: 9 },
      restartNeeded: false,
    });
  });

  test("is another one in both after a rotation, and welcome tells that its variable is the old one", async () => {
    inVault = "another value";
    await store.publish();
    expect(await tell()).toMatchObject({ mounted: { bytes: 13 }, synced: { bytes: 9 }, restartNeeded: true });
    await expect.poll(async () => String(await inSecret()), { timeout: 10_000 }).toBe(inVault);
  });
});

describe("blue-green", () => {
  const ofPage = (pattern: RegExp) => cluster.sh(block("docs/operate/blue-green.md", pattern));
  const promotion = /^kubectl argo rollouts promote .*\n/;
  const name = "dev-superapi-geba";
  const inNamespace = ["-n", "blue-green"];
  const getRollout = () => get("rollout", name, ...inNamespace);
  /** WELCOME of every pod that a Service sends requests to. */
  const welcomes = async (service: string) => {
    const slices = await list("endpointslices", ...inNamespace, "-l", `kubernetes.io/service-name=${service}`);
    const pods = slices.flatMap(({ endpoints }) => endpoints ?? []).map(({ targetRef }) => targetRef.name);
    return Promise.all(
      pods.map(async (pod) => {
        const [container] = (await get("pod", pod, ...inNamespace)).spec.containers;
        return (await get("configmap", container.envFrom[0].configMapRef.name, ...inNamespace)).data.WELCOME;
      }),
    );
  };
  const becomes = async (phase: string, active: string, preview?: string) => {
    const read = async () => ({
      phase: (await getRollout()).status.phase,
      active: await welcomes("dev-superapi-svc-active-geba"),
      preview: await welcomes("dev-superapi-svc-preview-geba"),
    });
    const two = (version: string) => [`Hello from ${version}!`, `Hello from ${version}!`];
    await expect
      .poll(read, { timeout: 60_000, interval: 250 })
      .toEqual({ phase, active: two(active), preview: preview ? two(preview) : [] });
  };

  test("the first version is active at once", async () => {
    await ofPage(/^kubectl apply/);
    await becomes("Healthy", "v1", "v1");
  }, 90_000);

  test("another WELCOME is a second version, in preview only, and waits", async () => {
    expect(await ofPage(/^sed/)).toContain("BlueGreenPause");
    await becomes("Paused", "v1", "v2");
  }, 90_000);

  test("a promotion makes it active, and the first one has no pods half a minute later", async () => {
    await ofPage(promotion);
    await becomes("Healthy", "v2", "v2");
    const countPods = () => list("pods", ...inNamespace).then(({ length }) => length);
    expect(await countPods()).toBe(4);
    await expect.poll(countPods, { timeout: 60_000, interval: 500 }).toBe(2);
  }, 120_000);

  test("a rollback is a third revision, which waits as well", async () => {
    await ofPage(/undo/);
    await becomes("Paused", "v2", "v1");
    expect((await getRollout()).metadata.annotations["rollout.argoproj.io/revision"]).toBe("3");
    await ofPage(promotion);
    await becomes("Healthy", "v1", "v1");
  }, 90_000);

  test("an abort leaves what is active alone, and the new version has no pods half a minute later", async () => {
    await cluster.sh(block("docs/operate/blue-green.md", /^sed/).replace("v2", "v3").replace("v1", "v2"));
    await becomes("Paused", "v1", "v3");
    await ofPage(/abort/);
    await becomes("Degraded", "v1", "v3");
    await becomes("Degraded", "v1");
  }, 120_000);

  test("with sidecars, Dapr's operator makes a Service of the app id, with the pods of both versions", async () => {
    await cluster.sh(`kubectl apply -k infra/kubernetes/blue-green-dapr`);
    await becomes("Paused", "v1", "v3");
    expect(await welcomes("superapi-dapr")).toHaveLength(4);
    await ofPage(promotion);
    await becomes("Healthy", "v3", "v3");
  }, 90_000);

  test("nothing of it is left after the clean-up", async () => {
    await ofPage(/^kubectl delete/);
    expect(await refusal("get", "namespace", "blue-green")).toContain("not found");
  }, 60_000);
});

describe("the policy", () => {
  const ofPage = (pattern: RegExp) => cluster.sh(block("docs/operate/policy.md", pattern));
  const proof = /events/;

  test("admits the Deployment of a privileged nginx, and refuses its pods", async () => {
    const refused =
      'admission webhook "validation.gatekeeper.sh" denied the request: [no-privileged-containers] ' +
      'Privileged container is not allowed: nginx, securityContext: {"privileged": true}';
    await expect.poll(() => ofPage(proof), { timeout: 30_000 }).toContain(refused);
    expect(await list("pods", "-l", "app=nginx-privileged")).toEqual([]);
    await kubectl("delete", "deployment", "nginx-privileged");
  }, 60_000);

  test("only reports it when it audits, and has nothing to say of the suite", async () => {
    await cluster.sh("kubectl apply -k infra/kubernetes/policy/audit");
    await until("Gatekeeper admits a privileged pod", () => kubectl(...privileged));
    await ofPage(proof);
    await kubectl("wait", "deployment/nginx-privileged", "--for=condition=Available", "--timeout=30s");
    const violations = async () => JSON.parse((await ofPage(/violations/)) || "[]");
    await expect
      .poll(violations, { timeout: 30_000 })
      .toMatchObject([{ enforcementAction: "dryrun", kind: "Pod", name: expect.stringContaining("nginx-privileged") }]);
  }, 90_000);

  test("nothing of it is left after the clean-up", async () => {
    await cluster.sh(block("docs/operate/policy.md", /^kubectl delete/).replace(/^az .*/m, ""));
    const kind = ["get", "crd", "k8snoprivilege.constraints.gatekeeper.sh"];
    await expect.poll(() => refusal(...kind), { timeout: 30_000 }).toContain("not found");
  }, 60_000);
});

describe("the local overlay, with its sidecars as processes and with what Dapr has injected for them", () => {
  interface Pod {
    service: Process;
    /** Origin. */
    sidecar: string;
  }
  let stateApi: Pod;
  let welcome: Pod;
  afterAll(() => Promise.all([stateApi, welcome].map((pod) => pod?.service.end())));

  beforeAll(async () => {
    await kubectl("delete", "namespace", namespace, "--ignore-not-found");
    await cluster.sh("kubectl apply -k infra/kubernetes/overlays/local");
    await kubectl("wait", "deployments", "--all", "-n", namespace, "--for=condition=Available", "--timeout=60s");
    // A sidecar calls another one on the port that it has itself, so each has an address of its own.
    const internal = await findPort();
    stateApi = await startPod("state-api", "127.0.0.2", internal);
    welcome = await startPod("welcome", "127.0.0.1", internal);
  }, buildTimeout);

  async function startPod(name: string, address: string, internal: string): Promise<Pod> {
    const [app, http] = [await findPort(), await findPort()];
    const service = await startService(name, { PORT: app, DAPR_HTTP_PORT: http }, "/healthz");
    const [pod] = await readyPods(name);
    const [daprd] = listContainers(pod);
    const volume = pod.spec.volumes.find((each: Resource) => each.name === "dapr-identity-token");
    startAsInPod(cluster, {
      path: await findDaprd(),
      // Where Dapr's control plane and everybody else is here; of two values, the last one counts.
      args: [
        ...daprd.args.slice(1),
        ...["--control-plane-address", dapr.operator, "--sentry-address", dapr.sentry, "--app-port", app],
        ...["--dapr-listen-addresses", "127.0.0.1", "--dapr-http-port", http, "--dapr-grpc-port", await findPort()],
        ...["--dapr-internal-grpc-listen-address", address, "--dapr-internal-grpc-port", internal],
        ...["--dapr-public-listen-address", "127.0.0.1", "--dapr-public-port", await findPort()],
        ...["--metrics-listen-address", "127.0.0.1", "--metrics-port", await findPort()],
      ],
      env: Object.fromEntries(daprd.env.flatMap(({ name, value }: Resource) => (value ? [[name, value]] : []))),
      token: await tokenOf(name, volume.projected.sources[0].serviceAccountToken.audience),
      hosts: `127.0.0.2 state-api-dapr.${namespace}.svc.cluster.local\n`,
    });
    const sidecar = `http://127.0.0.1:${http}`;
    await until(`the sidecar of ${name} is up`, async () => {
      expect((await fetch(`${sidecar}/v1.0/healthz/outbound`)).status).toBe(204);
    });
    return { service, sidecar };
  }

  test("Sentry takes their tokens, and the operator gives the state store to state-api alone", async () => {
    const metadata = async ({ sidecar }: Pod) => (await fetch(`${sidecar}/v1.0/metadata`)).json();
    const components = [{ name: "statestore", type: "state.in-memory" }];
    expect(await metadata(stateApi)).toMatchObject({ id: "state-api", components });
    expect(await metadata(welcome)).toMatchObject({ id: "welcome" });
    expect(await metadata(welcome)).not.toHaveProperty("components");
  });

  test("their Configuration leaves them state, invocation and metadata", async () => {
    const ask = async (path: string) => (await fetch(`${stateApi.sidecar}${path}`)).status;
    expect(await ask("/v1.0/state/statestore/nothing")).toBe(204);
    expect(await ask("/v1.0/secrets/kubernetes/demosecret")).toBe(404);
  });

  test("state goes through two sidecars into the memory of one of them", async () => {
    const commands = block("docs/deploy/kubernetes.md", /^curl -X PUT.*\ncurl .*greeting$/);
    const output = await cluster.sh(commands.replaceAll("http://127.0.0.1:8082", welcome.service.origin));
    expect(output).toContain('{"hello":"world"}');
  });
});
