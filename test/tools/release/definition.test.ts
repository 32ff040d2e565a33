import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { Check, Definition, Test } from "../../../tools/release/definition/definition.ts";
import { formatDuration, parseDuration } from "../../../tools/release/definition/duration.ts";
import { DefinitionError, parseDefinition, readDefinition } from "../../../tools/release/definition/read-definition.ts";
import { schema } from "../../../tools/release/definition/schema.ts";
import { root } from "../../support/processes.ts";

const minimal = `app: welcome
steps: [{ weight: 5, for: 10m }]
checks: [{ name: 5xx, source: metrics, margin: 1% }]
`;

describe("release.yaml", () => {
  test("reads durations as seconds, percentages as shares, and every key that is missing as its default", () => {
    expect(parseDefinition(minimal, "release.yaml")).toEqual({
      app: "welcome",
      labels: { live: "blue", next: "green" },
      test: [],
      steps: [{ weight: 5, for: 600, confirm: false }],
      bake: 900,
      checks: [{ name: "5xx", source: "metrics", margin: 0.01, max: 0.05, lag: 240 }],
      inconclusive: { extend: 1200, then: "hold" },
    });
  });

  test("reads a definition again that was written from any valid one", () => {
    fc.assert(
      fc.property(definitions, (definition) => {
        expect(parseDefinition(write(definition), "release.yaml")).toEqual(definition);
      }),
    );
  });

  test("reports a fault with a line of the file for a key that is removed, renamed or has another value", () => {
    fc.assert(
      fc.property(definitions, fc.nat(), fc.constantFrom("remove", "rename", "replace"), (definition, pick, how) => {
        const content = contentOf(definition);
        const places = requiredPlaces(content);
        const [parent, key] = places[pick % places.length] ?? [content, "app"];
        const value = parent[key];
        if (how !== "replace") delete parent[key];
        if (how === "rename") parent[`${key}-`] = value;
        if (how === "replace") parent[key] = { unexpected: true };
        const text = stringify(content);
        const faults = faultsOf(text);
        expect(faults.join("\n")).toContain(key);
        for (const fault of faults) {
          const line = Number(/^release\.yaml:(\d+): \S.*\.$/.exec(fault)?.[1]);
          expect(line, fault).toBeGreaterThan(0);
          expect(line, fault).toBeLessThanOrEqual(text.split("\n").length);
        }
      }),
    );
  });

  test("reports a fault with a line for any text that is no definition, and never another error", () => {
    const texts = fc.oneof(
      fc.string(),
      fc
        .array(fc.constantFrom("app: ", "- ", "&a ", "*a", "{", "[", "\n", " ", "? ", "<<: ", "!!x ", "'", "---\n"))
        .map((parts) => parts.join("")),
      fc.json().map((value) => stringify(JSON.parse(value))),
    );
    fc.assert(
      fc.property(texts, (text) => {
        for (const fault of faultsOf(text)) expect(fault).toMatch(/^release\.yaml:\d+: \S.*$/);
      }),
    );
  });

  test("reports all faults at once, each with its line and what to write", () => {
    const text = `app: Welcome
labels: { live: blue, next: g--n }
tests: []
test: [{ get: readyz }, { get: //example.com }, { fetch: / }, 3, { run: a, contains: b }]
steps:
  - weight: 100
    for: 10
  - { weight: 5, for: 10m, confrim: true }
bake: 0m
checks:
  - { name: a, source: metric, margin: 1% }
  - { name: b, source: metrics, margin: 1, over: 3s }
  - { name: c, source: httpLogs, margin: 2% }
  - { name: d, source: probe, get: /, failures: 0 }
inconclusive: { extend: 20m, then: stop }`;
    const name =
      "Write 2 to 32 characters: lower-case letters, digits and single hyphens, with a letter first and no hyphen last.";
    const path = "Write a path that starts with one slash and has no spaces, such as /readyz.";
    const duration = "Write a number and a unit, such as 30s, 10m or 1h.";
    expect(faultsOf(text)).toEqual([
      `release.yaml:1: app is "Welcome". ${name}`,
      `release.yaml:2: labels.next is "g--n". ${name}`,
      "release.yaml:3: tests is unknown. Write test.",
      `release.yaml:4: test[0].get is "readyz". ${path}`,
      `release.yaml:4: test[1].get is "//example.com". ${path}`,
      "release.yaml:4: test[2] has none of the keys get and run. Add one of them.",
      "release.yaml:4: test[3] is 3. Write keys and values, such as get: ….",
      "release.yaml:4: test[4].contains needs get. Remove contains, or write that.",
      "release.yaml:6: steps[0].weight is 100. Write a whole number from 1 to 99.",
      `release.yaml:7: steps[0].for is 10. ${duration}`,
      "release.yaml:8: steps[1].confrim is unknown. Write confirm.",
      `release.yaml:9: bake is "0m". ${duration}`,
      'release.yaml:11: checks[0].source is "metric". Write metrics, httpLogs or probe.',
      "release.yaml:12: checks[1].margin is 1. Write a percentage, such as 1% or 0.5%.",
      "release.yaml:12: checks[1].over needs source: httpLogs. Remove over, or write that.",
      "release.yaml:13: checks[2].over is missing. Add it, such as over: 500ms.",
      "release.yaml:14: checks[3].failures is 0. Write a whole number from 1 to 20.",
      'release.yaml:15: inconclusive.then is "stop". Write hold or abort.',
    ]);
  });

  test("reports values that contradict each other", () => {
    const text = `app: welcome
labels: { live: blue, next: blue }
steps: [{ weight: 25, for: 10m }, { weight: 5, for: 10m }]
checks:
  - { name: a, source: metrics, margin: 6% }
  - { name: a, source: metrics, margin: 0% }`;
    expect(faultsOf(text)).toEqual([
      "release.yaml:2: labels.next is blue, like labels.live. Write two different labels.",
      "release.yaml:3: steps[1].weight is 5, after 25. Write the weights in ascending order.",
      "release.yaml:5: checks[0].margin is 6% and max is 5%. Write a margin below max, or a larger max.",
      "release.yaml:6: checks[1].name is a, like another check. Write another name.",
      "release.yaml:6: checks[1].margin is 0%. No number of requests can prove that two shares are equal. " +
        "Write a larger margin, such as 1%.",
    ]);
    expect(faultsOf(minimal.replace("source: metrics, margin: 1%", "source: probe, get: /"))).toEqual([
      "release.yaml:3: checks has none of source metrics or httpLogs, which compare requests. " +
        "Add one, such as { name: 5xx, source: metrics, margin: 1% }.",
    ]);
    const long = "a".repeat(32);
    expect(faultsOf(minimal.replace("app: welcome", `app: ${long}\nlabels: { live: ${long}, next: green }`))).toEqual([
      `release.yaml:2: ${long}---${long}, the host name of the label, has 67 characters. Shorten it to 63.`,
    ]);
  });

  test("names the line of a file that is empty, is no YAML, or has a key twice", () => {
    expect(faultsOf("")[0]).toMatch(/^release\.yaml:1: The file is empty\. Write keys and values: app, labels, /);
    expect(faultsOf("app: welcome\nsteps\n  - { weight: 5, for: 10m }\nbake: 15m\n")).toEqual([
      'release.yaml:2: not valid YAML. The key in "steps" needs a colon.',
    ]);
    expect(faultsOf("app: welcome\nsteps: [")).toEqual([expect.stringMatching(/^release\.yaml:2: not valid YAML\. /)]);
    expect(faultsOf(`${minimal}app: welcome\n`)).toEqual([
      "release.yaml:4: not valid YAML. The key app is there twice. Remove one.",
    ]);
  });
});

