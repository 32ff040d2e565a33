import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isFree } from "../../tools/launch/ports.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A real process of the suite on loopback. */
export interface Process {
  readonly origin: string;
  readonly pid: number;
  /** All it printed so far. */
  output(): string;
  /** Ends it and resolves with its exit code, null when the signal ended it. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
  /** The same again, on the same ports, after `end`. */
  restart(): Promise<Process>;
}

interface SidecarOptions {
  readonly appId?: string;
  /** Where the sidecar finds its app, for calls from other sidecars. */
  readonly appPort?: number;
  /** Folders of resources, e.g. `components/local`. */
  readonly resources: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Without the suite's Configuration, a sidecar answers on all of its APIs. */
  readonly config?: string | undefined;
}

const started = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of started) child.kill("SIGKILL"); // a failed test leaves nothing behind
});

/** Starts a real daprd (found or built by the global set-up) and waits until its components are up. */
export async function startSidecar({
  appId = "state-api",
  appPort,
  resources,
  env = {},
  config,
}: SidecarOptions): Promise<Process> {
  const [http, grpc, internal, metrics] = await freePorts(4);
  const args = [
    ...["--app-id", appId, "--log-level", "warn"],
    ...(appPort ? ["--app-port", `${appPort}`] : []),
    ...resources.flatMap((folder) => ["--resources-path", folder]),
    ...(config ? ["--config", config] : []),
    ...["--dapr-http-port", `${http}`, "--dapr-grpc-port", `${grpc}`, "--dapr-listen-addresses", "127.0.0.1"],
    ...["--dapr-internal-grpc-port", `${internal}`, "--dapr-internal-grpc-listen-address", "127.0.0.1"],
    ...["--metrics-port", `${metrics}`, "--metrics-listen-address", "127.0.0.1"],
  ];
  const daprd = process.env.DAPRD;
  if (!daprd) throw new Error("test/support/global-setup.ts has not found a daprd");
  const start = () =>
    launch(daprd, args, { ...env, DAPR_HOST_IP: "127.0.0.1" }, `http://127.0.0.1:${http}`, "/v1.0/healthz/outbound");
  return start();
}

/** Starts a service as users run it, on a free port unless `env` says which, and waits until it is ready, or only live. */
export async function startService(
  name: string,
  env: Readonly<Record<string, string>>,
  until = "/readyz",
): Promise<Process> {
  const port = env.PORT ?? `${(await freePorts(1))[0]}`;
  const args = [`services/${name}/server.ts`];
  return launch(process.execPath, args, { ...env, PORT: port }, `http://127.0.0.1:${port}`, until);
}

async function launch(
  path: string,
  args: string[],
  env: Readonly<Record<string, string>>,
  origin: string,
  readyPath: string,
): Promise<Process> {
  const { child, output, end } = run(path, args, env);
  for (let waited = 0; ; waited += 25) {
    if (child.exitCode !== null || waited > 20_000) {
      child.kill("SIGKILL");
      throw new Error(`${path} ${args[0]} did not become ready:\n${output()}`);
    }
    if (await answersWell(origin + readyPath)) break;
    await sleep(25);
  }
  return { origin, pid: child.pid ?? 0, output, end, restart: () => launch(path, args, env, origin, readyPath) };
}

/** Starts any program; it ends with the tests at the latest. */
export function run(path: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child: ChildProcess = spawn(path, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout?.on("data", (chunk) => (output += chunk));
  child.stderr?.on("data", (chunk) => (output += chunk));
  const exited = once(child, "exit");
  started.add(child);
  return {
    child,
    output: () => output,
    async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
      child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}

async function answersWell(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

/** Below the ports that systems give to outgoing connections, one of which would take a free port meanwhile. */
const ports = { first: 20_000, last: 32_000 };
let nextPort = ports.first + Math.floor(Math.random() * (ports.last - ports.first)); // apart from other runs

/** Ports that nobody has now, and that this run gives out once. */
export async function freePorts(count: number): Promise<number[]> {
  const free: number[] = [];
  while (free.length < count) {
    const port = nextPort++;
    if (nextPort > ports.last) nextPort = ports.first;
    if (await isFree(port)) free.push(port);
  }
  return free;
}

/** The resources of `npm start`, but with a database file of their own, and patience for a busy machine. */
export function sqliteResources(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "state-api-test-"));
  writeFileSync(
    join(folder, "statestore.yaml"),
    `apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: statestore
spec:
  type: state.sqlite
  version: v1
  metadata:
    - name: connectionString
      value: ${join(folder, "state.db")}
`,
  );
  const resiliency = readFileSync(join(root, "components/local/resiliency.yaml"), "utf8");
  writeFileSync(join(folder, "resiliency.yaml"), resiliency.replace("800ms", "10s"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
