// Finds daprd, the Dapr sidecar, or makes one: `node tools/daprd/daprd.ts` prints its path.
// Nothing here needs Docker, root or the Dapr CLI; what is made is kept in the user's cache folder for all clones.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { chmod, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export interface Surroundings {
  env: NodeJS.ProcessEnv;
  platform: NodeJS.Platform;
  arch: string;
  /** Folder of the Go module that pins daprd. */
  module: string;
  /** Where daprd's releases are published, without the version. */
  releases: string;
  /** Told what a long step is doing, many times a second; "" when it is over. */
  report: (progress: string) => void;
  /** Ends a build or a download early. */
  signal: AbortSignal;
}

/** The oldest minor version that Dapr still supports beside the pinned one; it has every flag that start.ts passes. */
export const oldestVersion = "1.16.0";

const buildFlags = ["-mod=readonly", "-tags", "stablecomponents", "-trimpath"];

/**
 * The path of a usable daprd. In this order: the one that DAPRD names, one that is installed (PATH, the Dapr CLI's
 * home), one made by an earlier run, one built from the pinned Go module, one downloaded from Dapr's releases.
 *
 * @throws Error with a message for people: what was tried, and three ways out.
 */
export async function findDaprd(differences: Partial<Surroundings> = {}): Promise<string> {
  const here = { ...describeSurroundings(), ...differences };
  const named = here.env.DAPRD;
  if (named) {
    const fault = findFault(named);
    if (fault) throw new Error(`DAPRD=${named} is of no use: ${fault}. Mend it, or unset it to let daprd be found.`);
    return named;
  }

  const faults: string[] = [];
  for (const path of listInstalled(here)) {
    const fault = findFault(path);
    if (!fault) return path;
    faults.push(`installed: ${path}: ${fault}`);
  }
  if (faults.length === 0) faults.push("installed: none on PATH or in the Dapr CLI's home");

  const version = readPinnedVersion(here);
  const folder = join(findCacheFolder(here), nameBuild(here, version));
  const daprd = join(folder, executable(here, "daprd"));
  if (existsSync(daprd)) return daprd;

  mkdirSync(folder, { recursive: true });
  const unlock = await lock(folder, "daprd", here);
  try {
    if (existsSync(daprd)) return daprd; // made by the run that held the lock
    // Only a killed run leaves these behind; nobody else writes here while we hold the lock.
    for (const name of readdirSync(folder)) {
      if (name.startsWith("making-")) await rm(join(folder, name), { recursive: true, force: true });
    }
    for (const [name, make] of Object.entries({ build, download })) {
      const unfinished = join(folder, executable(here, `making-${process.pid}`));
      try {
        await make(here, version, unfinished);
        const fault = findFault(unfinished);
        if (fault) throw new Error(fault);
        await rename(unfinished, daprd);
        return daprd;
      } catch (error) {
        here.signal.throwIfAborted();
        await rm(unfinished, { force: true });
        faults.push(`${name}: ${error instanceof Error ? error.message : error}`);
      }
    }
  } finally {
    unlock();
    here.report("");
  }
  throw new Error(explainAbsence(here, version, faults));
}

function describeSurroundings(): Surroundings {
  return {
    env: process.env,
    platform: process.platform,
    arch: process.arch,
    module: fileURLToPath(new URL("module", import.meta.url)),
    releases: "https://github.com/dapr/dapr/releases/download",
    report: createReporter(process.stderr),
    signal: new AbortController().signal,
  };
}

/** One line that is rewritten on a terminal, "" clears it; elsewhere a line for each new step and one every 10 s. */
export function createReporter(stream: NodeJS.WriteStream): (progress: string) => void {
  let step = "";
  let saidAt = 0;
  return (progress) => {
    if (stream.isTTY) {
      stream.write(`\r\x1b[K${progress}`);
      return;
    }
    const nextStep = progress.replaceAll(/\d+/g, "");
    if (progress === "" || (nextStep === step && performance.now() - saidAt < 10_000)) return;
    stream.write(`${progress}\n`);
    step = nextStep;
    saidAt = performance.now();
  };
}

/** Why this file cannot be the sidecar of a run; undefined when it can. */
function findFault(path: string): string | undefined {
  let version: string;
  try {
    accessSync(path, constants.X_OK);
    version = execFileSync(path, ["--version"], { encoding: "utf8", timeout: 10_000, stdio: "pipe" }).trim();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return "no such file";
    if (code === "EACCES") return "not executable";
    return "it does not answer --version";
  }
  if (!/^\d+\.\d+\.\d+/.test(version)) return `--version answers "${version.slice(0, 60)}", which is no version`;
  return isOlder(version, oldestVersion) ? `version ${version} is older than ${oldestVersion}` : undefined;
}

