import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createApp } from "../../../services/state-api/app.ts";
import { coalesce } from "../../../services/state-api/batching/coalesce.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";
import { createDaprStore } from "../../../services/state-api/dapr-store.ts";
import { openapi } from "../../../services/state-api/openapi.ts";
import { type StateStore, StoreError } from "../../../services/state-api/store.ts";
import { createMemoryStore, type MemoryStore } from "../../support/memory-store.ts";

let store: MemoryStore;
let logged: string;
let register: Registry;

function serve(
  env: Record<string, string> = {},
  ready = async () => {},
  wrap: (store: MemoryStore) => StateStore = (inner) => inner,
) {
  store = createMemoryStore();
  logged = "";
  register = new Registry();
  const log = pino({ level: "debug" }, { write: (line: string) => (logged += line) });
  return createApp({ store: wrap(store), config: readStateApiConfig(env, []), log, register, ready });
}

let app: ReturnType<typeof serve>;
let api: ReturnType<typeof request>;
beforeEach(() => {
  app = serve();
  api = request(app);
});

/** Expects problem details without internals. */
const problem = (status: number, title: RegExp) => (response: request.Response) => {
  expect(response.status).toBe(status);
  expect(response.type).toBe("application/problem+json");
  expect(response.body).toMatchObject({
    status,
    title: expect.stringMatching(title),
    type: expect.stringMatching(/^urn:/),
  });
  expect(response.body.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(response.text).not.toMatch(/node_modules|\bat .*\.ts|<html/i);
};

describe("requests that succeed", () => {
  /** What the store's function is called with, without the call. */
  const given = (name: "save" | "delete" | "transaction") => {
    const spy = vi.spyOn(store, name).mockResolvedValue();
    return () => spy.mock.calls.map(([argument]) => argument);
  };

  test.each([
    [{}, {}],
    [{ etag: "v1" }, { condition: { ifMatch: ["v1"] } }],
    [{ etag: "v1", concurrency: "first-write" }, { condition: { ifMatch: ["v1"] } }],
    [{ concurrency: "first-write" }, { condition: { ifNoneMatch: "*" } }],
    [{ concurrency: "last-write" }, {}],
    [
      { ttlInSeconds: 60, consistency: "strong" },
      { ttlInSeconds: 60, consistency: "strong" },
    ],
  ])("POST /state with the options %j saves with %j", async (options, expected) => {
    const saved = given("save");
    const body = JSON.stringify({ key: "a", data: ["ü"], ...options });
    const { status, text } = await api.post("/state").set("Content-Type", "application/json").send(body);
    expect({ status, text }).toEqual({ status: 200, text: "Successfully wrote to statestore" });
    expect(saved()).toEqual([{ key: "a", value: ["ü"], bytes: Buffer.byteLength(body), ...expected }]);
  });

  const json = '{"message":"Successfully wrote to statestore","key":"a"}';
  test.each([
    ["", "text/plain", "Successfully wrote to statestore"],
    ["*/*", "text/plain", "Successfully wrote to statestore"],
    ["text/plain, application/json", "text/plain", "Successfully wrote to statestore"],
    ["image/png", "text/plain", "Successfully wrote to statestore"],
    ["application/json", "application/json", json],
    ["application/json, text/plain;q=0.5", "application/json", json],
    ["application/*", "application/json", json],
  ])("POST /state with Accept: %s returns %s", async (accept, type, text) => {
    const response = await api.post("/state").set("Accept", accept).send({ key: "a", data: 1 });
    expect(response).toMatchObject({ status: 200, type, text });
    expect(response.headers["content-length"]).toBe(`${text.length}`);
  });

  const conditions: [Record<string, string>, object | undefined][] = [
    [{}, undefined],
    [{ "If-Match": "*" }, { ifMatch: "*" }],
    [{ "If-Match": '"v1"' }, { ifMatch: ["v1"] }],
    [{ "If-Match": '"v1", W/"weak" , "","v,2"' }, { ifMatch: ["v1", "", "v,2"] }],
    [{ "If-Match": '"v1"', "If-None-Match": "*" }, { ifMatch: [] }],
    [{ "If-None-Match": "*" }, { ifNoneMatch: "*" }],
  ];
  test.each(conditions)("PUT and DELETE with the headers %j have the condition %j", async (headers, condition) => {
    const saved = given("save");
    const deleted = given("delete");
    const put = await api.put("/state/a~b").set(headers).send({ v: 1 });
    expect(put).toMatchObject({ status: condition && "ifNoneMatch" in condition ? 201 : 204, text: "" });
    expect(saved()).toEqual([{ key: "a~b", value: { v: 1 }, bytes: 7, condition }]);
    expect(await api.delete("/state/a~b").set(headers)).toMatchObject({ status: 204, text: "" });
    expect(deleted()).toEqual([{ key: "a~b", condition }]);
  });

  test("GET returns the value with its ETag, and 304 for the same ETag", async () => {
    store.entries.set("a", { value: { v: null }, etag: "7" });
    const response = await api.get("/state/a");
    expect(response).toMatchObject({ status: 200, type: "application/json", text: '{"v":null}' });
    expect(response.headers.etag).toBe('"7"');
    for (const etags of ['"7"', 'W/"7"', '"6", "7"', "*"]) {
      const { status, text, headers } = await api.get("/state/a").set("If-None-Match", etags);
      expect({ status, text, etag: headers.etag }).toEqual({ status: 304, text: "", etag: '"7"' });
    }
    await api.get("/state/a").set("If-None-Match", '"6"').expect(200, '{"v":null}');
    await api.get("/state/a").set("If-Modified-Since", new Date().toUTCString()).expect(200, '{"v":null}');
  });

  test("GET of a missing key returns 404 and names the key", async () => {
    const response = await api.get("/state/a~b");
    problem(404, /^Key "a~b" has no entry$/)(response);
    expect(response.body.type).toBe("urn:problem:no-such-key");
  });

  test("POST /state/bulk returns an item for each key in the order of the request", async () => {
    store.entries.set("a", { value: null, etag: "1" });
    store.entries.set("c", { value: [0], etag: "2" });
    const response = await api.post("/state/bulk").send({ keys: ["c", "b", "a"] });
    expect(response).toMatchObject({ status: 200, type: "application/json" });
    expect(response.text).toBe(
      '[{"key":"c","found":true,"data":[0],"etag":"2"},{"key":"b","found":false},' +
        '{"key":"a","found":true,"data":null,"etag":"1"}]',
    );
  });

  const upserts = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ operation: "upsert", key: `p~u${index}`, data: index }));
  const deletes = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ operation: "delete", key: `p~d~${index}` }));
  test.each([
    ["100 upserts", upserts(100)],
    ["50 deletes", deletes(50)],
    ["a few of both", [{ ...upserts(1)[0], ttlInSeconds: 1 }, ...deletes(2)]],
  ])("POST /state/transaction passes %s to the store and returns 204", async (_what, operations) => {
    const applied = given("transaction");
    const response = await api.post("/state/transaction").send({ operations });
    expect(response).toMatchObject({ status: 204, text: "" });
    expect(applied()).toEqual([operations]);
  });
});

