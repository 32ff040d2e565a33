import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sampleApplication } from "../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { createNamesFile } from "../../tools/daprd/names.ts";
import {
  freePorts,
  type Process,
  patience,
  readLocalConfig,
  sqliteResources,
  startService,
  startSidecar,
} from "./processes.ts";

export interface Suite {
  readonly services: Readonly<Record<"state-api" | "group-lister" | "welcome" | "hello-wasm", Process>>;
  readonly azure: Azure;
  /** File of the SQLite state store. */
  readonly database: string;
  end(): Promise<void>;
}

interface SuiteOptions {
  /** Lines to add to the `spec` of the sidecars' Configuration. */
  readonly configuration?: string;
  readonly sidecarEnv?: Readonly<Record<string, string>>;
  /** Callers of welcome sign in with the Azure stand-in. */
  readonly signIn?: boolean;
}

/** Starts the four services as processes, with the sidecars, the SQLite store and the Azure stand-in of `npm start`. */
export async function startSuite({
  configuration = "",
  sidecarEnv = {},
  signIn = false,
}: SuiteOptions = {}): Promise<Suite> {
  const folder = mkdtempSync(join(tmpdir(), "suite-test-"));
  const config = join(folder, "config.yaml");
  const names = join(folder, "names.db");
  createNamesFile(names);
  writeFileSync(config, readLocalConfig(names) + configuration);
  const none = join(folder, "none");
  mkdirSync(none);
  const store = sqliteResources();
  const started: Process[] = [];
  let azure: Azure | undefined;

  async function end(): Promise<void> {
    for (const process of started.reverse()) await process.end(); // services before their sidecars
    await azure?.close();
    store.remove();
    rmSync(folder, { recursive: true, force: true });
  }

  /** Starts a service and its sidecar. */
  async function startPair(name: string, resources: string, env: Record<string, string> = {}): Promise<Process> {
    const [appPort = 0] = await freePorts(1);
    const sidecar = await startSidecar({ appId: name, appPort, resources: [resources], config, env: sidecarEnv });
    started.push(sidecar);
    const daprPort = new URL(sidecar.origin).port;
    const service = await startService(name, { ...patience, ...env, PORT: `${appPort}`, DAPR_HTTP_PORT: daprPort });
    started.push(service);
    return service;
  }

  try {
    azure = await startAzure();
    const standIn = {
      NODE_OPTIONS: "--import ./stand-ins/azure/env.ts",
      AZURE_STAND_IN_PORT: new URL(azure.url).port,
      AZURE_STAND_IN_HTTPS_PORT: new URL(azure.httpsUrl).port,
    };
    const withSignIn = {
      SIGN_IN_CLIENT_ID: sampleApplication.clientId,
      SIGN_IN_TENANT_ID: azure.tenantId,
      SIGN_IN_AUTHORITY: azure.httpsUrl,
      NODE_EXTRA_CA_CERTS: azure.caFile,
      LOG_LEVEL: "debug",
    };
    const [stateApi, groupLister, welcome, helloWasm] = await Promise.all([
      startPair("state-api", store.folder),
      startPair("group-lister", none, standIn),
      startPair("welcome", none, signIn ? withSignIn : {}),
      startService("hello-wasm", patience),
    ]);
    started.push(helloWasm);
    const services = { "state-api": stateApi, "group-lister": groupLister, welcome, "hello-wasm": helloWasm };
    return { services, azure, database: join(store.folder, "state.db"), end };
  } catch (error) {
    await end();
    throw error;
  }
}
