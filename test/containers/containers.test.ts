// Builds the images and runs docker-compose.yml on a real Docker engine with Compose: the running one, or a private
// one, which replaces the images that it cannot pull. Without an engine every test fails.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { sampleSubscription } from "../../stand-ins/azure/sample.ts";
import { startAzure } from "../../stand-ins/azure/start.ts";
import { type Docker, startDocker } from "../support/docker.ts";
import { readBlocks, toPattern } from "../support/markdown.ts";
import { freePorts, root } from "../support/processes.ts";
import { copyRepository } from "../support/repository.ts";
import { measure } from "../support/stopwatch.ts";
import { pullCommands, testRelease } from "./publish.ts";

const services = ["state-api", "group-lister", "welcome"];
/** The services with a port. hello-wasm has no sidecar. */
const published = [...services, "hello-wasm"];
const images = [...published, "azure-stand-in", "cosmos-check"];
const project = `containers-test-${process.pid}`;
const prefix = "containers-test";
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "containers-test-"));
/** A copy with names and ports of its own, so that the tests leave a developer's containers and images alone. */
const repository = join(folder, "repository");
const origins: Record<string, string> = {};
const sampleGroups = sampleSubscription.groups.map(({ name }) => name);

let docker: Docker;

beforeAll(async () => {
  const ports = await freePorts(published.length);
  for (const [index, name] of published.entries()) origins[name] = `http://127.0.0.1:${ports[index]}`;
  copyRepository(repository);
  const file = join(repository, "docker-compose.yml");
  const original = readFileSync(file, "utf8");
  const renamed = original
    .replace(/^name: .+$/m, `name: ${project}`)
    .replaceAll(/127\.0\.0\.1:808(\d):8080/g, (_, index) => `127.0.0.1:${ports[index]}:8080`);
  writeFileSync(file, renamed);
  process.env.IMAGES = prefix; // docker-compose.yml reads it
  docker = await startDocker(repository);
  await compose("--profile", "*", "build");
}, 600_000);

