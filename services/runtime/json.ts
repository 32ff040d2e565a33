import { field } from "./field.ts";
import { Problem } from "./problem.ts";

/**
 * Maximum nesting of a request body. Go's decoder, which every sidecar uses, accepts 10,000 levels, and a request to
 * the sidecar nests a value at most two levels deeper than the body does.
 */
const MAX_DEPTH = 9_998;

/**
 * Nesting from which a value is checked for whether JSON.stringify can write it. V8 writes most values in a loop, but
 * objects with numbers as names by recursion, which overflows the stack at a depth of less than 3,000.
 */
const DEEP = 1_000;

/** A double holds every decimal number with at most 15 digits and a moderate exponent. */
const EXACT_DIGITS = 15;

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const UPPER_E = 0x45;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LOWER_E = 0x65;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Parses JSON and refuses values that a read could not return as they were sent.
 *
 * JSON.parse rounds 12345678901234567890 to 12345678901234567000, reads 1e400 as Infinity, which is then stored as
 * null, and keeps only the last of several members with the same name. The sidecar fails on deep nesting and replaces
 * half of a surrogate pair by U+FFFD. One pass over the text finds all of these; it skips strings with indexOf. It also
 * counts the members of all objects: if the value has fewer, a name is repeated.
 *
 * @throws {Problem} 400 with the place in the document (JSON Pointer, RFC 6901) and what to send instead
 */
export function parseJson(text: string): unknown {
  return parseMeasured(text).value;
}

/** V8's size of an empty object, which is the smallest text with the largest value: `{}` and a comma. */
const CONTAINER_BYTES = 64;

/** As `parseJson`; `bytes` is an estimate of the memory that the value takes. */
export function parseMeasured(text: string): { readonly value: unknown; readonly bytes: number } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Problem(400, "bad-request", "The body is not valid JSON", {
      detail: `${field(error, "message")}.`,
    });
  }
  const { members, containers } = count(value);
  const limits = checkLimits(text);
  if (limits.depth > DEEP && !isWritable(value)) {
    throw refuse("too many nested objects whose names are numbers", "Send a flatter document", text, 0);
  }
  if (limits.members > members) {
    const place = findRepeatedName(text);
    throw refuse("an object has two members with this name", "Send each name once", text, place);
  }
  return { value, bytes: 3 * text.length + containers * CONTAINER_BYTES };
}

/**
 * @param text valid JSON, so the first character of a token identifies its type
 * @returns the number of members of all objects, and the maximum nesting
 */
function checkLimits(text: string): { readonly members: number; readonly depth: number } {
  const hasSurrogates = /\\u[dD][89a-fA-F]/.test(text);
  let depth = 0;
  let maxDepth = 0;
  let members = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const start = at;
      at = endOfString(text, start);
      if (hasSurrogates && !JSON.parse(text.slice(start, at + 1)).isWellFormed()) {
        throw refuse("a string contains half of a surrogate pair", "Send valid Unicode", text, start);
      }
    } else if (isDigit(code)) {
      const start = at;
      let hasExponent = false;
      for (let next = text.charCodeAt(at + 1); isInNumber(next); next = text.charCodeAt(++at + 1)) {
        hasExponent ||= next === LOWER_E || next === UPPER_E;
      }
      if ((hasExponent || at - start >= EXACT_DIGITS) && !isExact(text.slice(start, at + 1))) {
        throw refuse("a double (IEEE 754) cannot hold the number", "Send the number as a string", text, start);
      }
    } else if (code === OPEN_BRACKET || code === OPEN_BRACE) {
      if (++depth > MAX_DEPTH)
        throw refuse(`more than ${MAX_DEPTH} nested levels`, "Send a flatter document", text, at);
      maxDepth = Math.max(maxDepth, depth);
    } else if (code === CLOSE_BRACKET || code === CLOSE_BRACE) {
      depth--;
    } else if (code === COLON) {
      members++;
    }
  }
  return { members, depth: maxDepth };
}

/** Adds some levels, because the stack may be higher when the value is sent to the sidecar. */
function isWritable(value: unknown): boolean {
  let nested = value;
  for (let level = 0; level < 200; level++) nested = { nested };
  try {
    JSON.stringify(nested);
    return true;
  } catch {
    return false;
  }
}

/**
 * Counts the members of all objects, and the objects and arrays. Walks with a list instead of recursion, because the
 * nesting may be deeper than the stack.
 */
function count(value: unknown): { readonly members: number; readonly containers: number } {
  let members = 0;
  let containers = 0;
  const left: object[] = [];
  const add = (value: unknown) => {
    if (typeof value === "object" && value !== null) left.push(value);
  };
  add(value);
  for (let next = left.pop(); next; next = left.pop()) {
    containers++;
    const values = Object.values(next);
    if (!Array.isArray(next)) members += values.length;
    for (const member of values) add(member);
  }
  return { members, containers };
}

/** Offset of the end of the first name that its object already has. */
function findRepeatedName(text: string): number {
  const around: (Set<string> | undefined)[] = []; // names of the objects around `at`; undefined for an array
  let names: Set<string> | undefined; // where the next string is a name
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const start = at;
      at = endOfString(text, start);
      if (!names) continue;
      const name = JSON.parse(text.slice(start, at + 1));
      if (names.has(name)) return at;
      names.add(name);
      names = undefined;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      names = code === OPEN_BRACE ? new Set() : undefined;
      around.push(names);
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      around.pop();
    } else if (code === COMMA) {
      names = around.at(-1);
    }
  }
  return text.length;
}

function refuse(fault: string, remedy: string, text: string, at: number): Problem {
  const pointer = pointerTo(text, at);
  const place = pointer.length > 100 ? `${pointer.slice(0, 100)}…` : pointer;
  return new Problem(400, "not-storable", "The body has a value that cannot be stored exactly", {
    detail: `At ${place === "" ? "the top of the document" : place}: ${fault}. ${remedy}.`,
  });
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

/** False for NaN, which `charCodeAt` returns past the end of the text. */
function isInNumber(code: number): boolean {
  return isDigit(code) || code === DOT || code === LOWER_E || code === UPPER_E || code === PLUS || code === MINUS;
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
}

/** True if the double nearest to a decimal number without a sign prints as that number. */
function isExact(number: string): boolean {
  const double = Number(number);
  const printed = String(double); // what most clients send
  return printed === number || normalize(number) === normalize(printed);
}

/** Digits after "0." and the power of ten that multiplies them: `15e4` for `1.50e3` and `1500`. "" for Infinity. */
function normalize(number: string): string {
  const [, whole = "", fraction = "", exponent] = /(\d+)(?:\.(\d+))?(?:e([-+]?\d+))?/i.exec(number) ?? [];
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  return significant && `${significant}e${Number(exponent ?? 0) - fraction.length + digits.length}`;
}

/** JSON Pointer of the value that the character at `target` belongs to: `/items/3/price`; "" is the whole document. */
function pointerTo(text: string, target: number): string {
  const path: (string | number | null)[] = []; // null: an object whose next name has not come yet
  for (let at = 0; at < target; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      if (path.at(-1) === null) path[path.length - 1] = JSON.parse(text.slice(at, end + 1));
      at = end;
    } else if (code === OPEN_BRACKET || code === OPEN_BRACE) {
      path.push(code === OPEN_BRACE ? null : 0);
    } else if (code === CLOSE_BRACKET || code === CLOSE_BRACE) {
      path.pop();
    } else if (code === COMMA) {
      const last = path.at(-1);
      path[path.length - 1] = typeof last === "number" ? last + 1 : null;
    }
  }
  const steps = path.filter((step) => step !== null);
  return steps.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}
