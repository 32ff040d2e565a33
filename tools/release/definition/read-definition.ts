// Reads release.yaml. Its errors name each fault with its line and what to write instead.
import { readFile } from "node:fs/promises";
import { Compile } from "typebox/schema";
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type YAMLParseError } from "yaml";
import type { Check, Definition } from "./definition.ts";
import { parseDuration } from "./duration.ts";
import { schema } from "./schema.ts";

export class DefinitionError extends Error {
  override readonly name = "DefinitionError";
}

type Path = readonly (string | number)[];
type AddFault = (path: Path, text: string) => void;

/** The keywords of JSON Schema that schema.ts uses. */
interface Rule {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Rule>>;
  readonly items?: Rule;
  readonly anyOf?: readonly Rule[];
  readonly examples?: readonly unknown[];
  readonly patternErrorMessage?: string;
}

const validator = Compile(schema);
type Content = ReturnType<typeof validator.Parse>;

/** @throws {DefinitionError} with a line for each fault; and what readFile throws */
export async function readDefinition(file: string): Promise<Definition> {
  return parseDefinition(await readFile(file, "utf8"), file);
}

/**
 * @param file its name, for messages
 * @throws {DefinitionError} with a line for each fault
 */
export function parseDefinition(text: string, file: string): Definition {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    logLevel: "error",
  });
  const faults: { readonly offset: number; readonly text: string }[] = [];
  const add = (path: Path, text: string) => faults.push({ offset: offsetOf(document, path), text });

  // The errors after the first one are often its consequences.
  const [error] = document.errors;
  if (error) faults.push({ offset: error.pos[0], text: `not valid YAML. ${explainError(error, text)}` });
  let value: unknown;
  if (faults.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: 100 });
      findFaults(schema, value, [], add);
    } catch (error) {
      add([], `not valid YAML. ${error instanceof Error ? error.message : error}`);
    }
  }
  if (faults.length === 0 && validator.Check(value)) {
    const definition = toDefinition(value);
    compareValues(definition, add);
    if (faults.length === 0) return definition;
  }
  faults.sort((a, b) => a.offset - b.offset);
  const messages = faults.map(({ offset, text }) => `${file}:${lines.linePos(offset).line}: ${text}`);
  throw new DefinitionError(messages.join("\n"));
}

function explainError({ code, message, pos }: YAMLParseError, text: string): string {
  const line = text.slice(pos[0]).split("\n")[0]?.trim() ?? "";
  if (code === "DUPLICATE_KEY") return `The key ${line.split(":")[0]} is there twice. Remove one.`;
  if (code === "MULTILINE_IMPLICIT_KEY") return `The key in ${show(line)} needs a colon.`;
  return message;
}

/** Position of the key or item at `path`; when it is missing, that of the closest one around it. */
function offsetOf(document: Document, path: Path): number {
  let node: unknown = document.contents;
  let offset = rangeOf(node) ?? 0;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
      if (pair === undefined) break;
      offset = rangeOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof key === "number") {
      node = node.items[key];
      offset = rangeOf(node) ?? offset;
    } else break;
  }
  return offset;
}

function rangeOf(node: unknown): number | undefined {
  return isScalar(node) || isAlias(node) || isMap(node) || isSeq(node) ? node.range?.[0] : undefined;
}

/** Compares a value with the schema. Unlike a validator, it explains faults, all of them, one for each place. */
function findFaults(rule: Rule, value: unknown, path: Path, add: AddFault): void {
  if (rule.anyOf !== undefined) {
    const chosen = chooseRule(rule.anyOf, value, path, add);
    if (isRecord(value) && chosen !== undefined) findFaultsInObject(chosen, value, path, add, rule.anyOf);
  } else if (rule.type === "object") {
    if (isRecord(value)) findFaultsInObject(rule, value, path, add);
    else
      add(
        path,
        `${placeOf(path)} is ${show(value)}. Write keys and values: ${Object.keys(rule.properties ?? {}).join(", ")}.`,
      );
  } else if (rule.type === "array") {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items } = rule;
    if (!Array.isArray(value)) {
      add(path, `${placeOf(path)} is ${show(value)}. Write a list${exampleOf(rule, path)}.`);
    } else if (value.length < minItems || value.length > maxItems) {
      add(
        path,
        `${placeOf(path)} has ${value.length} items. Write ${minItems} to ${maxItems}${exampleOf(rule, path)}.`,
      );
    } else if (items !== undefined) {
      for (const [index, item] of value.entries()) findFaults(items, item, [...path, index], add);
    }
  } else if (!Compile(rule).Check(value)) {
    add(path, `${placeOf(path)} is ${show(value)}. ${remedyOf(rule)}`);
  }
}