afterAll(async () => {
  try {
    await docker?.("compose", "--profile", "*", "down", "--volumes", "--timeout", "1");
    if (docker?.isPrivate === false) await docker("image", "rm", ...images.map(tag)).catch(() => {});
  } finally {
    await docker?.end();
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);

/** The name that the tests give to one of the suite's images. */
function tag(image: string): string {
  return `${prefix}/${image}:${version}`;
}

/** Runs docker compose on docker-compose.yml. */
function compose(...args: string[]): Promise<string> {
  return docker("compose", ...args);
}

/** Returns the id of a service's container, running or not. */
function findContainer(service: string): Promise<string> {
  return compose("--profile", "*", "ps", "--all", "--quiet", service);
}

/** Runs a command that prints a container's id, passes the id to `use`, and removes the container. */
async function withContainer(command: string[], use: (id: string) => Promise<void>): Promise<void> {
  const id = await docker(...command);
  try {
    await use(id);
  } finally {
    await docker("rm", "--force", id);
  }
}

/** Reads files in /app of an image. */
async function readFiles(image: string, ...files: string[]): Promise<string[]> {
  const script = `console.log(JSON.stringify(${JSON.stringify(files)}.map((file) => fs.readFileSync("/app/" + file, "utf8"))))`;
  return JSON.parse(await evaluate(["run", "--rm", "--entrypoint", "node", tag(image)], script));
}

const inspect = async (kind: "image" | "container", name: string) => JSON.parse(await docker(kind, "inspect", name))[0];

/** Inspects all containers of the project, exited ones included, except the emulator, which is not ours. */
async function inspectAll() {
  const ids = (await compose("--profile", "*", "ps", "--all", "--quiet")).split("\n");
  const all = JSON.parse(await docker("container", "inspect", ...ids));
  return all.filter((each: { Config: { Image: string } }) => !each.Config.Image.includes("cosmos-emulator"));
}

/** Runs JavaScript in an image or a running container. */
const evaluate = (where: string[], script: string) => docker(...where, "--eval", script);

async function send(service: string, path: string, { body, method }: { body?: unknown; method?: string } = {}) {
  const response = await fetch(`${origins[service]}${path}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: { "Cache-Control": "no-cache", "Content-Type": "application/json", Connection: "close" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(3_000),
  });
  return { status: response.status, text: await response.text() };
}

let count = 0;

/** Writes and reads state through state-api and welcome, and lists the groups through group-lister and welcome. */
async function useEveryPath() {
  const key = `k${++count}`;
  expect(await send("state-api", "/state", { body: { key, data: { count } } })).toEqual({
    status: 200,
    text: "Successfully wrote to statestore",
  });
  const read = { status: 200, text: JSON.stringify({ count }) };
  expect(await send("welcome", `/api/state/${key}`)).toEqual(read);
  expect((await send("welcome", `/api/state/${key}-2`, { method: "PUT", body: { count } })).status).toBe(204);
  expect(await send("state-api", `/state/${key}-2`)).toEqual(read);
  expect(JSON.parse((await send("group-lister", "/groupz")).text)).toEqual(sampleGroups);
  const groups: { name: string }[] = JSON.parse((await send("welcome", "/api/groups")).text);
  expect(groups.map(({ name }) => name)).toEqual(sampleGroups);
}

async function expectEveryPathToWorkWithin10s() {
  await expect.poll(() => useEveryPath().catch(String), { timeout: 10_000, interval: 100 }).toBeUndefined();
}

/** Megabytes of each image, unpacked and compressed, in the table of docs/deploy/containers.md. */
const statedSizes = new Map(
  [
    ...readFileSync(join(root, "docs/deploy/containers.md"), "utf8").matchAll(
      /^\| (\S+) \| (\d+) MB \| (\d+\.\d) MB \|/gm,
    ),
  ].map(([, name = "", unpacked, compressed]) => [name, [Number(unpacked), Number(compressed)] as const]),
);

describe.each(published)("the image of %s", (name) => {
  test("starts Node with its flags as a numeric user, has labels that describe it, and the size on the page", async () => {
    const { Config: config, Size: size } = await inspect("image", tag(name));
    expect(config.User).toBe("65532:65532");
    expect(config.Entrypoint).toEqual([
      "node",
      "--disable-warning=DEP0040",
      "--disable-warning=ExperimentalWarning",
      "--disable-wasm-trap-handler",
      "/app/main.mjs",
    ]);
    expect(config.Env.sort()).toEqual([
      "HOST=0.0.0.0",
      "METRICS_PORT=9464",
      "NODE_ENV=production",
      "PATH=/usr/local/bin",
      "PORT=8080",
    ]);
    expect(config.Labels).toMatchObject({
      "org.opencontainers.image.title": name,
      "org.opencontainers.image.base.name": expect.stringMatching(
        /^public\.ecr\.aws\/docker\/library\/node:\d+\.\d+\.\d+-/,
      ),
    });
    const [stated = 0] = statedSizes.get(name) ?? [];
    expect(Math.abs(size / 1e6 - stated), `${size} bytes; docs/deploy/containers.md says ${stated} MB`).toBeLessThan(2);
  });

  test("contains only Node, its libraries and the service: no shell, no npm, no secret", async () => {
    const archive = join(folder, `${name}.tar`);
    await withContainer(["create", tag(name)], async (id) => void (await docker("export", "--output", archive, id)));
    const entries = execFileSync("tar", ["--list", "--file", archive], { encoding: "utf8" }).trim().split("\n");
    const files = entries.filter((path) => !path.endsWith("/"));
    const signIn = ["sign-in.ts", "msal-browser/LICENSE", "msal-browser/lib/msal-browser.min.js"];
    const page = ["index.html", "style.css", "icon.svg", "page.ts", ...signIn].map((file) => `app/page/${file}`);
    // The engine creates these in every container.
    const ofEngine = /^(\.dockerenv|(dev|proc|sys)\/.*|etc\/(hostname|hosts|resolv\.conf|mtab))$/;
    const libraries =
      /^(usr\/)?lib(64)?\/([\w-]+-linux-gnu\/)?(ld-linux|lib(atomic|c|dl|gcc_s|m|pthread|stdc\+\+))[\w.-]*$/;
    expect(files.filter((path) => !ofEngine.test(path) && !libraries.test(path)).sort()).toEqual(
      [
        "app/THIRD-PARTY-NOTICES.txt",
        "app/main.mjs",
        "app/main.mjs.map",
        "app/sbom.spdx.json",
        "etc/passwd",
        "usr/local/bin/node",
        ...(name === "welcome" ? page : []),
        ...(name === "hello-wasm" ? ["app/hello.wasm", "app/wasi.ts", "app/worker.ts"] : []),
      ].sort(),
    );
  });

  test("lists Node, its OpenSSL, the Debian packages of its libraries and express in its SBOM, and their licences", async () => {
    const [document = "", notices] = await readFiles(name, "sbom.spdx.json", "THIRD-PARTY-NOTICES.txt");
    const purls: string[] = JSON.parse(document).packages.flatMap(
      ({ externalRefs = [] }: { externalRefs?: { referenceLocator: string }[] }) =>
        externalRefs.flatMap(({ referenceLocator: purl }) => (purl.startsWith("pkg:") ? purl : [])),
    );
    const names = (kind: string) => purls.flatMap((purl) => new RegExp(`^pkg:${kind}/([^@]+)@`).exec(purl)?.[1] ?? []);
    expect(names("deb/debian")).toEqual(["libatomic1", "libc6", "libgcc-s1", "libstdc%2B%2B6"]);
    const version = await evaluate(["run", "--rm", "--entrypoint", "node", tag(name)], "console.log(process.version)");
    expect(purls).toContain(`pkg:generic/node@${version.slice(1)}`);
    const openssl = await evaluate(
      ["run", "--rm", "--entrypoint", "node", tag(name)],
      "console.log(process.versions.openssl)",
    );
    expect(purls).toContain(`pkg:generic/openssl@${openssl}`);
    expect(names("npm")).toContain("express");
    for (const text of ["ICU", "GNU Lesser General Public", "GCC Runtime Library Exception", "TJ Holowaychuk"])
      expect(notices).toContain(text);
  });

  // hello-wasm has nothing to protect.
  test.skipIf(name === "hello-wasm")("does not start without a setting that says who may call it", async () => {
    const fault = 'HOST="0.0.0.0" is not a loopback address, and nothing checks who calls the service.';
    await expect(docker("run", "--rm", tag(name))).rejects.toThrow(fault);
  });

  test("responds with DIRECT_CALLS=anywhere, on a read-only file system and in a terminal", async () => {
    const limits = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    const options = ["--detach", "--tty", ...limits, "--env", "DIRECT_CALLS=anywhere"];
    await withContainer(["run", ...options, tag(name)], async (id) => {
      const script = `fetch("http://127.0.0.1:8080/healthz").then((response) => response.text()).then(console.log)`;
      await expect.poll(() => evaluate(["exec", id, "node"], script).catch(String), { timeout: 10_000 }).toBe("ok");
      const metrics = [8080, 9464].map(
        (port) => `fetch("http://127.0.0.1:${port}/metrics").then(({ status }) => status)`,
      );
      const statuses = `Promise.all([${metrics}]).then((statuses) => console.log(statuses.join()))`;
      expect(await evaluate(["exec", id, "node"], statuses), "/metrics on PORT and on METRICS_PORT").toBe("404,200");
      const log = await docker("logs", "--timestamps", id);
      const [, listening = ""] = /^(\S+) .*listening on http:\/\/0\.0\.0\.0:8080/m.exec(log) ?? [];
      const { State: state } = await inspect("container", id);
      const { Size: size } = await inspect("image", tag(name));
      const startMs = Date.parse(listening) - Date.parse(state.StartedAt);
      console.log(`${name}: ${Math.round(size / 1e6)} MB, listens ${startMs} ms after its start`);
      expect(startMs).toBeLessThan(5_000);
    });
  });
});

describe("the Dockerfile", () => {
  test("builds the program that SERVICE names with the classic builder, which az acr build runs", {
    timeout: 300_000,
  }, async () => {
    const classic = tag("welcome-classic");
    vi.stubEnv("DOCKER_BUILDKIT", "0");
    try {
      await docker("build", "--build-arg", "SERVICE=welcome", "--tag", classic, ".");
      const { Config: config } = await inspect("image", classic);
      expect(config.Labels["org.opencontainers.image.title"]).toBe("welcome");
      const list = `console.log(require("node:fs").readdirSync("/app").sort().join(" "))`;
      expect(await evaluate(["run", "--rm", "--entrypoint", "node", classic], list)).toMatch(
        /\bmain.mjs main.mjs.map page\b/,
      );
    } finally {
      vi.unstubAllEnvs();
      await docker("image", "rm", "--no-prune", classic);
    }
  });

  test.each([
    ["the classic builder", "DOCKER_BUILDKIT=0 docker build"],
    ["BuildKit, as Compose uses it,", "docker compose build"],
  ])(
    "with %s fails without SERVICE or with an unknown one, and prints the names of the programs",
    {
      timeout: 300_000,
    },
    async (_, build) => {
      const last = build.includes("compose") ? "welcome" : ".";
      for (const [service, fault] of [
        ["", "SERVICE is missing."],
        ["hello", "SERVICE=hello is unknown."],
      ]) {
        const command = docker.shell(`${build} --build-arg SERVICE=${service} ${last} 2>&1`);
        const message = `${fault} Build with --build-arg SERVICE=NAME, where NAME is one of: state-api, group-lister, `;
        await expect(command).rejects.toMatchObject({ stdout: expect.stringContaining(message) });
      }
    },
  );
});

interface Stack {
  /** Options of docker compose. */
  readonly profile: readonly string[];
  /** state-api's sidecar. */
  readonly sidecar: string;
  /** Running services that only this stack has. */
  readonly store: readonly string[];
}

function testStack({ sidecar, store }: Stack): void {
  test("every path responds as soon as `docker compose up --wait` returns", useEveryPath);

  test("runs each service with one sidecar and no store but its own", async () => {
    const running = (await compose("--profile", "*", "ps", "--services")).split("\n").sort();
    const expected = [...published, sidecar, "group-lister-dapr", "welcome-dapr", "azure-stand-in", ...store];
    expect(running).toEqual(expected.sort());
  });

  test("hello-wasm runs its module for a request", async () => {
    const { status, text } = await send("hello-wasm", "/?a=b");
    expect([status, text]).toEqual([200, expect.stringMatching(/^Hello, world!\n.*^QUERY_STRING: a=b$/ms)]);
  });

  test.each(published)("makes %s log lines of JSON and nothing else", async (service) => {
    // Compose itself starts each line with a control sequence that clears it.
    const lines = (await compose("logs", "--no-log-prefix", service)).replaceAll("\x1b[2K", "").split("\n");
    expect(lines.map((line) => JSON.parse(line).service)).toEqual(lines.map(() => service));
  });

  test("group-lister refuses a call of state-api through both sidecars", async () => {
    const url = "http://sidecar:3500/v1.0/invoke/group-lister/method/groupz";
    const call = `fetch("${url}").then(async (response) => console.log(response.status, await response.text()))`;
    const result = await evaluate(["exec", await findContainer("state-api"), "node"], call);
    expect(result).toMatch(/^403 .*urn:problem:caller-not-allowed/);
  });

  test("publishes one port for each service, on loopback only, and none for a sidecar", async () => {
    for (const { Name: name, HostConfig: config } of await inspectAll()) {
      const addresses = Object.values(config.PortBindings ?? {}).flat() as { HostIp: string }[];
      for (const { HostIp: address } of addresses) expect(address).toBe("127.0.0.1");
      expect(addresses).toHaveLength(published.some((service) => name.endsWith(`-${service}-1`)) ? 1 : 0);
    }
  });

  test("lets only its app reach a sidecar's API, only its sidecar an app, and sidecars each other's calls", async () => {
    const connect = (host: string, port: number) => `require("node:net").connect(${port}, ${JSON.stringify(host)})
      .on("connect", () => { console.log("connected"); process.exit(); })
      .on("error", ({ code }) => console.log(code)).setTimeout(1500, () => { console.log("lost"); process.exit(); })`;
    const { NetworkSettings: network } = await inspect("container", await findContainer(sidecar));
    const address = network.Networks[`${project}_state-api`].IPAddress;
    const { NetworkSettings: ofApp } = await inspect("container", await findContainer("state-api"));
    const appAddress = ofApp.Networks[`${project}_state-api`].IPAddress;
    const portAddress = ofApp.Networks[`${project}_state-api-port`].IPAddress;
    const from = async (service: string, host: string, port: number) =>
      evaluate(["exec", await findContainer(service), "node"], connect(host, port));
    const beside = ["run", "--rm", "--network", `${project}_sidecars`, "--entrypoint", "node", tag("state-api")];
    const attempts = {
      "its app": from("state-api", "sidecar", 3500),
      "another app, by name": from("welcome", "state-api-dapr", 3500),
      "another app, by address": from("welcome", address, 3500),
      "another sidecar": evaluate(beside, connect("state-api-dapr", 3500)),
      "another sidecar, to make a call": evaluate(beside, connect("state-api-dapr", 50002)),
      "another sidecar, past the app's own": evaluate(beside, connect("state-api", 8080)),
      "another app, past both sidecars": from("welcome", "state-api", 8080),
      "another app, past both sidecars, by address": from("welcome", appAddress, 8080),
      "another app, by the address of the published port": from("welcome", portAddress, 8080),
      "the Azure stand-in": from("azure-stand-in", "state-api", 8080),
    };
    const unreachable = expect.stringMatching(/^(ENOTFOUND|EAI_AGAIN|lost)$/); // the engine's resolver may not answer
    const outcomes = Object.entries(attempts).map(async ([who, outcome]) => [who, await outcome]);
    expect(Object.fromEntries(await Promise.all(outcomes))).toEqual({
      "its app": "connected",
      "another app, by name": "ENOTFOUND",
      "another app, by address": "lost",
      "another sidecar": "ECONNREFUSED",
      "another sidecar, to make a call": "connected",
      "another sidecar, past the app's own": unreachable,
      "another app, past both sidecars": "ENOTFOUND",
      "another app, past both sidecars, by address": "lost",
      "another app, by the address of the published port": "lost",
      "the Azure stand-in": unreachable,
    });
  });

  test("answers 421 to a request through a published port whose Host is that of a web page", async () => {
    for (const service of published) {
      const { port } = new URL(origins[service] ?? "");
      const sent = request({ port, host: "127.0.0.1", path: "/", headers: { host: `evil.example:${port}` } }).end();
      const [response] = await once(sent, "response");
      response.resume();
      expect([service, response.statusCode]).toEqual([service, 421]);
    }
  });

  test("gives group-lister the certificate of the stand-in's CA and none of its keys", async () => {
    const list = `console.log(require("node:fs").readdirSync("/ca").join(" "), require("node:fs").existsSync("/azure"))`;
    expect(await evaluate(["exec", await findContainer("group-lister"), "node"], list)).toBe("ca.pem false");
  });

  test("limits the user, capabilities, file system and memory of every container of ours", async () => {
    for (const { Name: name, Config: config, HostConfig: host } of await inspectAll()) {
      expect(config.User, name).toBe("65532:65532");
      expect(host, name).toMatchObject({ ReadonlyRootfs: true, CapDrop: ["ALL"], CapAdd: null, Privileged: false });
      expect(host.SecurityOpt, name).toContain("no-new-privileges:true");
      expect(host.Memory, name).toBeGreaterThan(0);
    }
    // The processes see the same limits.
    const script = `const { readFileSync, writeFileSync } = require("node:fs");
      const status = readFileSync("/proc/self/status", "utf8");
      const refused = ["/x", "/app/x", "/etc/x"].map((path) => { try { writeFileSync(path, ""); } catch ({ code }) { return code; } });
      console.log(JSON.stringify([process.getuid(), /CapEff:\\s*(\\S+)/.exec(status)[1], /NoNewPrivs:\\s*(\\S+)/.exec(status)[1], refused]));`;
    const seen = published.map(async (service) => evaluate(["exec", await findContainer(service), "node"], script));
    for (const each of await Promise.all(seen)) {
      expect(JSON.parse(each)).toEqual([65532, "0".repeat(16), "1", ["EROFS", "EROFS", "EROFS"]]);
    }
  });
}

function testStop({ profile }: Stack): void {
  test("stops everything within 5 s without killing a process", async () => {
    expect(await measure(() => compose(...profile, "stop"))).toBeLessThan(5_000);
    for (const { Name: name, State: state } of await inspectAll()) {
      expect(state.ExitCode, name).toBe(0); // 137 would mean killed
    }
    await compose(...profile, "down");
    expect(await compose("--profile", "*", "ps", "--all", "--quiet")).toBe("");
  });
}

describe("docker compose up", () => {
  const stack = { profile: [], sidecar: "state-api-dapr", store: [] };
  beforeAll(() => compose("up", "--detach", "--wait"), 60_000);
  afterAll(() => compose("down", "--volumes", "--timeout", "1"));

  testStack(stack);

  /** Events of a container, by the command that causes them. */
  const events: Record<string, (service: string) => Promise<unknown>> = {
    restart: (service) => compose("restart", service),
    crash: async (service) => {
      const { State: state, RestartCount: count } = await inspect("container", await findContainer(service));
      // Kills from the host's pid namespace, as the kernel would: an engine does not restart what it killed itself.
      const host = ["run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "node", tag("state-api")];
      await evaluate(host, `process.kill(${state.Pid}, "SIGKILL")`);
      await expect
        .poll(async () => (await inspect("container", await findContainer(service))).RestartCount, { timeout: 10_000 })
        .toBe(count + 1);
    },
    "kill and start": async (service) => {
      await compose("kill", service);
      await compose("up", "--detach", "--no-deps", service);
    },
    "forced recreation": (service) => compose("up", "--detach", "--no-deps", "--force-recreate", service),
  };
  const victims = services.flatMap((service) => [service, `${service}-dapr`]);

  describe.each(victims)("%s", (service) => {
    test.each(Object.keys(events))("every path works within 10 s of its %s", { timeout: 40_000 }, async (name) => {
      await events[name]?.(service);
      const over = performance.now();
      await expectEveryPathToWorkWithin10s();
      console.log(`${service}, ${name}: ${Math.round(performance.now() - over)} ms until every path worked`);
    });
  });

  test("every path works within 10 s after an app is rebuilt and recreated", { timeout: 60_000 }, async () => {
    const before = await findContainer("state-api");
    try {
      await compose("build", "--build-arg", "REVISION=another", "state-api");
    } finally {
      await compose("up", "--detach", "--no-deps", "state-api");
    }
    expect(await findContainer("state-api")).not.toBe(before);
    await expectEveryPathToWorkWithin10s();
  });

  test("an app that receives SIGTERM finishes the request in flight and exits with 0", async () => {
    const app = await findContainer("state-api");
    try {
      const headers = { "Content-Type": "application/json", Expect: "100-continue" };
      const outgoing = request(`${origins["state-api"]}/state/drained`, { method: "PUT", headers, agent: false });
      const response = once(outgoing, "response");
      response.catch(() => {});
      outgoing.flushHeaders();
      await once(outgoing, "continue"); // the app has received the request, and waits for its body
      await docker("kill", "--signal", "SIGTERM", app);
      outgoing.end("1");
      expect((await response)[0].resume().statusCode).toBe(204);
      expect(await docker("wait", app)).toBe("0");
      expect(await docker("logs", "--tail", "1", app)).toContain("draining");
    } finally {
      await docker("start", app);
    }
    await expectEveryPathToWorkWithin10s();
  });

  test("state-api's health check fails while both sidecars run, and says what to do", async () => {
    const cosmos = ["--profile", "cosmos"];
    const readLastCheck = async () => {
      const { State: state } = await inspect("container", await findContainer("state-api"));
      return state.Health.Log.at(-1);
    };
    try {
      await compose(...cosmos, "up", "--detach", "--no-deps", "state-api-dapr-cosmos");
      await expect.poll(readLastCheck, { timeout: 20_000, interval: 500 }).toMatchObject({
        ExitCode: 1,
        Output: 'Two sidecars are running. Run: docker compose --profile "*" down\n',
      });
    } finally {
      await compose(...cosmos, "rm", "--stop", "--force", "state-api-dapr-cosmos");
    }
  });

  test("down and up keep the state, and down takes less than 5 s", { timeout: 60_000 }, async () => {
    await send("state-api", "/state", { body: { key: "kept", data: "over down and up" } });
    try {
      expect(await measure(() => compose("down"))).toBeLessThan(5_000);
    } finally {
      await compose("up", "--detach", "--wait");
    }
    expect(await send("welcome", "/api/state/kept")).toEqual({ status: 200, text: '"over down and up"' });
    await useEveryPath();
  });

  testStop(stack);
});

describe("docker compose up with APP_API_TOKEN and DAPR_API_TOKEN in .env", () => {
  const settings = join(repository, ".env");
  beforeAll(async () => {
    writeFileSync(settings, "APP_API_TOKEN=app-token-of-the-test\nDAPR_API_TOKEN=dapr-token-of-the-test\n");
    await compose("up", "--detach", "--wait");
  }, 60_000);
  afterAll(async () => {
    rmSync(settings);
    await compose("down", "--volumes", "--timeout", "1");
  });

  test("every path still works without a token on your machine", useEveryPath);

  test("the sidecars require their token, and the apps refuse another one", async () => {
    const fetchStatus = (url: string, headers: object) =>
      `fetch("${url}", { headers: ${JSON.stringify(headers)} }).then(({ status }) => console.log(status))`;
    const from = async (url: string, headers: object = {}) =>
      evaluate(["exec", await findContainer("state-api"), "node"], fetchStatus(url, headers));
    expect(await from("http://sidecar:3500/v1.0/metadata")).toBe("401");
    expect(await from("http://sidecar:3500/v1.0/metadata", { "dapr-api-token": "dapr-token-of-the-test" })).toBe("200");
    expect(await from("http://127.0.0.1:8080/", { "dapr-api-token": "wrong" })).toBe("401");
    const asCaller = (caller: string) => ({
      "dapr-api-token": "app-token-of-the-test",
      "dapr-caller-app-id": caller,
    });
    expect(await from("http://127.0.0.1:8080/", asCaller("third-app"))).toBe("403");
    expect(await from("http://127.0.0.1:8080/", asCaller("welcome"))).toBe("200");
  });
});

describe("docker compose --profile cosmos up", () => {
  const stack = { profile: ["--profile", "cosmos"], sidecar: "state-api-dapr-cosmos", store: ["cosmos"] };
  beforeAll(() => compose(...stack.profile, "up", "--detach", "--wait"), 300_000);
  afterAll(() => compose(...stack.profile, "down", "--volumes", "--timeout", "1"));

  testStack(stack);

  test("creates the database and the container before the sidecar that needs them starts", async () => {
    const log = await compose("--profile", "cosmos", "logs", "--no-log-prefix", "cosmos-init");
    expect(log).toMatch(/container +statestore was missing; created/);
    expect(log).toMatch(/TTL +on \(-1\)/);
    const { State: state } = await inspect("container", await findContainer("cosmos-init"));
    expect(state.ExitCode).toBe(0);
    const { State: sidecar } = await inspect("container", await findContainer("state-api-dapr-cosmos"));
    expect(Date.parse(state.FinishedAt)).toBeLessThan(Date.parse(sidecar.StartedAt));
  });

  testStop(stack);
});

describe("group-lister in a container", () => {
  test("docker-compose.azure.yml names a missing variable before anything starts", async () => {
    const files = ["--file", "docker-compose.yml", "--file", "docker-compose.azure.yml"];
    await expect(compose(...files, "config")).rejects.toThrow(
      /AZURE_[A-Z_]+ is missing a value: set it in \.env as docs\/deploy\/containers\.md describes/,
    );
    const given = { AZURE_TENANT_ID: "t", AZURE_CLIENT_ID: "c", AZURE_CLIENT_SECRET: "s" };
    const settings = join(folder, ".env");
    const lines = Object.entries(given).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(settings, lines.join(""));
    const config = JSON.parse(await compose(...files, "--env-file", settings, "config", "--format", "json"));
    expect(Object.keys(config.services)).not.toContain("azure-stand-in");
    expect(config.services["group-lister"].environment).toMatchObject(given);
  });

  test("without a credential, /readyz and the log say how to get one", async () => {
    await withContainer(["run", "--detach", "--env", "DIRECT_CALLS=anywhere", tag("group-lister")], async (id) => {
      const script = `fetch("http://127.0.0.1:8080/readyz").then((response) => response.text()).then(console.log)`;
      await expect
        .poll(() => evaluate(["exec", id, "node"], script).catch(String), { timeout: 20_000 })
        .toContain("No Azure credential returned a token");
      const advice = /No Azure credential returned a token\\nOn your own machine: az login\./;
      expect(await docker("logs", id)).toMatch(advice);
    });
  });

  test.skipIf(process.platform !== "linux")(
    "signs in as the service principal in its environment variables",
    async () => {
      const application = { clientId: "00000000-0000-4000-8000-000000000001", objectId: "o", secret: "not a real one" };
      const azure = await startAzure({ folder: join(folder, "azure"), applications: [application] });
      try {
        const [port] = await freePorts(1);
        const settings = {
          HOST: "127.0.0.1",
          PORT: port,
          NODE_EXTRA_CA_CERTS: "/ca.pem",
          AZURE_AUTHORITY_HOST: azure.httpsUrl,
          AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
          AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
          AZURE_TENANT_ID: azure.tenantId,
          AZURE_CLIENT_ID: application.clientId,
          AZURE_CLIENT_SECRET: application.secret,
        };
        const environment = Object.entries(settings).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
        // The stand-in listens on the host's loopback.
        const options = ["--detach", "--network", "host", "--volume", `${azure.caFile}:/ca.pem:ro`, ...environment];
        await withContainer(["run", ...options, tag("group-lister")], async () => {
          const list = () => fetch(`http://127.0.0.1:${port}/groupz`).then((response) => response.json(), String);
          await expect.poll(list, { timeout: 10_000 }).toEqual(sampleGroups);
        });
      } finally {
        await azure.close();
      }
    },
  );
});

