// Finds the daprds that are installed on this machine, and checks whether the suite can run them.
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { type Machine, nameExecutable } from "./machine.ts";

/** The oldest minor version that Dapr still supports. It knows every flag of tools/daprd/sidecar.ts. */
const oldestVersion = "1.16.0";

/** Every daprd on PATH, then the one in the Dapr CLI's home. */
export function listInstalled(machine: Machine): string[] {
  const { env } = machine;
  const onPath = (env.PATH ?? "").split(delimiter).filter(Boolean);
  // The same folder as GetDaprRuntimePath of github.com/dapr/cli, pkg/standalone/common.go.
  const ofCli = join(env.DAPR_RUNTIME_PATH || env.HOME || homedir(), ".dapr", "bin");
  const name = nameExecutable(machine);
  return [...new Set([...onPath, ofCli])].map((folder) => join(folder, name)).filter((path) => existsSync(path));
}

/** Why the suite cannot run this daprd; undefined when it can. */
export function findFault(path: string): string | undefined {
  let version: string;
  try {
    accessSync(path, constants.X_OK);
    version = execFileSync(path, ["--version"], { encoding: "utf8", timeout: 10_000, stdio: "pipe" }).trim();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return "no such file";
    if (code === "EACCES") return "not executable";
    return "running it with --version fails";
  }
  if (!/^\d+\.\d+\.\d+/.test(version)) return `--version prints "${version.slice(0, 60)}", which is not a version`;
  return isOlder(version, oldestVersion) ? `version ${version} is older than ${oldestVersion}` : undefined;
}

function isOlder(version: string, than: string): boolean {
  return version.localeCompare(than, "en", { numeric: true }) < 0;
}
