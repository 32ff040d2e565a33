// Finds the Bicep compiler, or downloads it once, and runs it for diagnostics and plans.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { findCacheFolder } from "../../tools/build-cache/folder.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { root } from "./processes.ts";

const run = promisify(execFile);

/** Pinned, because API versions and linter rules differ between versions. */
const version = "0.49.2";

interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** URL of the releases in GitHub's API, without the tag. */
  readonly releases: string;
}

/**
 * Returns the path of a compiler. Searches in this order: BICEP, in CI only of the pinned version; then the pinned
 * version on PATH, in the folder of `az bicep install`, and in the cache; then downloads it from the releases of Bicep
 * into the cache.
 *
 * @throws with the reason when the download fails, or when BICEP has another version in CI
 */
export async function findBicep(differences: Partial<Surroundings> = {}): Promise<string> {
  const { platform, arch, env, releases } = {
    env: process.env,
    platform: process.platform,
    arch: process.arch,
    releases: "https://api.github.com/repos/Azure/bicep/releases/tags",
    ...differences,
  };
  if (env.BICEP) {
    if (env.CI && !(await isPinned(env.BICEP))) throw new Error(`BICEP=${env.BICEP} is not version ${version}.`);
    return env.BICEP;
  }
  const onPath = (env.PATH ?? "").split(delimiter).filter(Boolean);
  for (const folder of [...onPath, join(env.HOME || homedir(), ".azure", "bin")]) {
    const path = join(folder, platform === "win32" ? "bicep.exe" : "bicep");
    if (existsSync(path) && (await isPinned(path))) return path;
  }
  const asset = nameAsset(platform, arch);
  const cached = join(findCacheFolder({ env, platform }), asset.replace("bicep", `bicep-${version}`));
  if (!existsSync(cached)) await download(`${releases}/v${version}`, asset, cached);
  return cached;
}

/** Like findBicep, for tests that need a compiler: without one it warns and returns undefined, and in CI it throws. */
export async function findBicepOrSkip(): Promise<string | undefined> {
  try {
    return await findBicep();
  } catch (error) {
    if (process.env.CI) throw error;
    console.warn(`\nSKIPPED: Bicep ${version} is missing. Run az bicep install --version v${version}. ${error}\n`);
    return undefined;
  }
}

async function isPinned(path: string): Promise<boolean> {
  const { stdout } = await run(path, ["--version"]).catch(() => ({ stdout: "" }));
  return stdout.includes(` ${version} `);
}

function nameAsset(platform: NodeJS.Platform, arch: string): string {
  const system = platform === "darwin" ? "osx" : platform === "win32" ? "win" : platform;
  return `bicep-${system}-${arch}${platform === "win32" ? ".exe" : ""}`;
}

/** Verifies the digest that GitHub publishes; the Bicep project publishes no checksums. */
async function download(release: string, asset: string, to: string): Promise<void> {
  const { assets } = (await get(release, 5_000).then((response) => response.json())) as { assets: Asset[] };
  const published = assets.find(({ name }) => name === asset);
  if (!published?.digest) throw new Error(`${release} lists no digest for ${asset}`);
  const content = await get(published.browser_download_url, 180_000).then((response) => response.bytes());
  const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
  if (digest !== published.digest) {
    throw new Error(`${asset} is not usable: its digest is ${digest}, but ${published.digest} is published`);
  }
  mkdirSync(dirname(to), { recursive: true });
  const unfinished = `${to}.${process.pid}`;
  writeFileSync(unfinished, content, { mode: 0o755 });
  renameSync(unfinished, to);
}

interface Asset {
  readonly name: string;
  readonly digest: string | null;
  readonly browser_download_url: string;
}

async function get(url: string, timeoutMs: number): Promise<Response> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) }).catch((error) => {
    throw new Error(`${url}: ${error.cause?.message ?? error.message}`);
  });
  if (!response.ok) throw new Error(`${url} returned ${response.status}`);
  return response;
}

/** Environment variables for the parameter files. The compiler gets no others except HOME and PATH. */
export const environment = {
  AZURE_KEY_VAULT_NAME: "kv-of-the-tests",
  AZURE_LOCATION: "westeurope",
  AZURE_PRINCIPAL_ID: "33333333-3333-3333-3333-333333333333",
  DEMO_SECRET: "must-not-appear-in-a-plan",
  MY_ADDRESS: "203.0.113.7",
  QUEUE_ID:
    "/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-work/providers/Microsoft.Storage/storageAccounts/stwork/queueServices/default/queues/orders",
  SERVICE_GROUP_LISTER_IMAGE_NAME: "registry.azurecr.io/group-lister:v1",
  SERVICE_STATE_API_IMAGE_NAME: "registry.azurecr.io/state-api:v1",
  SERVICE_WELCOME_IMAGE_NAME: "registry.azurecr.io/welcome:v1",
  WELCOME_DOMAIN_CERTIFICATE: "requested",
} as const;

export const subscription = "11111111-1111-1111-1111-111111111111";
export const tenant = "22222222-2222-2222-2222-222222222222";
const resourceGroup = "rg-dapr-samples";

interface Diagnostic {
  readonly source: string;
  readonly level: string;
  readonly code: string;
  readonly message: string;
}

interface Compilation {
  readonly success: boolean;
  readonly diagnostics: readonly Diagnostic[];
  /** The template as JSON. */
  readonly contents: string;
}

