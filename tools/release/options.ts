import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { UUID } from "../../services/runtime/config.ts";
import { isSafe } from "../../services/runtime/loopback.ts";
import type { Target } from "./azure/resource-manager.ts";
import type { Goal } from "./core/goal.ts";
import { suggest } from "./definition/read-definition.ts";

export interface Options {
  readonly app: string;
  /** release.yaml of the app. */
  readonly file: string;
  readonly command: Command;
  /** Options that the next command for this app needs, too. */
  readonly repeated: readonly string[];
}

export type Command =
  | { readonly kind: "plan"; readonly azure: AzureOptions; readonly wanted: Wanted; readonly allowQueue: boolean }
  | { readonly kind: "argo"; readonly image: string; readonly set: Readonly<Record<string, string>> }
  | { readonly kind: "status"; readonly azure: AzureOptions; readonly json: boolean }
  | { readonly kind: "release"; readonly azure: AzureOptions; readonly goal: Goal };

export interface Wanted {
  readonly image: string | undefined;
  readonly set: Readonly<Record<string, string>>;
}

export interface AzureOptions {
  readonly target: Target;
  /** Origins, and the resources that tokens for them are for. */
  readonly manager: Endpoint;
  readonly logs: Endpoint;
  readonly authorityHost: string;
  /** Of Log Analytics; undefined: none. */
  readonly workspace: string | undefined;
}

interface Endpoint {
  readonly origin: string;
  readonly resource: string;
}

const commands = ["plan", "run", "promote", "abort", "status"] as const;
type Name = (typeof commands)[number];

export const usage = `npm run release -- COMMAND APP [options]

Gives traffic to a new revision of a container app step by step, as services/APP/release.yaml says: tests it, compares
its requests with those of the live revision, and promotes it or sends all traffic back. Ctrl+C ends only this command:
the traffic stays as it is, and run goes on with the release.

Commands
  plan APP --image REF    print what a release would do, how long it takes, and what speaks against it
  run APP --image REF     start a release, or go on with it, until it is promoted, rolled back or held
  run APP                 go on with a release; start none
  promote APP             end the step, the hold or the bake that the release is at, and go on
  abort APP               send all traffic back to the live revision
  status APP              print the release that is under way; change nothing

Options
  --image REF             image of the new revision, with a tag or digest of its own; plan, run
  --set NAME=VALUE        environment variable of the new revision; can be repeated; plan, run
  --once                  do what is due now, at most one change, and end; run
  --retry                 release a revision again that was rolled back; run
  --allow-queue           release an app that scales by the length of a queue; plan, run
  --force                 promote although a check fails; promote
  --revision NAME         refuse another revision than this one; promote
  --step N                refuse another step than this one, such as 2 or "step 2 of 3"; promote
  --argo                  print the release as manifests of Argo Rollouts, without Azure; plan
  --json                  print JSON; status
  --file FILE             default: services/APP/release.yaml
  --subscription ID       default: AZURE_SUBSCRIPTION_ID
  --resource-group NAME   default: AZURE_RESOURCE_GROUP
  --help                  print this text

Exit codes
  0  promoted, aborted, or nothing to do      4  somebody else changed the traffic; nothing was done
  1  an option or release.yaml is wrong       5  Azure is unreachable; no traffic was added
  2  rolled back                              6  Azure has not confirmed the way back: look at the app
  3  held: run promote or abort`;

/** Which commands an option is for. An option that is not listed is for all of them. */
const onlyFor: Readonly<Record<string, readonly Name[]>> = {
  image: ["plan", "run"],
  set: ["plan", "run"],
  once: ["run"],
  retry: ["run"],
  "allow-queue": ["plan", "run"],
  force: ["promote"],
  revision: ["promote"],
  step: ["promote"],
  argo: ["plan"],
  json: ["status"],
};

/** https://learn.microsoft.com/azure/developer/identity/national-clouds */
const clouds = {
  AzurePublicCloud: {
    manager: "https://management.azure.com",
    logs: "https://api.loganalytics.io",
    authorityHost: "https://login.microsoftonline.com",
  },
  AzureUSGovernmentCloud: {
    manager: "https://management.usgovcloudapi.net",
    logs: "https://api.loganalytics.us",
    authorityHost: "https://login.microsoftonline.us",
  },
  AzureChinaCloud: {
    manager: "https://management.chinacloudapi.cn",
    logs: "https://api.loganalytics.azure.cn",
    authorityHost: "https://login.chinacloudapi.cn",
  },
} as const;

