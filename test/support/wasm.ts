// Assembles WebAssembly modules that no compiler would write.
// https://webassembly.github.io/spec/core/binary/modules.html

interface Parts {
  /** The bytes of each type. */
  readonly types: readonly (readonly number[])[];
  /** Functions to import: module, name, index of the type. */
  readonly imports?: readonly (readonly [module: string, name: string, type: number])[];
  /** The index of the type of each function. */
  readonly functions: readonly number[];
  /** The bytes of each table. */
  readonly tables?: readonly (readonly number[])[];
  /** The bytes of each memory; the first is exported as `memory`. */
  readonly memories?: readonly (readonly number[])[];
  /** Functions to export, by name. */
  readonly exported: Readonly<Record<string, number>>;
  /** The start function. */
  readonly start?: number;
  /** The type of the only local of each function. */
  readonly locals?: readonly number[];
  /** The instructions of each function, without the last `end`. */
  readonly code: readonly (readonly number[])[];
}

export function assemble(parts: Parts): Uint8Array {
  const { types, imports = [], functions, tables = [], memories = [], exported, start, locals, code } = parts;
  const exports = [
    ...Object.entries(exported).map(([name, index]) => [...text(name), 0, index]),
    ...(memories.length > 0 ? [[...text("memory"), 2, 0]] : []),
  ];
  const declared = locals ? [1, 1, ...locals] : [0];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(
      2,
      imports.map(([module, name, type]) => [...text(module), ...text(name), 0, type]),
    ),
    ...section(
      3,
      functions.map((type) => [type]),
    ),
    ...section(4, tables),
    ...section(5, memories),
    ...section(7, exports),
    ...(start === undefined ? [] : [8, ...sized([start])]),
    ...section(
      10,
      code.map((instructions) => sized([...declared, ...instructions, 0x0b])),
    ),
  ]);
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  return entries.length > 0 ? [id, ...sized([...number(entries.length), ...entries.flat()])] : [];
}

function text(value: string): number[] {
  return sized([...Buffer.from(value)]);
}

function sized(bytes: readonly number[]): number[] {
  return [...number(bytes.length), ...bytes];
}

function number(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...number(Math.floor(value / 128))];
}