describe("invalid input, which never reaches the store", () => {
  const json = { "Content-Type": "application/json" };
  const keyRule = 'a key has 1 to 958 of the characters A-Z a-z 0-9 . _ ~ : @ = + , - and is not "." or ".."';
  const save = "key, data, ttlInSeconds, etag, concurrency, consistency";
  test.each([
    ["an array", "[]", "The body must be an object."],
    ["a number", "7", "The body must be an object."],
    ["an object without key and data", "{}", "/key is missing. /data is missing."],
    ["a number as the key", '{"key": 7, "data": 1}', "/key must be a string."],
    ["a malformed key", '{"key": "a b", "data": 1}', `/key is invalid: ${keyRule}.`],
    ["an empty key", '{"key": "", "data": 1}', `/key is invalid: ${keyRule}.`],
    ["an unknown property", '{"key": "a", "data": 1, "ttl": 5}', `/ttl is not allowed; use ${save}.`],
    ["a TTL of 0", '{"key": "a", "data": 1, "ttlInSeconds": 0}', "/ttlInSeconds must be >= 1."],
    ["a fractional TTL", '{"key": "a", "data": 1, "ttlInSeconds": 1.5}', "/ttlInSeconds must be an integer."],
    ["an empty etag", '{"key": "a", "data": 1, "etag": ""}', "/etag must not have fewer than 1 characters."],
    [
      "an unknown concurrency",
      '{"key": "a", "data": 1, "concurrency": "maybe"}',
      "/concurrency must be first-write or last-write.",
    ],
    [
      "an unknown consistency",
      '{"key": "a", "data": 1, "consistency": "maybe"}',
      "/consistency must be strong or eventual.",
    ],
    [
      "an unknown concurrency with an etag",
      '{"key": "a", "data": 1, "etag": "v", "concurrency": "maybe"}',
      "/concurrency must be first-write.",
    ],
    [
      "nine unknown properties, of which it names eight",
      JSON.stringify({ key: "a", data: 1, ...Object.fromEntries(Array.from("123456789", (name) => [name, 0])) }),
      Array.from("12345678", (name) => `/${name} is not allowed; use ${save}.`).join(" "),
    ],
  ])("POST /state returns 400 for %s and names the place and the rule", async (_what, body, detail) => {
    const response = await api.post("/state").set(json).send(body);
    problem(400, /^The body does not match \/openapi\.json$/)(response);
    expect(response.body.detail).toBe(detail);
    expect(store.calls).toEqual([]);
  });

  test.each([
    ["truncated JSON", '{"key": "a", "da', /not valid JSON/],
    ["an empty body", "", /empty/],
    [
      "an etag and last-write",
      '{"key": "a", "data": 1, "etag": "v", "concurrency": "last-write"}',
      /^concurrency last-write ignores an etag Omit one of them, or use first-write\.$/,
    ],
  ])("POST /state returns 400 for %s", async (_what, body, text) => {
    const response = await api.post("/state").set(json).send(body);
    problem(400, /.+/)(response);
    expect(response.body.type).toBe("urn:problem:bad-request");
    expect(`${response.body.title} ${response.body.detail}`).toMatch(text);
    expect(store.calls).toEqual([]);
  });

  test.each([
    ["without keys", {}, "/keys is missing."],
    ["with no key", { keys: [] }, "/keys must not have fewer than 1 items."],
    [
      "with 101 keys",
      { keys: Array.from({ length: 101 }, (_, index) => `k${index}`) },
      "/keys must not have more than 100 items.",
    ],
    ["with an object instead of a list", { keys: {} }, "/keys must be an array."],
    ["with an invalid key after ten others", { keys: [..."0123456789", "b c"] }, `/keys/10 is invalid: ${keyRule}.`],
    ["with a repeated key", { keys: ["a", "b", "a"] }, "/keys must not have duplicate items."],
    ["with invalid keys", { keys: ["a", 7, "b c"] }, `/keys/1 must be a string. /keys/2 is invalid: ${keyRule}.`],
  ])("POST /state/bulk %s returns 400 and names the place and the rule", async (_what, body, detail) => {
    const response = await api.post("/state/bulk").send(body);
    problem(400, /^The body does not match \/openapi\.json$/)(response);
    expect(response.body.detail).toBe(detail);
    expect(store.calls).toEqual([]);
  });

  const badKeys = [
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a||b",
    "a|b",
    "a b",
    "a%b",
    "ключ",
    ".",
    "..",
    "",
    "x".repeat(959),
    "a\n",
  ];
  test.each(badKeys)("every route returns 400 for the key %j and lists the allowed characters", async (key) => {
    const responses = [
      await api.post("/state").send({ key, data: 1 }),
      await api.post("/state/bulk").send({ keys: [key] }),
      await api.post("/state/transaction").send({ operations: [{ operation: "delete", key }] }),
      ...(key === "" || key.startsWith(".") // no URL ends in such a segment
        ? []
        : [
            await api.get(`/state/${encodeURIComponent(key)}`),
            await api.put(`/state/${encodeURIComponent(key)}`).send({}),
            await api.delete(`/state/${encodeURIComponent(key)}`),
          ]),
    ];
    for (const response of responses) {
      problem(400, /key|body/)(response);
      expect(response.body.detail).toContain("A-Z a-z 0-9 . _ ~ : @ = + , -");
    }
    expect(store.calls).toEqual([]);
  });

  test("a raw path that climbs out of the state API gets 400 or 404", async () => {
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    for (const path of [
      "/state/..",
      "/state/../../secrets",
      "/state/%2e%2e",
      "/state/..%2f..%2fsecrets",
      "/state/%zz",
    ]) {
      const socket = connect(port, "127.0.0.1");
      socket.end(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      let response = "";
      for await (const chunk of socket) response += chunk;
      expect(response).toMatch(/^HTTP\/1.1 40[04] /);
    }
    server.close();
    expect(store.calls).toEqual([]);
  });

  test("POST /state returns 415 when the Content-Type is not JSON in UTF-8", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/xml"]) {
      const response = await api.post("/state").set("Content-Type", type).send('{"key":"a","data":1}');
      problem(415, /JSON/)(response);
      expect(response.body.detail).toContain("Content-Type: application/json");
    }
    problem(415, /.+/)(await api.post("/state").set("Content-Type", "application/json; charset=x").send("{}"));
  });

  test("POST and PUT return 413 when the body exceeds MAX_BODY_BYTES", async () => {
    const small = request(serve({ MAX_BODY_BYTES: "100" }));
    problem(413, /too large/)(await small.post("/state").send({ key: "a", data: "x".repeat(100) }));
    problem(413, /too large/)(await small.put("/state/a").send({ data: "x".repeat(100) }));
    expect(store.calls).toEqual([]);
  });

  test("PUT returns 400 for an empty body and 415 without a Content-Type", async () => {
    problem(400, /empty/)(await api.put("/state/a").set(json).send(""));
    problem(400, /empty/)(await api.put("/state/a").set(json).set("Transfer-Encoding", "chunked").send(""));
    problem(415, /JSON/)(await api.put("/state/a"));
    expect(store.calls).toEqual([]);
  });

  test.each(["put", "delete"] as const)("%s returns 400 for malformed and unsupported conditions", async (method) => {
    const change = (name: string, value: string) => api[method]("/state/a").set(name, value).send({});
    const unsupported = await change("If-None-Match", '"abc"');
    problem(400, /^This condition is not supported$/)(unsupported);
    expect(unsupported.body).toMatchObject({
      type: "urn:problem:bad-request",
      detail: "Send If-Match with ETags or *, or If-None-Match: *.",
    });
    for (const text of ["abc", '"abc', '"a" "b"', '*, "a"', '"a b"', '"ü"', ""]) {
      const malformed = await change("If-Match", text);
      problem(400, /^If-Match is malformed$/)(malformed);
      expect(malformed.body).toMatchObject({
        type: "urn:problem:bad-request",
        detail: 'Put each ETag in quotes, as the ETag header does: If-Match: "abc".',
      });
    }
    expect(store.calls).toEqual([]);
  });

  describe("POST /state/transaction", () => {
    const transact = (operations: unknown[]) => api.post("/state/transaction").send({ operations });
    const upsert = (key: string) => ({ operation: "upsert", key, data: 1 });

    test.each([
      ["no operation", [], "/operations must not have fewer than 1 items."],
      ["a number as an operation", [7], "/operations/0 must be an object."],
      ["an operation without properties", [{}], "/operations/0/operation is missing."],
      [
        "an unknown operation, whatever its other properties",
        [upsert("a"), { operation: "replace", key: "b c", value: 1 }],
        "/operations/1/operation must be upsert or delete.",
      ],
      ["an upsert without data", [{ operation: "upsert", key: "a" }], "/operations/0/data is missing."],
      [
        "an upsert with an unknown property",
        [{ ...upsert("a"), etag: "v" }],
        "/operations/0/etag is not allowed; use operation, key, data, ttlInSeconds.",
      ],
      [
        "a delete with data",
        [upsert("a"), { ...upsert("b"), operation: "delete" }],
        "/operations/1/data is not allowed; use operation, key.",
      ],
      [
        "malformed keys",
        [upsert("a b"), { operation: "delete", key: "c d" }],
        `/operations/0/key is invalid: ${keyRule}. /operations/1/key is invalid: ${keyRule}.`,
      ],
      [
        "nine operations without data, of which it names eight",
        Array(9).fill({ operation: "upsert", key: "a" }),
        Array.from("01234567", (index) => `/operations/${index}/data is missing.`).join(" "),
      ],
    ])("returns 400 for %s and names the place and the rule", async (_what, operations, detail) => {
      const response = await transact(operations);
      problem(400, /^The body does not match \/openapi\.json$/)(response);
      expect(response.body.detail).toBe(detail);
      expect(store.calls).toEqual([]);
    });

    test("returns 400 for 51 deletes, because a delete counts as two", async () => {
      const response = await transact(
        Array.from({ length: 51 }, (_, key) => ({ operation: "delete", key: `p~${key}` })),
      );
      problem(400, /^A transaction must not have more than 100 operations$/)(response);
      expect(response.body).toMatchObject({
        type: "urn:problem:too-many-operations",
        detail: "A delete counts as two; this is 102.",
      });
      expect(store.calls).toEqual([]);
    });

    test("returns 400 for a repeated key", async () => {
      const response = await transact([upsert("alice~1"), { operation: "delete", key: "alice~1" }]);
      problem(400, /^A transaction must name each key once$/)(response);
      expect(response.body).toMatchObject({
        type: "urn:problem:repeated-key",
        detail: "Stores differ in how they combine two operations on one key. Send one operation for each key.",
      });
      expect(store.calls).toEqual([]);
    });

    test.each([
      [["alice~1", "bob~1", "c", "~d"], "alice, bob, no partition"],
      [["alice~1", "bob~1"], "alice, bob"],
      [["a"], "no partition"],
      [["~a", "~b"], "no partition"],
    ])("returns 400 for %j without a common partition, and lists the partitions: %s", async (keys, named) => {
      const response = await transact(keys.map(upsert));
      problem(400, /^The keys of a transaction must name one common partition$/)(response);
      expect(response.body).toMatchObject({
        type: "urn:problem:no-common-partition",
        detail: `Name a partition before the first ~ of every key: alice~cart, alice~orders. These keys name ${named}.`,
      });
      expect(store.calls).toEqual([]);
    });
  });

  test("an unknown route returns 404, and a wrong method 405 with Allow", async () => {
    problem(404, /\/nope/)(await api.get("/nope"));
    problem(404, /\/state\/a\/b/)(await api.get("/state/a/b"));
    const response = await api.patch("/state/a").send({});
    problem(405, /PATCH/)(response);
    expect(response.headers.allow).toBe("GET, HEAD, PUT, DELETE");
    expect((await api.get("/state")).headers.allow).toBe("POST");
    // They have POST routes of their own, and are keys like any other.
    for (const path of ["/state/bulk", "/state/transaction"]) {
      const { status, headers } = await api.patch(path);
      expect({ status, allow: headers.allow }).toEqual({ status: 405, allow: "GET, HEAD, PUT, DELETE, POST" });
      await api.get(path).expect(404);
    }
  });
});

