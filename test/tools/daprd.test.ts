import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { nameBuild, readPinnedVersion } from "../../tools/daprd/build.ts";
import { findDaprd } from "../../tools/daprd/find.ts";
import { nameArchive, recordHashes } from "../../tools/daprd/hashes.ts";
import { describeMachine, type Machine } from "../../tools/daprd/machine.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { measure } from "../support/stopwatch.ts";

const script = fileURLToPath(new URL("../../tools/daprd/find.ts", import.meta.url));
const fakeDaprd = (version: string) => `#!/bin/sh\necho ${version}\n`;

let folder: string;
let progress: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "daprd-test-"));
  progress = [];
  mkdirSync(join(folder, "bin"));
  commit(hashOf("another release"));
  vi.stubEnv("NO_PROXY", "127.0.0.1");
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const hashOf = (content: string | Buffer) => createHash("sha256").update(content).digest("hex");

/** Writes the file of committed hashes, with one for this platform. */
function commit(sha256: string, { version = "1.18.2", arch = process.arch } = {}): void {
  const name = nameArchive({ platform: process.platform, arch });
  writeFileSync(join(folder, "releases.json"), JSON.stringify({ version, sha256: { [name]: sha256 } }));
}

/** A machine with an empty home, only the system's tools on PATH, and no network. */
function machine(differences: Partial<Machine> = {}): Partial<Machine> {
  return {
    env: { HOME: folder, XDG_CACHE_HOME: join(folder, "cache"), PATH: `${join(folder, "bin")}:/usr/bin:/bin` },
    releases: "http://127.0.0.1:2",
    hashes: join(folder, "releases.json"),
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

/** Installs a fake `go` that prints what Go prints and writes a fake daprd in two halves. */
function installGo({ version = "go1.26.6", buildSeconds = 0, end = "exit 0" } = {}): void {
  install(
    "bin/go",
    `#!/bin/sh
case "$1" in
  env) echo ${version} ;;
  list) echo one; echo two; echo three ;;
  build)
    echo build >> ${folder}/builds
    echo $$ > ${folder}/pid
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

describe("finding an installed daprd", () => {
  test("prefers the daprd that DAPRD names to all others", async () => {
    install("bin/daprd", fakeDaprd("1.18.2"));
    const named = install("elsewhere/daprd", fakeDaprd("1.17.0"));
    expect(await findDaprd(machine({ env: { ...machine().env, DAPRD: named } }))).toBe(named);
  });

  test.for([
    ["does not exist", "/nowhere/daprd", "no such file"],
    ["is not a daprd", "/bin/false", "running it with --version fails"],
  ])(
    "fails when the file that DAPRD names %s, although another daprd is installed",
    async ([, path = "", reason = ""]) => {
      install("bin/daprd", fakeDaprd("1.18.2"));
      const search = findDaprd(machine({ env: { ...machine().env, DAPRD: path } }));
      await expect(search).rejects.toThrow(`DAPRD=${path} is not usable: ${reason}`);
    },
  );

  test("prefers PATH to the Dapr CLI's home", async () => {
    install(".dapr/bin/daprd", fakeDaprd("1.18.2"));
    const onPath = install("bin/daprd", fakeDaprd("1.18.2"));
    expect(await findDaprd(machine())).toBe(onPath);
  });

  test("looks in the Dapr CLI's home, which DAPR_RUNTIME_PATH moves", async () => {
    const inHome = install(".dapr/bin/daprd", fakeDaprd("1.18.2"));
    expect(await findDaprd(machine())).toBe(inHome);
    const moved = install("opt/.dapr/bin/daprd", fakeDaprd("1.18.2"));
    const env = { ...machine().env, DAPR_RUNTIME_PATH: join(folder, "opt") };
    expect(await findDaprd(machine({ env }))).toBe(moved);
  });

  test("skips a daprd that is too old", async () => {
    install("bin/daprd", fakeDaprd("1.9.6"));
    const newer = install(".dapr/bin/daprd", fakeDaprd("1.16.0"));
    expect(await findDaprd(machine())).toBe(newer);
  });
});

describe("building daprd, when the download fails", () => {
  test("builds once; later runs use the cached build", async () => {
    installGo();
    const built = await findDaprd(machine());
    expect(built).toContain(join(folder, "cache", "dapr-on-azure-samples", "daprd-1.18.2-"));
    expect(await findDaprd(machine())).toBe(built);
    expect(readFileSync(join(folder, "builds"), "utf8")).toBe("build\n");
    expect(progress).toContainEqual(expect.stringMatching(/building daprd 1\.18\.2 .* 1 of 3 packages, \d+ s$/));
  });

  test.each(["go.mod", "go.sum", "main.go"])("another %s gives the build another name in the cache", (file) => {
    const real = describeMachine();
    const name = () => nameBuild({ ...real, module: join(folder, "module") }, "1.18.2");
    cpSync(real.module, join(folder, "module"), { recursive: true });
    expect(name()).toBe(nameBuild(real, "1.18.2"));
    appendFileSync(join(folder, "module", file), "\n");
    expect(name()).not.toBe(nameBuild(real, "1.18.2"));
  });

  test("builds once for two runs at the same time; the second one reports that it waits", async () => {
    installGo({ buildSeconds: 1 });
    const [first, second] = await Promise.all([findDaprd(machine()), findDaprd(machine())]);
    expect(first).toBe(second);
    expect(readFileSync(join(folder, "builds"), "utf8")).toBe("build\n");
    expect(progress).toContainEqual(expect.stringMatching(/^another run is creating daprd .*; waiting for it$/));
  });

  test("starts over after a killed build and removes its leftover files", async () => {
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

  test("reports the compiler's last line when the build fails", async () => {
    installGo({ end: "echo 'no space left on device' >&2; exit 1" });
    await expect(findDaprd(machine())).rejects.toThrow("build: go build failed: no space left on device");
    expect(listCache().filter((name) => name.includes("making-"))).toEqual([]);
  });

  test("rejects a Go that is too old to fetch a newer one", async () => {
    installGo({ version: "go1.20.14" });
    await expect(findDaprd(machine())).rejects.toThrow("build: go1.20.14 is too old");
  });

  test("stops the build and throws the reason when the caller aborts", async () => {
    installGo({ buildSeconds: 30 });
    const abort = new AbortController();
    const reason = new Error("the caller leaves");
    const search = findDaprd(
      machine({ signal: abort.signal, report: (line) => line.includes("1 of") && abort.abort(reason) }),
    );
    await expect(search).rejects.toBe(reason);
    const pid = Number(readFileSync(join(folder, "pid"), "utf8"));
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow("ESRCH"), 10_000);
  });
});

describe("downloading daprd", () => {
  const archive = () => {
    install("release/daprd", fakeDaprd("1.18.2"));
    execFileSync("tar", ["-czf", join(folder, "daprd.tar.gz"), "-C", join(folder, "release"), "daprd"]);
    return readFileSync(join(folder, "daprd.tar.gz"));
  };

  const serveReleases = (files: (path: string) => string | Buffer | undefined) =>
    serve((path, response) => {
      const body = files(path);
      response.writeHead(body === undefined ? 404 : 200).end(body);
    });

  async function serve(respond: (path: string, response: ServerResponse) => void) {
    const server = createServer(({ url = "" }, response) => respond(url, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  }

  test("unpacks the release when its SHA-256 is the committed one, although Go is installed", async () => {
    installGo();
    const release = archive();
    commit(hashOf(release), { arch: "x64" });
    const asked: string[] = [];
    await using releases = await serveReleases((path) => {
      asked.push(path);
      return release;
    });
    const downloaded = await findDaprd(machine({ releases: releases.url, arch: "x64" }));
    expect(execFileSync(downloaded, { encoding: "utf8" })).toBe("1.18.2\n");
    expect(existsSync(join(folder, "builds"))).toBe(false);
    expect(asked).toEqual([`/v1.18.2/daprd_${process.platform}_amd64.tar.gz`]);
    expect(listCache().filter((name) => name.includes("making-"))).toEqual([]);
  });

  test("discards a release that has the SHA-256 published beside it, but not the committed one", async () => {
    const release = archive();
    await using releases = await serveReleases((path) => (path.endsWith(".sha256") ? hashOf(release) : release));
    await expect(findDaprd(machine({ releases: releases.url }))).rejects.toThrow(
      `has SHA-256 ${hashOf(release)}, but tools/daprd/releases.json has ${hashOf("another release")}: discarded`,
    );
    expect(listCache().filter((name) => name.includes("making-") || name.endsWith("/daprd"))).toEqual([]);
  });

  test.for([
    ["platform", { arch: "s390x" }],
    ["version", { version: "1.18.1" }],
  ] as const)("asks no server, and builds, when only another %s has a committed SHA-256", async ([, other]) => {
    installGo();
    const release = archive();
    commit(hashOf(release), other);
    let requests = 0;
    await using releases = await serveReleases((path) => {
      requests++;
      return path.endsWith(".sha256") ? hashOf(release) : release;
    });
    expect(await findDaprd(machine({ releases: releases.url }))).toContain("daprd-1.18.2-");
    expect(readFileSync(join(folder, "builds"), "utf8")).toBe("build\n");
    expect(requests).toBe(0);
    expect(progress).toContainEqual(
      expect.stringMatching(
        /releases\.json has no SHA-256 of daprd_.* npm run daprd:hashes records it\. Building from/,
      ),
    );
  });

  test("reports a release that is not published", async () => {
    await using releases = await serveReleases(() => undefined);
    await expect(findDaprd(machine({ releases: releases.url }))).rejects.toThrow(/download: .*_.* returned 404/);
  });

  test("falls back to a build within 4 s when packets get no reply", async () => {
    installGo();
    const milliseconds = await measure(async () => {
      // 192.0.2.0/24 is reserved for documentation: no host has such an address.
      expect(await findDaprd(machine({ releases: "http://192.0.2.1" }))).toContain("daprd-1.18.2-");
    });
    expect(milliseconds).toBeLessThan(4_000);
    expect(readFileSync(join(folder, "builds"), "utf8")).toBe("build\n");
  });

  test.for([
    ["sends no response", () => {}],
    ["stalls in the middle of the release", (response: ServerResponse) => response.write("the beginning")],
  ] as const)("falls back to a build within 8 s when the server %s", async ([, stall]) => {
    installGo();
    await using server = await serve((_path, response) => stall(response));
    const milliseconds = await measure(async () => {
      expect(await findDaprd(machine({ releases: server.url }))).toContain("daprd-1.18.2-");
    });
    expect(milliseconds).toBeLessThan(8_000);
    expect(progress).toContainEqual(
      expect.stringMatching(/^download: .*timeout.*\. Building from source instead \(3-4 minutes\)\.\n$/i),
    );
  });
});

test("finding no daprd at all fails with three remedies and everything that was tried", async () => {
  install("bin/daprd", fakeDaprd("1.12.0"));
  const message = await findDaprd(machine()).then(
    () => "found",
    (error: Error) => error.message,
  );
  expect(message).toMatch(
    /let this machine download http.*set DAPRD=.*dapr init --slim.*install Go 1\.21 or newer; it fetches Go 1\.26/s,
  );
  expect(message).toContain(`installed: ${join(folder, "bin", "daprd")}: version 1.12.0 is older than 1.16.0`);
  expect(message).toContain("build: go is not on PATH");
  expect(message).toMatch(/download: .*ECONNREFUSED/);
});

test("finding no daprd where no SHA-256 is committed names the command that records it", async () => {
  commit(hashOf("another release"), { version: "1.18.1" });
  await expect(findDaprd(machine())).rejects.toThrow(
    "run npm run daprd:hashes and check what it records; the next run then downloads http",
  );
});

describe("recording the hashes of the releases", () => {
  const archives = ["darwin_arm64.tar.gz", "darwin_amd64.tar.gz", "linux_arm64.tar.gz", "linux_amd64.tar.gz"];
  const names = [...archives, "windows_amd64.zip"].map((name) => `daprd_${name}`);
  const read = () => JSON.parse(readFileSync(join(folder, "releases.json"), "utf8"));
  const record = async (publish: (name: string) => string | undefined) => {
    const server = createServer(({ url = "" }, response) => {
      const body = publish(url);
      response.writeHead(body === undefined ? 404 : 200).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await using _ = server;
    const releases = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await recordHashes({ ...describeMachine(), ...machine({ releases }) });
  };

  test("writes the pinned version and the published SHA-256 of every platform", async () => {
    await record((path) => `${hashOf(path).toUpperCase()}  ${path}\n`);
    const expected = names.map((name) => [name, hashOf(`/v1.18.2/${name}.sha256`)]);
    expect(read()).toEqual({ version: "1.18.2", sha256: Object.fromEntries(expected) });
  });

  test("fails, and leaves the file as it is, when one is missing", async () => {
    const before = read();
    const recording = record((path) => (path.includes("windows") ? undefined : hashOf(path)));
    await expect(recording).rejects.toThrow(/daprd_windows_amd64\.zip\.sha256 returned 404 and no SHA-256/);
    expect(read()).toEqual(before);
  });

  test("is done for the version in go.mod, or for none of its platforms yet", () => {
    const committed = JSON.parse(readFileSync(describeMachine().hashes, "utf8"));
    expect(committed.version).toBe(readPinnedVersion(describeMachine()));
    const recorded = Object.entries(committed.sha256);
    expect([[], names.toSorted()]).toContainEqual(recorded.map(([name]) => name).toSorted());
    for (const [, hash] of recorded) expect(hash).toMatch(/^[0-9a-f]{64}$/);
  });
});
