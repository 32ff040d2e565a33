import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Process, root, startService, startSidecar } from "../support/processes.ts";

/** A state-api and its sidecar, as real processes. */
export interface Instance {
  /** They are other objects after a restart, on the same ports. */
  service: Process;
  sidecar: Process;
}

/** So few that a stopped sidecar and a few dozen writes at once reach it. */
export const MAX_PENDING = 20;

interface Options {
  readonly count: number;
  /** Folders of components. */
  readonly resources: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts instances on one store, with the resiliency policy and the Configuration that `npm start` uses. */
export async function startInstances({ count, resources, env = {} }: Options) {
  const folder = mkdtempSync(join(tmpdir(), "histories-"));
  cpSync(join(root, "components/local/resiliency.yaml"), join(folder, "resiliency.yaml"));
  const instances: Instance[] = [];
  for (let index = 0; index < count; index++) {
    const config = "components/local/config.yaml";
    const sidecar = await startSidecar({ resources: [folder, ...resources], config, env });
    const service = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_MAX_PENDING: String(MAX_PENDING),
      LOG_LEVEL: "warn",
    });
    instances.push({ service, sidecar });
  }
  return {
    instances,
    async end() {
      await Promise.all(instances.map(({ service }) => service.end()));
      await Promise.all(instances.map(({ sidecar }) => sidecar.end()));
      rmSync(folder, { recursive: true });
    },
  };
}

/** A folder with a component for a new SQLite file, and the file. */
export function createSqliteStore() {
  const folder = mkdtempSync(join(tmpdir(), "histories-sqlite-"));
  const file = join(folder, "state.db");
  const resources = join(folder, "resources");
  mkdirSync(resources);
  const component = readFileSync(join(root, "components/local/statestore.yaml"), "utf8");
  writeFileSync(join(resources, "statestore.yaml"), component.replace("data/state.db", file));
  return { file, resources, remove: () => rmSync(folder, { recursive: true }) };
}
