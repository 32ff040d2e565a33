import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { findDaprd, type Surroundings } from "../../tools/daprd/daprd.ts";

const script = fileURLToPath(new URL("../../tools/daprd/daprd.ts", import.meta.url));
const fakeDaprd = (version: string) => `#!/bin/sh\necho ${version}\n`;

let folder: string;
let progress: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "daprd-test-"));
  progress = [];
  mkdirSync(join(folder, "bin"));
  vi.stubEnv("NO_PROXY", "127.0.0.1");
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** A machine with an empty home, nothing but the system's tools on PATH, and no network. */
function machine(differences: Partial<Surroundings> = {}): Partial<Surroundings> {
  return {
    env: { HOME: folder, XDG_CACHE_HOME: join(folder, "cache"), PATH: `${join(folder, "bin")}:/usr/bin:/bin` },
    releases: "http://127.0.0.1:2",
    report: (line) => progress.push(line),
    ...differences,
  };
}

function install(path: string, content: string): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, 0o755);
  return file;
}

/** A `go` that answers like Go does, and writes a fake daprd in two halves. */
function installGo({ version = "go1.26.6", buildSeconds = 0, end = "exit 0" } = {}): void {
  install(
    "bin/go",
    `#!/bin/sh
case "$1" in
  env) echo ${version} ;;
  list) echo one; echo two; echo three ;;
  build)
    echo build >> ${folder}/builds
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\n' > "$2"
    chmod +x "$2"
    echo one >&2
    for tenth in $(seq ${buildSeconds * 10}); do sleep 0.1; done
    echo 'echo 1.18.2' >> "$2"
    ${end} ;;
esac
`,
  );
}

const listCache = () => readdirSync(join(folder, "cache", "dapr-on-azure-samples"), { recursive: true }).map(String);

describe("an installed daprd", () => {
  test("that DAPRD names wins over all others", async () => {
    install("bin/daprd", fakeDaprd("1.18.2"));
    const named = install("elsewhere/daprd", fakeDaprd("1.17.0"));
    expect(await findDaprd(machine({ env: { ...machine().env, DAPRD: named } }))).toBe(named);
  });

  test.for([
    ["that does not exist", "/nowhere/daprd", "no such file"],
    ["that is no daprd", "/bin/false", "it does not answer --version"],
  ])("named by DAPRD %s is an error, not a reason to look elsewhere", async ([, path = "", reason = ""]) => {
    install("bin/daprd", fakeDaprd("1.18.2"));
    const search = findDaprd(machine({ env: { ...machine().env, DAPRD: path } }));
    await expect(search).rejects.toThrow(`DAPRD=${path} is of no use: ${reason}`);
  });

  test("is taken from PATH before the Dapr CLI's home", async () => {
    install(".dapr/bin/daprd", fakeDaprd("1.18.2"));
    const onPath = install("bin/daprd", fakeDaprd("1.18.2"));
    expect(await findDaprd(machine())).toBe(onPath);
  });

  test("is found in the home of the Dapr CLI, and where DAPR_RUNTIME_PATH moves it", async () => {
    const inHome = install(".dapr/bin/daprd", fakeDaprd("1.18.2"));
    expect(await findDaprd(machine())).toBe(inHome);
    const moved = install("opt/.dapr/bin/daprd", fakeDaprd("1.18.2"));
    const env = { ...machine().env, DAPR_RUNTIME_PATH: join(folder, "opt") };
    expect(await findDaprd(machine({ env }))).toBe(moved);
  });

  test("that is too old is passed over for a newer one", async () => {
    install("bin/daprd", fakeDaprd("1.9.6"));
    const newer = install(".dapr/bin/daprd", fakeDaprd("1.16.0"));
    expect(await findDaprd(machine())).toBe(newer);
  });
});

