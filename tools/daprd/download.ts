// Downloads daprd from Dapr's official releases.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createWriteStream, mkdirSync } from "node:fs";
import { chmod, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Machine, nameExecutable } from "./machine.ts";

/** Short, because a build from source follows where there is no network. */
const timeouts = { connect: { timeout: 2_000 }, headersTimeout: 3_000, bodyTimeout: 5_000 };

/** @throws Error when the release is unreachable, stalls, or differs from the SHA-256 that is published with it */
export async function download(machine: Machine, version: string, to: string): Promise<void> {
  const url = locateRelease(machine, version);
  const archive = `${to}-archive`;
  const unpacked = `${to}-unpacked`;
  // undici's own fetch, because the one built into Node takes no connect timeout.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent(timeouts);
  const get = async (address: string) => {
    const response = await fetch(address, { dispatcher, signal: machine.signal }).catch((error: unknown) => {
      throw new Error(`${address}: ${explainFetchFailure(error)}`);
    });
    if (!response.ok || !response.body) throw new Error(`${address} returned ${response.status}`);
    return { body: response.body, bytes: Number(response.headers.get("content-length")), text: () => response.text() };
  };
  try {
    machine.report(`downloading daprd ${version}, once`);
    const published = /\b[0-9a-f]{64}\b/i.exec(await (await get(`${url}.sha256`)).text())?.[0].toLowerCase();
    if (!published) throw new Error(`${url}.sha256 contains no SHA-256`);

    const { body, bytes } = await get(url);
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
    await pipeline(Readable.fromWeb(body), watch, createWriteStream(archive), { signal: machine.signal }).catch(
      (error: unknown) => {
        throw new Error(`${url}: ${explainFetchFailure(error)}`);
      },
    );
    const actual = hash.digest("hex");
    if (actual !== published) throw new Error(`${url} has SHA-256 ${actual}, but ${published} is published: discarded`);

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

/** The URL of the official release for this machine. */
export function locateRelease({ releases, platform, arch }: Machine, version: string): string {
  const system = platform === "win32" ? "windows" : platform;
  const processor = arch === "x64" ? "amd64" : arch;
  return `${releases}/v${version}/daprd_${system}_${processor}.${platform === "win32" ? "zip" : "tar.gz"}`;
}

/** The tar of Windows itself reads zip files; the one that Git for Windows puts on PATH does not. */
function findTar({ platform, env }: Machine): string {
  return platform === "win32" ? join(env.SystemRoot ?? "C:\\Windows", "System32", "tar.exe") : "tar";
}

function explainFetchFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
