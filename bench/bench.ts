// npm run bench: the state API against the sidecar it sits on and against the usual way to write it, in one run.
// Only ratios between rows of the same run mean something; the machine's own speed cancels out.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startAzure } from "../stand-ins/azure/start.ts";
import { findDaprd } from "../tools/daprd/find.ts";
import { type AppTemplate, readTemplate } from "../tools/launch/template.ts";
import { type Load, load, type Target } from "./load.ts";

const ROUNDS = 5;
const WARM_UP_MS = 300;
const MEASURE_MS = 1_000;
const STARTS = 11;
const GROUPS = 1_000;
const ports = {
  ...{ sidecar: 13_500, grpc: 13_501, internal: 13_502, metrics: 13_503 },
  ...{ ours: 13_504, plain: 13_505, groups: 13_506, bareHttp: 13_507, wasm: 13_510, welcome: 13_511 },
  ...{ azure: 13_508, azureHttps: 13_509 },
};
const root = fileURLToPath(new URL("..", import.meta.url));
/** The services as `npm start` runs them. */
const { apps } = readTemplate(`${root}dapr.yaml`);

const keys = Array.from({ length: 1_000 }, (_, index) => `key-${index}`);
const value = { hello: "world", n: 1 };
const keyOf = (index: number) => keys[index % keys.length];
const post = (path: string, body: unknown) => ({ method: "POST" as const, path, body: JSON.stringify(body) });
const origin = (port: number) => `http://127.0.0.1:${port}`;

type Operation = "save" | "get" | "groupz" | "hello";
const operations = ["save", "get"] as const;
const api = (port: number): Partial<Record<Operation, Target>> => ({
  save: { port, request: (index) => post("/state", { key: keyOf(index), data: value }) },
  get: { port, request: (index) => ({ method: "GET", path: `/state/${keyOf(index)}` }) },
});
const store = "/v1.0/state/statestore";
const groupz = (port: number) => ({ groupz: { port, request: () => ({ method: "GET" as const, path: "/groupz" }) } });
const hello = (port: number) => ({ hello: { port, request: () => ({ method: "GET" as const, path: "/" }) } });
const rivals = {
  "state-api": api(ports.ours),
  "bare sidecar": {
    save: { port: ports.sidecar, request: (index: number) => post(store, [{ key: keyOf(index), value }]) },
    get: {
      port: ports.sidecar,
      request: (index: number) => ({ method: "GET", path: `${store}/${keyOf(index)}` }),
    },
  },
  "plain SDK service": api(ports.plain),
  "group-lister": groupz(ports.groups),
  "bare node:http": groupz(ports.bareHttp),
  "hello-wasm": hello(ports.wasm),
  welcome: hello(ports.welcome),
} satisfies Record<string, Partial<Record<Operation, Target>>>;
type Rival = keyof typeof rivals;

interface Row extends Load {
  /** Microseconds of CPU for each request; NaN where the system does not tell. */
  readonly serviceCpu: number;
  readonly sidecarCpu: number;
}

const processes: ChildProcess[] = [];
process.once("exit", () => {
  for (const child of processes) child.kill("SIGKILL");
});

const sidecar = start(await findDaprd(), [
  ...["--app-id", "state-api", "--log-level", "error"],
  ...["--resources-path", fileURLToPath(new URL("components", import.meta.url))],
  ...[
    "--dapr-http-port",
    `${ports.sidecar}`,
    "--dapr-grpc-port",
    `${ports.grpc}`,
    "--dapr-listen-addresses",
    "127.0.0.1",
  ],
  ...["--dapr-internal-grpc-port", `${ports.internal}`, "--dapr-internal-grpc-listen-address", "127.0.0.1"],
  ...["--metrics-port", `${ports.metrics}`, "--metrics-listen-address", "127.0.0.1"],
]);
await answering(`${origin(ports.sidecar)}/v1.0/healthz/outbound`);
const ours = startApp("state-api", ports.ours);
const plain = startNode(["bench/plain-sdk.ts"], { PORT: `${ports.plain}`, DAPR_HTTP_PORT: `${ports.sidecar}` });
await Promise.all([answering(`${origin(ports.ours)}/readyz`), answering(`${origin(ports.plain)}/state/x`)]);

