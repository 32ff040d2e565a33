import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/**
 * Installs a Debian package unless `program` is on PATH. One caller at a time; those that waited find the program. When
 * the install fails, updates the package lists, which may be missing or out of date, and retries.
 */
export async function installFromDebian(program: string, debianPackage: string): Promise<void> {
  const apt = `apt-get install --yes --no-install-recommends ${debianPackage}`;
  const script = `command -v ${program} || ${apt} || { apt-get update && ${apt}; }`;
  const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  const lock = join(tmpdir(), `install-${debianPackage}.lock`);
  const [command = "", ...args] = [...sudo, "flock", lock, "sh", "-c", script];
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await promisify(execFile)(command, args, { env, maxBuffer: 2 ** 26 });
}
