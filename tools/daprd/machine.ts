import { fileURLToPath } from "node:url";
import { createReporter, type Report } from "../build-cache/progress.ts";

/** The surroundings that the search for daprd depends on; tests replace parts of them. */
export interface Machine {
  env: NodeJS.ProcessEnv;
  platform: NodeJS.Platform;
  arch: string;
  /** Folder of the Go module that pins daprd. */
  module: string;
  /** Where daprd's releases are published, without the version. */
  releases: string;
  /** The file with the SHA-256 of the releases. */
  hashes: string;
  report: Report;
  /** Ends a build or a download early. */
  signal: AbortSignal;
}

export function describeMachine(): Machine {
  return {
    env: process.env,
    platform: process.platform,
    arch: process.arch,
    module: fileURLToPath(new URL("module", import.meta.url)),
    releases: "https://github.com/dapr/dapr/releases/download",
    hashes: fileURLToPath(new URL("releases.json", import.meta.url)),
    report: createReporter(process.stderr),
    signal: new AbortController().signal,
  };
}

/** The file name of daprd. */
export function nameExecutable({ platform }: Machine): string {
  return platform === "win32" ? "daprd.exe" : "daprd";
}
