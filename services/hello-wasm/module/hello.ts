// A CGI program for WASI preview 1, in AssemblyScript. Prints a greeting and its environment variables.
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md

@external("wasi_snapshot_preview1", "environ_sizes_get")
declare function environ_sizes_get(count: usize, size: usize): i32;
@external("wasi_snapshot_preview1", "environ_get")
declare function environ_get(entries: usize, bytes: usize): i32;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, pieces: usize, count: i32, written: usize): i32;
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: i32): void;

const STDOUT = 1;

export function _start(): void {
  // The headers end before anything from the request is printed, so no request can add a header.
  print(String.UTF8.encode("Content-Type: text/plain\n\nHello, world!\n"));
  print(environment());
}

/** One line `KEY: VALUE` for each variable, in the runtime's order. */
function environment(): ArrayBuffer {
  const sizes = changetype<usize>(new ArrayBuffer(8));
  check(environ_sizes_get(sizes, sizes + 4));
  const count = load<u32>(sizes);
  const size = load<u32>(sizes, 4);
  if (count == 0) return new ArrayBuffer(0); // Node returns an error when environ_get is called with nothing to read
  const entries = changetype<usize>(new ArrayBuffer(count * 4));
  const bytes = changetype<usize>(new ArrayBuffer(size));
  check(environ_get(entries, bytes));

  // "KEY=VALUE\0" becomes "KEY: VALUE\n": one more byte for each variable.
  const lines = new ArrayBuffer(size + count);
  let to = changetype<usize>(lines);
  for (let index: u32 = 0; index < count; index++) {
    let inKey = true;
    for (let from = load<u32>(entries + index * 4); ; from++) {
      const byte = load<u8>(from);
      if (byte == 0) break;
      if (inKey && byte == 0x3d) {
        inKey = false;
        store<u8>(to++, 0x3a); // :
        store<u8>(to++, 0x20);
      } else {
        store<u8>(to++, byte);
      }
    }
    store<u8>(to++, 0x0a);
  }
  return lines;
}

/** Writes all bytes: fd_write, like a write to a pipe, may accept only some of them. */
function print(text: ArrayBuffer): void {
  const piece = changetype<usize>(new ArrayBuffer(12));
  let from = changetype<usize>(text);
  let left = <u32>text.byteLength;
  while (left > 0) {
    store<u32>(piece, from);
    store<u32>(piece, left, 4);
    check(fd_write(STDOUT, piece, 1, piece + 8));
    const written = load<u32>(piece, 8);
    from += written;
    left -= written;
  }
}

function check(errno: i32): void {
  if (errno != 0) proc_exit(errno);
}
