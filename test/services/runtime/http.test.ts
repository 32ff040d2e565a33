// Request bodies and responses at the limits, without a process: test/services/memory.test.ts attacks real ones.
import { once } from "node:events";
import { createServer, request as httpRequest, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Request, Response } from "express";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { BodyMemory } from "../../../services/runtime/body-memory.ts";

// Loaded anew for each test, so that bytes that one of them fails to release do not count in the next.
const load = async () => {
  vi.resetModules();
  return {
    ...(await import("../../../services/runtime/app.ts")),
    ...(await import("../../../services/runtime/body-memory.ts")),
    ...(await import("../../../services/runtime/http.ts")),
  };
};
type Http = Awaited<ReturnType<typeof load>>;

const LIMIT = 30_000;
const BUDGET = 20 * 1_048_576;
const SMALL = 16_384;
let origin: string;
let port: number;
let close: () => Promise<void>;
let read: (req: Request, limit: number) => Promise<unknown>;
let respond: (req: Request, res: Response) => void;
/** Responses of the server, in order. */
let responses: ServerResponse[];
let fits: Http["fits"];
let readJson: Http["readJson"];
let readJsonText: Http["readJsonText"];
let send: Http["send"];
let others: BodyMemory;

beforeEach(async () => {
  const http = await load();
  ({ fits, readJson, readJsonText, send } = http);
  others = new http.BodyMemory();
  read = readJsonText;
  respond = (_req, res) => send(res, "text/plain", "ok");
  responses = [];
  const register = new Registry();
  const app = http.createServiceApp(register, { HOST: "127.0.0.1", ALLOWED_HOSTS: "" });
  app.put("/body", async (req, res) => {
    const value = await read(req, LIMIT);
    send(res, "application/json", JSON.stringify(value));
  });
  app.get("/body", (req, res) => respond(req, res));
  const log = pino({ level: "silent" });
  http.addCommonRoutes(app, {
    openapi: { paths: {} },
    config: { METRICS_PORT: 0 },
    log,
    register,
    ready: async () => {},
  });
  const server = createServer((req, res) => {
    responses.push(res);
    app(req, res);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
  origin = `http://127.0.0.1:${port}`;
  close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await close();
  others.release();
  await expect.poll(() => fits(Number.POSITIVE_INFINITY), { message: "no body keeps its memory" }).toBe(true);
});

/** Like `expect.poll`, but that one moves a clock that the test has stopped, and looks only every 50 ms. */
async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!holds()) {
    if (performance.now() > end) throw new Error("it did not happen within 5 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Sends the parts as chunks, or as one body with its length. */
function put(parts: readonly (string | Buffer)[], headers: Record<string, string> = {}): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = { "content-type": "application/json", ...headers };
  const req = httpRequest(`${origin}/body`, { method: "PUT", headers: sent, agent: false }, async (res) => {
    let text = "";
    for await (const chunk of res) text += chunk;
    resolve({ status: res.statusCode, headers: res.headers, text });
  });
  req.on("error", reject);
  const [only] = parts;
  if (parts.length === 1) req.end(only);
  else {
    for (const part of parts) req.write(part);
    req.end();
  }
  return promise;
}
const problemOf = ({ text }: Answer) => {
  const { type, title, status, detail } = JSON.parse(text);
  return { type, title, status, detail };
};
/** The blocks into which bodies are copied from now on. A freed one has no bytes. */
function recordBlocks(): readonly ArrayBufferLike[] {
  const blocks: ArrayBufferLike[] = [];
  const allocate = Buffer.allocUnsafeSlow;
  vi.spyOn(Buffer, "allocUnsafeSlow").mockImplementation((size) => {
    const block = allocate(size);
    blocks.push(block.buffer);
    return block;
  });
  return blocks;
}
const jsonOf = (bytes: number) => JSON.stringify("x".repeat(bytes - 2));

describe("the declared type of a body", () => {
  test.each([
    "application/json",
    "APPLICATION/JSON",
    "application/json ; charset=utf-8",
    "application/json;charset=UTF-8",
    'application/json; charset="utf-8"',
    "application/json;  charset=utf-8  ",
  ])("is accepted as %s", async (type) => {
    expect(await put(["[1]"], { "content-type": type })).toMatchObject({ status: 200, text: '"[1]"' });
  });

  test.each([
    "text/plain",
    "x-application/json",
    "application/jsonl",
    "application/json-seq; charset=utf-8",
    "application/json; charset=utf-8; x=1",
    "application/json; xcharset=utf-8",
    "application/json; charset=latin1",
    "application/json charset=utf-8",
    "application/json; charset=utf-8x",
  ])("is refused as %s", async (type) => {
    expect(problemOf(await put(["[1]"], { "content-type": type }))).toEqual({
      type: "urn:problem:not-json",
      title: "The body must be declared as JSON",
      status: 415,
      detail: "Send the header Content-Type: application/json. The only charset is utf-8.",
    });
  });

  test("is refused when it is missing", async () => {
    const answer = await fetch(`${origin}/body`, { method: "PUT", body: Buffer.from("[1]") });
    expect(answer.status).toBe(415);
  });

  test("may have the encoding identity and no other", async () => {
    expect((await put(["[1]"], { "content-encoding": "identity" })).status).toBe(200);
    expect(problemOf(await put(["[1]"], { "content-encoding": "gzip" }))).toEqual({
      type: "urn:problem:encoded",
      title: "The body must not be compressed",
      status: 415,
      detail: "Omit Content-Encoding.",
    });
  });
});

describe("the content of a body", () => {
  test("is refused when it is empty, in chunks, too", async () => {
    const refusal = { type: "urn:problem:bad-request", title: "The body is empty", status: 400, detail: "Send JSON." };
    expect(problemOf(await put([""]))).toEqual(refusal);
    expect(problemOf(await put([]))).toEqual(refusal);
  });

  test("is refused when it is not UTF-8", async () => {
    expect(problemOf(await put([Buffer.from([0x22, 0xff, 0x22])]))).toEqual({
      type: "urn:problem:bad-request",
      title: "The body is not valid UTF-8",
      status: 400,
      detail: "Send UTF-8.",
    });
  });

  test("is joined from chunks that split a character", async () => {
    const bytes = Buffer.from('"é"');
    expect((await put([bytes.subarray(0, 2), bytes.subarray(2)])).text).toBe(JSON.stringify('"é"'));
  });

  test("is parsed by readJson, and refused when it is not JSON", async () => {
    read = readJson;
    expect((await put(['{"a":[1,"b"]}'])).text).toBe('{"value":{"a":[1,"b"]},"size":13}');
    expect(problemOf(await put(["{"]))).toMatchObject({ status: 400, title: "The body is not valid JSON" });
  });

  test("is not read further, and the route fails with 400, when the client leaves before its end", async () => {
    const blocks = recordBlocks();
    let failure: unknown;
    const failed = Promise.withResolvers<void>();
    read = (req, limit) =>
      readJsonText(req, limit).catch((error) => {
        failure = error;
        failed.resolve();
        throw error;
      });
    const socket = connect(port, "127.0.0.1");
    const head =
      "PUT /body HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 25000\r\n\r\n";
    socket.write(`${head}"${"x".repeat(20_000)}`);
    await until(() => !fits(BUDGET));
    socket.write("x".repeat(1_000));
    await until(() => blocks.length === 1);
    socket.destroy();
    await failed.promise;
    expect(failure).toMatchObject({ status: 400, code: "bad-request", message: "The body is incomplete" });
    expect(blocks[0]?.byteLength).toBe(0);
  });
});

describe("a body at the limit", () => {
  const refusal = {
    type: "urn:problem:too-large",
    title: "The body is too large",
    status: 413,
    detail: `The maximum is ${LIMIT} bytes.`,
  };
  const halves = (text: string) => [text.slice(0, 10_000), text.slice(10_000)];

  test("is accepted, and one byte more is refused, with a length and in chunks", async () => {
    expect((await put([jsonOf(LIMIT)])).status).toBe(200);
    expect((await put(halves(jsonOf(LIMIT)))).status).toBe(200);
    expect(problemOf(await put([jsonOf(LIMIT + 1)]))).toEqual(refusal);
    expect(problemOf(await put(halves(jsonOf(LIMIT + 1))))).toEqual(refusal);
  });

  test("is refused by its declared length before any of it arrives", async () => {
    const socket = await sendHead(LIMIT + 1);
    expect(await firstLine(socket)).toBe("HTTP/1.1 413 Payload Too Large");
  });

  test("gets 413 for chunks without an end, before their end", async () => {
    const blocks = recordBlocks();
    const socket = await sendHead(undefined);
    socket.write(chunkOf(10));
    socket.write(chunkOf(LIMIT - 10));
    await until(() => blocks.length === 1);
    socket.write(chunkOf(1));
    expect(await firstLine(socket)).toBe("HTTP/1.1 413 Payload Too Large");
    expect(fits(BUDGET)).toBe(true);
    expect(blocks[0]?.byteLength).toBe(0);
  });
});

/** Sends the head of a PUT, of a length or in chunks. */
async function sendHead(length: number | undefined): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const framing = length === undefined ? "Transfer-Encoding: chunked" : `Content-Length: ${length}`;
  socket.write(`PUT /body HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`);
  return socket;
}
const chunkOf = (bytes: number) => `${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n`;
async function firstLine(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) {
    text += chunk;
    if (text.includes("\r\n")) break;
  }
  return text.split("\r\n")[0] ?? "";
}

