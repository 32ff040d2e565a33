import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { field } from "../../services/runtime/field.ts";
import { flags } from "../../tools/processes/flags.ts";
import { root } from "./processes.ts";
import { findPythonWith } from "./python-tools.ts";

/**
 * The Python that has Schemathesis; undefined, with a message, when it cannot be installed.
 * @throws in CI, where a missing tool is an error
 */
export async function findSchemathesisOrSkip(): Promise<string | undefined> {
  try {
    return await findPythonWith("schemathesis");
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (process.env.CI) throw new Error(`The OpenAPI fuzzer cannot run. ${message}`);
    console.warn(`Skipping the OpenAPI fuzzer. ${message}`);
    return undefined;
  }
}

export interface Findings {
  /** 0: every operation was tested, and nothing was found. */
  readonly exitCode: number;
  /** Text, with a curl command for each finding. */
  readonly report: string;
}

interface FuzzOptions {
  /** URL or file of an OpenAPI document; default the service's own. */
  readonly document?: string;
  /** Default all. */
  readonly phases?: string;
  /** Access token to send, unless a check removes it. */
  readonly token?: string;
}

/** Fuzzes the service at `origin`. */
export async function fuzz(python: string, origin: string, options: FuzzOptions = {}): Promise<Findings> {
  const { document = `${origin}/openapi.json`, phases = "examples,coverage,fuzzing,stateful", token } = options;
  const support = join(root, "test/support");
  const config = join(support, "schemathesis.toml");
  const env = { ...process.env, SCHEMATHESIS_HOOKS: join(support, "schemathesis_hooks.py") };
  const cwd = mkdtempSync(join(tmpdir(), "schemathesis-")); // it leaves files in the folder that it runs in
  const command = ["-m", "schemathesis.cli", "--config-file", config, "run", document];
  const choices = flags({ url: origin, phases, checks: "all", "continue-on-failure": true, "no-color": true });
  const header = token === undefined ? [] : ["--header", `Authorization: Bearer ${token}`];
  try {
    return await new Promise((resolve) => {
      execFile(
        python,
        [...command, ...choices, ...header],
        { cwd, env, maxBuffer: 64 * 1024 ** 2, timeout: 240_000 },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : field(error, "code");
          resolve({ exitCode: typeof code === "number" ? code : -1, report: stdout + stderr });
        },
      );
    });
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}
