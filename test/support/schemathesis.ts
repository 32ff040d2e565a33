import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { field } from "../../services/runtime/field.ts";
import { root } from "./processes.ts";
import { findPythonWith } from "./python-tools.ts";

const requirement = "schemathesis==4.32.5";

/**
 * The Python that has Schemathesis; undefined, with a message, when it cannot be installed.
 * @throws in CI, where nothing is skipped
 */
export async function findSchemathesisOrSkip(): Promise<string | undefined> {
  try {
    return await findPythonWith(requirement);
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

/** Fuzzes the service at `origin` by its own OpenAPI document, or by `document`, a file. */
export async function fuzz(python: string, origin: string, document = `${origin}/openapi.json`): Promise<Findings> {
  const support = join(root, "test/support");
  const config = join(support, "schemathesis.toml");
  const env = { ...process.env, SCHEMATHESIS_HOOKS: join(support, "schemathesis_hooks.py") };
  const cwd = mkdtempSync(join(tmpdir(), "schemathesis-")); // it leaves files in the folder that it runs in
  const args = ["--config-file", config, "run", document, "--url", origin, "--checks", "all", "--continue-on-failure"];
  try {
    return await new Promise((resolve) => {
      execFile(
        python,
        ["-m", "schemathesis.cli", ...args, "--no-color"],
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
