import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { findCacheFolder } from "../../tools/build-cache/folder.ts";

const run = promisify(execFile);

/**
 * Returns the Python of a virtual environment with one package of PyPI, e.g. `azure-cli==2.91.0`, installed once for
 * all clones. Run the tool as `python -m MODULE`: its scripts do not work, because the environment was moved after the
 * install.
 *
 * @throws Error when Python 3.10 or newer with pip is missing, or PyPI is unreachable
 */
export async function findPythonWith(requirement: string): Promise<string> {
  const folder = join(findCacheFolder(process), requirement.replace("==", "-"));
  const python = join(folder, "bin", "python");
  if (existsSync(python)) return python;
  mkdirSync(dirname(folder), { recursive: true });
  const made = mkdtempSync(`${folder}.`);
  try {
    await install(requirement, made);
    if (!existsSync(python)) {
      rmSync(folder, { recursive: true, force: true }); // its Python no longer exists
      renameSync(join(made, "environment"), folder);
    }
  } catch (error) {
    throw new Error(`${requirement} comes from PyPI and needs python3 ≥ 3.10 with pip: ${error}`);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return python;
}

/** Installs with uv: seconds where pip takes minutes. */
async function install(requirement: string, folder: string): Promise<void> {
  const uv = join(folder, "uv");
  const environment = join(folder, "environment");
  const pip = ["-m", "pip", "install", "--quiet", "--target", uv, "uv==0.13.9"];
  await run("python3", pip, { env: { ...process.env, PIP_ROOT_USER_ACTION: "ignore" } });
  await run(join(uv, "bin", "uv"), ["venv", "--quiet", "--no-python-downloads", environment]);
  await run(join(uv, "bin", "uv"), ["pip", "install", "--quiet", "--python", environment, requirement]);
}