describe("errors of the store", () => {
  const writes = [
    () => api.post("/state").send({ key: "a", data: 1 }),
    () => api.put("/state/a").send({}),
    () => api.delete("/state/a"),
    () => api.post("/state/transaction").send({ operations: [{ operation: "delete", key: "p~a" }] }),
  ];
  const reads = [() => api.get("/state/a"), () => api.post("/state/bulk").send({ keys: ["a"] })];
  const failWith = (kind: StoreError["kind"]) => {
    store.before = () => {
      throw new StoreError(kind, "the reason", { cause: new Error("internal: account.documents.example") });
    };
  };

  test("a rejection returns 500 with the fixed title, and its cause appears only in the log", async () => {
    failWith("refused");
    for (const write of writes) problem(500, /^Error writing to statestore: the reason$/)(await write());
    for (const read of reads) {
      const response = await read();
      problem(500, /^Error reading from statestore: the reason$/)(response);
      expect(response.body).toMatchObject({
        type: "urn:problem:store-refused",
        detail: "Search the log for this traceId to find the whole response.",
      });
      expect(response.text).not.toContain("documents.example");
    }
    expect(logged).toContain("documents.example");
  });

  test.each([
    ["unavailable", "store-unavailable", "Retry. A write may still have succeeded."],
    ["overloaded", "overloaded", "Nothing was changed. Retry."],
  ] as const)("an error of kind %s returns 503 %s with Retry-After and the advice: %s", async (kind, code, detail) => {
    failWith(kind);
    for (const ask of [...writes, ...reads]) {
      const response = await ask();
      problem(503, /^Error (writing to|reading from) statestore: the reason$/)(response);
      expect(response.body).toMatchObject({ type: `urn:problem:${code}`, detail });
      expect(response.headers["retry-after"]).toBe("1");
    }
    expect(logged).toContain("documents.example");
  });

  test("a conflict returns 412 where the condition is a header and 409 where it is in the body, and says that nothing was changed", async () => {
    failWith("conflict");
    const responses = await Promise.all(writes.map((write) => write()));
    expect(responses.map(({ status }) => status)).toEqual([409, 412, 412, 409]);
    for (const { body, headers } of responses) {
      expect(body).toMatchObject({
        type: "urn:problem:conflict",
        title: "Error writing to statestore: the reason",
        detail: "Nothing was changed.",
      });
      expect(headers).not.toHaveProperty("retry-after");
    }
  });

  test("entries that are too large together return 422 with the remedy; one that is too large returns 500", async () => {
    failWith("too-large");
    const [one, many] = await Promise.all(reads.map((read) => read()));
    expect(one).toMatchObject({ status: 500, body: { type: "urn:problem:store-refused" } });
    expect(many).toMatchObject({
      status: 422,
      body: {
        type: "urn:problem:response-too-large",
        title: "The entries are too large for one response",
        detail: "Ask for fewer keys.",
      },
    });
  });

  test("an unexpected error returns 500 without its message, which appears in the log", async () => {
    store.before = () => {
      throw new TypeError("secret of the house");
    };
    const response = await api.get("/state/a");
    problem(500, /^The service failed unexpectedly$/)(response);
    expect(response.text).not.toContain("secret of the house");
    expect(logged).toContain("secret of the house");
  });

  test("a request returns 503 after STATESTORE_TIMEOUT_MS, and a write that was sent still takes effect", async () => {
    api = request(serve({ STATESTORE_TIMEOUT_MS: "50" }));
    const { promise, resolve } = Promise.withResolvers<void>();
    store.before = () => promise;
    for (const ask of [...writes, ...reads]) problem(503, /no response from the store within 50 ms$/)(await ask());
    const response = await api.put("/state/slow").send({ v: 1 });
    expect(response.body.detail).toBe("Retry. A write may still have succeeded.");
    expect(store.entries.has("slow")).toBe(false);
    resolve();
    await expect.poll(() => store.entries.get("slow")?.value).toEqual({ v: 1 });
  });

  test("every request to a sidecar that hangs returns 503 and says that no response came", async () => {
    const sidecar = createServer(() => {}).listen(0, "127.0.0.1");
    await once(sidecar, "listening");
    const origin = `http://127.0.0.1:${(sidecar.address() as AddressInfo).port}`;
    const daprStore = createDaprStore({ origin, storeName: "statestore", requestTimeoutMs: 100 });
    const app = serve({ STATESTORE_TIMEOUT_MS: "100" }, undefined, () => coalesce(daprStore, { maxPending: 100 }));
    api = request(app);
    // The second message is that of a call, which Node's timers can put first after a pause of the process.
    const noResponse = /no response from the (store within 100|Dapr sidecar at \S+ within 200) ms$/;
    for (let round = 0; round < 3; round++) {
      const responses = await Promise.all([...writes, ...reads].flatMap((ask) => [ask(), ask()]));
      for (const response of responses) problem(503, noResponse)(response);
    }
    sidecar.closeAllConnections();
    sidecar.close();
    await daprStore.close();
  });

  test("a caller that disconnects counts as 499, and its waiting request never reaches the store", async () => {
    app = serve({ STATESTORE_TIMEOUT_MS: "20000" }, undefined, (inner) => coalesce(inner, { maxPending: 10 }));
    const release = Promise.withResolvers<void>();
    const values: unknown[][] = [];
    store.before = (_operation, _keys, written) => {
      values.push(written);
      return release.promise;
    };
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const put = async (value: number) => {
      const arrived = once(server, "request");
      const socket = connect(port, "127.0.0.1");
      const headers = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 1\r\n";
      socket.write(`PUT /state/k HTTP/1.1\r\n${headers}\r\n${value}`);
      await arrived;
      return socket;
    };
    const staying = await put(1);
    await expect.poll(() => store.calls).toHaveLength(1);
    const leaving = await put(2); // waits for the first write to its key
    leaving.destroy();
    const left = /^http_request_duration_seconds_count\{.*status="499"\} 1$/m;
    await expect.poll(() => register.metrics()).toMatch(left);
    await expect.poll(() => logged).toMatch(/"level":20,.*"status":499,"code":"caller-left"/);
    expect(logged, "not a failure of the service").not.toContain('"level":50');
    release.resolve();
    const succeed = async (socket: Socket) => {
      const [chunk] = await once(socket, "data");
      expect(String(chunk)).toMatch(/^HTTP\/1.1 204 /);
      socket.destroy();
    };
    await succeed(staying);
    await succeed(await put(3)); // its turn at the key comes after that of the caller that left
    expect(values).toEqual([[1], [3]]);
    server.close();
  });
});

