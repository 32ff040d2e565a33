import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createRequire } from "node:module";
import net, { type AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  createSidecarClient,
  MAX_RESPONSE_BYTES,
  type SidecarClient,
  SidecarError,
  type SidecarRequest,
} from "../../../services/dapr/client.ts";
import { BodyMemory, fits } from "../../../services/runtime/body-memory.ts";
import { createTrace } from "../../../services/runtime/trace.ts";
import { freePorts } from "../../support/processes.ts";

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

/** Returns a client of a fake sidecar, which responds with `respond`, and the headers that the sidecar receives. */
async function connect(
  respond: RequestListener,
  options: { apiToken?: string; timeoutMs?: number; onDisconnect?: () => void } = {},
): Promise<{ client: SidecarClient; origin: string; received: IncomingHttpHeaders[]; sidecar: Server }> {
  const received: IncomingHttpHeaders[] = [];
  const sidecar = createServer((req, res) => {
    received.push(req.headers);
    respond(req, res);
  }).listen(0, "127.0.0.1");
  await once(sidecar, "listening");
  const { port } = sidecar.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  const client = createSidecarClient({ origin, timeoutMs: 10_000, ...options });
  cleanUp.push(
    () => sidecar.close(),
    () => sidecar.closeAllConnections(),
    () => client.close(),
  );
  return { client, origin, received, sidecar };
}

describe("createSidecarClient", () => {
  test.each([200, 204, 404, 500])("resolves with the status, headers and text of a %i response", async (status) => {
    const { client } = await connect((_req, res) => res.writeHead(status, { etag: "1" }).end("text"));
    const response = await client.request("/v1.0/state/statestore/k", {});
    expect(response).toMatchObject({
      statusCode: status,
      headers: { etag: "1" },
      text: status === 204 ? "" : "text",
    });
  });

  test("reports a connection that the sidecar closes, also while others are open", async () => {
    const onDisconnect = vi.fn();
    const held = new Set<ServerResponse>();
    const { client } = await connect(
      (req, res) => {
        if (req.url === "/held") held.add(res);
        else res.setHeader("connection", "close").end();
      },
      { onDisconnect },
    );
    const other = client.request("/held", {});
    await expect.poll(() => held.size).toBe(1);
    await client.request("/", {});
    await expect.poll(() => onDisconnect.mock.calls.length).toBe(1);
    for (const res of held) res.end();
    await other;
  });

  test("reports a connection that it closes after a timeout only when no other is open", async () => {
    const onDisconnect = vi.fn();
    const held = new Set<ServerResponse>();
    const { client } = await connect((_req, res) => held.add(res), { onDisconnect });
    const timeOut = () => expect(client.request("/", { timeoutMs: 500 })).rejects.toMatchObject({ kind: "timeout" });
    await timeOut();
    await expect.poll(() => onDisconnect.mock.calls.length).toBe(1);

    const other = client.request("/", {});
    await expect.poll(() => held.size).toBe(2);
    await timeOut();
    await expect.poll(() => [...held].filter((res) => res.closed).length).toBe(2);
    expect(onDisconnect).toHaveBeenCalledTimes(1);
    for (const res of held) res.end();
    await other;
  });

  test("sends method, JSON body, headers, traceparent and API token", async () => {
    const echo: RequestListener = async (req, res) => {
      let body = "";
      for await (const chunk of req) body += chunk;
      res.end(`${req.method} ${req.url} ${body}`);
    };
    const { client, received } = await connect(echo, { apiToken: "the-token" });
    const request: SidecarRequest = {
      method: "PUT",
      headers: { "if-match": "*", "if-none-match": undefined },
      body: "[1]",
      trace: createTrace({ traceparent }),
    };
    const { text } = await client.request("/path?query", request);
    expect(text).toBe("PUT /path?query [1]");
    expect(received[0]).toMatchObject({
      "content-type": "application/json; charset=utf-8",
      "dapr-api-token": "the-token",
      "if-match": "*",
      traceparent,
    });
    expect(received[0]).not.toHaveProperty("if-none-match");
  });

  test("sends a body with its length, and in chunks without it", async () => {
    const { client, received } = await connect((_req, res) => res.end());
    await client.request("/", { method: "PUT", body: "[1]" });
    await client.request("/", { method: "PUT", body: "[1]", chunked: true });
    await client.request("/", { chunked: true });
    expect(received.map((headers) => [headers["content-length"], headers["transfer-encoding"]])).toEqual([
      ["3", undefined],
      [undefined, "chunked"],
      [undefined, undefined],
    ]);
  });

  test("sends neither a token nor a content type when there is none", async () => {
    const { client, received } = await connect((_req, res) => res.end(), { apiToken: "" });
    await client.request("/", {});
    expect(received[0]).not.toHaveProperty("dapr-api-token");
    expect(received[0]).not.toHaveProperty("content-type");
  });

  test("rejects as a timeout when the response is incomplete after the timeout of the request or of the client", async () => {
    const { client: patient } = await connect((_req, res) => res.write("beginning"), { timeoutMs: 600_000 });
    const error = await patient.request("/", { timeoutMs: 50 }).catch((reason) => reason);
    expect(error).toBeInstanceOf(SidecarError);
    expect(error).toMatchObject({ kind: "timeout", message: expect.stringMatching(/no response .* within 50 ms$/) });
    const { client } = await connect((_req, res) => res.write("beginning"), { timeoutMs: 200 });
    await expect(client.request("/", {})).rejects.toMatchObject({
      kind: "timeout",
      message: expect.stringMatching(/within 200 ms$/),
    });
  });

  test("rejects as unreachable when no process listens, and as interrupted when the connection breaks", async () => {
    const [port] = await freePorts(1);
    const absent = createSidecarClient({ origin: `http://127.0.0.1:${port}`, timeoutMs: 10_000 });
    cleanUp.push(() => absent.close());
    await expect(absent.request("/", {})).rejects.toMatchObject({
      name: "SidecarError",
      kind: "unreachable",
      message: `the Dapr sidecar at http://127.0.0.1:${port} is unreachable`,
      cause: { code: "ECONNREFUSED" },
    });
    const { client } = await connect((_req, res) => res.write("beginning", () => res.destroy()));
    await expect(client.request("/", {})).rejects.toMatchObject({
      kind: "interrupted",
      message: expect.stringMatching(/closed the connection$/),
      cause: { code: "UND_ERR_SOCKET" },
    });
  });

  test("never sends a request that timed out while its connection opened", async () => {
    const disconnected = vi.fn();
    const { client, received, sidecar } = await connect((_req, res) => res.setHeader("connection", "close").end(), {
      onDisconnect: disconnected,
    });
    await client.request("/", { method: "PUT", body: "1" });
    await expect.poll(() => disconnected).toHaveBeenCalled();
    const closed = new Promise((resolve) => sidecar.once("connection", (socket) => socket.once("close", resolve)));
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    cleanUp.push(() => vi.useRealTimers());
    const late = client.request("/late", { method: "PUT", body: "2", timeoutMs: 20 }).catch((reason) => reason);
    while (vi.getTimerCount() === 0) await null;
    vi.advanceTimersByTime(20);
    expect(await late).toMatchObject({ kind: "timeout", message: expect.stringMatching(/within 20 ms$/) });
    await closed;
    expect(received).toHaveLength(1);
  });

  test("rejects as unreachable when there is no connection after a second", async () => {
    const connecting = Promise.withResolvers<void>();
    vi.spyOn(net, "connect").mockImplementation(() => {
      connecting.resolve();
      return new net.Socket();
    });
    cleanUp.push(() => vi.restoreAllMocks());
    const silent = createSidecarClient({ origin: "http://127.0.0.1:9", timeoutMs: 5_000 });
    const sent = silent.request("/", {});
    sent.catch(() => {}); // awaited below
    await connecting.promise;
    const clock = createRequire(import.meta.url)("undici/lib/util/timers.js"); // of connection timeouts
    clock.tick(1_000); // starts the timer
    clock.tick(1_000);
    await expect(sent).rejects.toMatchObject({
      kind: "unreachable",
      cause: { code: "UND_ERR_CONNECT_TIMEOUT", message: expect.stringContaining("timeout: 1000ms") },
    });
  });
});