describe("while large bodies take the whole budget", () => {
  const refusal = {
    type: "urn:problem:overloaded",
    title: "The service holds too many large bodies",
    status: 503,
    detail: "Nothing was changed. Retry.",
  };
  beforeEach(() => {
    others.resize(BUDGET);
  });

  test("a large body gets 503 with Retry-After, and its connection is closed; a small one is served", async () => {
    const answer = await put([jsonOf(SMALL + 1)]);
    expect(problemOf(answer)).toEqual(refusal);
    expect(answer.headers).toMatchObject({ "retry-after": "1", connection: "close" });
    expect((await put([jsonOf(SMALL - 100)])).status).toBe(200);
  });

  test("a body in chunks gets 503 once they are large", async () => {
    expect(problemOf(await put([jsonOf(20_000).slice(0, 10_000), jsonOf(20_000).slice(10_000)]))).toEqual(refusal);
  });

  test("a body that does not arrive gets 503 within 500 ms", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    const socket = await sendHead(20_000);
    await until(() => vi.getTimerCount() === 1);
    vi.advanceTimersByTime(500);
    vi.useRealTimers();
    expect(await firstLine(socket)).toBe("HTTP/1.1 503 Service Unavailable");
  });

  test("the rest of a refused body takes no memory, and the 503 follows its end at once", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    const socket = await sendHead(20_000);
    await until(() => vi.getTimerCount() === 1);
    others.release();
    let dropped = 0;
    responses[0]?.req.on("data", ({ length }) => {
      dropped += length;
    });
    socket.write("x".repeat(19_000));
    await until(() => dropped === 19_000);
    expect(fits(Number.POSITIVE_INFINITY)).toBe(true);
    socket.write("x".repeat(1_000));
    expect(await firstLine(socket)).toBe("HTTP/1.1 503 Service Unavailable");
  });

  test("a body that grows too large releases its memory at once", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    others.resize(BUDGET - 30_000);
    const socket = await sendHead(undefined);
    socket.write(chunkOf(20_000));
    await until(() => !fits(30_000));
    socket.write(chunkOf(1));
    await until(() => fits(30_000));
    expect(responses[0]?.headersSent).toBe(false);
    socket.destroy();
  });

  test("a body whose value is large gets 503, although its text is small", async () => {
    read = readJson;
    expect(problemOf(await put([`[${Array(4_000).fill("{}").join()}]`]))).toEqual(refusal);
  });

  test("a large response becomes 503, and a small one is sent", async () => {
    respond = (_req, res) => send(res, "text/plain", "x".repeat(SMALL + 1));
    expect((await fetch(`${origin}/body`)).status).toBe(503);
    respond = (_req, res) => send(res, "text/plain", "x".repeat(SMALL));
    expect((await fetch(`${origin}/body`)).status).toBe(200);
  });
});

