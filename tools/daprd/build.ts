// Builds daprd from the Go module in tools/daprd/module, which pins its version.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildGo } from "../build-cache/go.ts";
import type { Machine } from "./machine.ts";

const buildFlags = ["-mod=readonly", "-tags", "stablecomponents", "-trimpath"];

/** Reads the version from go.mod, its only place. */
export function readPinnedVersion({ module }: Machine): string {
  const version = /^\s*github\.com\/dapr\/dapr v(\S+)/m.exec(readFileSync(join(module, "go.mod"), "utf8"))?.[1];
  if (!version) throw new Error(`${join(module, "go.mod")} does not require github.com/dapr/dapr`);
  return version;
}

export async function build(machine: Machine, version: string, to: string): Promise<void> {
  const flags = [...buildFlags, "-ldflags", linkerFlags(version)];
  await buildGo(machine, { what: `daprd ${version}`, duration: "3-4 minutes", flags, packages: ["."], to });
}

/** A folder name that changes with anything that goes into the build. */
export function nameBuild({ module, platform, arch }: Machine, version: string): string {
  const hash = createHash("sha256").update(linkerFlags(version)).update(buildFlags.join(" "));
  for (const file of ["go.mod", "go.sum", "main.go"]) hash.update(readFileSync(join(module, file)));
  return `daprd-${version}-${hash.digest("hex").slice(0, 8)}-${platform}-${arch}`;
}

function linkerFlags(version: string): string {
  return `-s -w -X github.com/dapr/dapr/pkg/buildinfo.version=${version}`;
}