/** @param alternatives of `rule`, for a key that one of them has */
function findFaultsInObject(
  rule: Rule,
  value: Readonly<Record<string, unknown>>,
  path: Path,
  add: AddFault,
  alternatives: readonly Rule[] = [],
): void {
  const { properties = {}, required = [] } = rule;
  for (const name of required) {
    if (Object.hasOwn(value, name)) continue;
    add(path, `${placeOf([...path, name])} is missing. Add it${exampleOf(properties[name], [name])}.`);
  }
  for (const [name, item] of Object.entries(value)) {
    const place = [...path, name];
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    const other = alternatives.find((other) => Object.hasOwn(other.properties ?? {}, name));
    if (known !== undefined) findFaults(known, item, place, add);
    else if (other !== undefined)
      add(place, `${placeOf(place)} needs ${signOf(other)}. Remove ${name}, or write that.`);
    else add(place, `${placeOf(place)} is unknown. ${suggest(name, Object.keys(properties))}`);
  }
}

/** What chooseRule chooses the alternative by, such as `source: httpLogs`. */
function signOf({ properties = {}, required = [] }: Rule): string {
  const [constant] = Object.entries(properties).filter(([, rule]) => rule.const !== undefined);
  return constant === undefined ? `${required[0]}` : `${constant[0]}: ${constant[1].const}`;
}

/**
 * Chooses the alternative that a user means: by its constant properties, such as `source`, or else by its first
 * required key.
 */
function chooseRule(rules: readonly Rule[], value: unknown, path: Path, add: AddFault): Rule | undefined {
  const constants = rules.flatMap(({ properties = {} }) =>
    Object.entries(properties).filter(([, rule]) => rule.const !== undefined),
  );
  const [key] = constants[0] ?? [];
  const choices =
    key === undefined ? rules.map(({ required = [] }) => required[0] ?? "") : constants.map(([, rule]) => rule.const);
  if (!isRecord(value)) {
    const example = key === undefined ? `${choices[0]}: …` : `${key}: ${choices[0]}`;
    add(path, `${placeOf(path)} is ${show(value)}. Write keys and values, such as ${example}.`);
    return undefined;
  }
  const chosen = rules.find(({ properties = {}, required = [] }) =>
    key === undefined ? Object.hasOwn(value, required[0] ?? "") : value[key] === properties[key]?.const,
  );
  if (chosen === undefined) {
    if (key === undefined)
      add(path, `${placeOf(path)} has none of the keys ${listOf(choices, "and")}. Add one of them.`);
    else if (Object.hasOwn(value, key)) {
      add([...path, key], `${placeOf([...path, key])} is ${show(value[key])}. Write ${listOf(choices, "or")}.`);
    } else add(path, `${placeOf([...path, key])} is missing. Add it: ${listOf(choices, "or")}.`);
  }
  return chosen;
}

function remedyOf({
  patternErrorMessage,
  enum: values,
  const: constant,
  type,
  minimum,
  maximum,
  maxLength,
}: Rule): string {
  if (patternErrorMessage !== undefined) return patternErrorMessage;
  if (values !== undefined) return `Write ${listOf(values, "or")}.`;
  if (constant !== undefined) return `Write ${constant}.`;
  if (type === "integer") return `Write a whole number from ${minimum} to ${maximum}.`;
  if (type === "boolean") return "Write true or false.";
  return `Write a text of 1 to ${maxLength} characters.`;
}

