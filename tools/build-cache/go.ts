// Builds programs from a Go module and reports progress.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Report } from "./progress.ts";

export interface GoModule {
  /** Its folder. */
  module: string;
  env: NodeJS.ProcessEnv;
  report: Report;
  /** Ends a build early. */
  signal: AbortSignal;
}

export interface GoBuild {
  /** Name in the progress line. */
  what: string;
  /** Time on two cores, e.g. "3-4 minutes". */
  duration: string;
  flags: readonly string[];
  packages: readonly string[];
  /** The file, or the folder for several programs. */
  to: string;
}

/**
 * Builds with the Go on PATH: Go 1.21 or newer; it fetches Go 1.26, which the module requires.
 *
 * @throws Error when Go is missing or older, or with the last line of a failed build
 */
export async function buildGo(module: GoModule, { what, duration, flags, packages, to }: GoBuild): Promise<void> {
  let go = "";
  await runGo(module, ["env", "GOVERSION"], (line) => {
    go = line;
  });
  if (/^go1\.(\d|1\d|20)(\D|$)/.test(go)) throw new Error(`${go} is too old`);

  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  const report = (work: string) => module.report(`building ${what} from source, once: ${work}, ${seconds()} s`);

  let all = 0;
  let modules = 0;
  await runGo(module, ["list", ...flags, "-deps", ...packages], (line) => {
    if (line.startsWith("go: downloading")) report(`downloading its sources, ${++modules} modules`);
    else all++;
  });
  let built = 0;
  // -v prints each package that is compiled, and none that comes from Go's own cache.
  await runGo(module, ["build", ...flags, "-v", "-o", to, ...packages], () =>
    report(`(${duration}) ${++built} of ${all} packages`),
  );
}

/** Runs go in the module's folder. Rejects with its last line of output when it fails. */
export async function runGo(
  { module, env, signal }: Pick<GoModule, "module" | "env" | "signal">,
  args: string[],
  onLine: (line: string) => void,
): Promise<void> {
  const child = spawn("go", args, {
    cwd: module,
    env: { ...env, CGO_ENABLED: "0", GOWORK: "off" },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGINT", // makes go remove its temporary files
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
