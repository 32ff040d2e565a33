// Copies an ELF program up to the end of what the kernel loads. What follows in Node's own release, 33 MB of debug
// information, symbols of the linker and the table of sections, is never read when a program runs. Unlike strip of
// binutils, which the base image lacks, this changes no byte of the program but the three fields that locate the table.
// The Dockerfile runs it: node tools/bundle/strip.ts FROM TO
// https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
import { readFileSync, writeFileSync } from "node:fs";

const [from = "", to = ""] = process.argv.slice(2);
const program = readFileSync(from);
// The magic number, then 64 bits, then little-endian: x64 and arm64.
if (program.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") {
  console.error(`${from} is not an ELF program of 64 bits. Pass the path of Node on Linux.`);
  process.exit(1);
}
const headers = {
  offset: Number(program.readBigUInt64LE(0x20)),
  size: program.readUInt16LE(0x36),
  count: program.readUInt16LE(0x38),
};
const ends = Array.from({ length: headers.count }, (_, index) => {
  const header = headers.offset + index * headers.size;
  const [offset, size] = [0x08, 0x20].map((field) => Number(program.readBigUInt64LE(header + field)));
  return (offset ?? 0) + (size ?? 0);
});
const loaded = program.subarray(0, Math.max(headers.offset + headers.size * headers.count, ...ends));
loaded.fill(0, 0x28, 0x30); // e_shoff
loaded.fill(0, 0x3c, 0x40); // e_shnum, e_shstrndx
writeFileSync(to, loaded, { mode: 0o755 });