describe("the memory and the timer of a request", () => {
  const budget = 20 * 1_048_576;
  const most = "x".repeat(MAX_RESPONSE_BYTES);
  afterEach(() => {
    expect(fits(Number.POSITIVE_INFINITY), "every response has freed its memory").toBe(true);
    vi.useRealTimers();
  });

  test("allow a response of exactly the maximum, and refuse a larger one", async () => {
    const { client } = await connect((req, res) => res.end(req.url === "/most" ? most : `${most}x`), {
      timeoutMs: 20_000,
    });
    expect((await client.request("/most", {})).text).toHaveLength(MAX_RESPONSE_BYTES);
    await expect(client.request("/more", {})).rejects.toMatchObject({
      kind: "too-large",
      message: `the Dapr sidecar's response is larger than ${MAX_RESPONSE_BYTES} bytes`,
    });
  });

  test("refuse a large response while other bodies take the budget", async () => {
    const others = new BodyMemory();
    others.resize(budget);
    const { client } = await connect((_req, res) => res.end(most), { timeoutMs: 20_000 });
    try {
      await expect(client.request("/", {})).rejects.toMatchObject({
        kind: "overloaded",
        message: "the service holds too many large bodies",
      });
    } finally {
      others.release();
    }
  });

  test("are free after a timeout and after a broken connection in the middle of a large response", async () => {
    const half: RequestListener = (_req, res) =>
      res.writeHead(200, { "content-length": 200_000 }).write("x".repeat(1e5));
    let response: ServerResponse | undefined;
    const { client } = await connect((req, res) => {
      half(req, res);
      response = res;
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const sent = client.request("/", { timeoutMs: 60_000 });
    sent.catch(() => {}); // awaited below
    await expect.poll(() => fits(budget)).toBe(false);
    vi.advanceTimersByTime(60_000);
    expect(fits(budget)).toBe(true);
    await expect(sent).rejects.toMatchObject({ kind: "timeout" });
    vi.useRealTimers();
    const cut = client.request("/", {});
    await expect.poll(() => fits(budget)).toBe(false);
    response?.destroy();
    const transfer = vi.spyOn(ArrayBuffer.prototype, "transfer");
    cleanUp.push(() => transfer.mockRestore());
    await expect(cut).rejects.toMatchObject({ kind: "interrupted" });
    expect(transfer, "the buffers are freed at once").toHaveBeenCalledWith(0);
  });

  test("end with the response", async () => {
    const { client } = await connect((_req, res) => res.end("ok"), { timeoutMs: 20_000 });
    await client.request("/", {}); // loads undici, which has timers of its own
    const set = vi.spyOn(globalThis, "setTimeout");
    const cleared = vi.spyOn(globalThis, "clearTimeout");
    try {
      await client.request("/", { timeoutMs: 12_345 });
      await client.request("/", { timeoutMs: 12_345, sentTimeoutMs: 23_456 });
      const ours = set.mock.calls.flatMap(([, milliseconds], index) =>
        milliseconds === 12_345 || milliseconds === 23_456 ? [set.mock.results[index]?.value] : [],
      );
      expect(ours).toHaveLength(3);
      for (const timer of ours) expect(cleared.mock.calls.flat()).toContain(timer);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test("count from the dispatch, and with sentTimeoutMs from when the request leaves", async () => {
    const { client } = await connect(() => {}, { timeoutMs: 10_000 });
    await expect(client.request("/", { timeoutMs: 60_000, sentTimeoutMs: 50 })).rejects.toMatchObject({
      kind: "timeout",
      message: expect.stringMatching(/within 50 ms$/),
    });
  });
});

test("close ends the connections, and does nothing before the first request", async () => {
  const { origin } = await connect((_req, res) => res.end());
  const create = () => createSidecarClient({ origin, timeoutMs: 5_000 });
  await create().close();
  const used = create();
  await used.request("/", {});
  await used.close();
  await expect(used.request("/", {})).rejects.toThrow("is unreachable");
});

describe("requests that wait for one of the 64 connections", () => {
  /** Fills all connections of a client with requests that end when `release` is called. */
  async function fill() {
    const held: ServerResponse[] = [];
    const paths: (string | undefined)[] = [];
    let released = false;
    const { client } = await connect((req, res) => {
      paths.push(req.url);
      if (released) res.end();
      else held.push(res);
    });
    const filling = Array.from({ length: 64 }, () => client.request("/held", { timeoutMs: 10_000 }));
    await expect.poll(() => held.length).toBe(64);
    const release = async () => {
      released = true;
      for (const res of held) res.end();
      await Promise.all(filling);
    };
    return { client, release, arrived: () => paths.filter((path) => path !== "/held") };
  }

  test("are sent once connections are free", async () => {
    const { client, release, arrived } = await fill();
    const caller = { ended: undefined };
    const waiting = Array.from({ length: 10 }, (_, index) =>
      client.request(`/${index}`, { timeoutMs: 10_000, caller }),
    );
    await release();
    for (const { statusCode } of await Promise.all(waiting)) expect(statusCode).toBe(200);
    expect(arrived().toSorted()).toEqual(Array.from({ length: 10 }, (_, index) => `/${index}`));
  });

  test("time out while they wait, and are never sent after that", async () => {
    const { client, release, arrived } = await fill();
    const late = Array.from({ length: 10 }, () => client.request("/late", { method: "PUT", body: "1", timeoutMs: 20 }));
    for (const outcome of await Promise.allSettled(late)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { kind: "timeout" } });
    }
    await release();
    await Promise.all(Array.from({ length: 64 }, () => client.request("/after", { timeoutMs: 10_000 })));
    expect(arrived()).toEqual(Array(64).fill("/after"));
  });

  test("are never sent after their callers have left, and reject with the reason", async () => {
    const { client, release, arrived } = await fill();
    const caller: { ended: Error | undefined } = { ended: undefined };
    const options = { method: "PUT", body: "1", timeoutMs: 10_000 } as const;
    const left = Array.from({ length: 10 }, () => client.request("/left", { ...options, caller }));
    const reason = new Error("the caller left");
    caller.ended = reason;
    await release();
    for (const outcome of await Promise.allSettled(left)) expect(outcome).toEqual({ status: "rejected", reason });
    await Promise.all(Array.from({ length: 64 }, () => client.request("/after", { timeoutMs: 10_000 })));
    expect(arrived()).toEqual(Array(64).fill("/after"));
  });

  test("are not cancelled when their callers leave after they were sent", async () => {
    const caller: { ended: Error | undefined } = { ended: undefined };
    const { client } = await connect((_req, res) => {
      caller.ended = new Error("the caller left");
      res.end("the response");
    });
    expect(await client.request("/", { caller })).toMatchObject({ statusCode: 200, text: "the response" });
  });
});
