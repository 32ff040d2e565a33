// Downloads daprd from Dapr's official releases.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createWriteStream, mkdirSync } from "node:fs";
import { chmod, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { findHash, locateRelease, nameArchive } from "./hashes.ts";
import { type Machine, nameExecutable } from "./machine.ts";

/** Short, because a build from source follows where there is no network. */
const timeouts = { connect: { timeout: 2_000 }, headersTimeout: 3_000, bodyTimeout: 5_000 };

/** @throws Error when no SHA-256 of the release is committed, or the release is unreachable, stalls or has another. */
export async function download(machine: Machine, version: string, to: string): Promise<void> {
  const expected = findHash(machine, version);
  if (!expected) {
    const what = `${nameArchive(machine)} of ${version}`;
    throw new Error(`tools/daprd/releases.json has no SHA-256 of ${what}; npm run daprd:hashes records it`);
  }
  const url = locateRelease(machine, version);
  const archive = `${to}-archive`;
  const unpacked = `${to}-unpacked`;
  // undici's own fetch, because the one built into Node takes no connect timeout.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent(timeouts);
  try {
    machine.report(`downloading daprd ${version}, once`);
    const response = await fetch(url, { dispatcher, signal: machine.signal }).catch((error: unknown) => {
      throw new Error(`${url}: ${explainFetchFailure(error)}`);
    });
    if (!response.ok || !response.body) throw new Error(`${url} returned ${response.status}`);
    const bytes = Number(response.headers.get("content-length"));
    const hash = createHash("sha256");
    const megabytes = (count: number) => Math.round(count / 1e6);
    let received = 0;
    const watch = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        received += chunk.length;
        machine.report(`downloading daprd ${version}, once: ${megabytes(received)} of ${megabytes(bytes)} MB`);
        done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(response.body), watch, createWriteStream(archive), {
      signal: machine.signal,
    }).catch((error: unknown) => {
      throw new Error(`${url}: ${explainFetchFailure(error)}`);
    });
    const actual = hash.digest("hex");
    if (actual !== expected) {
      throw new Error(`${url} has SHA-256 ${actual}, but tools/daprd/releases.json has ${expected}: discarded`);
    }

    mkdirSync(unpacked, { recursive: true });
    const name = nameExecutable(machine);
    execFileSync(findTar(machine), ["-xf", archive, "-C", unpacked, name], { stdio: "pipe" });
    await rename(join(unpacked, name), to);
    await chmod(to, 0o755);
  } finally {
    await dispatcher.destroy();
    await rm(archive, { force: true });
    await rm(unpacked, { recursive: true, force: true });
  }
}

/** The tar of Windows itself reads zip files; the one that Git for Windows puts on PATH does not. */
function findTar({ platform, env }: Machine): string {
  return platform === "win32" ? join(env.SystemRoot ?? "C:\\Windows", "System32", "tar.exe") : "tar";
}

function explainFetchFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
