// The environment variables of an app and its sidecar: those that each of them needs.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseEnv } from "node:util";
import { baseEnvironment, pickVariables } from "../processes/environment.ts";
import type { AppTemplate } from "./template.ts";

/** The variables of the shell, which take precedence, and of `.env`. */
export type Settings = Readonly<Record<string, string | undefined>>;

export function readSettings(root: string): Settings {
  const file = join(root, ".env");
  return { ...(existsSync(file) ? parseEnv(readFileSync(file, "utf8")) : {}), ...process.env };
}

interface Tokens extends Record<string, string> {
  /** The sidecar requires it, so that a web page cannot use the sidecar's API. */
  DAPR_API_TOKEN: string;
  /** The sidecar sends it, so that its app can tell it from other callers. */
  APP_API_TOKEN: string;
}

/** The tokens that the user has set, or random ones for this pair and start. */
export function createTokens({ env }: AppTemplate, settings: Settings): Tokens {
  const tokenOf = (name: string) => env[name] || settings[name] || randomBytes(32).toString("base64url");
  return { DAPR_API_TOKEN: tokenOf("DAPR_API_TOKEN"), APP_API_TOKEN: tokenOf("APP_API_TOKEN") };
}

/** The settings that an app declares in the `config.ts` beside its `server.ts`; none for another program. */
export async function environmentOf(app: AppTemplate, settings: Settings): Promise<Record<string, string>> {
  const declared = await readDeclared(app);
  const callsAzure = declared.has("AZURE_CLIENT_ID");
  const callsEntra = declared.has("SIGN_IN_CLIENT_ID");
  return {
    ...baseEnvironment(),
    ...pickVariables(process.env, (name) => DEBUGGER.has(name)),
    ...pickVariables(
      settings,
      (name) =>
        declared.has(name) || (callsAzure && isForAzure(name)) || ((callsAzure || callsEntra) && isForOtherHosts(name)),
    ),
  };
}

async function readDeclared({ appDirPath, command }: AppTemplate): Promise<Set<string>> {
  const server = command.find((argument) => argument.endsWith("/server.ts"));
  const file = server && resolve(appDirPath, dirname(server), "config.ts");
  if (!file || !existsSync(file)) return new Set();
  const { variables }: { variables?: object } = await import(pathToFileURL(file).href);
  return new Set(Object.keys(variables ?? {}));
}

/** Set by a debugger that attaches to child processes, such as that of VS Code. */
const DEBUGGER: ReadonlySet<string> = new Set(["NODE_OPTIONS", "VSCODE_INSPECTOR_OPTIONS"]);

/**
 * True for the credentials that @azure/identity, the tools that it runs and the Azure stand-in read.
 * https://learn.microsoft.com/javascript/api/overview/azure/identity-readme#environment-variables
 */
function isForAzure(name: string): boolean {
  return /^(AZURE|IDENTITY|IMDS|MSI)_/i.test(name);
}

/** True for proxies and for certificates to trust. */
function isForOtherHosts(name: string): boolean {
  return /^((HTTPS?|NO|ALL)_PROXY|NODE_USE_ENV_PROXY|NODE_EXTRA_CA_CERTS)$/i.test(name);
}

/** Runs `use` while this process has the variables for Azure: @azure/identity reads them from `process.env`. */
export async function withAzureSettings<T>(settings: Settings, use: () => Promise<T>): Promise<T> {
  const before = { ...process.env };
  const added = pickVariables(
    settings,
    (name) => (isForAzure(name) || isForOtherHosts(name)) && before[name] === undefined,
  );
  Object.assign(process.env, added);
  try {
    return await use();
  } finally {
    for (const name of Object.keys(added)) delete process.env[name];
  }
}
