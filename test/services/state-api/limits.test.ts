import { once } from "node:events";
import type { Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createApp } from "../../../services/state-api/app.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";
import { createMemoryStore, type MemoryStore } from "../../support/memory-store.ts";

const LIMIT = 1_000;
let store: MemoryStore;
let server: Server;
const sockets: Socket[] = [];
beforeEach(async () => {
  store = createMemoryStore();
  const app = createApp({
    store,
    config: readStateApiConfig({ MAX_BODY_BYTES: `${LIMIT}` }, []),
    log: pino({ level: "silent" }),
    register: new Registry(),
    ready: async () => {},
  });
  server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

interface Answer {
  readonly status: number;
  /** The end of the `type` of problem details. */
  readonly code: string | undefined;
}

/** Sends the head of a request; `answer` resolves with the response. */
function open(method: string, path: string, headers: Record<string, string>) {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  sockets.push(socket);
  const lines = Object.entries({ Host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  const answer = new Promise<Answer>((resolve, reject) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
      const [head = "", body = ""] = text.split("\r\n\r\n");
      if (body.length < Number(/^Content-Length: (\d+)/im.exec(head)?.[1] ?? 0)) return;
      const code = /"type":"urn:problem:([^"]*)"/.exec(body)?.[1];
      resolve({ status: Number(head.slice(9, 12)), code });
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed without a response")));
  });
  answer.catch(() => {}); // a test may not need it
  return { socket, answer };
}

const json = { "Content-Type": "application/json" };
const put = (body: string | Buffer, headers: Record<string, string> = {}) => {
  const { socket, answer } = open("PUT", "/state/k", { ...json, "Content-Length": `${body.length}`, ...headers });
  socket.write(body);
  return answer;
};
/** JSON text of exactly this many bytes. */
const textOf = (bytes: number) => `"${"x".repeat(bytes - 2)}"`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
/** Sends the body in chunks of at most 300 bytes. */
const putChunks = (text: string) => {
  const { socket, answer } = open("PUT", "/state/k", { ...json, "Transfer-Encoding": "chunked" });
  for (let at = 0; at < text.length; at += 300) socket.write(chunk(text.slice(at, at + 300)));
  socket.write("0\r\n\r\n");
  return answer;
};

describe("MAX_BODY_BYTES", () => {
  test.each([
    ["declared", put],
    ["in chunks", putChunks],
  ])("admits a body of exactly that size, %s", async (_how, send) => {
    expect(await send(textOf(LIMIT))).toEqual({ status: 204, code: undefined });
    expect(String(store.entries.get("k")?.value)).toHaveLength(LIMIT - 2);
  });

  test.each([
    ["declared", put],
    ["in chunks", putChunks],
  ])("refuses a body of one byte more with 413, %s, and the store sees nothing", async (_how, send) => {
    expect(await send(textOf(LIMIT + 1))).toEqual({ status: 413, code: "too-large" });
    expect(store.calls).toEqual([]);
  });

  test("refuses a body that is declared too large before it arrives", async () => {
    const { answer } = open("POST", "/state", { ...json, "Content-Length": `${LIMIT + 1}` });
    expect(await answer).toEqual({ status: 413, code: "too-large" });
    expect(store.calls).toEqual([]);
  });

  test.each([
    ["PUT", "/state/k"],
    ["POST", "/state"],
    ["POST", "/state/bulk"],
    ["POST", "/state/transaction"],
  ])("%s %s refuses a body without end while the client still sends it", async (method, path) => {
    const { socket, answer } = open(method, path, { ...json, "Transfer-Encoding": "chunked" });
    const sending = setInterval(() => socket.write(chunk("x".repeat(300))), 1);
    try {
      expect(await answer).toEqual({ status: 413, code: "too-large" });
    } finally {
      clearInterval(sending);
    }
    expect(store.calls).toEqual([]);
  });

  test("a body that ends before its declared length gets 400, its connection ends, and the store sees nothing", async () => {
    const { socket, answer } = open("PUT", "/state/k", { ...json, "Content-Length": "10" });
    const closed = once(socket, "close");
    socket.end("1"); // which is JSON
    expect(await answer).toEqual({ status: 400, code: undefined }); // Node's own response, without a body
    await closed;
    expect(store.calls).toEqual([]);
    expect(await put("1")).toMatchObject({ status: 204 });
    expect(store.calls).toEqual([{ operation: "save", keys: ["k"] }]);
  });
});

describe("what a body must be", () => {
  test.each(["gzip", "br", "deflate", "x-unknown"])("a body with Content-Encoding %s gets 415", async (encoding) => {
    const body = encoding === "gzip" ? gzipSync("1") : "1";
    expect(await put(body, { "Content-Encoding": encoding })).toEqual({ status: 415, code: "encoded" });
    expect(store.calls).toEqual([]);
  });

  test("a body with Content-Encoding identity is saved", async () => {
    expect(await put("1", { "Content-Encoding": "identity" })).toMatchObject({ status: 204 });
    expect(store.entries.get("k")?.value).toBe(1);
  });

  test.each([
    "application/json",
    "APPLICATION/JSON",
    "application/json;charset=utf-8",
    'application/json ; charset="UTF-8" ',
  ])("the type %j is JSON", async (type) => {
    expect(await put("1", { "Content-Type": type })).toMatchObject({ status: 204 });
  });

  test.each([
    "application/jsonp",
    "x-application/json",
    "application/json; charset=latin1",
    "application/json; charset=utf-8x",
    "application/json; v=1",
    "application/merge-patch+json",
    "",
  ])("the type %j gets 415", async (type) => {
    expect(await put("1", { "Content-Type": type })).toEqual({ status: 415, code: "not-json" });
    expect(store.calls).toEqual([]);
  });

  test("a body that is not UTF-8 gets 400, and a character that spans two chunks is kept", async () => {
    expect(await put(Buffer.from([0x22, 0xff, 0x22]))).toEqual({ status: 400, code: "bad-request" });
    expect(store.calls).toEqual([]);
    const { socket, answer } = open("PUT", "/state/k", { ...json, "Content-Length": "6" });
    const bytes = Buffer.from('"😀"');
    socket.write(bytes.subarray(0, 3));
    await expect.poll(() => socket.bytesWritten).toBeGreaterThan(0);
    await new Promise(setImmediate);
    socket.write(bytes.subarray(3));
    expect(await answer).toMatchObject({ status: 204 });
    expect(store.entries.get("k")?.value).toBe("😀");
  });
});

describe("the number of keys", () => {
  const post = async (path: string, body: unknown) => {
    const text = JSON.stringify(body);
    const { socket, answer } = open("POST", path, { ...json, "Content-Length": `${text.length}` });
    socket.write(text);
    return answer;
  };
  const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`);

  test("POST /state/bulk reads 100 keys and refuses 101", async () => {
    expect(await post("/state/bulk", { keys: keys(101) })).toEqual({ status: 400, code: "bad-request" });
    expect(store.calls).toEqual([]);
    expect(await post("/state/bulk", { keys: keys(100) })).toEqual({ status: 200, code: undefined });
    expect(store.calls).toEqual([{ operation: "getMany", keys: keys(100) }]);
  });
});
