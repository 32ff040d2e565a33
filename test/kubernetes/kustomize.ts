// Builds infra/kubernetes with the pinned kubectl, without a cluster.
import { execFile } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { afterAll } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { findTools } from "../support/go-tools.ts";
import { root } from "../support/processes.ts";

export const folder = join(root, "infra/kubernetes");

export interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** The ConfigMap `azure` of overlays/aks. Kubernetes accepts every placeholder in it but the one of the host name. */
export const settings: { data: Record<string, string> } = parse(
  readFileSync(join(folder, "overlays/aks/settings.yaml"), "utf8"),
);
export const hostPlaceholder = settings.data.WELCOME_HOST;
settings.data.WELCOME_HOST = "welcome.example.com";

/** Folders that only other kustomizations use. */
const parts = ["base/*/*", "images/*", "standalone/common/*"];
/** Folders with a kustomization, by its kind: Kustomizations can be applied, Components are features. */
export const kustomizations: Record<"Kustomization" | "Component", string[]> = { Kustomization: [], Component: [] };
for (const file of globSync("**/kustomization.yaml", { cwd: folder, exclude: parts }).sort()) {
  const { kind }: { kind: keyof typeof kustomizations } = parse(readFileSync(join(folder, file), "utf8"));
  kustomizations[kind].push(dirname(file));
}

export const temporary = mkdtempSync(join(tmpdir(), "kustomize-test-"));
afterAll(() => rmSync(temporary, { recursive: true }));

export async function build(path: string): Promise<Resource[]> {
  const kubectl = join(await findTools("cluster"), "kubectl");
  const { stdout } = await promisify(execFile)(kubectl, ["kustomize", path], { maxBuffer: 10e6 });
  return parseAllDocuments(stdout).map((document) => document.toJS());
}

/** Builds base with images, features and settings, as overlays/aks does. */
export function compose(name: string, features: readonly string[], data = settings.data): Promise<Resource[]> {
  const overlay = join(temporary, name);
  mkdirSync(overlay);
  const path = (to: string) => relative(overlay, join(folder, to));
  writeFileSync(join(overlay, "settings.yaml"), stringify({ ...settings, data }));
  const kustomization = { resources: [path("base"), "settings.yaml"], components: ["images", ...features].map(path) };
  writeFileSync(join(overlay, "kustomization.yaml"), stringify(kustomization));
  return build(overlay);
}

/** Objects by kustomization. A feature is built on base. */
export async function buildAll(): Promise<Map<string, Resource[]>> {
  const applied = kustomizations.Kustomization.map(async (name) => [name, await build(join(folder, name))] as const);
  const switched = kustomizations.Component.map(async (name) => [name, await compose(basename(name), [name])] as const);
  return new Map(await Promise.all([...applied, ...switched]));
}
