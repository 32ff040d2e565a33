// Reads the two azure.yaml files and runs their hooks as azd does:
// https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/ext/models.go (parseRunTarget, enforceContainment)
// https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/tools/bash/bash.go
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join, relative } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";

interface Hook {
  readonly shell: string;
  readonly run: string;
}

interface Service {
  readonly host: string;
  readonly language: string;
  readonly project: string;
  readonly resourceName?: string;
  readonly docker: {
    readonly path: string;
    readonly context: string;
    readonly remoteBuild: boolean;
    readonly buildArgs: readonly string[];
  };
  readonly k8s?: { readonly namespace: string; readonly deploymentPath: string };
  readonly hooks?: Readonly<Record<string, Hook | readonly Hook[]>>;
}

export interface AzureYaml {
  readonly name: string;
  readonly requiredVersions: { readonly azd: string };
  readonly infra: { readonly path: string; readonly module: string };
  readonly hooks?: Readonly<Record<string, Hook | readonly Hook[]>>;
  readonly services: Readonly<Record<string, Service>>;
  readonly pipeline: { readonly variables: readonly string[]; readonly secrets?: readonly string[] };
}

/** Folders with an azure.yaml, relative to the repository, and the name of their parameter file. */
export const projects = { ".": "containerapps", "infra/azd/aks": "aks" } as const;

/**
 * The variable in which azd keeps the image of a service:
 * https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/environment/environment.go
 */
export const imageVariable = (service: string) => `SERVICE_${service.toUpperCase().replaceAll("-", "_")}_IMAGE_NAME`;

export function readProject(folder: string): AzureYaml {
  return parse(readFileSync(join(folder, "azure.yaml"), "utf8"));
}

/** A hook and the folder that azd runs it in. */
export interface PlacedHook extends Hook {
  /** Such as `postprovision` or `predeploy of welcome`. */
  readonly name: string;
  readonly cwd: string;
}

export function listHooks(folder: string): PlacedHook[] {
  const { hooks, services } = readProject(folder);
  const place = (cwd: string, more: AzureYaml["hooks"], of = "") =>
    Object.entries(more ?? {}).flatMap(([name, hook]) =>
      [hook].flat().map((each: Hook) => ({ ...each, name: `${name}${of}`, cwd })),
    );
  return [
    ...place(folder, hooks),
    ...Object.entries(services).flatMap(([name, { project, hooks }]) =>
      place(join(folder, project), hooks, ` of ${name}`),
    ),
  ];
}

/**
 * Returns the command that azd passes to `sh -c`. When `run` names a file, that is its path, without quotes. Any other
 * `run` is a script, which azd writes to a temporary file in `scratch`.
 *
 * @throws when the file is outside the folder of azure.yaml
 */
export function resolveHook({ run, cwd }: Pick<PlacedHook, "run" | "cwd">, folder: string, scratch: string): string {
  const file = join(cwd, run);
  if (statSync(file, { throwIfNoEntry: false })?.isFile()) {
    const path = relative(folder, file);
    if (path.startsWith("..") || isAbsolute(path)) {
      throw new Error(`hook script path "${run}" escapes project root "${folder}"`);
    }
    return file;
  }
  const script = join(scratch, `azd-${crypto.randomUUID()}.sh`);
  writeFileSync(script, `#!/bin/sh\nset -e\n\n# Auto generated file from Azure Developer CLI\n${run}\n`, {
    mode: 0o755,
  });
  return script;
}

/** Runs a hook with the variables of the azd environment. Rejects with an error that has `stderr` when it fails. */
export async function runHook(hook: PlacedHook, folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "azd-hook-"));
  try {
    await promisify(execFile)("/bin/sh", ["-c", resolveHook(hook, folder, scratch)], { cwd: hook.cwd, env });
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