const azure = await startAzure({ port: ports.azure, httpsPort: ports.azureHttps });
for (const subscription of azure.subscriptions) {
  const [group] = subscription.groups;
  if (group) subscription.groups = Array.from({ length: GROUPS }, (_, index) => ({ ...group, name: `rg-${index}` }));
}
const groups = startApp("group-lister", ports.groups);
await answering(`${origin(ports.groups)}/groupz`);
const bareHttp = startNode(["bench/bare-http.ts"], {
  PORT: `${ports.bareHttp}`,
  SAME_AS: `${origin(ports.groups)}/groupz`,
});
await answering(origin(ports.bareHttp));
const wasm = startApp("hello-wasm", ports.wasm);
const welcome = startApp("welcome", ports.welcome);
await Promise.all([answering(origin(ports.wasm)), answering(origin(ports.welcome))]);
const services: Partial<Record<Rival, ChildProcess>> = {
  "state-api": ours,
  "plain SDK service": plain,
  "group-lister": groups,
  "bare node:http": bareHttp,
  "hello-wasm": wasm,
  welcome,
};

const results = new Map<string, Row[]>();
const rowsOf = (connections: number, operation: Operation, rival: Rival) => {
  const name = `${connections} ${operation} ${rival}`;
  return results.get(name) ?? results.set(name, []).get(name) ?? [];
};
for (const connections of [32, 1]) {
  for (const operation of ["save", "get", "groupz", "hello"] as const) {
    const entered = (Object.entries(rivals) as [Rival, Partial<Record<Operation, Target>>][]).flatMap(
      ([rival, { [operation]: target }]) => (target ? { rival, target } : []),
    );
    const names = entered.map(({ rival }) => rival).join(", ");
    process.stderr.write(`${operation}, ${connections} at a time: ${ROUNDS} rounds of ${names}\n`);
    // In turn, so that a slow moment of the machine meets all of them.
    for (let round = 0; round < ROUNDS; round++) {
      for (const { rival, target } of entered) {
        rowsOf(connections, operation, rival).push(await measure(target, connections, services[rival]));
      }
    }
  }
}
const memory = { service: residentMiB(ours), sidecar: residentMiB(sidecar) };
for (const child of [ours, plain, groups, bareHttp, wasm, welcome]) {
  child.kill("SIGTERM");
  await once(child, "exit");
}
const listening = {
  "state-api": await startTimes("state-api"),
  "group-lister": await startTimes("group-lister"),
  welcome: await startTimes("welcome"),
  "hello-wasm": await startTimes("hello-wasm"),
};

console.log(
  `\n${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, ${results.size * ROUNDS} runs of ${MEASURE_MS} ms`,
);
console.table(
  [...results].map(([name, rows]) => {
    const [connections, operation, ...rival] = name.split(" ");
    return {
      "at a time": Number(connections),
      operation,
      of: rival.join(" "),
      "per s": Math.round(median(rows.map(({ perSecond }) => perSecond))),
      "p50 µs": Math.round(median(rows.map(({ p50 }) => p50))),
      "p99 µs": Math.round(median(rows.map(({ p99 }) => p99))),
      "service CPU µs": Number(median(rows.map(({ serviceCpu }) => serviceCpu)).toFixed(1)),
      "sidecar CPU µs": Number(median(rows.map(({ sidecarCpu }) => sidecarCpu)).toFixed(1)),
    };
  }),
);
const bare = "bare sidecar";
const sdk = "plain SDK service";
console.table([
  ...operations.flatMap((operation) => [
    target(
      `${operation}/s, 32 at a time, to the bare sidecar`,
      ratio(32, operation, bare, "perSecond"),
      ">=",
      operation === "save" ? 0.8 : 1,
    ),
    target(`${operation}/s, 32 at a time, to the plain SDK service`, ratio(32, operation, sdk, "perSecond"), ">=", 3),
    target(
      `sidecar CPU of a ${operation}, 32 at a time, to the bare sidecar`,
      ratio(32, operation, bare, "sidecarCpu"),
      "<=",
      0.5,
    ),
  ]),
  target("p50 of get, one at a time, to the bare sidecar", ratio(1, "get", bare, "p50"), "<=", 3.3),
  target(
    "groupz/s, 32 at a time, to bare node:http",
    ratio(32, "groupz", "bare node:http", "perSecond", "group-lister"),
    ">=",
    0.5,
  ),
  target(
    "p50 of groupz in ms, 32 at a time",
    median(rowsOf(32, "groupz", "group-lister").map(({ p50 }) => p50 / 1000)),
    "<=",
    1,
  ),
  ...Object.entries(listening).map(([app, ms]) =>
    target(`${app}: ms from spawn to listening, median of ${STARTS}`, ms, "<=", 150),
  ),
]);
console.log(`Memory after the load: service ${memory.service} MiB, sidecar ${memory.sidecar} MiB.`);
process.exit(0);