testRelease({
  docker: () => docker,
  folder,
  repository,
  version,
  services: images,
  anotherImage: tag("welcome"),
  compressedSizes: new Map([...statedSizes].map(([name, [, compressed]]) => [name, compressed])),
  compose,
  useEveryPath,
});

describe("the shell blocks of docs/deploy/containers.md, in order", () => {
  /** Needs an Azure subscription. */
  const azure = "docker compose -f docker-compose.yml -f docker-compose.azure.yml up --build --wait";
  const blocks = readBlocks("docs/deploy/containers.md");
  const localBlocks = blocks.filter(({ command }) => command !== azure && command !== pullCommands);

  beforeAll(() => expect(process.env.IMAGES).toBe(prefix)); // docker-compose.yml reads it

  /** Rewrites a block for the ports and images of the copy. Leaves a developer's images of Dapr and of the emulator. */
  function adapt(command: string): string {
    const onPorts = command.replaceAll(
      /http:\/\/127\.0\.0\.1:808(\d)/g,
      (_, index) => origins[published[index] ?? ""] ?? "",
    );
    const names = new RegExp(`(?<=--tag )(${images.join("|")}):[\\d.]+(?= |$)`, "g");
    const named = onPorts.replaceAll(names, (_, image) => tag(image));
    return docker.isPrivate ? named : named.replace(" --rmi all", "");
  }

  test.each(localBlocks)("$command", { timeout: 300_000 }, async (block) => {
    const printed = await docker.shell(adapt(block.command));
    if (block.output) expect(printed).toMatch(toPattern(block.output));
  });

  test(`docker compose reads the files of: ${azure}`, async () => {
    expect(blocks.map(({ command }) => command)).toContain(azure);
    for (const name of ["TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"]) vi.stubEnv(`AZURE_${name}`, "x");
    try {
      await docker.shell(azure.replace(/ up .*/, " config --quiet"));
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
