// A registry of container images and other OCI artifacts on loopback: CNCF Distribution, with the `oras` CLI as its
// client.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findTools } from "./go-tools.ts";
import { freePorts, launch } from "./processes.ts";

export interface Registry {
  /**
   * Host and port, such as 127.0.0.1:20000: the first part of an image's name. It speaks plain HTTP, which docker uses
   * for addresses of loopback, and anybody can push.
   */
  readonly host: string;
  /** The program `oras`, and an environment without credentials of the user. It needs the flag `--plain-http`. */
  readonly client: { readonly path: string; readonly env: NodeJS.ProcessEnv };
  end(): Promise<void>;
}

/** Starts an empty registry; it ends with the tests at the latest. */
export async function startRegistry(): Promise<Registry> {
  const programs = await findTools("registry");
  const folder = mkdtempSync(join(tmpdir(), "registry-test-"));
  const host = `127.0.0.1:${(await freePorts(1))[0]}`;
  // JSON is YAML. https://distribution.github.io/distribution/about/configuration/
  const config = {
    version: "0.1",
    log: { level: "warn", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "data") } },
    http: { addr: host },
  };
  writeFileSync(join(folder, "config.yml"), JSON.stringify(config));
  const registry = await launch({
    name: "registry",
    path: join(programs, "registry"),
    args: ["serve", join(folder, "config.yml")],
    cwd: folder,
    env: { ...process.env, OTEL_TRACES_EXPORTER: "none" }, // it would send traces to port 4318
    origin: `http://${host}`,
    readyPath: "/v2/",
  });
  return {
    host,
    client: { path: join(programs, "oras"), env: { ...process.env, HOME: folder, DOCKER_CONFIG: folder } },
    async end() {
      await registry.end();
      rmSync(folder, { recursive: true });
    },
  };
}
