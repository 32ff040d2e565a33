// The functions of the host: the four of WASI preview 1 that a program needs to read its environment, to print and to
// exit. node:wasi is not used, because its proc_raise ends the host's process and its poll_oneoff blocks the thread.
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md

export const HOST_MODULE = "wasi_snapshot_preview1";
export const HOST_FUNCTIONS: ReadonlySet<string> = new Set([
  "environ_get",
  "environ_sizes_get",
  "fd_write",
  "proc_exit",
] satisfies (keyof HostFunctions)[]);

/** Numbers in and out are those of WebAssembly's i32, which JavaScript sees as signed. */
interface HostFunctions {
  environ_get(entries: number, bytes: number): number;
  environ_sizes_get(count: number, size: number): number;
  fd_write(fd: number, pieces: number, count: number, written: number): number;
  proc_exit(status: number): never;
}

/** WASI error numbers: bad file descriptor, bad address, invalid argument. */
const BADF = 8;
const FAULT = 21;
const INVAL = 28;

const STDOUT = 1;
const STDERR = 2;

/** As the limit of Linux, IOV_MAX. */
const MAX_PIECES = 1_024;

/** Ends the instance. The module can catch it, as any exception, so `run` also looks at what was recorded before. */
class Ended extends Error {}

/**
 * Runs a command in a new instance and returns its standard output; standard error is discarded.
 *
 * @throws when the module traps, exits with another status than 0 or prints more than `maxOutputBytes`
 */
export function runCommand(
  module: WebAssembly.Module,
  env: Readonly<Record<string, string>>,
  maxOutputBytes: number,
): Uint8Array {
  const variables = Object.entries(env).map(([key, value]) => Buffer.from(`${key}=${value}\0`));
  const output = createOutput(maxOutputBytes);
  let memory: WebAssembly.Memory | undefined;
  /** Why the instance ended by itself. The first reason counts. */
  let end: { readonly failure: string | undefined } | undefined;

  function stop(failure: string | undefined): never {
    end ??= { failure };
    throw new Ended();
  }

  /** The module's memory, where every address that it passes is checked by DataView and by `bytesAt`. */
  function view(): DataView {
    if (!memory) return stop("the module called the host before its memory was exported");
    return new DataView(memory.buffer);
  }

  /** Calls `use`; the error number of a bad address when that reads or writes outside the memory. */
  function checked(use: (view: DataView) => number): number {
    if (end) return stop(end.failure);
    const memoryView = view();
    try {
      return use(memoryView);
    } catch (error) {
      if (error instanceof RangeError) return FAULT;
      throw error;
    }
  }

  const functions: HostFunctions = {
    environ_sizes_get: (count, size) =>
      checked((memoryView) => {
        memoryView.setUint32(count >>> 0, variables.length, true);
        memoryView.setUint32(size >>> 0, total(variables), true);
        return 0;
      }),
    environ_get: (entries, bytes) =>
      checked((memoryView) => {
        let entry = entries >>> 0;
        let to = bytes >>> 0;
        for (const variable of variables) {
          memoryView.setUint32(entry, to, true);
          bytesAt(memoryView, to, variable.length).set(variable);
          entry += 4;
          to += variable.length;
        }
        return 0;
      }),
    fd_write: (fd, pieces, count, written) =>
      checked((memoryView) => {
        if (fd !== STDOUT && fd !== STDERR) return BADF;
        if (count >>> 0 > MAX_PIECES) return INVAL;
        let length = 0;
        for (let at = pieces >>> 0, left = count; left > 0; at += 8, left--) {
          const piece = bytesAt(memoryView, memoryView.getUint32(at, true), memoryView.getUint32(at + 4, true));
          length += piece.length;
          if (fd === STDOUT && !output.add(piece)) return stop(`the module printed more than ${maxOutputBytes} bytes`);
        }
        memoryView.setUint32(written >>> 0, length, true);
        return 0;
      }),
    proc_exit: (status) => stop(status === 0 ? undefined : `the module exited with status ${status}`),
  };

  try {
    const { exports } = new WebAssembly.Instance(module, { [HOST_MODULE]: functions });
    memory = exports.memory;
    exports._start();
  } catch (error) {
    if (!end) throw error;
  }
  if (end?.failure) throw new Error(end.failure);
  return output.bytes();
}

/** @throws {RangeError} when the bytes are not all in the memory */
function bytesAt({ buffer }: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(buffer, at, length);
}

/** Collects bytes in one buffer that doubles, so that adding takes linear time in all. */
function createOutput(maximum: number) {
  let buffer = new Uint8Array(Math.min(4_096, maximum));
  let length = 0;
  return {
    /** Returns false, and adds nothing, when the maximum would be exceeded. */
    add(piece: Uint8Array): boolean {
      const needed = length + piece.length;
      if (needed > maximum) return false;
      if (needed > buffer.length) {
        const larger = new Uint8Array(Math.min(maximum, Math.max(needed, 2 * buffer.length)));
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(piece, length);
      length = needed;
      return true;
    },
    bytes: () => buffer.slice(0, length),
  };
}

function total(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}