interface ParametersCompilation {
  readonly success: boolean;
  readonly diagnostics: readonly Diagnostic[];
  /** The parameters as JSON. */
  readonly parameters: string;
  /** The template as JSON. */
  readonly template: string;
}

/**
 * A resource as the deployment would send it. Values that only Azure knows stay expressions: `[reference(…).clientId]`.
 */
export interface Resource {
  readonly id: string;
  readonly type: string;
  readonly name: string;
  readonly apiVersion: string;
  readonly properties: object;
}

/** All resources that a deployment would create, and its outputs. */
export interface Plan {
  readonly resources: readonly Resource[];
  readonly outputs: Readonly<Record<string, string>>;
  /** The whole plan as JSON. */
  readonly text: string;
}

/**
 * Settings of .NET that save a compiler a fifth of its CPU time: no profile for later optimization, no switching
 * between writable and executable memory, no thread for garbage collection, and 128 MiB before the first collection.
 */
export const shortRun = {
  DOTNET_TieredPGO: "0",
  DOTNET_EnableWriteXorExecute: "0",
  DOTNET_gcConcurrent: "0",
  DOTNET_GCgen0size: "0x8000000",
} as const;

export type Bicep = ReturnType<typeof startBicep>;

/**
 * Starts one compiler for many files: `bicep jsonrpc`. Its methods correspond to the commands build, build-params,
 * snapshot and format. It starts in 2 s and responds in tenths of a second. File names are relative to `folder`, by
 * default the repository.
 */
export function startBicep(path: string, { folder = root, env = environment }: Options = {}) {
  const { HOME = "", PATH = "" } = process.env;
  const child = spawn(path, ["jsonrpc", "--stdio"], {
    env: { HOME, PATH, ...shortRun, ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const kill = () => child.kill();
  process.once("exit", kill);
  child.once("close", () => process.off("exit", kill));
  const waiting = new Map<number, (response: RpcResponse) => void>();
  child.once("close", () => {
    for (const settle of waiting.values()) settle({ id: 0, error: { message: "the Bicep compiler exited" } });
  });
  let received = Buffer.alloc(0);
  child.stdout.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    for (;;) {
      const start = received.indexOf("\r\n\r\n") + 4;
      const end = start + Number(/Content-Length: (\d+)/.exec(received.toString("latin1", 0, start))?.[1]);
      if (start < 4 || received.length < end) return;
      const response: RpcResponse = JSON.parse(received.toString("utf8", start, end));
      received = received.subarray(end);
      waiting.get(response.id)?.(response);
    }
  });

  async function call<T>(method: string, file: string, more: object = {}): Promise<T> {
    const id = waiting.size;
    const { promise, resolve } = Promise.withResolvers<RpcResponse>();
    waiting.set(id, resolve);
    const params = [{ path: join(folder, file), ...more }];
    const body = JSON.stringify({ jsonrpc: "2.0", id, method: `bicep/${method}`, params });
    child.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    const { result, error } = await promise;
    if (error) throw new Error(error.data?.message ?? error.message);
    return result as T;
  }

  return {
    compile: (file: string) => call<Compilation>("compile", file),
    compileParameters: (file: string) => call<ParametersCompilation>("compileParams", file, { parameterOverrides: {} }),
    format: (file: string) => call<{ contents: string }>("format", file),
    /** @throws when a type or a fail() rejects the parameters */
    async plan(file: string): Promise<Plan> {
      const metadata = {
        subscriptionId: subscription,
        tenantId: tenant,
        location: environment.AZURE_LOCATION,
        resourceGroup: deploysToSubscription(join(folder, file)) ? undefined : resourceGroup,
      };
      const { snapshot } = await call<{ snapshot: string }>("getSnapshot", file, { metadata, externalInputs: [] });
      const { predictedResources, diagnostics, outputs } = JSON.parse(snapshot);
      if (diagnostics.length > 0) throw new Error(JSON.stringify(diagnostics));
      return { resources: predictedResources, outputs, text: snapshot };
    },
    close: kill,
  };
}

/** Whether the template of a parameter file has the scope of a subscription. Without a scope it has that of a group. */
function deploysToSubscription(parameterFile: string): boolean {
  const [, template = ""] = /^using '(.*)'/m.exec(readFileSync(parameterFile, "utf8")) ?? [];
  return /^targetScope = 'subscription'/m.test(readFileSync(join(dirname(parameterFile), template), "utf8"));
}

interface Options {
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Every rule of the linter as an error. It also applies to the parameter files of test/infra. */
export const strictConfiguration = "test/infra/bicepconfig.json";

export type Workshop = ReturnType<typeof openWorkshop>;

/**
 * Starts a compiler on a copy of infra/ and test/infra/plans, where a test can add files. The strict linter
 * configuration is added to the copy of infra/, which itself has none: at level `error`, a rule of a newer compiler
 * would stop a user's deployment.
 */
export function openWorkshop(path: string, { strict = true, env }: { strict?: boolean; env?: Options["env"] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "bicep-test-"));
  for (const part of ["infra", "test/infra/plans"]) cpSync(join(root, part), join(folder, part), { recursive: true });
  if (strict) cpSync(join(root, strictConfiguration), join(folder, "infra", "bicepconfig.json"));
  const bicep = startBicep(path, { folder, ...(env && { env }) });
  return {
    ...bicep,
    folder,
    close() {
      bicep.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface RpcResponse {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly data?: { readonly message: string } };
}
