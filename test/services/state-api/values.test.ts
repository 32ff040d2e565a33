// Checks that a value comes back as it was written, or that the write is rejected. Sends random JSON texts through the
// service, a real sidecar and a store, and compares each number in exact decimal arithmetic.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CosmosSimulator, startCosmosSimulator } from "../../simulators/cosmos/simulator.ts";
import { type Process, sqliteResources, startService, startSidecar } from "../../support/processes.ts";

const sqlite = sqliteResources();
let cosmos: CosmosSimulator;

beforeAll(async () => {
  cosmos = await startCosmosSimulator({});
  cosmos.createContainer("dapr-db", "statestore");
});
afterAll(async () => {
  await cosmos.close();
  sqlite.remove();
});

const stores = [
  { name: "SQLite", start: () => startSidecar({ resources: [sqlite.folder] }) },
  {
    name: "Cosmos DB",
    start: () =>
      startSidecar({
        resources: ["components/cosmos/sidecar-key"],
        env: { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key },
      }),
  },
];

const digits = (minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789"), minLength, maxLength });
const numberText = fc
  .record({
    sign: fc.constantFrom("", "", "-"),
    whole: digits(1, 22).map((text) => text.replace(/^0+(?=\d)/, "")),
    fraction: fc.oneof(
      fc.constant(""),
      fc.constant(""),
      digits(1, 20).map((text) => `.${text}`),
    ),
    exponent: fc.oneof(
      { weight: 4, arbitrary: fc.constant("") },
      fc.integer({ min: -30, max: 30 }).map((power) => `e${power}`),
      fc.integer({ min: -420, max: 420 }).map((power) => `E${power < 0 ? "" : "+"}${power}`),
    ),
  })
  .map(({ sign, whole, fraction, exponent }) => sign + whole + fraction + exponent);
const stringText = fc.oneof(
  fc.string({ unit: "binary" }).map((text) => JSON.stringify(text)),
  // Escapes of single UTF-16 code units, halves of surrogate pairs among them.
  fc
    .array(fc.constantFrom("d83d", "de00", "0041", "0000", "2028"), { maxLength: 4 })
    .map((units) => `"${units.map((unit) => `\\u${unit}`).join("")}"`),
);
const nameText = fc.oneof(
  fc
    .constantFrom("a", "A", "__proto__", "constructor", "toJSON", "", "id", "value", "~/")
    .map((name) => JSON.stringify(name)),
  stringText,
);
/** Numbers that JavaScript prints, so that most documents are accepted, and any others. */
const leafText = fc.oneof(
  { weight: 3, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map(String) },
  { weight: 2, arbitrary: fc.maxSafeInteger().map(String) },
  numberText,
  { weight: 3, arbitrary: stringText },
  fc.constantFrom("null", "true", "false", "[]", "{}", '""'),
);
interface JsonDocument {
  readonly text: string;
  /** True if an object in it has two members with the same name. */
  readonly repeatsName: boolean;
}
const { document } = fc.letrec<{ document: JsonDocument }>((tie) => ({
  document: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leafText.map((text) => ({ text, repeatsName: false })),
    fc.array(tie("document"), { maxLength: 5 }).map((items) => ({
      text: `[${items.map(({ text }) => text).join(", ")}]`,
      repeatsName: items.some(({ repeatsName }) => repeatsName),
    })),
    fc.array(fc.tuple(nameText, tie("document")), { maxLength: 5 }).map((members) => ({
      text: `{${members.map(([name, { text }]) => `${name}: ${text}`).join(",")}}`,
      repeatsName:
        new Set(members.map(([name]) => JSON.parse(name))).size < members.length ||
        members.some(([, { repeatsName }]) => repeatsName),
    })),
  ),
}));

/** A decimal number as an integer and a power of ten, so that equal numbers are the same text: `1.50` is `15e-1`. */
function exactly(number: string): string {
  const [, sign, whole = "", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([-+]?\d+))?$/i.exec(number) ?? [];
  let integer = BigInt(whole + fraction);
  let power = BigInt(exponent) - BigInt(fraction.length);
  if (integer === 0n) return "0";
  for (; integer % 10n === 0n; integer /= 10n) power += 1n;
  return `${sign}${integer}e${power}`;
}

