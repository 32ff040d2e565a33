// The plans of several parameter files, and the look-ups that tests of them share.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { environment, openWorkshop, type Plan, type Resource, startBicep, type Workshop } from "./bicep.ts";
import { root } from "./processes.ts";

export interface Plans {
  readonly names: readonly string[];
  readonly all: readonly Plan[];
  of(name: string): Plan;
  /** The only resource of a type in a plan or, if a name is given, the only one of that type and name. */
  find(plan: string, type: string, name?: string): Resource;
}

const folders = ["infra/bicep/parameters", "infra/bicep/parameters/examples", "test/infra/plans"];

/** Path of a parameter file, relative to the repository. */
export function fileOf(name: string): string {
  const file = folders.map((folder) => `${folder}/${name}.bicepparam`).find((path) => existsSync(join(root, path)));
  return file ?? expect.fail(`no parameter file ${name}.bicepparam in ${folders.join(", ")}`);
}

/** Names of all parameter files that users get: of main.bicep, of the apps, and the examples. */
export const shipped = folders
  .slice(0, 2)
  .flatMap((folder) => readdirSync(join(root, folder)))
  .filter((name) => name.endsWith(".bicepparam"))
  .map((name) => name.replace(/\.bicepparam$/, ""));

/**
 * @param names parameter files without `.bicepparam`, in infra/bicep/parameters, its examples or test/infra/plans
 * @param env variables in addition to those of every plan
 */
export async function makePlans(
  path: string,
  names: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Plans> {
  const bicep = startBicep(path, { env: { ...environment, ...env } });
  const plans = new Map<string, Plan>();
  try {
    for (const name of names) plans.set(name, await bicep.plan(fileOf(name)));
  } finally {
    bicep.close();
  }
  const of = (name: string) => plans.get(name) ?? expect.fail(`no plan of ${name}`);
  return {
    names,
    all: [...plans.values()],
    of,
    find(plan, type, name) {
      const found = of(plan).resources.filter((item) => item.type === type && (!name || item.name === name));
      const [only] = found;
      if (!only || found.length > 1) expect.fail(`${found.length} resources of ${type} in the plan of ${plan}, not 1`);
      return only;
    },
  };
}

/** A compiler without environment variables, for all parameter files of a test file. */
let workshop: Workshop | undefined;
afterAll(() => workshop?.close());

/**
 * Copies a parameter file into the workshop and inserts the values of environment variables, because the compiler reads
 * variables only at its start, which takes 2 s. test/infra/plan-all.test.ts compares this with variables that are set.
 */
function insertVariables(path: string, env: Readonly<Record<string, string>>, file: string) {
  workshop ??= openWorkshop(path, { strict: false, env: {} });
  const copy = file.replace(/\.bicepparam$/, ".inserted.bicepparam");
  const quote = (value: string) => `'${value.replaceAll(/[\\']|\$(?=\{)/g, "\\$&")}'`;
  const text = readFileSync(join(root, file), "utf8").replaceAll(
    /readEnvironmentVariable\('(\w+)'[^)]*\)/g,
    (call, name) => (env[name] === undefined ? call : quote(env[name])),
  );
  writeFileSync(join(workshop.folder, copy), text);
  return { bicep: workshop, copy };
}

/** The plan of a parameter file in another environment. @throws when a type or a fail() rejects the parameters */
export async function planIn(path: string, env: Readonly<Record<string, string>>, file: string): Promise<Plan> {
  const { bicep, copy } = insertVariables(path, env, file);
  return bicep.plan(copy);
}

/** The errors of the compiler for a parameter file in another environment; none if the file is valid. */
export async function errorsIn(path: string, env: Readonly<Record<string, string>>, file: string): Promise<string[]> {
  const { bicep, copy } = insertVariables(path, env, file);
  const { diagnostics } = await bicep.compileParameters(copy);
  return diagnostics.filter(({ level }) => level === "Error").map(({ message }) => message);
}

/** Compiles a parameter file in another environment. Resolves with the JSON of `bicep build-params`. */
export async function buildIn(path: string, env: Readonly<Record<string, string>>, file: string): Promise<string> {
  const { bicep, copy } = insertVariables(path, env, file);
  const { success, diagnostics, parameters, template } = await bicep.compileParameters(copy);
  if (!success) throw new Error(JSON.stringify(diagnostics));
  return JSON.stringify({ parametersJson: parameters, templateJson: template });
}