test("release.schema.json is the schema that the tool validates with", async () => {
  const remedy = "To write release.schema.json again: npx vitest run --project suite test/tools/release/definition -u";
  const file = join(root, "tools/release/release.schema.json");
  await expect(`${JSON.stringify(schema, null, 2)}\n`, remedy).toMatchFileSnapshot(file);
});

describe.each(["welcome", "state-api", "group-lister"])("services/%s/release.yaml", (app) => {
  const file = `services/${app}/release.yaml`;

  test("is valid, releases that app, and names the published schema for editors", async () => {
    expect(await readDefinition(file)).toMatchObject({ app });
    const [, path] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(readFileSync(file, "utf8")) ?? [];
    expect(new URL(`${path}`, `file:///services/${app}/`).pathname).toBe("/tools/release/release.schema.json");
  });

  test("requests the label only if the app has an address outside its environment", async () => {
    const { test: tests, checks } = await readDefinition(file);
    const isExternal = app === "welcome";
    expect(tests.some((item) => "get" in item)).toBe(isExternal);
    expect(checks.some(({ source }) => source === "probe")).toBe(isExternal);
  });
});

describe("durations", () => {
  test("are numbers with a unit", () => {
    expect(["30s", "10m", "1h"].map(parseDuration)).toEqual([30, 600, 3600]);
    for (const text of ["", "0s", "10", "1.5h", "-1m", "1d", "10 m", "99999s"])
      expect(parseDuration(text)).toBeUndefined();
  });

  test("are printed in the largest units", () => {
    expect([1, 59, 60, 90, 3600, 5400, 86_400].map(formatDuration)).toEqual([
      "1s",
      "59s",
      "1m",
      "2m",
      "1h",
      "1h 30m",
      "24h",
    ]);
  });
});

