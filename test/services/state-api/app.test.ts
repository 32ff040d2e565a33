import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { beforeEach, describe, expect, test } from "vitest";
import { createApp } from "../../../services/state-api/app.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";
import { openapi } from "../../../services/state-api/openapi.ts";
import { StoreError } from "../../../services/state-api/store.ts";
import { createMemoryStore, type MemoryStore } from "../../support/memory-store.ts";

let store: MemoryStore;
let logged: string;
let register: Registry;

function serve(env: Record<string, string> = {}, ready = async () => {}) {
  store = createMemoryStore();
  logged = "";
  register = new Registry();
  const log = pino({ level: "debug" }, { write: (line: string) => (logged += line) });
  return createApp({ store, config: readStateApiConfig(env, []), log, register, ready });
}

let app: ReturnType<typeof serve>;
let api: ReturnType<typeof request>;
beforeEach(() => {
  app = serve();
  api = request(app);
});

const problem = (status: number, title: RegExp) => (answer: request.Response) => {
  expect(answer.status).toBe(status);
  expect(answer.type).toBe("application/problem+json");
  expect(answer.body).toMatchObject({
    status,
    title: expect.stringMatching(title),
    type: expect.stringMatching(/^urn:/),
  });
  expect(answer.body.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(answer.text).not.toMatch(/node_modules|\bat .*\.ts|<html/i);
};

describe("input that cannot be used is refused and changes nothing", () => {
  const json = { "Content-Type": "application/json" };
  const bodies: [string, RegExp, string][] = [
    ['{"key": "a", "da', /not valid JSON/, "cut off"],
    ["[]", /must be object/, "an array"],
    ["7", /must be object/, "a number"],
    ["", /empty/, "nothing"],
    ['{"key": "a"}', /must have required properties data/, "no data"],
    ['{"data": 1}', /must have required properties key/, "no key"],
    ['{"key": 7, "data": 1}', /\/key: must be string/, "a number as key"],
    ['{"key": "a", "data": 1, "ttl": 5}', /must not have additional properties/, "an unknown property"],
    ['{"key": "a", "data": 1, "ttlInSeconds": 0}', /\/ttlInSeconds: must be >= 1/, "a TTL of nothing"],
    ['{"key": "a", "data": 1, "ttlInSeconds": 1.5}', /\/ttlInSeconds: must be integer/, "half a second"],
    ['{"key": "a", "data": 1, "etag": ""}', /\/etag/, "an empty etag"],
    ['{"key": "a", "data": 1, "concurrency": "maybe"}', /\/concurrency/, "an unknown concurrency"],
    ['{"key": "a", "data": 1, "consistency": "maybe"}', /\/consistency/, "an unknown consistency"],
    ['{"key": "a", "data": 1, "etag": "v", "concurrency": "last-write"}', /first-write/, "an etag for last-write"],
  ];
  test.each(bodies)("POST /state with $2", async (body, detail) => {
    const answer = await api.post("/state").set(json).send(body);
    problem(400, /.+/)(answer);
    expect(`${answer.body.title} ${answer.body.detail}`).toMatch(detail);
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
  test.each(badKeys)("the key %j, wherever it stands, and says which characters are allowed", async (key) => {
    const answers = [
      await api.post("/state").send({ key, data: 1 }),
      await api.post("/state/bulk").send({ keys: [key] }),
      await api.post("/state/transaction").send({ operations: [{ operation: "delete", key }] }),
      ...(key === "" || key.startsWith(".") // a URL has no such last segment
        ? []
        : [
            await api.get(`/state/${encodeURIComponent(key)}`),
            await api.put(`/state/${encodeURIComponent(key)}`).send({}),
            await api.delete(`/state/${encodeURIComponent(key)}`),
          ]),
    ];
    for (const answer of answers) {
      problem(400, /key|body/)(answer);
      expect(answer.body.detail).toContain("A-Z a-z 0-9 . _ ~ : @ = + , -");
    }
    expect(store.calls).toEqual([]);
  });

  test("a key that climbs out of the state API, as it stands on the wire", async () => {
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
      socket.end(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      let answer = "";
      for await (const chunk of socket) answer += chunk;
      expect(answer).toMatch(/^HTTP\/1.1 40[04] /);
    }
    server.close();
    expect(store.calls).toEqual([]);
  });

  test("a body that is not declared as JSON is 415", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/xml"]) {
      const answer = await api.post("/state").set("Content-Type", type).send('{"key":"a","data":1}');
      problem(415, /JSON/)(answer);
      expect(answer.body.detail).toContain("Content-Type: application/json");
    }
    problem(415, /.+/)(await api.post("/state").set("Content-Type", "application/json; charset=x").send("{}"));
  });

  test("a body over the limit is 413", async () => {
    const small = request(serve({ MAX_BODY_BYTES: "100" }));
    problem(413, /too large/)(await small.post("/state").send({ key: "a", data: "x".repeat(100) }));
    problem(413, /too large/)(await small.put("/state/a").send({ data: "x".repeat(100) }));
    expect(store.calls).toEqual([]);
  });

  test("PUT without a body, which is not the same as {}", async () => {
    problem(400, /empty/)(await api.put("/state/a").set(json).send(""));
    problem(400, /empty/)(await api.put("/state/a").set(json).set("Transfer-Encoding", "chunked").send(""));
    problem(415, /JSON/)(await api.put("/state/a"));
    expect(store.calls).toEqual([]);
  });

  test("conditions that mean nothing", async () => {
    const put = (name: string, value: string) => api.put("/state/a").set(name, value).send({});
    problem(400, /condition/)(await put("If-None-Match", '"abc"'));
    for (const malformed of ["abc", '"abc', '"a" "b"', '*, "a"', '"a b"', '"ü"', ""]) {
      problem(400, /If-Match/)(await put("If-Match", malformed));
    }
    expect(store.calls).toEqual([]);
  });

  test("transactions that stores would understand differently", async () => {
    const transact = (operations: object[]) => api.post("/state/transaction").send({ operations });
    const upsert = (key: string) => ({ operation: "upsert", key, data: 1 });
    problem(400, /.+/)(await transact([]));
    problem(400, /.+/)(await transact([{ operation: "replace", key: "a", data: 1 }]));
    problem(400, /once/)(await transact([upsert("a"), { operation: "delete", key: "a" }]));
    const apart = await transact([upsert("alice~1"), upsert("bob~1"), upsert("c")]);
    problem(400, /one common partition/)(apart);
    expect(apart.body.detail).toContain("alice, bob, no partition");
    expect(store.calls).toEqual([]);
  });

  test("an unknown route is 404, a wrong method 405 with Allow", async () => {
    problem(404, /\/nope/)(await api.get("/nope"));
    problem(404, /\/state\/a\/b/)(await api.get("/state/a/b"));
    const answer = await api.patch("/state/a").send({});
    problem(405, /PATCH/)(answer);
    expect(answer.headers.allow).toBe("GET, HEAD, PUT, DELETE");
    expect((await api.get("/state")).headers.allow).toBe("POST");
    // Routes of their own, and keys like others.
    for (const path of ["/state/bulk", "/state/transaction"]) {
      const { status, headers } = await api.patch(path);
      expect({ status, allow: headers.allow }).toEqual({ status: 405, allow: "GET, HEAD, PUT, DELETE, POST" });
      await api.get(path).expect(404);
    }
  });
});

describe("what the store says becomes an answer", () => {
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

  test("refused is 500 with the title users of the original know, and the cause only in the log", async () => {
    failWith("refused");
    for (const write of writes) problem(500, /^Error writing to statestore: the reason$/)(await write());
    for (const read of reads) {
      const answer = await read();
      problem(500, /^Error reading from statestore: the reason$/)(answer);
      expect(answer.text).not.toContain("documents.example");
    }
    expect(logged).toContain("documents.example");
  });

  test.each(["unavailable", "overloaded"] as const)("%s is 503 with Retry-After", async (kind) => {
    failWith(kind);
    for (const ask of [...writes, ...reads]) {
      const answer = await ask();
      problem(503, /statestore: the reason$/)(answer);
      expect(answer.headers["retry-after"]).toBe("1");
    }
  });

  test("a conflict is 412 for a header, 409 for a body", async () => {
    failWith("conflict");
    expect(await Promise.all(writes.map(async (write) => (await write()).status))).toEqual([409, 412, 412, 409]);
  });

  test("a bug is 500 without a word about the code", async () => {
    store.before = () => {
      throw new TypeError("secret of the house");
    };
    const answer = await api.get("/state/a");
    problem(500, /^Something went wrong/)(answer);
    expect(answer.text).not.toContain("secret of the house");
    expect(logged).toContain("secret of the house");
  });

  test("a store that does not answer in time is 503, and a late write still counts as unknown", async () => {
    api = request(serve({ STATESTORE_TIMEOUT_MS: "50" }));
    store.before = () => sleep(150);
    for (const ask of [...writes, ...reads]) problem(503, /no response from the store within 50 ms$/)(await ask());
  });

  test("a caller who leaves is counted as 499, and work that has not begun is not begun", async () => {
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const begun = Promise.withResolvers<void>();
    store.before = () => {
      begun.resolve();
      return sleep(50);
    };
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /state/a HTTP/1.1\r\nHost: x\r\n\r\n");
    await begun.promise;
    socket.destroy();
    await expect.poll(async () => (await register.metrics()).includes('status="499"')).toBe(true);
    server.close();
  });
});

describe("the small routes", () => {
  test("GET / says WELCOME", async () => {
    await api.get("/").expect(200, "Hello from Super API on Container Apps");
    await request(serve({ WELCOME: "Hello from v2!" }))
      .get("/")
      .expect(200, "Hello from v2!");
  });

  test("healthz answers while readyz says what is missing", async () => {
    const notReady = request(serve({}, async () => Promise.reject(new StoreError("unavailable", "no Dapr sidecar"))));
    await notReady.get("/healthz").expect(200, "ok");
    const answer = await notReady.get("/readyz");
    problem(503, /^no Dapr sidecar$/)(answer);
    expect(answer.headers["retry-after"]).toBe("1");
    await api.get("/readyz").expect(200, "ok");
  });

  test("metrics name routes by their pattern, never by key", async () => {
    await api.put("/state/secret-key").send({ v: 1 });
    await api.get("/state/secret-key");
    await api.get("/state/other-key");
    await api.get("/nope");
    const { text, headers } = await api.get("/metrics").expect(200);
    expect(headers["content-type"]).toMatch(/^text\/plain; version=0.0.4/);
    expect(text).toContain('http_request_duration_seconds_count{method="PUT",route="/state/:key",status="204"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/state/:key",status="200"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/state/:key",status="404"} 1');
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="(none)",status="404"} 1');
    expect(text).not.toMatch(/secret-key|other-key/);
  });

  test("openapi.json is served, and every route it names answers", async () => {
    const { body } = await api.get("/openapi.json").expect(200);
    expect(body).toEqual(JSON.parse(JSON.stringify(openapi)));
    for (const [path, methods] of Object.entries(openapi.paths)) {
      for (const method of Object.keys(methods).filter((name) => name !== "parameters")) {
        const ask = request(app)[method as "get" | "put" | "post" | "delete"](path.replace("{key}", "k"));
        expect((await ask).status, `${method} ${path}`).not.toBe(405);
      }
    }
  });

  test("no header tells what the service is made of", async () => {
    expect((await api.get("/")).headers).not.toHaveProperty("x-powered-by");
  });
});

