// The committed SHA-256 of daprd's releases, in releases.json. A hash that is published beside a release proves nothing
// about it: who replaces the one replaces the other. `node tools/daprd/hashes.ts` records the hashes of a new version.
import { readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { readPinnedVersion } from "./build.ts";
import { describeMachine, type Machine } from "./machine.ts";

/** The machines that the suite's Node runs on. */
const platforms = [
  { platform: "darwin", arch: "arm64" },
  { platform: "darwin", arch: "x64" },
  { platform: "linux", arch: "arm64" },
  { platform: "linux", arch: "x64" },
  { platform: "win32", arch: "x64" },
] as const;

interface Hashes {
  readonly version: string;
  /** SHA-256 in lower-case hex by the name of the archive. */
  readonly sha256: Readonly<Record<string, string>>;
}

/** Returns the committed SHA-256 of the release for this machine; undefined when there is none. */
export function findHash(machine: Machine, version: string): string | undefined {
  const hashes: Hashes = JSON.parse(readFileSync(machine.hashes, "utf8"));
  return hashes.version === version ? hashes.sha256[nameArchive(machine)] : undefined;
}

/** The URL of the official release for this machine. */
export function locateRelease(machine: Pick<Machine, "releases" | "platform" | "arch">, version: string): string {
  return `${machine.releases}/v${version}/${nameArchive(machine)}`;
}

/**
 * Writes the published hashes of all platforms into the file of hashes.
 *
 * @throws Error when one is missing or unreachable; the file then stays as it is
 */
export async function recordHashes(machine: Machine): Promise<void> {
  const version = readPinnedVersion(machine);
  const sha256: Record<string, string> = {};
  // undici's own fetch, because the one built into Node takes no proxy from the environment by default.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent();
  try {
    for (const platform of platforms) {
      const url = `${locateRelease({ ...machine, ...platform }, version)}.sha256`;
      const response = await fetch(url, { dispatcher, signal: machine.signal });
      const [hash] = /\b[0-9a-f]{64}\b/i.exec(response.ok ? await response.text() : "") ?? [];
      if (!hash) throw new Error(`${url} returned ${response.status} and no SHA-256`);
      sha256[nameArchive(platform)] = hash.toLowerCase();
    }
  } finally {
    await dispatcher.destroy();
  }
  writeFileSync(machine.hashes, `${JSON.stringify({ version, sha256 } satisfies Hashes, null, 2)}\n`);
}

/** The file name of the official release. */
export function nameArchive({ platform, arch }: Pick<Machine, "platform" | "arch">): string {
  const system = platform === "win32" ? "windows" : platform;
  const processor = arch === "x64" ? "amd64" : arch;
  return `daprd_${system}_${processor}.${platform === "win32" ? "zip" : "tar.gz"}`;
}

if (import.meta.main) {
  const machine = describeMachine();
  await recordHashes(machine);
  console.log(`Recorded. Check the change and commit it: git diff ${relative(process.cwd(), machine.hashes)}`);
}
