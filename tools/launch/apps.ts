// Starts an app of dapr.yaml and its sidecar, with their logs on stdout.
import { styleText } from "node:util";
import { describeSidecar } from "../daprd/sidecar.ts";
import { type Running, type Server, startProcess } from "../processes/process.ts";
import { renderLog } from "../processes/render-log.ts";
import { createTokens, environmentOf, type Settings } from "./environment.ts";
import type { AppTemplate, SidecarPorts, Suite } from "./template.ts";

export interface App {
  server: Running<Server>;
  sidecar: Running<Server> | undefined;
}

const colors = ["cyan", "magenta", "green", "yellow", "blue"] as const;

export async function startApps(suite: Suite, daprd: string, settings: Settings): Promise<App[]> {
  const width = Math.max(...suite.apps.map(({ appID }) => appID.length)) + " daprd".length;
  const environments = await Promise.all(suite.apps.map((template) => environmentOf(template, settings)));
  return suite.apps.map((template, index) => {
    const start = (server: Server) => {
      const prefix = styleText(colors[index % colors.length] ?? "cyan", `${server.name.padEnd(width)} |`);
      return startProcess(server, (line) => {
        for (const part of renderLog(line)) process.stdout.write(`${prefix} ${part}\n`);
      });
    };
    const env = environments[index] ?? {};
    if (template.daprHTTPPort === undefined) return { server: start(serverOf(template, env)), sidecar: undefined };
    const tokens = createTokens(template, settings);
    const sidecar = start(sidecarOf(suite, template, daprd, tokens));
    return { server: start(serverOf(template, { ...env, ...tokens })), sidecar };
  });
}

function sidecarOf(
  suite: Suite,
  { appID, appPort, ...ports }: AppTemplate & SidecarPorts,
  daprd: string,
  env: Record<string, string>,
): Server {
  return describeSidecar({
    daprd,
    appId: appID,
    appPort,
    ports: {
      http: ports.daprHTTPPort,
      grpc: ports.daprGRPCPort,
      internal: ports.daprInternalGRPCPort,
    },
    resources: suite.resources,
    config: suite.configuration,
    logLevel: suite.logLevel,
    cwd: suite.root,
    env,
  });
}

function serverOf(template: AppTemplate, env: Record<string, string>): Server {
  const { appID, appPort, appDirPath } = template;
  const [path = "", ...args] = template.command;
  // The variables that the Dapr CLI sets.
  const dapr = {
    APP_ID: appID,
    APP_PORT: `${appPort}`,
    ...(template.daprHTTPPort !== undefined && {
      DAPR_HTTP_PORT: `${template.daprHTTPPort}`,
      DAPR_GRPC_PORT: `${template.daprGRPCPort}`,
    }),
  };
  return {
    name: appID,
    path,
    args,
    cwd: appDirPath,
    env: { ...env, ...dapr, ...template.env },
    origin: `http://127.0.0.1:${appPort}`,
    readyPath: "/readyz",
  };
}