/** The document with each number replaced by its exact decimal value. */
function exactNumbers(text: string): unknown {
  // TypeScript's library does not have the third argument yet: https://github.com/tc39/proposal-json-parse-with-source
  const reviver = (_name: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" ? { exactly: exactly(context?.source ?? "") } : value;
  return JSON.parse(text, reviver);
}

function isStorable({ text, repeatsName }: JsonDocument): boolean {
  let storable = !repeatsName;
  JSON.parse(text, function (this: unknown, name: string, value: unknown, context?: { source?: string }) {
    if (typeof value === "number") {
      const source = context?.source ?? "";
      storable &&= Number.isFinite(value) && exactly(source) === exactly(String(value));
    }
    storable &&= name.isWellFormed() && (typeof value !== "string" || value.isWellFormed());
    return value;
  });
  return storable;
}

describe.each(stores)("values in $name", ({ name, start }) => {
  let sidecar: Process;
  let service: Process;
  beforeAll(async () => {
    sidecar = await start();
    service = await startService("state-api", {
      LOG_LEVEL: "error",
      STATESTORE_TIMEOUT_MS: "20000",
      DAPR_HTTP_PORT: new URL(sidecar.origin).port,
    });
  });
  afterAll(async () => {
    await service.end();
    await sidecar.end();
  });

  /** Repeats a write that got 503: on a busy machine, one to Cosmos DB can exceed its 500 ms. */
  async function send(method: string, path: string, body: string): Promise<Response> {
    const response = await fetch(service.origin + path, {
      method,
      headers: { "Content-Type": "application/json" },
      body,
    });
    return response.status === 503 ? send(method, path, body) : response;
  }
  const read = async (key: string) => (await fetch(`${service.origin}/state/${key}`)).text();

  test("a value comes back with exactly the numbers and texts that were written, or is rejected with 400 and not written", {
    timeout: 120_000,
  }, async () => {
    const counts = { stored: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(document, async (document) => {
        const { text } = document;
        await send("PUT", "/state/value~put", '"before"');
        const put = await send("PUT", "/state/value~put", text);
        const post = await send("POST", "/state", `{"key": "value~post", "data": ${text}}`);
        const operations = `[{"operation": "upsert", "key": "value~transaction", "data": ${text}}]`;
        const transaction = await send("POST", "/state/transaction", `{"operations": ${operations}}`);
        if (isStorable(document)) {
          counts.stored++;
          expect([put.status, post.status, transaction.status]).toEqual([204, 200, 204]);
          for (const key of ["value~put", "value~post", "value~transaction"]) {
            expect(exactNumbers(await read(key))).toEqual(exactNumbers(text));
          }
        } else {
          counts.refused++;
          expect([put.status, post.status, transaction.status]).toEqual([400, 400, 400]);
          expect(await put.json()).toMatchObject({ type: "urn:problem:not-storable" });
          expect(await read("value~put")).toBe('"before"');
        }
      }),
      { numRuns: 300 },
    );
    expect(Math.min(counts.stored, counts.refused)).toBeGreaterThan(30); // both kinds were tried
  });

  test("a stored value is readable JSON, or a string with its JSON if it has a number that the component would round", async () => {
    const values = {
      "form~plain": { n: 12.5, of: 1e20 },
      "form~fine": [0.1234567],
      "form~prefix": "json:x",
      "form~tiny": 1e-7,
    };
    for (const [key, value] of Object.entries(values)) await send("PUT", `/state/${key}`, JSON.stringify(value));
    const stored = async (key: string) =>
      (await fetch(`${sidecar.origin}/v1.0/state/statestore/${key}?metadata.partitionKey=form`)).json();
    expect(await Promise.all(Object.keys(values).map(stored))).toEqual([
      { n: 12.5, of: 1e20 },
      "json:[0.1234567]",
      'json:"json:x"',
      "json:1e-7",
    ]);
    for (const [key, value] of Object.entries(values)) expect(JSON.parse(await read(key))).toEqual(value);
  });

  // Cosmos DB itself accepts 128 levels: https://learn.microsoft.com/azure/cosmos-db/concepts-limits
  test.skipIf(name === "Cosmos DB")("a value can be nested as deeply as the service accepts", async () => {
    const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
    expect((await send("PUT", "/state/deep~put", nested(9_998))).status).toBe(204);
    expect((await read("deep~put")) === nested(9_998)).toBe(true); // a failed toBe(text) would print the whole text
    expect((await send("POST", "/state", `{"key": "deep~post", "data": ${nested(9_997)}}`)).status).toBe(200);
    expect((await read("deep~post")) === nested(9_997)).toBe(true);
    const operations = `[{"operation": "upsert", "key": "deep~transaction", "data": ${nested(9_995)}}]`;
    expect((await send("POST", "/state/transaction", `{"operations": ${operations}}`)).status).toBe(204);
    expect((await read("deep~transaction")) === nested(9_995)).toBe(true);
    const bulk = await send("POST", "/state/bulk", '{"keys": ["deep~put", "deep~post"]}');
    expect((await bulk.text()).includes(nested(9_998))).toBe(true);
    expect((await send("PUT", "/state/deep~put", nested(9_999))).status).toBe(400);
  });
});
