import { type Process, startService, startSidecar } from "../support/processes.ts";

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
  /** Folders of components and of the resiliency policy. */
  readonly resources: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts instances on one store, with the Configuration that `npm start` uses. */
export async function startInstances({ count, resources, env = {} }: Options) {
  const instances: Instance[] = [];
  for (let index = 0; index < count; index++) {
    const config = "components/local/config.yaml";
    const sidecar = await startSidecar({ resources, config, env });
    const service = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_MAX_PENDING: String(MAX_PENDING),
      LOG_LEVEL: "warn",
    });
    instances.push({ service, sidecar });
  }
  return {
    instances,
    async restartSidecars() {
      for (const instance of instances) {
        await instance.sidecar.end();
        instance.sidecar = await instance.sidecar.restart();
      }
    },
    async end() {
      await Promise.all(instances.map(({ service }) => service.end()));
      await Promise.all(instances.map(({ sidecar }) => sidecar.end()));
    },
  };
}
