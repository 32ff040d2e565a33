// Compiles a module, after checks that a clear message at the start is better for than a failure of each request.
import { setFlagsFromString } from "node:v8";
import { ConfigError } from "../runtime/config.ts";
import { HOST_FUNCTIONS, HOST_MODULE } from "./wasi.ts";

/** Maximum memory of one instance: 256 pages of 64 KiB, so 16 MiB. */
const MAX_MEMORY_PAGES = 256;
/** A table is memory of the host. Node's own module, which strips types, has some thousand entries. */
const MAX_TABLE_ENTRIES = 65_536;

/**
 * Compiles a WASI preview 1 command for the runner.
 *
 * @param name names the module in messages
 * @throws {ConfigError} when the runner cannot run the module, or an instance could exceed its limits
 */
export function loadModule(bytes: Uint8Array, name: string): WebAssembly.Module {
  setFlagsFromString(`--wasm-max-mem-pages=${MAX_MEMORY_PAGES}`);
  setFlagsFromString(`--wasm-max-table-size=${MAX_TABLE_ENTRIES}`);
  const module = compile(bytes, name);
  const imported = WebAssembly.Module.imports(module).filter(
    (item) => item.module !== HOST_MODULE || item.kind !== "function" || !HOST_FUNCTIONS.has(item.name),
  );
  if (imported.length > 0) {
    throw new ConfigError(
      `${name} imports what the host does not offer: ${imported.map((item) => `${item.module}.${item.name}`).join(", ")}.\n` +
        `  The host offers ${[...HOST_FUNCTIONS].join(", ")} of ${HOST_MODULE}. Build the module without the others.`,
    );
  }
  const exported = new Map(WebAssembly.Module.exports(module).map((item) => [item.name, item.kind]));
  if (exported.get("_start") !== "function" || exported.get("memory") !== "memory") {
    throw new ConfigError(`${name} is not a WASI command. Build it with the exports _start and memory.`);
  }
  // The limits above hold for each memory and each table, of which a module could have 100,000.
  for (const [section, kind] of [
    [5, "memory"],
    [4, "table"],
  ] as const) {
    if (countEntries(bytes, section) > 1) {
      throw new ConfigError(`${name} has more than one ${kind}, so its limits would not hold. Build it with one.`);
    }
  }
  return module;
}

function compile(bytes: Uint8Array, name: string): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes);
  } catch (error) {
    throw new ConfigError(`${name} does not compile: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * The number of entries in a section of a valid module; 0 without the section.
 * https://webassembly.github.io/spec/core/binary/modules.html#sections
 */
function countEntries(bytes: Uint8Array, section: number): number {
  let at = 8; // after the magic number and the version
  /** https://webassembly.github.io/spec/core/binary/values.html#integers */
  const readNumber = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const id = bytes[at++];
    const size = readNumber();
    if (id === section) return readNumber();
    at += size;
  }
  return 0;
}