function isOlder(version: string, than: string): boolean {
  return version.localeCompare(than, "en", { numeric: true }) < 0;
}

function listInstalled({ env, platform }: Surroundings): string[] {
  const name = platform === "win32" ? "daprd.exe" : "daprd";
  const onPath = (env.PATH ?? "").split(delimiter).filter(Boolean);
  // As GetDaprRuntimePath of github.com/dapr/cli, pkg/standalone/common.go, has it.
  const ofCli = join(env.DAPR_RUNTIME_PATH || env.HOME || homedir(), ".dapr", "bin");
  return [...new Set([...onPath, ofCli])].map((folder) => join(folder, name)).filter((path) => existsSync(path));
}

/** The version stands once, in go.mod. */
function readPinnedVersion({ module }: Surroundings): string {
  const version = /^\s*github\.com\/dapr\/dapr v(\S+)/m.exec(readFileSync(join(module, "go.mod"), "utf8"))?.[1];
  if (!version) throw new Error(`${join(module, "go.mod")} does not require github.com/dapr/dapr`);
  return version;
}

/** Where all clones of this user keep what they have made. */
export function findCacheFolder({ env, platform }: Pick<Surroundings, "env" | "platform">): string {
  const home = env.HOME || homedir();
  const caches =
    platform === "win32"
      ? env.LOCALAPPDATA || join(home, "AppData", "Local")
      : env.XDG_CACHE_HOME || (platform === "darwin" ? join(home, "Library", "Caches") : join(home, ".cache"));
  return join(caches, "dapr-on-azure-samples");
}

/** Another name as soon as anything that goes into the build differs. */
function nameBuild({ module, platform, arch }: Surroundings, version: string): string {
  const hash = createHash("sha256").update(linkerFlags(version)).update(buildFlags.join(" "));
  for (const file of ["go.mod", "go.sum", "main.go"]) hash.update(readFileSync(join(module, file)));
  return `daprd-${version}-${hash.digest("hex").slice(0, 8)}-${platform}-${arch}`;
}

function linkerFlags(version: string): string {
  return `-s -w -X github.com/dapr/dapr/pkg/buildinfo.version=${version}`;
}

function executable({ platform }: Surroundings, name: string): string {
  return platform === "win32" ? `${name}.exe` : name;
}

/**
 * One run at a time makes a thing. The lock is SQLite's on a file: the system drops it when its process ends, however
 * it ends, so there are no stale locks.
 */
export async function lock(
  folder: string,
  thing: string,
  { report, signal }: Pick<Surroundings, "report" | "signal">,
): Promise<() => void> {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(join(folder, "lock"), { timeout: 0 });
  for (;;) {
    try {
      database.exec("BEGIN EXCLUSIVE");
      return () => database.close();
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes("locked")) throw error;
      report(`another run is making ${thing}; waiting for it`);
      await sleep(500, undefined, { signal });
    }
  }
}

/** Builds daprd from the pinned module. */
async function build(here: Surroundings, version: string, to: string): Promise<void> {
  const flags = [...buildFlags, "-ldflags", linkerFlags(version)];
  await buildGo(here, { what: `daprd ${version}`, duration: "3-4 minutes", flags, packages: ["."], to });
}

export interface GoBuild {
  what: string;
  /** On two cores. */
  duration: string;
  flags: readonly string[];
  packages: readonly string[];
  /** The file, or the folder when there are several programs. */
  to: string;
}

/** Builds programs of a Go module. An older Go (≥ 1.21) fetches the one it needs. */
export async function buildGo(
  here: Pick<Surroundings, "module" | "env" | "report" | "signal">,
  { what, duration, flags, packages, to }: GoBuild,
): Promise<void> {
  const run = (args: string[], onLine: (line: string) => void) => runGo(here, args, onLine);
  let go = "";
  await run(["env", "GOVERSION"], (line) => {
    go = line;
  });
  if (/^go1\.(\d|1\d|20)(\D|$)/.test(go)) throw new Error(`${go} is too old`);

  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  const report = (work: string) => here.report(`building ${what} from source, once: ${work}, ${seconds()} s`);

  let all = 0;
  let modules = 0;
  await run(["list", ...flags, "-deps", ...packages], (line) => {
    if (line.startsWith("go: downloading")) report(`downloading its sources, ${++modules} modules`);
    else all++;
  });
  let built = 0;
  // -v names each package once it is compiled; those in Go's own cache go unmentioned.
  await run(["build", ...flags, "-v", "-o", to, ...packages], () =>
    report(`(${duration}) ${++built} of ${all} packages`),
  );
}