export class OptionsError extends Error {
  override readonly name = "OptionsError";
}

/**
 * @returns undefined for --help
 * @throws {OptionsError} with a line for each fault
 */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): Options | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  const faults: string[] = [];
  const [given, app, ...others] = positionals;
  const name = commands.find((command) => command === given);
  if (name === undefined) {
    const what = given === undefined ? "A command is missing" : `${given} is no command`;
    faults.push(`${what}. Use one of ${commands.join(", ")}.`);
  }
  const example = `npm run release -- ${name ?? "status"} welcome`;
  if (app === undefined) faults.push(`The name of the app is missing, such as in: ${example}`);
  else if (!/^[a-z][a-z0-9-]{0,30}[a-z0-9]$/.test(app)) faults.push(`${app} cannot be the name of a container app.`);
  if (others.length > 0) faults.push(`Remove ${others.join(" ")}: a command releases one app.`);
  for (const [option, names] of Object.entries(onlyFor)) {
    if (!args.some((arg) => arg === `--${option}` || arg.startsWith(`--${option}=`))) continue;
    if (name !== undefined && !names.includes(name))
      faults.push(`--${option} is for ${names.join(" and ")}, not for ${name}.`);
  }
  const { image } = values;
  const fault = image === undefined ? undefined : faultOfImage(image);
  if (fault !== undefined) faults.push(fault);
  const set = readSet(values.set, faults);
  const step = readStep(values, faults);
  if (name === "plan" && image === undefined && (values.argo || values.set.length === 0)) {
    faults.push("plan needs --image REF, such as --image REGISTRY.azurecr.io/welcome:1.0.1");
  }
  const azure = values.argo ? undefined : readAzure(values, env, app ?? "", faults);
  if (faults.length > 0 || name === undefined || app === undefined) throw new OptionsError(faults.join("\n"));

  const file = values.file ?? `services/${app}/release.yaml`;
  const repeated = (["file", "subscription", "resource-group"] as const).flatMap((option) => {
    const value = values[option];
    return value === undefined ? [] : [`--${option}`, quote(value)];
  });
  if (azure === undefined) return { app, file, repeated, command: { kind: "argo", image: image ?? "", set } };
  return { app, file, repeated, command: toCommand() };

  function toCommand(): Command {
    const { once, retry, "allow-queue": allowQueue, force, json, revision } = values;
    const of = { azure: azure as AzureOptions };
    if (name === "plan") return { kind: "plan", ...of, wanted: { image, set }, allowQueue };
    if (name === "status") return { kind: "status", ...of, json };
    if (name === "promote") return { kind: "release", ...of, goal: { kind: "promote", force, revision, step } };
    if (name === "abort") return { kind: "release", ...of, goal: { kind: "abort" } };
    return { kind: "release", ...of, goal: { kind: "run", image, set, retry, once, allowQueue } };
  }
}

const accepted = {
  image: { type: "string" },
  set: { type: "string", multiple: true, default: [] },
  once: { type: "boolean", default: false },
  retry: { type: "boolean", default: false },
  "allow-queue": { type: "boolean", default: false },
  force: { type: "boolean", default: false },
  revision: { type: "string" },
  step: { type: "string" },
  argo: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  file: { type: "string" },
  subscription: { type: "string" },
  "resource-group": { type: "string" },
  help: { type: "boolean", short: "h", default: false },
} satisfies ParseArgsOptionsConfig;

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: accepted });
  } catch (error) {
    throw new OptionsError(explainParsing(error instanceof Error ? error.message : String(error)));
  }
}

/** Node's messages are about how to write a program. */
function explainParsing(message: string): string {
  const [option = ""] = /--?[\w-]+(?=[ =<']|$)/.exec(message.replace(/'-\w, /, "'")) ?? [];
  if (message.startsWith("Unknown option")) {
    const known = Object.keys(accepted).map((name) => `--${name}`);
    return `${option} is no option. ${suggest(option, known)}`;
  }
  if (message.includes("does not take")) return `${option} takes no value.`;
  return `${option} needs a value.`;
}

