// Tests docker-compose.yml, the Dockerfile and the images' bundles without an engine. test/containers runs them on one.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { emulatorKey } from "./simulators/cosmos/auth.ts";
import { root } from "./support/processes.ts";

interface Service {
  image: string;
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  networks?: Record<string, { aliases?: string[] }> | string[];
  build?: { target: string };
  pids_limit?: number;
}

const read = (file: string) => readFileSync(join(root, file), "utf8");
const services: Record<string, Service> = parse(read("docker-compose.yml"), { merge: true }).services;
const apps = ["state-api", "group-lister", "welcome"];
const sidecars = Object.entries(services).filter(([, { command }]) => command?.[0] === "/daprd");
const networksOf = ({ networks = [] }: Service) => (Array.isArray(networks) ? networks : Object.keys(networks));

describe("docker-compose.yml", () => {
  test("uses the versions of Node and daprd that package.json and the sidecar's Go module pin", () => {
    const { devDependencies } = JSON.parse(read("package.json"));
    const [, dapr] = /github\.com\/dapr\/dapr v(\S+)/.exec(read("tools/daprd/module/go.mod")) ?? [];
    expect(read("Dockerfile")).toContain(`\nARG NODE=node:${devDependencies.node}-bookworm-slim\n`);
    expect(sidecars.map(([, { image }]) => image)).toEqual(Array(4).fill(`daprio/daprd:${dapr}`));
  });

  test("pins the Cosmos DB emulator to a dated tag", () => {
    expect(services.cosmos?.image).toMatch(/^mcr\.microsoft\.com\/.+:vnext-EN20\d{6}$/);
  });

  test("builds every target of the Dockerfile under the target's name, and no other", () => {
    const targets = [...read("Dockerfile").matchAll(/^FROM service AS (\S+)$/gm)].map(([, target]) => target);
    const built = Object.values(services).flatMap(({ image, build }) => (build ? [[image, build.target]] : []));
    expect(new Set(built.map(([image]) => image))).toEqual(new Set(targets));
    for (const [image, target] of built) expect(target).toBe(image);
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

  test("publishes the ports of `npm start`, on loopback only", () => {
    const published = Object.values(services).flatMap(({ ports = [] }) => ports);
    expect(published).toEqual(["127.0.0.1:8080:8080", "127.0.0.1:8081:8080", "127.0.0.1:8082:8080"]);
  });

  test("contains no key but the emulator's, which is public", () => {
    const keys = Object.values(services).flatMap(({ environment = {} }) => environment.COSMOS_KEY ?? []);
    expect(new Set(keys)).toEqual(new Set([emulatorKey]));
  });

  test("limits the number of processes in every container but the emulator's", () => {
    // Not in test/containers: an engine silently drops the limit if its kernel does not support it.
    for (const [name, { pids_limit: limit }] of Object.entries(services)) {
      if (name !== "cosmos") expect(limit, name).toBe(128);
    }
  });
});

test("bundles are reproducible, and those of state-api and group-lister start without node_modules", async () => {
  const folders = [1, 2].map(() => mkdtempSync(join(tmpdir(), "bundle-test-")));
  const [first = "", second = ""] = folders;
  try {
    for (const folder of folders) execFileSync(process.execPath, [join(root, "tools/bundle/bundle.ts"), folder]);
    const files = readdirSync(first);
    expect(readdirSync(second)).toEqual(files);
    for (const file of files) {
      expect(readFileSync(join(first, file)).equals(readFileSync(join(second, file))), file).toBe(true);
    }
    for (const name of ["state-api", "group-lister"]) {
      const child = spawn(process.execPath, [`${name}.mjs`], { cwd: first, env: { PORT: "0" } });
      const [line] = await once(createInterface(child.stdout), "line");
      expect(JSON.parse(line).msg).toContain("listening");
      child.kill("SIGTERM");
      expect(await once(child, "exit")).toEqual([0, null]);
    }
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
});