/** The median of the rounds' own ratios, ours to the rival. */
function ratio(
  connections: number,
  operation: Operation,
  rival: Rival,
  figure: keyof Row,
  ours: Rival = "state-api",
): number {
  const theirs = rowsOf(connections, operation, rival);
  return median(rowsOf(connections, operation, ours).map((row, round) => row[figure] / (theirs[round]?.[figure] ?? 0)));
}

function target(what: string, measured: number, relation: "<=" | ">=", wanted: number) {
  const met = relation === "<=" ? measured <= wanted : measured >= wanted;
  return { what, wanted: `${relation} ${wanted}`, measured: Number(measured.toFixed(2)), met: met ? "yes" : "NO" };
}

async function measure(target: Target, connections: number, service: ChildProcess | undefined): Promise<Row> {
  await load(target, connections, WARM_UP_MS);
  const before = { service: cpuMicros(service), sidecar: cpuMicros(sidecar) };
  const result = await load(target, connections, MEASURE_MS);
  const requests = (result.perSecond * MEASURE_MS) / 1_000;
  return {
    ...result,
    serviceCpu: service ? (cpuMicros(service) - before.service) / requests : 0,
    sidecarCpu: (cpuMicros(sidecar) - before.sidecar) / requests,
  };
}

/** Milliseconds from spawn to the line that says "listening"; once without counting, which fills the compile cache. */
async function startTimes(appId: string): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run <= STARTS; run++) {
    const started = performance.now();
    const child = startApp(appId, ports.ours, { LOG_LEVEL: "info" });
    const lines = createInterface(child.stdout ?? process.stdin);
    for await (const line of lines) if (line.includes("listening")) break;
    if (run > 0) times.push(performance.now() - started);
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  return median(times);
}

function start(path: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(path, args, { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  processes.push(child);
  return child;
}

/** An app as dapr.yaml describes it, with the ports of this run. */
function startApp(appId: string, port: number, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const app = apps.find(({ appID }) => appID === appId) as AppTemplate;
  const here = {
    PORT: `${port}`,
    DAPR_HTTP_PORT: `${ports.sidecar}`,
    AZURE_STAND_IN_PORT: `${ports.azure}`,
    AZURE_STAND_IN_HTTPS_PORT: `${ports.azureHttps}`,
    LOG_LEVEL: "warn",
  };
  const common = Object.fromEntries(Object.entries(app.env ?? {}).map(([name, value]) => [name, String(value)]));
  return startNode(app.command.slice(1), { ...common, ...here, ...env });
}

function startNode(args: string[], env: NodeJS.ProcessEnv): ChildProcess {
  return start(process.execPath, args, env);
}

async function answering(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer && answer.status < 500) return;
    await sleep(50);
  }
  throw new Error(`${url} does not answer`);
}

/** CPU time of a process so far; Linux only. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function cpuMicros(child: ChildProcess | undefined): number {
  const file = `/proc/${child?.pid}/stat`;
  if (!existsSync(file)) return Number.NaN;
  const fields = readFileSync(file, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000; // in ticks of 10 ms
}

function residentMiB(child: ChildProcess): number {
  const file = `/proc/${child.pid}/status`;
  if (!existsSync(file)) return Number.NaN;
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(file, "utf8"))?.[1]) / 1024);
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
