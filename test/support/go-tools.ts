// The Go programs that tests run, such as those of a Kubernetes cluster: built once, from modules that pin their
// versions, and kept in the user's cache folder for all clones.
import { createHash } from "node:crypto";
import { globSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { findCacheFolder } from "../../tools/build-cache/folder.ts";
import { buildGo, type GoModule, runGo } from "../../tools/build-cache/go.ts";
import { makeOnce } from "../../tools/build-cache/make-once.ts";
import { createReporter } from "../../tools/build-cache/progress.ts";
import { root } from "./processes.ts";

/** The Go modules, with the test tier whose folder has each, and the time of a first build on two cores. */
const modules = {
  cluster: { tier: "kubernetes", duration: "5-10 minutes" },
  rollouts: { tier: "kubernetes", duration: "2-3 minutes" },
  dapr: { tier: "kubernetes", duration: "2-3 minutes" },
  prometheus: { tier: "kubernetes", duration: "1-2 minutes" },
  helm: { tier: "kubernetes", duration: "3-5 minutes" },
  spinkube: { tier: "kubernetes", duration: "1-2 minutes" },
  registry: { tier: "containers", duration: "1-2 minutes" },
  checker: { tier: "histories", duration: "10 seconds" },
};
type Module = keyof typeof modules;

/** Prometheus without the SDKs of the other platforms on which it can find its targets: they would triple the build. */
const tags: Partial<Record<Module, string>> = { prometheus: "remove_all_sd,enable_kubernetes_sd" };

/** For hooks that may have to build. */
export const buildTimeout = 30 * 60_000;

/** Returns the folder of a module's programs. */
export async function findTools(name: Module): Promise<string> {
  const { tier, duration } = modules[name];
  const module = describe(name);
  const linked = ["-mod=readonly", "-trimpath", "-ldflags", linkerFlags(module.module)];
  const flags = tags[name] === undefined ? linked : [...linked, "-tags", tags[name]];
  const folder = `${tier}-${name}-${hash(module.module, flags)}-${process.platform}-${process.arch}`;
  const what = `the ${name} programs of test/${tier}`;
  return makeOnce(join(findCacheFolder(process), folder, "bin"), what, module, async (unfinished) => {
    mkdirSync(unfinished);
    await buildGo(module, { what, duration, flags, packages: ["tool"], to: `${unfinished}/` });
  });
}

/** Returns the source folder of a dependency of the module: CRDs, install manifests, schemas. */
export async function findSource(name: Module, path: string): Promise<string> {
  let printed = "";
  await runGo(describe(name), ["mod", "download", "-json", path], (line) => {
    printed += line;
  });
  return JSON.parse(printed).Dir;
}

/**
 * Returns folders with the custom resource definitions of the Gateway API, in the version that AKS installs with
 * Kubernetes 1.36 (https://learn.microsoft.com/azure/aks/managed-gateway-api), and of Cilium.
 */
export async function findNetworkCrds(): Promise<string[]> {
  const gateway = await findSource("cluster", "sigs.k8s.io/gateway-api@v1.5.1");
  const cilium = await findSource("cluster", "github.com/cilium/cilium@v1.18.6");
  return [join(gateway, "config/crd/standard"), join(cilium, "pkg/k8s/apis/cilium.io/client/crds/v2")];
}

function describe(name: Module): GoModule {
  return {
    module: join(root, "test", modules[name].tier, "tools", name),
    env: process.env,
    report: createReporter(process.stderr),
    signal: new AbortController().signal,
  };
}

/** The linker stamps Kubernetes with its version, which clients parse. */
function linkerFlags(module: string): string {
  const pinned = /^\tk8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)$/m.exec(readFileSync(join(module, "go.mod"), "utf8"));
  if (!pinned) return "-s -w";
  const [, gitVersion, gitMajor, gitMinor] = pinned;
  const stamps = Object.entries({ gitVersion, gitMajor, gitMinor });
  return ["-s -w", ...stamps.map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)].join(" ");
}

/** Hashes everything that goes into the build. */
function hash(module: string, flags: readonly string[]): string {
  const sum = createHash("sha256").update(flags.join(" "));
  for (const file of globSync("**/*.{go,mod,sum}", { cwd: module }).sort())
    sum.update(readFileSync(join(module, file)));
  return sum.digest("hex").slice(0, 8);
}