describe("a daprd built from source", () => {
  test("is built once and kept for the next run", async () => {
    installGo();
    const built = await findDaprd(machine());
    expect(built).toContain(join(folder, "cache", "dapr-on-azure-samples", "daprd-1.18.2-"));
    expect(await findDaprd(machine())).toBe(built);
    expect(readFileSync(join(folder, "builds"), "utf8")).toBe("build\n");
    expect(progress).toContainEqual(expect.stringMatching(/building daprd 1\.18\.2 .* 1 of 3 packages, \d+ s$/));
  });

  test("is built once for two runs at the same time, and the second one says that it waits", async () => {
    installGo({ buildSeconds: 1 });
    const [first, second] = await Promise.all([findDaprd(machine()), findDaprd(machine())]);
    expect(first).toBe(second);
    expect(readFileSync(join(folder, "builds"), "utf8")).toBe("build\n");
    expect(progress).toContain("another run is making daprd; waiting for it");
  });

  test("whose build was killed half-way is built anew, and the rest of it is gone", async () => {
    installGo({ buildSeconds: 30 });
    const { env } = machine();
    const killed = spawn(process.execPath, [script], { env, detached: true, stdio: "ignore" });
    await vi.waitUntil(() => existsSync(join(folder, "builds")), { timeout: 10_000 });
    process.kill(-(killed.pid ?? Number.NaN), "SIGKILL");
    await new Promise((resolve) => killed.once("exit", resolve));

    installGo();
    const built = await findDaprd(machine());
    expect(execFileSync(built, { encoding: "utf8" })).toBe("1.18.2\n");
    expect(listCache().filter((name) => name.includes("making-"))).toEqual([]);
  });

  test("that fails gives the compiler's last word", async () => {
    installGo({ end: "echo 'no space left on device' >&2; exit 1" });
    await expect(findDaprd(machine())).rejects.toThrow("build: go build failed: no space left on device");
    expect(listCache().filter((name) => name.includes("making-"))).toEqual([]);
  });

  test("is not tried with a Go that cannot fetch a newer one", async () => {
    installGo({ version: "go1.20.14" });
    await expect(findDaprd(machine())).rejects.toThrow("build: go1.20.14 is too old");
  });

  test("is ended by an abort", async () => {
    installGo({ buildSeconds: 30 });
    const abort = new AbortController();
    const search = findDaprd(
      machine({ signal: abort.signal, report: (line) => line.includes("1 of") && abort.abort() }),
    );
    await expect(search).rejects.toThrow("aborted");
  });
});

describe("a downloaded daprd", () => {
  const archive = () => {
    install("release/daprd", fakeDaprd("1.18.2"));
    execFileSync("tar", ["-czf", join(folder, "daprd.tar.gz"), "-C", join(folder, "release"), "daprd"]);
    return readFileSync(join(folder, "daprd.tar.gz"));
  };

  async function serveReleases(files: (path: string) => string | Buffer | undefined) {
    const server = createServer(({ url = "" }, response) => {
      const body = files(url);
      response.writeHead(body === undefined ? 404 : 200).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}`, [Symbol.dispose]: () => server.close() };
  }

  test("is unpacked when its SHA-256 is the published one", async () => {
    const release = archive();
    const sha256 = createHash("sha256").update(release).digest("hex");
    const asked: string[] = [];
    using releases = await serveReleases((path) => {
      asked.push(path);
      return path.endsWith(".sha256") ? `${sha256}  daprd_linux_amd64.tar.gz\n` : release;
    });
    const downloaded = await findDaprd(machine({ releases: releases.url, arch: "x64" }));
    expect(execFileSync(downloaded, { encoding: "utf8" })).toBe("1.18.2\n");
    const system = process.platform;
    expect(asked).toEqual([`/v1.18.2/daprd_${system}_amd64.tar.gz.sha256`, `/v1.18.2/daprd_${system}_amd64.tar.gz`]);
    expect(listCache().filter((name) => name.includes("making-"))).toEqual([]);
  });

  test("with another SHA-256 is not used", async () => {
    const release = archive();
    using releases = await serveReleases((path) => (path.endsWith(".sha256") ? "0".repeat(64) : release));
    await expect(findDaprd(machine({ releases: releases.url }))).rejects.toThrow(/has SHA-256 .* not used/);
    expect(listCache().filter((name) => name.includes("making-") || name.endsWith("/daprd"))).toEqual([]);
  });

  test("that is not published says so", async () => {
    using releases = await serveReleases(() => undefined);
    await expect(findDaprd(machine({ releases: releases.url }))).rejects.toThrow(/download: .*\.sha256 answers 404/);
  });

  test("is given up within seconds where packets go nowhere", async () => {
    const start = performance.now();
    // 192.0.2.0/24 is reserved for documentation: nothing answers there.
    await expect(findDaprd(machine({ releases: "http://192.0.2.1" }))).rejects.toThrow(/download: /);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});

test("without any daprd, one message gives three ways out and what was tried", async () => {
  install("bin/daprd", fakeDaprd("1.12.0"));
  const message = await findDaprd(machine()).then(
    () => "found",
    (error: Error) => error.message,
  );
  expect(message).toContain("dapr init --slim");
  expect(message).toContain("install Go 1.26");
  expect(message).toContain("set DAPRD=");
  expect(message).toContain(`installed: ${join(folder, "bin", "daprd")}: version 1.12.0 is older than 1.16.0`);
  expect(message).toContain("build: go is not on PATH");
  expect(message).toMatch(/download: .*ECONNREFUSED/);
});