function faultsOf(text: string): string[] {
  try {
    parseDefinition(text, "release.yaml");
    return [];
  } catch (error) {
    if (!(error instanceof DefinitionError)) throw error;
    return error.message.split("\n");
  }
}

type Content = { [key: string]: unknown };

/** What release.yaml contains for a definition; every key is written. */
function contentOf({ app, labels, test: tests, steps, bake, checks, inconclusive }: Definition): Content {
  return {
    app,
    labels: { ...labels },
    test: tests.map((item) => ({ ...item })),
    steps: steps.map((step) => ({ ...step, for: inUnits(step.for) })),
    bake: inUnits(bake),
    checks: checks.map((check) =>
      check.source === "probe"
        ? { ...check, every: inUnits(check.every) }
        : {
            ...check,
            margin: inPercent(check.margin),
            max: inPercent(check.max),
            lag: inUnits(check.lag),
            ...(check.over === undefined ? {} : { over: `${Math.round(check.over * 1000)}ms` }),
          },
    ),
    inconclusive: { ...inconclusive, extend: inUnits(inconclusive.extend) },
  };
}

function write(definition: Definition): string {
  return stringify(contentOf(definition));
}

/** Keys that a definition cannot do without, wherever they are. */
function requiredPlaces(content: Content): [Content, string][] {
  const maps = (value: unknown): Content[] => (Array.isArray(value) ? value : [value]) as Content[];
  return [
    ...["app", "steps", "checks"].map((key): [Content, string] => [content, key]),
    ...maps(content.labels).flatMap((map): [Content, string][] => [
      [map, "live"],
      [map, "next"],
    ]),
    ...maps(content.steps).flatMap((map): [Content, string][] => [
      [map, "weight"],
      [map, "for"],
    ]),
    ...maps(content.checks).flatMap((map): [Content, string][] => [
      [map, "name"],
      [map, "source"],
      [map, map.source === "probe" ? "get" : "margin"],
    ]),
    ...maps(content.inconclusive).flatMap((map): [Content, string][] => [
      [map, "extend"],
      [map, "then"],
    ]),
  ];
}

function inUnits(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

function inPercent(share: number): string {
  return `${Number((share * 100).toFixed(3))}%`;
}

const names = fc.stringMatching(/^[a-z][a-z0-9]{1,11}(-[a-z0-9]{1,8})?$/);
const seconds = fc.oneof(
  fc.integer({ min: 1, max: 9_999 }),
  fc.integer({ min: 1, max: 9_999 }).map((n) => n * 60),
);
const paths = fc.stringMatching(/^\/([a-z0-9?=&%.-][a-z0-9/?=&%.-]{0,12})?$/);
const texts = fc.string({ minLength: 1, maxLength: 40 });
const tests: fc.Arbitrary<Test> = fc.oneof(
  fc.record({ get: paths }),
  fc.record({ get: paths, contains: texts }),
  fc.record({ run: texts }),
);
/** Thousandths of a percent, so that the numbers are the same in the file and in the definition. */
const margins = fc
  .tuple(fc.integer({ min: 1, max: 49_999 }), fc.integer({ min: 50_000, max: 100_000 }))
  .map(([margin, max]) => ({ margin: Number(`${margin}e-5`), max: Number(`${max}e-5`) }));
const checks: fc.Arbitrary<Check> = fc.oneof(
  fc
    .tuple(names, margins, seconds)
    .map(([name, shares, lag]) => ({ name, source: "metrics" as const, ...shares, lag })),
  fc
    .tuple(names, margins, seconds, fc.integer({ min: 1, max: 99_999 }))
    .map(([name, shares, lag, over]) => ({ name, source: "httpLogs" as const, ...shares, lag, over: over / 1000 })),
  fc.record({
    name: names,
    source: fc.constant("probe" as const),
    get: paths,
    every: seconds,
    failures: fc.integer({ min: 1, max: 20 }),
  }),
);
const definitions: fc.Arbitrary<Definition> = fc.record({
  app: names,
  labels: fc
    .tuple(names, names)
    .filter(([live, next]) => live !== next)
    .map(([live, next]) => ({ live, next })),
  test: fc.array(tests, { maxLength: 5 }),
  steps: fc
    .uniqueArray(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 6 })
    .chain((weights) =>
      fc.tuple(
        ...weights
          .sort((a, b) => a - b)
          .map((weight) => fc.record({ weight: fc.constant(weight), for: seconds, confirm: fc.boolean() })),
      ),
    ),
  bake: seconds,
  checks: fc
    .uniqueArray(checks, { selector: ({ name }) => name, minLength: 1, maxLength: 5 })
    .filter((list) => list.some(({ source }) => source !== "probe")),
  inconclusive: fc.record({ extend: seconds, then: fc.constantFrom("hold" as const, "abort" as const) }),
});
