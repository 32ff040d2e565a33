import { baseEnvironment } from "../processes/environment.ts";
import { flags } from "../processes/flags.ts";
import type { Server } from "../processes/process.ts";

export interface SidecarOptions {
  /** Path of daprd. */
  daprd: string;
  appId: string;
  /** Where the app listens for calls from other sidecars. */
  appPort?: number | undefined;
  ports: { http: number; grpc: number; internal: number };
  /** Folders of components and other resources. */
  resources: readonly string[];
  /** File of the Dapr Configuration; without one, every API of the sidecar is open. */
  config?: string | undefined;
  logLevel: string;
  /** The folder that paths in components are relative to. */
  cwd: string;
  /** Its environment, in addition to the variables that every process gets. */
  env?: NodeJS.ProcessEnv;
}

/** Describes a sidecar on loopback: `npm start`, the benchmark and the tests start it with these flags. */
export function describeSidecar({
  daprd,
  appId,
  appPort,
  ports,
  resources,
  config,
  logLevel,
  cwd,
  env,
}: SidecarOptions): Server {
  const loopback = "127.0.0.1";
  return {
    name: `${appId} daprd`,
    path: daprd,
    args: flags({
      "app-id": appId,
      "app-port": appPort,
      "dapr-listen-addresses": loopback,
      "dapr-http-port": ports.http,
      "dapr-grpc-port": ports.grpc,
      "dapr-internal-grpc-listen-address": loopback,
      "dapr-internal-grpc-port": ports.internal,
      "enable-metrics": false, // its port has no token, so a page whose name is rebound could read it
      "resources-path": resources,
      config,
      "log-level": logLevel,
      "log-as-json": true,
    }),
    cwd,
    env: { ...baseEnvironment(), ...env, DAPR_HOST_IP: loopback }, // the address that it announces to other sidecars
    origin: `http://${loopback}:${ports.http}`,
    readyPath: "/v1.0/healthz/outbound", // 204 once the components are loaded; needs no DAPR_API_TOKEN
  };
}
