import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeSidecar } from "../../tools/daprd/sidecar.ts";
import { isFree } from "../../tools/processes/ports.ts";
import { type Program, type Server, startProcess, waitUntilReady } from "../../tools/processes/process.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A real process of the suite on loopback. */
export interface Process {
  readonly origin: string;
  readonly pid: number;
  /** Its output so far. */
  output(): string;
  /** Sends SIGTERM, or another signal, and resolves with the exit code: null when the signal ended the process. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
  /** Starts it again on the same ports, after `end`. */
  restart(): Promise<Process>;
}

interface SidecarOptions {
  readonly appId?: string;
  /** Where the sidecar finds its app, for calls from other sidecars. */
  readonly appPort?: number;
  /** Folders of resources, e.g. `components/local`. */
  readonly resources: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** File of the Dapr Configuration; without one, every API of the sidecar is open. */
  readonly config?: string | undefined;
}

/** Starts a real daprd (found by test/support/global-setup.ts) and waits until its components are loaded. */
export async function startSidecar({ appId = "state-api", ...options }: SidecarOptions): Promise<Process> {
  const [http = 0, grpc = 0, internal = 0] = await freePorts(3);
  const ports = { http, grpc, internal };
  const daprd = process.env.DAPRD;
  if (!daprd) throw new Error("DAPRD is not set: test/support/global-setup.ts sets it");
  return launch(describeSidecar({ daprd, appId, ports, logLevel: "warn", cwd: root, ...options }));
}

/**
 * Starts a service as users run it and waits until `readyPath` returns 2xx. Its port is the PORT of `env`, or a free
 * one.
 */
export async function startService(
  name: string,
  env: Readonly<Record<string, string>>,
  readyPath = "/readyz",
): Promise<Process> {
  const port = env.PORT ?? `${(await freePorts(1))[0]}`;
  return launch({
    name,
    path: process.execPath,
    args: [`services/${name}/server.ts`],
    cwd: root,
    env: { ...process.env, ...env, PORT: port },
    origin: `http://127.0.0.1:${port}`,
    readyPath,
  });
}

/** The Configuration of `npm start` with another file for the names of the sidecars. */
export function readLocalConfig(namesFile: string): string {
  return readFileSync(join(root, "components/local/config.yaml"), "utf8").replace("data/names.db", namesFile);
}

/** Starts a program that serves HTTP and waits until it is ready; it ends with the tests at the latest. */
export async function launch(server: Server): Promise<Process> {
  const { running, output, end } = start(server);
  try {
    await waitUntilReady(running, { timeoutMs: 60_000 });
  } catch (error) {
    running.signal("SIGKILL");
    throw new Error(`${error}\nAll its output:\n${output()}`);
  }
  return { origin: server.origin, pid: running.pid, output, end, restart: () => launch(server) };
}

/** Starts any program; it ends with the tests at the latest. */
export function run(path: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { running, output, end } = start({ name: path, path, args, cwd: root, env: { ...process.env, ...env } });
  return { ended: running.ended, output, end };
}

function start<P extends Program>(program: P) {
  let printed = "";
  const running = startProcess(program, (line) => {
    printed += `${line}\n`;
  });
  return {
    running,
    output: () => printed,
    async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
      running.signal(signal);
      return (await running.ended).code;
    },
  };
}

/**
 * Below the ports that systems give to outgoing connections, which could take a free port before its user does. The
 * first port of each block is bound by the process that gives out the others.
 */
const blocks = { first: 20_000, size: 50, count: 240 };
/** Ports of this process's blocks that it has not given out. */
const ours: number[] = [];

/** Returns free ports, each only once. No other process gets them from this function while this one runs. */
export async function freePorts(count: number): Promise<number[]> {
  const free: number[] = [];
  while (free.length < count) {
    const port = ours.shift();
    if (port === undefined) ours.push(...(await claimBlock()));
    else if (await isFree(port)) free.push(port);
  }
  return free;
}

/** Binds the first port of a block until this process ends, and returns the others. */
async function claimBlock(): Promise<number[]> {
  const start = Math.floor(Math.random() * blocks.count); // lets the ports of a process that has just ended rest
  for (let index = 0; index < blocks.count; index++) {
    const first = blocks.first + ((start + index) % blocks.count) * blocks.size;
    const owner = createServer().unref();
    try {
      await once(owner.listen({ port: first, host: "127.0.0.1", exclusive: true }), "listening");
    } catch {
      continue; // another process has it
    }
    return Array.from({ length: blocks.size - 1 }, (_, place) => first + 1 + place);
  }
  throw new Error(`All ports from ${blocks.first} are taken. End other test runs.`);
}

/** Timeouts of the services that a busy machine does not reach. */
export const patience = {
  STATESTORE_TIMEOUT_MS: "20000",
  INVOKE_TIMEOUT_MS: "20000",
  WASM_TIMEOUT_MS: "20000",
  AZURE_TIMEOUT_MS: "20000",
};

/** The resiliency policy as users run it, or with an attempt timeout that a busy machine does not reach. */
type Policy = "shipped" | "patient";

/** The resources of `npm start`, with a database file of their own. */
export function sqliteResources(policy: Policy = "patient"): { folder: string; remove: () => void } {
  const { folder, remove } = resiliencyResources(policy);
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
  return { folder, remove };
}

/** A folder with the resiliency policy alone, for a sidecar whose component is in another folder. */
export function resiliencyResources(policy: Policy): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "state-api-test-"));
  const shipped = readFileSync(join(root, RESILIENCY), "utf8");
  writeFileSync(join(folder, "resiliency.yaml"), policy === "shipped" ? shipped : withPatience(shipped));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export const RESILIENCY = "components/local/resiliency.yaml";

/** The policy with an attempt timeout that a busy machine does not reach. */
export function withPatience(policy: string): string {
  const attempt = /(?<=attempt: )\S+/;
  if (!attempt.test(policy)) throw new Error(`${RESILIENCY} has no timeout named attempt`);
  return policy.replace(attempt, "10s");
}