describe("a response", () => {
  test("has the status that the route set, its type and its length in bytes", async () => {
    respond = (_req, res) => send(res.status(201), "text/x-test", "é");
    const answer = await fetch(`${origin}/body`);
    expect(answer.status).toBe(201);
    expect(answer.headers.get("content-type")).toBe("text/x-test");
    expect(answer.headers.get("content-length")).toBe("2");
    expect(await answer.text()).toBe("é");
  });

  test("of more than 16,384 bytes is sent as bytes, a smaller one as text", async () => {
    const sent: unknown[] = [];
    respond = (req, res) => {
      const original = res.end.bind(res);
      res.end = ((content: string | Buffer) => {
        sent.push(typeof content === "string" ? "text" : "bytes");
        return original(content);
      }) as typeof res.end;
      send(res, "text/plain", "x".repeat(Number(req.query.bytes)));
    };
    for (const bytes of [SMALL, SMALL + 1]) {
      expect((await (await fetch(`${origin}/body?bytes=${bytes}`)).text()).length).toBe(bytes);
    }
    expect(sent).toEqual(["text", "bytes"]);
  });

  test("counts until the client has read it, and is cut off after 30 s", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    respond = (_req, res) => send(res, "text/plain", "x".repeat(30 * 1_048_576));
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {}).pause();
    socket.write("GET /body HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => !fits(BUDGET));
    vi.advanceTimersByTime(29_999);
    expect(responses[0]?.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(responses[0]?.destroyed).toBe(true);
    await expect.poll(() => fits(BUDGET)).toBe(true);
    socket.destroy();
  });

  test("that the client has read leaves no timer and no memory", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    respond = (_req, res) => send(res, "text/plain", "x".repeat(30 * 1_048_576));
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /body HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let bytes = 0;
    for await (const chunk of socket) bytes += chunk.length;
    expect(bytes).toBeGreaterThan(30 * 1_048_576);
    await expect.poll(() => fits(BUDGET)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that the operating system has taken leaves no listener for its close", async () => {
    let listeners = 0;
    respond = (_req, res) => {
      const before = res.listenerCount("close");
      send(res, "text/plain", "ok");
      listeners = res.listenerCount("close") - before;
    };
    const answer = await fetch(`${origin}/body`);
    expect([answer.status, listeners]).toEqual([200, 0]);
  });
});
