// Starts the servers that are measured: the sidecar, the services as `npm start` runs them, and their rivals.
import { get } from "node:http";
import { fileURLToPath } from "node:url";
import { sampleApplication, sampleUsers } from "../stand-ins/azure/sample.ts";
import { startAzure } from "../stand-ins/azure/start.ts";
import { findDaprd } from "../tools/daprd/find.ts";
import { describeSidecar } from "../tools/daprd/sidecar.ts";
import { readTemplate } from "../tools/launch/template.ts";
import { type Running, type Server, startProcess, waitUntilReady } from "../tools/processes/process.ts";
import { ports } from "./ports.ts";
import { entries, fromUser, type Rival, tokens, toSidecar } from "./rivals.ts";

const GROUPS = 1_000;
const root = fileURLToPath(new URL("..", import.meta.url));
const { apps } = readTemplate(`${root}dapr.yaml`);

export interface Servers {
  sidecar: Running;
  services: Partial<Record<Rival, Running>>;
}

export async function startServers(): Promise<Servers> {
  const sidecar = await startReady(
    describeSidecar({
      daprd: await findDaprd(),
      appId: "state-api",
      ports: ports.sidecar,
      resources: [fileURLToPath(new URL("components", import.meta.url))],
      logLevel: "error",
      cwd: root,
      env: tokens,
    }),
  );
  const filled = await fetch(`http://127.0.0.1:${ports.sidecar.http}/v1.0/state/statestore`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...toSidecar },
    body: JSON.stringify(entries),
  });
  if (!filled.ok) throw new Error(`The sidecar returned ${filled.status} for the entries: ${await filled.text()}`);
  const azure = await startAzure({ port: ports.azure, httpsPort: ports.azureHttps });
  for (const subscription of azure.subscriptions) {
    const [group] = subscription.groups;
    if (group) subscription.groups = Array.from({ length: GROUPS }, (_, index) => ({ ...group, name: `rg-${index}` }));
  }
  const groupLister = describeApp("group-lister", ports.groupLister);
  const [ada] = sampleUsers;
  azure.tokenLifetime = 24 * 3_600;
  fromUser.Authorization = `Bearer ${azure.issueUserToken(ada)}`;
  const signIn = {
    SIGN_IN_CLIENT_ID: sampleApplication.clientId,
    SIGN_IN_TENANT_ID: azure.tenantId,
    SIGN_IN_AUTHORITY: azure.httpsUrl,
    NODE_EXTRA_CA_CERTS: azure.caFile,
  };
  const services = {
    "state-api": await startReady(describeApp("state-api", ports.stateApi)),
    "state-api without checks": await startWithoutChecks("state-api", ports.withoutChecks),
    "plain SDK service": await startReady({
      ...describeScript("bench/plain-sdk.ts", ports.plainSdk, { DAPR_HTTP_PORT: `${ports.sidecar.http}`, ...tokens }),
      readyPath: "/state/x",
    }),
    "group-lister": await startReady({ ...groupLister, readyPath: "/groupz" }),
    "bare node:http": await startReady(
      describeScript("bench/bare-http.ts", ports.bareHttp, { SAME_AS: `${groupLister.origin}/groupz` }),
    ),
    "hello-wasm": await startReady(describeApp("hello-wasm", ports.helloWasm)),
    welcome: await startReady(describeApp("welcome", ports.welcome)),
    "welcome without checks": await startWithoutChecks("welcome", ports.welcomeWithoutChecks),
    "welcome with sign-in": await startReady(describeApp("welcome", ports.welcomeWithSignIn, signIn)),
  };
  return { sidecar, services };
}

/** An app as dapr.yaml describes it, with the ports of the benchmark. */
export function describeApp(appId: string, port: number, env: NodeJS.ProcessEnv = {}): Server {
  const app = apps.find(({ appID }) => appID === appId);
  if (!app) throw new Error(`dapr.yaml has no app ${appId}`);
  const benchmark = {
    PORT: `${port}`,
    DAPR_HTTP_PORT: `${ports.sidecar.http}`,
    AZURE_STAND_IN_PORT: `${ports.azure}`,
    AZURE_STAND_IN_HTTPS_PORT: `${ports.azureHttps}`,
    // A busy machine may stop for longer than the defaults.
    STATESTORE_TIMEOUT_MS: "8000",
    INVOKE_TIMEOUT_MS: "8000",
    WASM_TIMEOUT_MS: "8000",
    ...tokens,
    LOG_LEVEL: "warn",
  };
  return describeNode(appId, app.command.slice(1), port, "/readyz", { ...app.env, ...benchmark, ...env });
}

function describeScript(path: string, port: number, env: NodeJS.ProcessEnv): Server {
  return describeNode(path, [path], port, "/", { PORT: `${port}`, ...env });
}

function describeNode(name: string, args: string[], port: number, readyPath: string, env: NodeJS.ProcessEnv): Server {
  const origin = `http://127.0.0.1:${port}`;
  return { name, path: process.execPath, args, cwd: root, env: { ...process.env, ...env }, origin, readyPath };
}

/** @throws Error when the service still checks its callers: the comparison would be with itself */
async function startWithoutChecks(appId: string, port: number): Promise<Running> {
  const server = describeApp(appId, port);
  const running = await startReady({ ...server, args: ["--import", "./bench/without-checks.ts", ...server.args] });
  const status = await new Promise((resolve, reject) => {
    const options = { headers: { Host: "foreign.example" }, agent: false };
    get(`${server.origin}/`, options, (response) => resolve(response.resume().statusCode)).once("error", reject);
  });
  if (status !== 200) throw new Error(`${appId} without checks returned ${status} for a foreign Host`);
  return running;
}

async function startReady(server: Server): Promise<Running> {
  const running = start(server);
  await waitUntilReady(running, { timeoutMs: 20_000 });
  return running;
}

export function start(server: Server, onLine?: (line: string) => void): Running<Server> {
  return startProcess(server, onLine ?? ((line) => process.stderr.write(`${server.name}: ${line}\n`)));
}
