// The compose files and the bundles of the images, as far as they can be judged without an engine: test/containers has one.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { emulatorKey } from "./simulators/cosmos/server.ts";
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
const load = (file: string): Record<string, Service> => parse(read(file), { merge: true }).services;
const services = load("docker-compose.yml");
const apps = ["state-api", "group-lister", "welcome"];
const sidecars = Object.entries(services).filter(([, { command }]) => command?.[0] === "/daprd");
const networksOf = ({ networks = [] }: Service) => (Array.isArray(networks) ? networks : Object.keys(networks));

describe("the compose files", () => {
  test("name the versions that package.json and the sidecar's module name", () => {
    const { devDependencies } = JSON.parse(read("package.json"));
    const [, dapr] = /github\.com\/dapr\/dapr v(\S+)/.exec(read("tools/daprd/module/go.mod")) ?? [];
    expect(read("Dockerfile")).toContain(`\nARG NODE=node:${devDependencies.node}-bookworm-slim\n`);
    expect(sidecars.map(([, { image }]) => image)).toEqual(Array(4).fill(`daprio/daprd:${dapr}`));
  });

  test("build what the Dockerfile has", () => {
    const targets = [...read("Dockerfile").matchAll(/^FROM service AS (\S+)$/gm)].map(([, target]) => target);
    const all = { ...services, ...load("docker-compose.stand-in.yml") };
    const built = Object.values(all).flatMap(({ image, build }) => (build ? [[image, build.target]] : []));
    expect(new Set(built.map(([image]) => image))).toEqual(new Set(targets));
    for (const [image, target] of built) expect(target).toBe(image);
  });

  test("give an app and its sidecar a network of their own, and the sidecar's API no other", () => {
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

  test("publish on loopback only, the ports of `npm start`", () => {
    const published = Object.values(services).flatMap(({ ports = [] }) => ports);
    expect(published).toEqual(["127.0.0.1:8080:8080", "127.0.0.1:8081:8080", "127.0.0.1:8082:8080"]);
  });

  test("hold one key, which is no secret: every Cosmos DB emulator's", () => {
    const keys = Object.values(services).flatMap(({ environment = {} }) => environment.COSMOS_KEY ?? []);
    expect(new Set(keys)).toEqual(new Set([emulatorKey]));
  });

  test("bound the processes of everything that is ours", () => {
    // An engine whose kernel cannot do that drops it in silence, so this is not in test/containers.
    for (const [name, { pids_limit: limit }] of Object.entries(services)) {
      if (name !== "cosmos") expect(limit, name).toBe(128);
    }
  });
});

test("a program's bundle is the same bytes every time, and runs where there are no packages", async () => {
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
