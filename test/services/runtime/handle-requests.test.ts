// The bounds of a connection, without a process: test/services/memory.test.ts attacks real ones.
import { once } from "node:events";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { handleRequests, SERVER_OPTIONS } from "../../../services/runtime/handle-requests.ts";

let server: Server;
let handle: RequestListener;
/** The requests that reached the listener. */
let handled: string[];
/** Their responses, which a test ends. */
let held: ServerResponse[];

beforeEach(async () => {
  handled = [];
  held = [];
  handle = (_req, res) => res.end("ok");
  server = createServer(SERVER_OPTIONS);
  handleRequests(server, (req, res) => {
    handled.push(req.url ?? "");
    held.push(res);
    handle(req, res);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function open(): { socket: Socket; received: () => string; closed: Promise<unknown> } {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.on("error", () => {}); // a reset is a close
  return { socket, received: () => text, closed: new Promise((resolve) => socket.once("close", resolve)) };
}

/** Sends the text on a connection of its own and returns all that comes back until the server closes it. */
async function ask(text: string): Promise<string> {
  const { socket, received, closed } = open();
  socket.end(text);
  await closed;
  return received();
}
const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;

describe("the head of a request", () => {
  const headers = (count: number) => Array.from({ length: count }, (_, index) => `X-${index}: 1\r\n`).join("");

  test("may have 99 headers and no more, because Node drops those above 100", async () => {
    expect(await ask(get("/", headers(98)))).toMatch(/^HTTP\/1\.1 200 /);
    for (const count of [99, 150]) {
      const response = await ask(get("/", headers(count)));
      expect(response).toMatch(/^HTTP\/1\.1 431 /);
      expect(response).toContain("\r\nConnection: close\r\n");
    }
    expect(handled).toHaveLength(1);
  });

  test("needs a Host header, except in HTTP/1.0", async () => {
    const refusal = await ask("GET / HTTP/1.1\r\n\r\n");
    expect(refusal).toMatch(/^HTTP\/1\.1 400 /);
    expect(refusal).toContain("\r\nConnection: close\r\n");
    expect(handled).toEqual([]);
    expect(await ask("GET /old HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
    expect(handled).toEqual(["/old"]);
  });

  test("with an unknown Expect reaches the listener", async () => {
    expect(await ask(get("/", "Expect: something\r\n"))).toMatch(/^HTTP\/1\.1 200 /);
    expect(handled).toEqual(["/"]);
  });
});

describe("requests that are sent before the response to an earlier one", () => {
  beforeEach(() => {
    handle = () => {};
  });
  const arrived = (count: number) => expect.poll(() => handled.length).toBe(count);

  test("may wait one at a time", async () => {
    const { socket, received } = open();
    socket.write(get("/1") + get("/2"));
    await arrived(2);
    held[0]?.end("first");
    held[1]?.end("both");
    await expect.poll(received).toContain("both");
    held.splice(0);
    handled.splice(0);
    socket.write(get("/1") + get("/2"));
    await arrived(2);
    held[0]?.end("first");
    await expect.poll(received).toContain("first");
    socket.write(get("/3"));
    await arrived(3);
    held[1]?.end("second");
    await expect.poll(received).toContain("second");
    socket.write(get("/4"));
    await arrived(4);
    held[2]?.end("third");
    held[3]?.end("fourth");
    await expect.poll(received).toContain("fourth");
    socket.write(get("/5") + get("/6"));
    await arrived(6);
    held[4]?.end("fifth");
    held[5]?.end("sixth");
    await expect.poll(received).toContain("sixth");
    socket.destroy();
  });

  test("close the connection when a second one waits, and Node parses none after it", async () => {
    let parsed = 0;
    server.on("request", () => parsed++);
    const { socket, closed } = open();
    socket.write(get("/").repeat(1_000));
    await closed;
    expect(handled).toEqual(["/", "/"]);
    expect(parsed).toBe(3);
    await expect.poll(() => held.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  });

  test("close the connection when they have no Host header, too", async () => {
    const { socket, closed } = open();
    socket.write(get("/") + "GET / HTTP/1.1\r\n\r\n".repeat(2));
    await closed;
    expect(handled).toEqual(["/"]);
  });

  test("are not parsed after the close of a connection of HTTPS", () => {
    const parser = { onIncoming: (_req: object, keepAlive: boolean) => (keepAlive ? 0 : 1) };
    const connection = { parser, destroyed: false };
    server.emit("secureConnection", connection);
    const read = (keepAlive: boolean) => parser.onIncoming({ method: "GET" }, keepAlive);
    expect([read(true), read(false)]).toEqual([0, 1]);
    connection.destroyed = true;
    expect([read(true), read(false)]).toEqual([2, 2]);
  });

  test("are served on a connection without the parser that Node does not document", () => {
    for (const connection of [{}, { parser: {} }]) {
      server.emit("secureConnection", connection);
      expect(connection).not.toHaveProperty("parser.onIncoming");
    }
  });

  test("are not parsed after a CONNECT has closed the connection", async () => {
    const { socket, closed } = open();
    let ended = 0;
    handle = (_req, res) => res.once("close", () => ended++);
    socket.write(`${get("/1")}${get("/2")}CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n${get("/3")}`);
    await closed;
    expect(handled).toEqual(["/1", "/2"]);
    await expect.poll(() => ended, { message: "the response that waits is closed, too" }).toBe(2);
  });
});
