// The images and docker-compose.yml with a real Docker engine and Compose: a private one where none answers, with stand-ins
// for what it cannot pull. Without either, all of it fails.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import { sampleSubscription } from "../../stand-ins/azure/sample.ts";
import { startAzure } from "../../stand-ins/azure/start.ts";
import { type Docker, startDocker } from "../support/docker.ts";
import { readBlocks } from "../support/markdown.ts";
import { freePorts } from "../support/processes.ts";

const services = ["state-api", "group-lister", "welcome"];
const project = `containers-test-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), "containers-test-"));
const origins: Record<string, string> = {};
const sampleGroups = sampleSubscription.groups.map(({ name }) => name);

let docker: Docker;
/** docker compose on the project's files; where the emulator cannot be pulled, with the stand-in. */
let compose: (...args: string[]) => Promise<string>;
let sqlite: typeof compose;

beforeAll(async () => {
  docker = await startDocker();
  const ports = await freePorts(services.length);
  const moved: Record<string, unknown> = {};
  for (const [index, name] of services.entries()) {
    origins[name] = `http://127.0.0.1:${ports[index]}`;
    moved[name] = { ports: [`127.0.0.1:${ports[index]}:8080`] };
  }
  // So that it runs beside a suite that is up already.
  const onOurPorts = join(folder, "ports.yaml");
  writeFileSync(onOurPorts, stringify({ services: moved }).replaceAll("ports:", "ports: !override"));
  const command = (...files: string[]) => {
    const options = ["docker-compose.yml", ...files, onOurPorts].flatMap((file) => ["--file", file]);
    return (...args: string[]) => docker("compose", "--project-name", project, ...options, ...args);
  };
  compose = docker.isPrivate ? command("docker-compose.stand-in.yml") : command();
  sqlite = (...args) => command()("--profile", "sqlite", ...args);
  await compose("build");
}, 600_000);

