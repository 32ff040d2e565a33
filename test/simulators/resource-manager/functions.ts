// The functions of ARM templates that need nothing but their arguments: those that the templates of infra/ use, and
// common ones that a change of a template may need.
// https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { tryProperty } from "./expressions.ts";
import { ArmFault } from "./faults.ts";

type Function = (...values: never[]) => unknown;
type Lambda = (...values: unknown[]) => unknown;
type Values = readonly unknown[];

const isEmpty = (value: unknown) => value === null || Object.keys(Object(value)).length === 0;
const sha256 = (...parts: string[]) => createHash("sha256").update(parts.join("-")).digest();

/** Names are in lower case, because they are not case-sensitive. */
export const functions: Readonly<Record<string, Function>> = {
  add: (a: number, b: number) => a + b,
  array: (value: unknown) => (Array.isArray(value) ? value : [value]),
  bool: (value: unknown) => value === true || String(value).toLowerCase() === "true",
  cidrhost: (range: string, n: number) => formatAddress(readAddress(range) + n + 1),
  cidrsubnet: (range: string, size: number, n: number) =>
    `${formatAddress(readAddress(range) + n * 2 ** (32 - size))}/${size}`,
  coalesce: (...values: unknown[]) => values.find((value) => value !== null && value !== undefined) ?? null,
  concat: (...values: (string | Values)[]) =>
    values.every((value) => typeof value === "string") ? values.join("") : values.flat(),
  contains: (value: string | Values | object, wanted: unknown) =>
    typeof value === "string"
      ? value.includes(String(wanted))
      : Array.isArray(value)
        ? value.some((item) => isDeepStrictEqual(item, wanted))
        : tryProperty(value, wanted) !== undefined,
  createarray: (...values: unknown[]) => values,
  createobject: (...values: unknown[]) =>
    Object.fromEntries(values.flatMap((name, index) => (index % 2 ? [] : [[name, values[index + 1]]]))),
  empty: isEmpty,
  endswith: (text: string, end: string) => text.toLowerCase().endsWith(end.toLowerCase()),
  equals: isDeepStrictEqual,
  fail(message: string) {
    throw new ArmFault(400, "InvalidTemplate", `Deployment template validation failed: '${message}'.`);
  },
  false: () => false,
  filter: (values: Values, keep: Lambda) => values.filter((value, index) => keep(value, index)),
  first: (values: string | Values) => values[0] ?? null,
  flatten: (values: Values) => values.flat(),
  format: (pattern: string, ...values: unknown[]) =>
    pattern.replace(/\{(\d+)\}/g, (_match, index) => String(values[Number(index)] ?? "")),
  greater: (a: number, b: number) => a > b,
  greaterorequals: (a: number, b: number) => a >= b,
  guid: (...parts: string[]) =>
    sha256(...parts)
      .toString("hex")
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5"),
  indexof: (text: string, part: string) => text.toLowerCase().indexOf(part.toLowerCase()),
  int: (value: unknown) => Number(value),
  intersection: (...lists: Values[]) =>
    lists.reduce((kept, list) => kept.filter((item) => list.some((other) => isDeepStrictEqual(item, other)))),
  items: (value: object) => Object.entries(value).map(([key, inner]) => ({ key, value: inner })),
  join: (values: Values, separator: string) => values.join(separator),
  json: (text: string) => JSON.parse(text),
  last: (values: string | Values) => values.at(-1) ?? null,
  length: (value: string | object) => (typeof value === "string" ? value.length : Object.keys(value).length),
  less: (a: number, b: number) => a < b,
  lessorequals: (a: number, b: number) => a <= b,
  map: (values: Values, change: Lambda) => values.map((value, index) => change(value, index)),
  max: (...values: number[]) => Math.max(...values.flat()),
  min: (...values: number[]) => Math.min(...values.flat()),
  mod: (a: number, b: number) => a % b,
  mul: (a: number, b: number) => a * b,
  not: (value: boolean) => !value,
  null: () => null,
  padleft: (text: unknown, length: number, fill = " ") => String(text).padStart(length, fill),
  parsecidr: (range: string) => ({ network: range.split("/")[0], cidr: Number(range.split("/")[1]) }),
  range: (start: number, count: number) => Array.from({ length: count }, (_, index) => start + index),
  reduce: (values: Values, start: unknown, merge: Lambda) =>
    values.reduce((merged, value, index) => merge(merged, value, index), start),
  replace: (text: string, old: string, changed: string) => text.replaceAll(old, changed),
  skip: (values: string | Values, count: number) => values.slice(count),
  split: (text: string, separator: string) => text.split(separator),
  startswith: (text: string, start: string) => text.toLowerCase().startsWith(start.toLowerCase()),
  string: (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value)),
  sub: (a: number, b: number) => a - b,
  substring: (text: string, start: number, length?: number) =>
    text.slice(start, length === undefined ? undefined : start + length),
  take: (values: string | Values, count: number) => values.slice(0, count),
  tolower: (text: string) => text.toLowerCase(),
  toobject: (values: Values, key: Lambda, value: Lambda = (item) => item) =>
    Object.fromEntries(values.map((item) => [key(item), value(item)])),
  toupper: (text: string) => text.toUpperCase(),
  trim: (text: string) => text.trim(),
  true: () => true,
  tryget: (value: unknown, ...path: unknown[]) => path.reduce(tryProperty, value) ?? null,
  union: (...values: (Values | object)[]) =>
    values.every(Array.isArray)
      ? values.flat().filter((item, index, all) => all.findIndex((other) => isDeepStrictEqual(item, other)) === index)
      : Object.assign({}, ...values),
  // Thirteen of a-z and 2-7, as in Azure, but other ones.
  uniquestring: (...parts: string[]) =>
    [...sha256(...parts).subarray(0, 13)].map((byte) => "abcdefghijklmnopqrstuvwxyz234567"[byte % 32]).join(""),
};

/** The first address of an IPv4 range, as a number. */
function readAddress(range: string): number {
  const [network = ""] = range.split("/");
  return network.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}
