// `npm start`: every app of dapr.yaml with its sidecar, on loopback only, until Ctrl-C or until one of them ends.
// `npm start -- --azure`: the same with your own Azure in the place of the stand-in.
import { existsSync, mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createCredential } from "../../services/group-lister/azure/credential.ts";
import { AzureError } from "../../services/group-lister/azure/error.ts";
import { azureOf, readGroupListerConfig } from "../../services/group-lister/config.ts";
import { findDaprd } from "../daprd/find.ts";
import { findPortOwner, isFree } from "./ports.ts";
import { type Color, kill, type Running, run, stop } from "./supervise.ts";
import {
  type AppTemplate,
  findDatabaseFile,
  listPorts,
  readTemplate,
  type SidecarPorts,
  type Suite,
} from "./template.ts";

const readyWithinMs = Number(process.env.READY_WITHIN_MS ?? 60_000);
const appGraceMs = 12_000; // the services allow themselves 10 s to drain
const sidecarGraceMs = 6_000; // daprd allows itself 5 s

/** An app and the sidecar that most have. */
interface Pair {
  template: AppTemplate;
  app: Part;
  sidecar: Part | undefined;
}

/** A process, with what tells that it is ready. */
interface Part {
  running: Running;
  url: string;
  readyPath: string;
  readyStatus: number;
}

const pairs: Pair[] = [];
const apps = (): Part[] => pairs.map(({ app }) => app);
const sidecars = (): Part[] => pairs.flatMap(({ sidecar }) => sidecar ?? []);
const processes = (): Running[] => [...apps(), ...sidecars()].map(({ running }) => running);
const interrupted = listenForInterrupts();
process.on("exit", () => kill(processes())); // whatever happens, nothing stays behind

