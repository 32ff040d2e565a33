// The programs of a Kubernetes cluster: built once from their own Go modules, kept in the user's cache folder for all clones.
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildGo, createReporter, findCacheFolder, lock, runGo } from "../../tools/daprd/daprd.ts";
import { root } from "./processes.ts";

/** Folders of test/kubernetes/tools; how long each takes on two cores, when Go has compiled nothing of it before. */
const durations = { cluster: "5-10 minutes", rollouts: "2-3 minutes", dapr: "2-3 minutes" };
type Module = keyof typeof durations;

/** For hooks that may have to build. */
export const buildTimeout = 30 * 60_000;

/** The folder of a module's programs. */
export async function findTools(name: Module): Promise<string> {
  const here = describe(name);
  const flags = ["-mod=readonly", "-trimpath", "-ldflags", linkerFlags(here.module)];
  const folder = join(
    findCacheFolder(here),
    `kubernetes-${name}-${hash(here.module, flags)}-${here.platform}-${process.arch}`,
  );
  const programs = join(folder, "bin");
  if (existsSync(programs)) return programs;

  mkdirSync(folder, { recursive: true });
  const what = `the ${name} programs of test/kubernetes`;
  const unlock = await lock(folder, what, here);
  try {
    if (existsSync(programs)) return programs; // made by the run that held the lock
    for (const left of readdirSync(folder).filter((file) => file.startsWith("making-"))) {
      rmSync(join(folder, left), { recursive: true }); // by a run that was killed
    }
    const to = join(folder, `making-${process.pid}/`);
    mkdirSync(to);
    await buildGo(here, { what, duration: durations[name], flags, packages: ["tool"], to });
    renameSync(to, programs);
    return programs;
  } finally {
    unlock();
    here.report("");
  }
}

/** The source folder of a module that the programs are built from: CRDs, install manifests, schemas. */
export async function findSource(name: Module, path: string): Promise<string> {
  let answer = "";
  await runGo(describe(name), ["mod", "download", "-json", path], (line) => {
    answer += line;
  });
  return JSON.parse(answer).Dir;
}

function describe(name: Module) {
  return {
    module: join(root, "test/kubernetes/tools", name),
    env: process.env,
    platform: process.platform,
    report: createReporter(process.stderr),
    signal: new AbortController().signal,
  };
}

/** Kubernetes has its version from the linker, and what talks to it parses that. */
function linkerFlags(module: string): string {
  const pinned = /^\tk8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)$/m.exec(readFileSync(join(module, "go.mod"), "utf8"));
  if (!pinned) return "-s -w";
  const [, gitVersion, gitMajor, gitMinor] = pinned;
  const stamps = Object.entries({ gitVersion, gitMajor, gitMinor });
  return ["-s -w", ...stamps.map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)].join(" ");
}

/** Another one as soon as anything that goes into the build differs. */
function hash(module: string, flags: readonly string[]): string {
  const sum = createHash("sha256").update(flags.join(" "));
  for (const file of globSync("**/*.{go,mod,sum}", { cwd: module }).sort())
    sum.update(readFileSync(join(module, file)));
  return sum.digest("hex").slice(0, 8);
}
