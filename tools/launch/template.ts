// Reads dapr.yaml, the multi-app run template of the Dapr CLI: the fields that this suite uses.
// https://docs.dapr.io/developing-applications/local-development/multi-app-dapr-run/multi-app-template/
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import Type from "typebox";
import { Value } from "typebox/value";
import { parse, parseAllDocuments } from "yaml";

const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const Env = Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])));

const SidecarPorts = Type.Object({
  daprHTTPPort: Port,
  daprGRPCPort: Port,
  daprInternalGRPCPort: Port,
});
/** An app without sidecar ports gets no sidecar. */
const WithoutSidecar = Type.Object({ daprHTTPPort: Type.Optional(Type.Never()) });

const Template = Type.Object({
  version: Type.Literal(1),
  common: Type.Object({
    resourcesPaths: Type.Array(Type.String(), { minItems: 1 }),
    configFilePath: Type.String(),
    logLevel: Type.Optional(Type.String()),
    env: Env,
  }),
  apps: Type.Array(
    Type.Intersect([
      Type.Object({
        appID: Type.String({ minLength: 1 }),
        appDirPath: Type.String(),
        appPort: Port,
        command: Type.Array(Type.String(), { minItems: 1 }),
        env: Env,
      }),
      Type.Union([SidecarPorts, WithoutSidecar]),
    ]),
    { minItems: 1 },
  ),
});

export type AppTemplate = Type.Static<typeof Template>["apps"][number] & { env: Record<string, string> };
export type SidecarPorts = Type.Static<typeof SidecarPorts>;

/** dapr.yaml with absolute paths. */
export interface Suite {
  /** The folder of dapr.yaml. Sidecars run in it, and paths in components are relative to it. */
  root: string;
  resources: string[];
  configuration: string;
  logLevel: string;
  apps: AppTemplate[];
}

/** @throws Error that lists every missing or invalid field */
export function readTemplate(file: string): Suite {
  const root = dirname(resolve(file));
  const template: unknown = parse(readFileSync(file, "utf8"));
  if (!Value.Check(Template, template)) {
    const faults = Value.Errors(Template, template)
      .filter(({ keyword }) => keyword !== "anyOf" && keyword !== "not") // their parts are more precise
      .map(({ instancePath, message }) => {
        const field = instancePath.slice(1).replaceAll("/", ".");
        return `  - ${field || "the file"} ${message}`;
      });
    throw new Error(`${file} is not valid:\n${faults.join("\n")}`);
  }
  const { common, apps } = template;
  return {
    root,
    resources: common.resourcesPaths.map((path) => resolve(root, path)),
    configuration: resolve(root, common.configFilePath),
    logLevel: common.logLevel ?? "info",
    apps: apps.map((app) => ({
      ...app,
      appDirPath: resolve(root, app.appDirPath),
      env: Object.fromEntries(
        Object.entries({ ...common.env, ...app.env }).map(([name, value]) => [name, String(value)]),
      ),
    })),
  };
}

/** Every port of the suite with its purpose. */
export function listPorts({ apps }: Suite): { port: number; purpose: string }[] {
  return apps.flatMap((app) => [
    { port: app.appPort, purpose: app.appID },
    ...listSidecarPorts(app),
    ...listHttps(app),
  ]);
}

function listSidecarPorts({ appID, ...ports }: AppTemplate) {
  if (ports.daprHTTPPort === undefined) return [];
  return [
    { port: ports.daprHTTPPort, purpose: `sidecar of ${appID}, HTTP` },
    { port: ports.daprGRPCPort, purpose: `sidecar of ${appID}, gRPC` },
    { port: ports.daprInternalGRPCPort, purpose: `sidecar of ${appID}, other sidecars` },
  ];
}

/** The second port of the Azure stand-in. */
function listHttps({ appID, env }: AppTemplate) {
  const port = appID === "azure-stand-in" ? env.AZURE_STAND_IN_HTTPS_PORT : undefined;
  return port === undefined ? [] : [{ port: Number(port), purpose: `${appID}, HTTPS` }];
}

const SqliteComponent = Type.Object({
  metadata: Type.Object({ name: Type.String() }),
  spec: Type.Object({
    type: Type.Literal("state.sqlite"),
    metadata: Type.Array(Type.Object({ name: Type.String(), value: Type.Unknown() })),
  }),
});

/** The database file of a state.sqlite component, relative to the suite's root. */
export function findDatabaseFile({ resources }: Suite, component: string): string | undefined {
  for (const folder of resources) {
    for (const name of readdirSync(folder).filter((name) => /\.ya?ml$/.test(name))) {
      for (const document of parseAllDocuments(readFileSync(join(folder, name), "utf8"))) {
        const resource: unknown = document.toJS();
        if (!Value.Check(SqliteComponent, resource) || resource.metadata.name !== component) continue;
        return String(resource.spec.metadata.find((item) => item.name === "connectionString")?.value ?? "");
      }
    }
  }
  return undefined;
}