describe("the other routes", () => {
  test("GET / returns WELCOME", async () => {
    await api.get("/").expect(200, "Hello from Super API on Container Apps");
    await request(serve({ WELCOME: "Hello from v2!" }))
      .get("/")
      .expect(200, "Hello from v2!");
  });

  test("GET /healthz returns 200 while GET /readyz returns 503 with the reason", async () => {
    const notReady = request(serve({}, async () => Promise.reject(new StoreError("unavailable", "no Dapr sidecar"))));
    await notReady.get("/healthz").expect(200, "ok");
    const response = await notReady.get("/readyz");
    problem(503, /^no Dapr sidecar$/)(response);
    expect(response.headers["retry-after"]).toBe("1");
    await api.get("/readyz").expect(200, "ok");
  });

  test("GET /metrics labels requests by route pattern, never by key", async () => {
    await api.put("/state/secret-key").send({ v: 1 });
    await api.get("/state/secret-key");
    await api.get("/state/other-key");
    await api.get("/nope");
    await api.get("/");
    const { text, headers } = await api.get("/metrics").expect(200);
    expect(headers["content-type"]).toMatch(/^text\/plain; version=0.0.4/);
    expect(text).toContain('http_request_duration_seconds_count{method="PUT",route="/state/:key",status="204"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/state/:key",status="200"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/state/:key",status="404"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="(none)",status="404"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/",status="200"} 1');
    expect(text).not.toMatch(/secret-key|other-key/);
  });

  test("GET /openapi.json describes only routes that exist", async () => {
    const { body } = await api.get("/openapi.json").expect(200);
    expect(body).toEqual(JSON.parse(JSON.stringify(openapi)));
    for (const [path, methods] of Object.entries(openapi.paths)) {
      for (const method of Object.keys(methods).filter((name) => name !== "parameters")) {
        const ask = request(app)[method as "get" | "put" | "post" | "delete"](path.replace("{key}", "k"));
        const { status, body } = await ask;
        expect(status, `${method} ${path}`).not.toBe(405);
        expect(body.type, `${method} ${path}`).not.toBe("urn:problem:no-such-route");
      }
    }
  });

  test("responses have no X-Powered-By header", async () => {
    expect((await api.get("/")).headers).not.toHaveProperty("x-powered-by");
  });
});