try {
  const { values, positionals } = parseArgs({ options: { azure: { type: "boolean" } }, allowPositionals: true });
  const suite = readTemplate(positionals[0] ?? fileURLToPath(new URL("../../dapr.yaml", import.meta.url)));
  const settings = join(suite.root, ".env");
  if (existsSync(settings)) process.loadEnvFile(settings);
  if (values.azure) await signIn();
  await start(values.azure ? withoutStandIn(suite) : suite);
} catch (error) {
  if (interrupted.aborted) {
    console.log("\nStopping everything …");
  } else {
    console.error(`\n${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
} finally {
  // Apps first: while they finish what is in flight they still need their sidecars.
  await stop(
    apps().map(({ running }) => running),
    appGraceMs,
  );
  await stop(
    sidecars().map(({ running }) => running),
    sidecarGraceMs,
  );
}

/** Runs until something ends it: rejects when a process ends, a start fails, or the user has had enough. */
async function start(suite: Suite): Promise<never> {
  mkdirSync(join(suite.root, "data"), { recursive: true });
  await refuseTakenPorts(suite);
  const daprd = await findDaprd({ signal: interrupted });
  interrupted.throwIfAborted();

  console.log(`Starting ${suite.apps.map((app) => app.appID).join(", ")}, with their sidecars (${daprd}) …`);
  const width = Math.max(...suite.apps.map((app) => app.appID.length)) + " daprd".length;
  for (const [index, app] of suite.apps.entries()) pairs.push(startPair(suite, app, daprd, index, width));
  const ending = rejectWhenOver(processes());

  const polling = new AbortController();
  try {
    await Promise.race([waitUntilReady(polling.signal), ending]);
  } finally {
    polling.abort();
  }
  console.log(await Promise.race([describe(suite), ending]));
  return ending;
}

/** Before anything is started, because without an identity there is nothing to show. */
async function signIn(): Promise<void> {
  const config = readGroupListerConfig(process.env);
  const { authorityHost, resource } = azureOf(config);
  const timeoutMs = 5_000; // the Azure CLI alone takes a second or two
  const observe = () => {};
  const credential = createCredential({
    resource,
    clientId: config.AZURE_CLIENT_ID,
    authorityHost,
    timeoutMs,
    observe,
  });
  await credential.getToken(resource).catch((error) => {
    throw error instanceof AzureError ? new Error(`Nothing was started. ${error.message}\n${error.advice}`) : error;
  });
}

/** The suite with the real Azure. */
function withoutStandIn(suite: Suite): Suite {
  const apps = suite.apps.filter(({ appID }) => appID !== "azure-stand-in");
  return { ...suite, apps: apps.map((app) => ({ ...app, env: { ...app.env, AZURE_STAND_IN: "off" } })) };
}

async function refuseTakenPorts(suite: Suite): Promise<void> {
  const faults: string[] = [];
  const seen = new Map<number, string>();
  for (const { port, purpose } of listPorts(suite)) {
    const other = seen.get(port);
    if (other) faults.push(`Port ${port} stands twice in dapr.yaml: ${other}; ${purpose}.`);
    seen.set(port, purpose);
    if (await isFree(port)) continue;
    const owner = findPortOwner(port);
    const culprit = owner ? `process ${owner.pid}: ${owner.command.slice(0, 100)}` : "an unknown process";
    faults.push(`Port ${port} (${purpose}) is taken by ${culprit}`);
  }
  if (faults.length === 0) return;
  throw new Error(
    `Nothing was started.\n${faults.join("\n")}\nEnd what holds them, or choose other ports in dapr.yaml.`,
  );
}

function startPair(suite: Suite, template: AppTemplate, daprd: string, index: number, width: number): Pair {
  const colors: Color[] = ["cyan", "magenta", "green", "yellow", "blue"];
  const color = colors[index % colors.length] ?? "cyan";
  const sidecar = template.daprHTTPPort === undefined ? undefined : startSidecar(suite, template, daprd, color, width);
  const { appID, appPort } = template;
  const [path = "", ...args] = template.command;
  const env = Object.entries(template.env ?? {}).map(([name, value]) => [name, String(value)]);
  const app = run(
    {
      name: appID,
      color,
      path,
      args,
      cwd: template.appDirPath,
      env: {
        ...process.env,
        // What the Dapr CLI sets.
        APP_ID: appID,
        APP_PORT: `${appPort}`,
        ...(template.daprHTTPPort === undefined
          ? {}
          : {
              DAPR_HTTP_PORT: `${template.daprHTTPPort}`,
              DAPR_GRPC_PORT: `${template.daprGRPCPort}`,
              DAPR_METRICS_PORT: `${template.metricsPort}`,
            }),
        ...Object.fromEntries(env),
      },
    },
    width,
  );
  return {
    template,
    app: { running: app, url: `http://127.0.0.1:${appPort}`, readyPath: "/readyz", readyStatus: 200 },
    sidecar,
  };
}

function startSidecar(
  suite: Suite,
  { appID, appPort, ...ports }: AppTemplate & SidecarPorts,
  daprd: string,
  color: Color,
  width: number,
): Part {
  const running = run(
    {
      name: `${appID} daprd`,
      color,
      path: daprd,
      args: [
        ...["--app-id", appID, "--app-port", `${appPort}`],
        ...["--dapr-http-port", `${ports.daprHTTPPort}`, "--dapr-grpc-port", `${ports.daprGRPCPort}`],
        ...["--dapr-listen-addresses", "127.0.0.1"],
        ...["--dapr-internal-grpc-port", `${ports.daprInternalGRPCPort}`],
        ...["--dapr-internal-grpc-listen-address", "127.0.0.1"],
        ...["--metrics-port", `${ports.metricsPort}`, "--metrics-listen-address", "127.0.0.1"],
        ...suite.resources.flatMap((folder) => ["--resources-path", folder]),
        ...["--config", suite.configuration, "--log-level", suite.logLevel, "--log-as-json"],
      ],
      cwd: suite.root,
      env: { ...process.env, DAPR_HOST_IP: "127.0.0.1" }, // the address it tells other sidecars
    },
    width,
  );
  const url = `http://127.0.0.1:${ports.daprHTTPPort}`;
  return { running, url, readyPath: "/v1.0/healthz/outbound", readyStatus: 204 };
}

/** Rejects when the first process ends, or on an interrupt. */
function rejectWhenOver(processes: Running[]): Promise<never> {
  return new Promise((_, reject) => {
    interrupted.addEventListener("abort", () => reject(interrupted.reason));
    for (const { name, ended, lastLines } of processes) {
      ended.then((how) =>
        reject(new Error(`${name} ${how}, so everything stops. Its last lines:\n${indent(lastLines())}`)),
      );
    }
  });
}

async function waitUntilReady(signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  await Promise.all(
    [...sidecars(), ...apps()].map(async ({ running, url, readyPath, readyStatus }) => {
      for (;;) {
        const status = await fetchStatus(url + readyPath);
        if (status === readyStatus) return;
        if (performance.now() > deadline) {
          const answer = status === undefined ? "does not answer" : `answers ${status} instead of ${readyStatus}`;
          throw new Error(
            `${running.name} is not ready after ${readyWithinMs / 1000} s: GET ${url}${readyPath} ${answer}. ` +
              `Its last lines:\n${indent(running.lastLines())}`,
          );
        }
        await sleep(100, undefined, { signal });
      }
    }),
  );
}

async function fetchStatus(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.status;
  } catch {
    return undefined;
  }
}