/** For a shell. */
const quote = (value: string) => (/^[\w.:/@-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`);

/** https://github.com/distribution/reference: [HOST[:PORT]/]PATH[:TAG][@DIGEST] */
function faultOfImage(image: string): string | undefined {
  if (!/^[a-z0-9][\w.:/-]*(@sha256:[0-9a-f]{64})?$/i.test(image)) {
    return `--image ${image} is no image. Write it like REGISTRY.azurecr.io/welcome:1.0.1`;
  }
  const [name = "", digest] = image.split("@");
  const [, tag = "latest"] = name.split("/").at(-1)?.split(":") ?? [];
  if (digest !== undefined || (tag !== "latest" && tag !== "")) return undefined;
  return `--image ${image} can be another image tomorrow. Name a tag of this version, such as :1.0.1, or a digest.`;
}

/** A number, or the words of the table and of the output `step` of GitHub Actions. */
function readStep(
  { revision, step }: { readonly revision?: string | undefined; readonly step?: string | undefined },
  faults: string[],
): number | undefined {
  if (step === undefined) return undefined;
  const [, number] = /^(?:step )?([1-9]\d{0,2})(?: of \d+)?$/.exec(step) ?? [];
  if (number === undefined) faults.push(`--step ${step} is no step. Write it like 2 or "step 2 of 3".`);
  if (revision === undefined) faults.push("--step needs --revision NAME: each release has such a step.");
  return number === undefined ? undefined : Number(number);
}

function readSet(values: readonly string[], faults: string[]): Record<string, string> {
  const set: Record<string, string> = {};
  for (const pair of values) {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_.-]*)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined || value === undefined) {
      faults.push(`--set ${pair.split("=")[0]} is no variable. Write --set NAME=VALUE.`);
    } else if (Object.hasOwn(set, name)) faults.push(`--set ${name} is given twice.`);
    else set[name] = value;
  }
  return set;
}

function readAzure(
  values: { readonly subscription?: string | undefined; readonly "resource-group"?: string | undefined },
  env: NodeJS.ProcessEnv,
  app: string,
  faults: string[],
): AzureOptions {
  const subscription = values.subscription ?? env.AZURE_SUBSCRIPTION_ID ?? "";
  const resourceGroup = values["resource-group"] ?? env.AZURE_RESOURCE_GROUP ?? "";
  const workspace = env.AZURE_LOG_ANALYTICS_WORKSPACE_ID || undefined;
  const isUuid = (text: string) => new RegExp(`^${UUID}$`).test(text);
  if (!isUuid(subscription)) {
    const command = "export AZURE_SUBSCRIPTION_ID=$(az account show --query id --output tsv)";
    faults.push(`${notValid("--subscription", subscription)} Set it, such as by: ${command}`);
  }
  if (!/^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$/u.test(resourceGroup)) {
    const command = "az group list --query [].name --output tsv";
    faults.push(`${notValid("--resource-group", resourceGroup)} Set AZURE_RESOURCE_GROUP. To see yours: ${command}`);
  }
  if (workspace !== undefined && !isUuid(workspace)) {
    faults.push(
      `AZURE_LOG_ANALYTICS_WORKSPACE_ID=${workspace} is no UUID. ` +
        "Set it to the customerId of: az monitor log-analytics workspace list --output table",
    );
  }
  const names = Object.keys(clouds);
  const cloudName = env.AZURE_ENVIRONMENT || "AzurePublicCloud";
  if (!names.includes(cloudName))
    faults.push(`AZURE_ENVIRONMENT=${cloudName} is unknown. Set one of ${names.join(", ")}.`);
  const cloud = clouds[names.includes(cloudName) ? (cloudName as keyof typeof clouds) : "AzurePublicCloud"];
  const endpoint = (variable: string, resource: string): Endpoint => {
    const value = env[variable] || resource;
    if (!isSafe(value)) faults.push(`${variable}=${value} must be a URL such as ${resource}`);
    return { origin: URL.parse(value)?.origin ?? resource, resource };
  };
  return {
    target: { subscription, resourceGroup, app },
    manager: endpoint("AZURE_RESOURCE_MANAGER_ENDPOINT", cloud.manager),
    logs: endpoint("AZURE_LOG_ANALYTICS_ENDPOINT", cloud.logs),
    authorityHost: env.AZURE_AUTHORITY_HOST || cloud.authorityHost,
    workspace,
  };
}

function notValid(option: string, value: string): string {
  return value === "" ? `${option} is missing.` : `${option} ${value} is not valid.`;
}