afterAll(async () => {
  try {
    for (const each of [compose, sqlite]) await each?.("down", "--volumes", "--timeout", "1");
  } finally {
    await docker?.end();
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);

/** The container of a service of the compose file. */
const idOf = (service: string) => compose("ps", "--all", "--quiet", service);

const inspect = async (kind: "image" | "container", name: string) => JSON.parse(await docker(kind, "inspect", name))[0];

/** Every container of the compose file that is ours, the one-shot job's, too: all but the emulator. */
async function inspectAll() {
  const ids = (await compose("ps", "--all", "--quiet")).split("\n");
  const all = JSON.parse(await docker("container", "inspect", ...ids));
  return all.filter((each: { Config: { Image: string } }) => !each.Config.Image.includes("cosmos-emulator"));
}

/** Runs JavaScript in an image or a running container. */
const evaluate = (where: string[], script: string) => docker(...where, "--eval", script);

async function ask(service: string, path: string, { body, method }: { body?: unknown; method?: string } = {}) {
  const response = await fetch(`${origins[service]}${path}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: { "Cache-Control": "no-cache", "Content-Type": "application/json", Connection: "close" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(3_000),
  });
  return { status: response.status, text: await response.text() };
}

let count = 0;

/** Writes and reads state through state-api and through welcome, and lists the groups through group-lister and welcome. */
async function useEveryPath() {
  const key = `k${++count}`;
  expect(await ask("state-api", "/state", { body: { key, data: { count } } })).toEqual({
    status: 200,
    text: "Successfully wrote to statestore",
  });
  const read = { status: 200, text: JSON.stringify({ count }) };
  expect(await ask("welcome", `/api/state/${key}`)).toEqual(read);
  expect((await ask("welcome", `/api/state/${key}-2`, { method: "PUT", body: { count } })).status).toBe(204);
  expect(await ask("state-api", `/state/${key}-2`)).toEqual(read);
  expect(JSON.parse((await ask("group-lister", "/groupz")).text)).toEqual(sampleGroups);
  const groups: { name: string }[] = JSON.parse((await ask("welcome", "/api/groups")).text);
  expect(groups.map(({ name }) => name)).toEqual(sampleGroups);
}

describe.each(services)("the image of %s", (name) => {
  test("runs one file with Node, as a user without a name, and says what it is", async () => {
    const { Config: config, Size: size } = await inspect("image", name);
    expect(config.User).toBe("65532:65532");
    expect(config.Entrypoint.at(0)).toBe("node");
    expect(config.Entrypoint.at(-1)).toBe(`/app/${name}.mjs`);
    expect(config.Env.sort()).toEqual(["HOST=0.0.0.0", "NODE_ENV=production", "PATH=/usr/local/bin", "PORT=8080"]);
    expect(config.Labels).toMatchObject({
      "org.opencontainers.image.title": name,
      "org.opencontainers.image.base.name": expect.stringMatching(/^docker\.io\/library\/node:\d+\.\d+\.\d+-/),
    });
    expect(size).toBeLessThan(200e6);
  });

  test("holds Node, its libraries and the service, and nothing else: no shell, no npm, no secret", async () => {
    const id = await docker("create", name);
    const archive = join(folder, `${name}.tar`);
    await docker("export", "--output", archive, id);
    await docker("rm", id);
    const entries = execFileSync("tar", ["--list", "--file", archive], { encoding: "utf8" }).trim().split("\n");
    const files = entries.filter((path) => !path.endsWith("/"));
    const page = ["index.html", "style.css", "icon.svg", "page.ts"].map((file) => `app/page/${file}`);
    // The engine makes these for every container.
    const ofEngine = /^(\.dockerenv|(dev|proc|sys)\/.*|etc\/(hostname|hosts|resolv\.conf|mtab))$/;
    const libraries =
      /^(usr\/)?lib(64)?\/([\w-]+-linux-gnu\/)?(ld-linux|lib(atomic|c|dl|gcc_s|m|pthread|stdc\+\+))[\w.-]*$/;
    expect(files.filter((path) => !ofEngine.test(path) && !libraries.test(path)).sort()).toEqual(
      [
        ...[`app/${name}.mjs`, `app/${name}.mjs.map`, "etc/passwd", "usr/local/bin/node"],
        ...(name === "welcome" ? page : []),
      ].sort(),
    );
  });

  test("needs no setting to answer, also on a read-only file system and in a terminal", async () => {
    const options = ["--detach", "--tty", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    const id = await docker("run", ...options, name);
    const script = `fetch("http://127.0.0.1:8080/healthz").then((answer) => answer.text()).then(console.log)`;
    await expect.poll(() => evaluate(["exec", id, "node"], script).catch(String), { timeout: 10_000 }).toBe("ok");
    const log = await docker("logs", "--timestamps", id);
    const [, listening = ""] = /^(\S+) .*listening on http:\/\/0\.0\.0\.0:8080/m.exec(log) ?? [];
    const { State: state } = await inspect("container", id);
    const { Size: size } = await inspect("image", name);
    const startMs = Date.parse(listening) - Date.parse(state.StartedAt);
    console.log(`${name}: ${Math.round(size / 1e6)} MB, listens ${startMs} ms after its start`);
    expect(startMs).toBeLessThan(5_000);
    await docker("rm", "--force", id);
  });
});

test("the classic builder, which az acr build runs, builds the Dockerfile, too", { timeout: 300_000 }, async () => {
  vi.stubEnv("DOCKER_BUILDKIT", "0");
  const built = await docker("build", "--quiet", "--target", "welcome", ".").finally(() => vi.unstubAllEnvs());
  expect((await inspect("image", built)).Config.Entrypoint).toEqual([
    "node",
    "--disable-warning=ExperimentalWarning",
    "/app/welcome.mjs",
  ]);
});

describe("docker compose up --wait", () => {
  beforeAll(() => compose("up", "--detach", "--wait"), 300_000);

  test("gives what `npm start` gives: every path works as soon as it is done", useEveryPath);

  test.each(services)("%s logs lines of JSON and nothing else", async (service) => {
    // Compose itself begins each line by clearing it.
    const lines = (await compose("logs", "--no-log-prefix", service)).replaceAll("\x1b[2K", "").split("\n");
    expect(lines.map((line) => JSON.parse(line).service)).toEqual(lines.map(() => service));
  });

  test("made the database and the container in Cosmos DB before it started what needs them", async () => {
    const log = await compose("logs", "--no-log-prefix", "cosmos-init");
    expect(log).toMatch(/container +statestore was missing; made/);
    expect(log).toMatch(/TTL +on \(-1\)/);
    expect((await inspect("container", await idOf("cosmos-init"))).State.ExitCode).toBe(0);
  });

  test("publishes ports on loopback only, and none of a sidecar", async () => {
    for (const { Name: name, HostConfig: config } of await inspectAll()) {
      const addresses = Object.values(config.PortBindings).flat() as { HostIp: string }[];
      for (const { HostIp: address } of addresses) expect(address).toBe("127.0.0.1");
      expect(addresses).toHaveLength(services.some((service) => name.endsWith(`-${service}-1`)) ? 1 : 0);
    }
  });

  test("lets nobody but its app reach a sidecar's API, and other sidecars its port for calls", async () => {
    const connect = (host: string, port: number) => `require("node:net").connect(${port}, ${JSON.stringify(host)})
      .on("connect", () => { console.log("connected"); process.exit(); })
      .on("error", ({ code }) => console.log(code)).setTimeout(1500, () => { console.log("lost"); process.exit(); })`;
    const { NetworkSettings: network } = await inspect("container", await idOf("state-api-dapr"));
    const address = network.Networks[`${project}_state-api`].IPAddress;
    const from = async (service: string, host: string, port: number) =>
      evaluate(["exec", await idOf(service), "node"], connect(host, port));
    const beside = ["run", "--rm", "--network", `${project}_sidecars`, "--entrypoint", "node", "state-api"];
    const attempts = {
      "its app": from("state-api", "sidecar", 3500),
      "another app, by name": from("welcome", "state-api-dapr", 3500),
      "another app, by address": from("welcome", address, 3500),
      "another sidecar": evaluate(beside, connect("state-api-dapr", 3500)),
      "another sidecar, to make a call": evaluate(beside, connect("state-api-dapr", 50002)),
    };
    const outcomes = Object.entries(attempts).map(async ([who, outcome]) => [who, await outcome]);
    expect(Object.fromEntries(await Promise.all(outcomes))).toEqual({
      "its app": "connected",
      "another app, by name": "ENOTFOUND",
      "another app, by address": "lost",
      "another sidecar": "ECONNREFUSED",
      "another sidecar, to make a call": "connected",
    });
  });

  test("bounds every container of ours: user, capabilities, file system, memory", async () => {
    for (const { Name: name, Config: config, HostConfig: host } of await inspectAll()) {
      expect(config.User, name).toBe("65532:65532");
      expect(host, name).toMatchObject({ ReadonlyRootfs: true, CapDrop: ["ALL"], CapAdd: null, Privileged: false });
      expect(host.SecurityOpt, name).toContain("no-new-privileges:true");
      expect(host.Memory, name).toBeGreaterThan(0);
    }
    // And as the process itself sees it.
    const script = `const { readFileSync, writeFileSync } = require("node:fs");
      const status = readFileSync("/proc/self/status", "utf8");
      const refused = ["/x", "/app/x", "/etc/x"].map((path) => { try { writeFileSync(path, ""); } catch ({ code }) { return code; } });
      console.log(JSON.stringify([process.getuid(), /CapEff:\\s*(\\S+)/.exec(status)[1], /NoNewPrivs:\\s*(\\S+)/.exec(status)[1], refused]));`;
    const seen = services.map(async (service) => evaluate(["exec", await idOf(service), "node"], script));
    for (const each of await Promise.all(seen)) {
      expect(JSON.parse(each)).toEqual([65532, "0".repeat(16), "1", ["EROFS", "EROFS", "EROFS"]]);
    }
  });

  /** What happens to containers, by the command that makes it happen. */
  const events: Record<string, (service: string) => Promise<unknown>> = {
    restart: (service) => compose("restart", service),
    crash: async (service) => {
      const { State: state, RestartCount: count } = await inspect("container", await idOf(service));
      // As the kernel would: an engine does not restart what it killed itself.
      const host = ["run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "node", "state-api"];
      await evaluate(host, `process.kill(${state.Pid}, "SIGKILL")`);
      await expect
        .poll(async () => (await inspect("container", await idOf(service))).RestartCount, { timeout: 10_000 })
        .toBe(count + 1);
    },
    "kill and up": async (service) => {
      await compose("kill", service);
      await compose("up", "--detach", "--no-deps", service);
    },
    "up --force-recreate": (service) => compose("up", "--detach", "--no-deps", "--force-recreate", service),
  };
  const victims = services.flatMap((service) => [service, `${service}-dapr`]);

  describe.each(victims)("every path works within 10 s after %s has gone through", (service) => {
    test.each(Object.keys(events))("%s", { timeout: 40_000 }, async (name) => {
      await events[name]?.(service);
      const over = performance.now();
      await expect.poll(() => useEveryPath().catch(String), { timeout: 10_000, interval: 100 }).toBeUndefined();
      console.log(`${service}, ${name}: ${Math.round(performance.now() - over)} ms until every path worked`);
    });
  });

  test("also after an app was built anew", { timeout: 60_000 }, async () => {
    const before = await idOf("state-api");
    await compose("build", "--build-arg", "REVISION=another", "state-api");
    await compose("up", "--detach", "--no-deps", "state-api");
    expect(await idOf("state-api")).not.toBe(before);
    await expect.poll(() => useEveryPath().catch(String), { timeout: 10_000, interval: 100 }).toBeUndefined();
  });

  test("SIGTERM lets an app finish what is in flight", async () => {
    const [app, sidecar] = [await idOf("state-api"), await idOf("state-api-dapr")];
    await docker("pause", sidecar);
    const answer = ask("state-api", "/state/drained", { method: "PUT", body: 1 });
    await sleep(100);
    await docker("kill", "--signal", "SIGTERM", app);
    await docker("unpause", sidecar);
    expect((await answer).status).toBe(204);
    expect(await docker("wait", app)).toBe("0");
    expect(await docker("logs", "--tail", "1", app)).toContain("draining");
    await docker("start", app);
    await expect.poll(() => useEveryPath().catch(String), { timeout: 10_000, interval: 100 }).toBeUndefined();
  });

  test("all of it stops within 5 s, by itself", async () => {
    const started = performance.now();
    await compose("stop");
    expect(performance.now() - started).toBeLessThan(5_000);
    for (const { Name: name, State: state } of await inspectAll()) {
      expect(state.ExitCode, name).toBe(0); // 137 would be killed
    }
    await compose("down");
  });
});

describe("docker compose --profile sqlite", () => {
  beforeAll(() => sqlite("up", "--detach", "--wait"), 60_000);

  test("needs no Cosmos DB", async () => {
    const sidecars = ["state-api-dapr-sqlite", "group-lister-dapr", "welcome-dapr"];
    const running = (await sqlite("ps", "--services")).split("\n").sort();
    expect(running).toEqual([...services, ...sidecars, "azure-stand-in"].sort());
    await useEveryPath();
  });

  test("down and up keep the state, and down takes less than 5 s", { timeout: 60_000 }, async () => {
    await ask("state-api", "/state", { body: { key: "kept", data: "over down and up" } });
    const started = performance.now();
    await sqlite("down");
    expect(performance.now() - started).toBeLessThan(5_000);
    await sqlite("up", "--detach", "--wait");
    expect(await ask("welcome", "/api/state/kept")).toEqual({ status: 200, text: '"over down and up"' });
    await useEveryPath();
  });
});

describe("Azure from a container", () => {
  test("docker-compose.azure.yml says what is missing before anything starts", async () => {
    const files = ["--file", "docker-compose.yml", "--file", "docker-compose.azure.yml"];
    await expect(docker("compose", ...files, "config")).rejects.toThrow(
      /AZURE_[A-Z_]+ is missing .*docs\/containers\.md/,
    );
    const given = { AZURE_TENANT_ID: "t", AZURE_CLIENT_ID: "c", AZURE_CLIENT_SECRET: "s" };
    const settings = join(folder, ".env");
    writeFileSync(
      settings,
      Object.entries(given)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
    const whole = JSON.parse(await docker("compose", ...files, "--env-file", settings, "config", "--format", "json"));
    expect(Object.keys(whole.services)).not.toContain("azure-stand-in");
    expect(whole.services["group-lister"].environment).toMatchObject(given);
  });

  test("without a credential, readiness and log say so and how to get one", async () => {
    const id = await docker("run", "--detach", "group-lister");
    const script = `fetch("http://127.0.0.1:8080/readyz").then((answer) => answer.text()).then(console.log)`;
    await expect
      .poll(() => evaluate(["exec", id, "node"], script).catch(String), { timeout: 20_000 })
      .toContain("No Azure credential returned a token");
    expect(await docker("logs", id)).toMatch(/No Azure credential returned a token\. On your own machine: az login\./);
    await docker("rm", "--force", id);
  });

  test.skipIf(process.platform !== "linux")("a service principal in the environment signs in", async () => {
    const application = { clientId: "00000000-0000-4000-8000-000000000001", objectId: "o", secret: "not a real one" };
    const azure = await startAzure({ folder: join(folder, "azure"), applications: [application] });
    const [port] = await freePorts(1);
    const settings = {
      ...{ HOST: "127.0.0.1", PORT: port, NODE_EXTRA_CA_CERTS: "/ca.pem" },
      ...{ AZURE_AUTHORITY_HOST: azure.httpsUrl, AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl },
      ...{ AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential", AZURE_TENANT_ID: azure.tenantId },
      ...{ AZURE_CLIENT_ID: application.clientId, AZURE_CLIENT_SECRET: application.secret },
    };
    const environment = Object.entries(settings).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
    // The stand-in is on this machine's loopback.
    const options = ["--detach", "--network", "host", "--volume", `${azure.caFile}:/ca.pem:ro`, ...environment];
    const id = await docker("run", ...options, "group-lister");
    await expect
      .poll(() => fetch(`http://127.0.0.1:${port}/groupz`).then((answer) => answer.json(), String), { timeout: 10_000 })
      .toEqual(sampleGroups);
    await docker("rm", "--force", id);
    await azure.close();
  });
});

describe("docs/deploy/containers.md", () => {
  const commands = readBlocks("docs/deploy/containers.md").map(({ command }) => command);

  test.each(commands)("%s", { timeout: 60_000 }, async (command) => {
    const [, ...words] = command.split(" ");
    if (words[0] !== "compose") return void (await docker(...words));
    const given = { AZURE_TENANT_ID: "t", AZURE_CLIENT_ID: "c", AZURE_CLIENT_SECRET: "s" };
    for (const [name, value] of Object.entries(given)) vi.stubEnv(name, value);
    try {
      // What it does is done above, on other ports; here Compose reads the files, the profile and the flags.
      const files = words.slice(
        0,
        words.findIndex((word) => word === "up" || word === "down"),
      );
      await docker(...files, "config", "--quiet");
      await docker(...words, "--help");
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