describe("tracing", () => {
  const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  test("the caller's trace goes on: to the store, into the log and into the answer", async () => {
    let sent = "";
    store.get = async (_key, call) => {
      sent = call.traceparent();
      throw new StoreError("refused", "no");
    };
    const answer = await api.get("/state/a").set("traceparent", caller);
    expect(sent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/);
    expect(sent).not.toContain("b7ad6b7169203331");
    expect(answer.body.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(logged).toContain('"traceId":"0af7651916cd43dd8448eb211c80319c"');
  });

  test.each(["", "garbage", `00-${"0".repeat(32)}-b7ad6b7169203331-01`, `ff${caller.slice(2)}`])(
    "a traceparent of %j is replaced by a new one",
    async (traceparent) => {
      let sent = "";
      store.get = async (_key, call) => {
        sent = call.traceparent();
        return undefined;
      };
      await api.get("/state/a").set("traceparent", traceparent);
      expect(sent).toMatch(/^00-(?!0af7651916cd43dd)[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    },
  );
});

test("nothing of a body or a value is logged, even at debug", async () => {
  await api.post("/state").send({ key: "k", data: "top-secret-value" });
  await api.post("/state").set("Content-Type", "application/json").send('{"key": "top-secret-value');
  await api.get("/state/k");
  expect(logged).not.toContain("top-secret-value");
});