/** Runs go in the module's folder and rejects with the last line it said. */
export async function runGo(
  here: Pick<Surroundings, "module" | "env" | "signal">,
  args: string[],
  onLine: (line: string) => void,
): Promise<void> {
  const child = spawn("go", args, {
    cwd: here.module,
    env: { ...here.env, CGO_ENABLED: "0", GOWORK: "off" },
    stdio: ["ignore", "pipe", "pipe"],
    signal: here.signal,
    killSignal: "SIGINT", // upon which go removes its temporary files
  });
  let last = "";
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on("line", (line) => {
      last = line;
      onLine(line);
    });
  }
  await new Promise<void>((resolve, reject) => {
    child.on("error", (error) =>
      reject("code" in error && error.code === "ENOENT" ? new Error("go is not on PATH") : error),
    );
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`go ${args[0]} failed: ${last}`))));
  });
}

/** Downloads the official release of the same version and compares it with the SHA-256 published beside it. */
async function download(here: Surroundings, version: string, to: string): Promise<void> {
  const url = `${here.releases}/v${version}/${nameRelease(here)}`;
  const archive = `${to}-archive`;
  const unpacked = `${to}-unpacked`;
  // undici's own fetch, because Node's cannot be told to give up within 2 s where there is no network.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent({
    connect: { timeout: 2_000 },
    headersTimeout: 10_000,
    bodyTimeout: 30_000,
  });
  const get = async (address: string) => {
    const response = await fetch(address, { dispatcher, signal: here.signal }).catch((error: unknown) => {
      throw new Error(`${address}: ${explainFetchFailure(error)}`);
    });
    if (!response.ok || !response.body) throw new Error(`${address} answers ${response.status}`);
    return { body: response.body, bytes: Number(response.headers.get("content-length")), text: () => response.text() };
  };
  try {
    const published = /\b[0-9a-f]{64}\b/i.exec(await (await get(`${url}.sha256`)).text())?.[0].toLowerCase();
    if (!published) throw new Error(`${url}.sha256 holds no SHA-256`);

    const { body, bytes } = await get(url);
    const hash = createHash("sha256");
    const megabytes = (count: number) => Math.round(count / 1e6);
    let received = 0;
    const watch = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        received += chunk.length;
        here.report(`downloading daprd ${version}, once: ${megabytes(received)} of ${megabytes(bytes)} MB`);
        done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(body), watch, createWriteStream(archive), { signal: here.signal });
    const actual = hash.digest("hex");
    if (actual !== published) throw new Error(`${url} has SHA-256 ${actual}, published is ${published}: not used`);

    mkdirSync(unpacked, { recursive: true });
    const name = executable(here, "daprd");
    execFileSync(findTar(here), ["-xf", archive, "-C", unpacked, name], { stdio: "pipe" });
    await rename(join(unpacked, name), to);
    await chmod(to, 0o755);
  } finally {
    await dispatcher.destroy();
    await rm(archive, { force: true });
    await rm(unpacked, { recursive: true, force: true });
  }
}

function nameRelease({ platform, arch }: Surroundings): string {
  const system = platform === "win32" ? "windows" : platform;
  const processor = arch === "x64" ? "amd64" : arch;
  return `daprd_${system}_${processor}.${platform === "win32" ? "zip" : "tar.gz"}`;
}

/** Windows' own tar reads zip files; the one that Git for Windows puts on PATH does not. */
function findTar({ platform, env }: Surroundings): string {
  return platform === "win32" ? join(env.SystemRoot ?? "C:\\Windows", "System32", "tar.exe") : "tar";
}

function explainFetchFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

function explainAbsence(here: Surroundings, version: string, faults: string[]): string {
  return `There is no usable daprd (the Dapr sidecar) on this machine, and none could be made. Any one of these helps:
  - install the Dapr CLI, then run: dapr init --slim    (https://docs.dapr.io/getting-started/install-dapr-cli/)
  - install Go 1.26 or newer; the next run builds daprd once, in 3-4 minutes    (https://go.dev/doc/install)
  - let this machine download ${here.releases}/v${version}/${nameRelease(here)},
    or fetch and unpack that file elsewhere and set DAPRD=/path/to/daprd
What was tried:
${faults.map((fault) => `  - ${fault}`).join("\n")}`;
}

if (import.meta.main) {
  try {
    console.log(await findDaprd());
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