describe("traceparent", () => {
  const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  test("passes the caller's trace to the store, and names it in the log and in problem details", async () => {
    let sent: object = {};
    store.get = async (_key, call) => {
      sent = call.trace().headers();
      throw new StoreError("refused", "no");
    };
    const { body } = await api.get("/state/a").set({ traceparent: caller, tracestate: "vendor=1" });
    expect(sent).toEqual({ traceparent: caller, tracestate: "vendor=1" });
    expect(body.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(logged).toContain('"traceId":"0af7651916cd43dd8448eb211c80319c"');
  });

  test.each(["", "garbage", `00-${"0".repeat(32)}-b7ad6b7169203331-01`, `ff${caller.slice(2)}`])(
    "ignores a traceparent of %j and sends none, so that the sidecar decides whether to sample",
    async (traceparent) => {
      let sent: object = {};
      store.get = async (_key, call) => {
        sent = call.trace().headers();
        return undefined;
      };
      const { body } = await api.get("/state/a").set({ traceparent, tracestate: "vendor=1" });
      expect(body.traceId).toMatch(/^[0-9a-f]{32}$/);
      expect(sent).toEqual({ "dapr-request-id": body.traceId });
    },
  );
});

test("bodies and values are not logged, even at debug", async () => {
  await api.post("/state").send({ key: "k", data: "top-secret-value" });
  await api.post("/state").set("Content-Type", "application/json").send('{"key": "top-secret-value');
  await api.get("/state/k");
  expect(logged).not.toContain("top-secret-value");
});