/** What runs where, and what to try first. */
async function describe(suite: Suite): Promise<string> {
  const rows = [["service", "url", "sidecar", "data"]];
  const tries: string[] = [];
  for (const { template, app, sidecar } of pairs) {
    const stores = sidecar ? await listStores(suite, sidecar.url) : [];
    rows.push([template.appID, app.url, sidecar?.url ?? "", [...stores, ...(await listSamples(app.url))].join(", ")]);
    tries.push(...(await listTries(app.url)));
  }
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const table = rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("   ")}`);
  const ideas = tries.length > 0 ? ["", "Try:", ...tries.map((command) => `  ${command}`)] : [];
  return ["", ...table.map((line) => line.trimEnd()), ...ideas, "", "Ctrl-C stops everything", ""].join("\n");
}

async function listStores(suite: Suite, sidecar: string): Promise<string[]> {
  const { components = [] } = await fetchJson<{ components?: { name: string; type: string }[] }>(
    `${sidecar}/v1.0/metadata`,
  );
  return components
    .filter(({ type }) => type.startsWith("state."))
    .map(({ name, type }) => {
      const file = type === "state.sqlite" ? findDatabaseFile(suite, name) : undefined;
      return `${name} (${type}${file ? `, ${relative(process.cwd(), join(suite.root, file))}` : ""})`;
    });
}

/** Nobody shall take the stand-in's groups for those of a subscription. */
async function listSamples(url: string): Promise<string[]> {
  const { headers } = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(2_000) });
  const standIn = headers.get("sample-data");
  return standIn ? [`SAMPLES from ${standIn}, not your Azure (npm start -- --azure)`] : [];
}

/** The commands that a service suggests in its API description. */
async function listTries(url: string): Promise<string[]> {
  try {
    const { info } = await fetchJson<{ info?: { "x-try"?: string[] } }>(`${url}/openapi.json`);
    return (info?.["x-try"] ?? []).map((command) => command.replaceAll("$URL", url));
  } catch {
    return []; // it has no API description
  }
}

async function fetchJson<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  if (!response.ok) throw new Error(`GET ${url} answers ${response.status}`);
  return (await response.json()) as T;
}

function indent(lines: string[]): string {
  return lines.length > 0 ? lines.map((line) => `  ${line}`).join("\n") : "  (it said nothing)";
}

/** Aborts on the first Ctrl-C, SIGTERM, closed terminal or closed pipe; a second Ctrl-C ends everything at once. */
function listenForInterrupts(): AbortSignal {
  const controller = new AbortController();
  let first = 0;
  const interrupt = () => {
    controller.abort();
    first ||= performance.now();
    // npm passes on the Ctrl-C that the terminal has already sent us: that is still the first.
    if (performance.now() - first < 500) return;
    kill(processes());
    process.exitCode = 130;
    setTimeout(() => process.exit(), 1_000).unref(); // should anything still hold us
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  process.stdout.on("error", () => controller.abort());
  return controller.signal;
}
