// Finds daprd, the Dapr sidecar, or gets it: `node tools/daprd/find.ts` prints its path.
// Needs no Docker, root or Dapr CLI.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { findCacheFolder } from "../build-cache/folder.ts";
import { makeOnce } from "../build-cache/make-once.ts";
import { build, nameBuild, readPinnedVersion } from "./build.ts";
import { download } from "./download.ts";
import { findHash, locateRelease } from "./hashes.ts";
import { findFault, listInstalled } from "./installed.ts";
import { describeMachine, type Machine, nameExecutable } from "./machine.ts";

/**
 * Returns the path of a usable daprd, the first of: the one that the environment variable DAPRD names; an installed one
 * (PATH, the Dapr CLI's home); the one in the cache folder. An empty cache is filled with the official release if its
 * SHA-256 is committed, or with a build of the Go module, whose sources go.sum locks.
 *
 * @throws Error with a message for the user: three remedies and what was tried
 */
export async function findDaprd(differences: Partial<Machine> = {}): Promise<string> {
  const machine = { ...describeMachine(), ...differences };
  const named = machine.env.DAPRD;
  if (named) {
    const fault = findFault(named);
    if (fault) throw new Error(`DAPRD=${named} is not usable: ${fault}. Fix or unset it.`);
    return named;
  }

  const faults: string[] = [];
  for (const path of listInstalled(machine)) {
    const fault = findFault(path);
    if (!fault) return path;
    faults.push(`installed: ${path}: ${fault}`);
  }
  if (faults.length === 0) faults.push("installed: none on PATH or in the Dapr CLI's home");

  const version = readPinnedVersion(machine);
  const cached = join(findCacheFolder(machine), nameBuild(machine, version), nameExecutable(machine));
  return makeOnce(cached, "daprd", machine, async (unfinished) => {
    const succeeds = async (name: string, make: typeof build) => {
      try {
        await make(machine, version, unfinished);
        const fault = findFault(unfinished);
        if (fault) throw new Error(fault);
        return true;
      } catch (error) {
        machine.signal.throwIfAborted();
        await rm(unfinished, { force: true });
        faults.push(`${name}: ${error instanceof Error ? error.message : error}`);
        return false;
      }
    };
    if (await succeeds("download", download)) return;
    machine.report(`${faults.at(-1)}. Building from source instead (3-4 minutes).\n`);
    if (await succeeds("build", build)) return;
    throw new Error(explainAbsence(machine, version, faults));
  });
}

function explainAbsence(machine: Machine, version: string, faults: string[]): string {
  const url = locateRelease(machine, version);
  const remedy = findHash(machine, version)
    ? `let this machine download ${url}`
    : `run npm run daprd:hashes and check what it records; the next run then downloads ${url}`;
  return `No usable daprd (the Dapr sidecar) on this machine, and none could be downloaded or built. Do one of these:
  - ${remedy},
    or unpack that file elsewhere and set DAPRD=/path/to/daprd
  - install the Dapr CLI, then run: dapr init --slim    (https://docs.dapr.io/getting-started/install-dapr-cli/)
  - install Go 1.21 or newer; it fetches Go 1.26, and the next run builds daprd once, in 3-4 minutes    (https://go.dev/doc/install)
Tried:
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