/** What the schema cannot say: how values relate to each other. */
function compareValues({ app, labels, steps, checks }: Definition, add: AddFault): void {
  if (labels.live === labels.next) {
    add(["labels", "next"], `labels.next is ${labels.next}, like labels.live. Write two different labels.`);
  }
  for (const role of ["live", "next"] as const) {
    const host = `${app}---${labels[role]}`;
    if (host.length <= 63) continue;
    add(["labels", role], `${host}, the host name of the label, has ${host.length} characters. Shorten it to 63.`);
  }
  for (const [index, { weight }] of steps.entries()) {
    const before = steps[index - 1]?.weight ?? 0;
    if (weight > before) continue;
    const remedy = "Write the weights in ascending order.";
    add(["steps", index, "weight"], `steps[${index}].weight is ${weight}, after ${before}. ${remedy}`);
  }
  for (const [index, check] of checks.entries()) {
    const { name } = check;
    if (checks.findIndex((other) => other.name === name) < index) {
      add(["checks", index, "name"], `checks[${index}].name is ${name}, like another check. Write another name.`);
    }
    if (check.source === "probe") continue;
    if (check.margin === 0) {
      const remedy = "No number of requests can prove that two shares are equal. Write a larger margin, such as 1%.";
      add(["checks", index, "margin"], `checks[${index}].margin is 0%. ${remedy}`);
    } else if (check.margin >= check.max) {
      const values = `checks[${index}].margin is ${percent(check.margin)} and max is ${percent(check.max)}`;
      add(["checks", index, "margin"], `${values}. Write a margin below max, or a larger max.`);
    }
  }
  if (checks.every(({ source }) => source === "probe")) {
    const remedy = "Add one, such as { name: 5xx, source: metrics, margin: 1% }.";
    add(["checks"], `checks has none of source metrics or httpLogs, which compare requests. ${remedy}`);
  }
}

/** Defaults are those of the schema. */
function toDefinition(content: Content): Definition {
  const { properties } = schema;
  const { app, labels = properties.labels.default, test = [], steps, checks } = content;
  const { extend, then } = content.inconclusive ?? properties.inconclusive.default;
  return {
    app,
    labels: { live: labels.live, next: labels.next },
    test: test.map((item) =>
      "run" in item
        ? { run: item.run }
        : { get: item.get, ...(item.contains === undefined ? {} : { contains: item.contains }) },
    ),
    steps: steps.map((step) => ({ weight: step.weight, for: seconds(step.for), confirm: step.confirm ?? false })),
    bake: seconds(content.bake ?? properties.bake.default),
    checks: checks.map(toCheck),
    inconclusive: { extend: seconds(extend), then },
  };
}

function toCheck(check: Content["checks"][number]): Check {
  if (check.source === "probe") {
    const { name, source, get, every = "5s", failures = 3 } = check;
    return { name, source, get, every: seconds(every), failures };
  }
  const { name, source, margin, max = "5%" } = check;
  const lag = check.lag ?? (source === "metrics" ? "4m" : "6m");
  const over = check.source === "httpLogs" ? { over: seconds(check.over) } : {};
  return { name, source, ...over, margin: share(margin), max: share(max), lag: seconds(lag) };
}

/** Of a text that the schema accepts: a number and ms, s, m or h. */
function seconds(text: string): number {
  return text.endsWith("ms") ? Number.parseInt(text, 10) / 1000 : (parseDuration(text) ?? 0);
}

/** 0.1% becomes 0.001, the same number as written in the code. */
function share(text: string): number {
  return Number(`${text.slice(0, -1)}e-2`);
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(3))}%`;
}

/** Such as `checks[0].margin`. */
function placeOf(path: Path): string {
  const place = path
    .map((key) => {
      if (typeof key === "number") return `[${key}]`;
      return /^[\w-]+$/.test(key) ? `.${key}` : `[${show(key)}]`;
    })
    .join("");
  return place.replace(/^\./, "") || "The file";
}

function exampleOf(rule: Rule | undefined, path: Path): string {
  const example = rule?.const ?? rule?.examples?.[0];
  const name = path.at(-1);
  return example === undefined ? "" : `, such as ${typeof name === "string" ? `${name}: ` : ""}${flow(example)}`;
}

/** YAML in one line. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (!isRecord(value)) return String(value);
  return `{ ${Object.entries(value)
    .map(([key, item]) => `${key}: ${flow(item)}`)
    .join(", ")} }`;
}

function show(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function listOf(values: readonly unknown[], word: "and" | "or"): string {
  return new Intl.ListFormat("en-GB", { type: word === "and" ? "conjunction" : "disjunction" }).format(
    values.map(String),
  );
}

/** What a person may have meant. */
export function suggest(name: string, known: readonly string[]): string {
  const closest = known.map((key) => ({ key, edits: countEdits(name.toLowerCase(), key.toLowerCase()) }));
  const [best] = closest.sort((a, b) => a.edits - b.edits);
  if (best !== undefined && best.edits <= Math.max(1, Math.floor(best.key.length / 3))) return `Write ${best.key}.`;
  return `Remove it, or write ${listOf(known, "or")}.`;
}

/** Characters to insert, delete or replace to turn one text into another (Levenshtein). */
function countEdits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...from.slice(0, 40)].entries()) {
    const next = [index + 1];
    for (let at = 0; at < to.length; at++) {
      const replaced = (row[at] ?? 0) + (letter === to[at] ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
