import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import {
  createSidecarClient,
  type SidecarClient,
  SidecarError,
  type SidecarRequest,
} from "../../../services/dapr/client.ts";
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
  options: { apiToken?: string; timeoutMs?: number } = {},
): Promise<{ client: SidecarClient; received: IncomingHttpHeaders[] }> {
  const received: IncomingHttpHeaders[] = [];
  const sidecar = createServer((req, res) => {
    received.push(req.headers);
    respond(req, res);
  }).listen(0, "127.0.0.1");
  await once(sidecar, "listening");
  const { port } = sidecar.address() as AddressInfo;
  const client = createSidecarClient({ origin: `http://127.0.0.1:${port}`, timeoutMs: 10_000, ...options });
  cleanUp.push(
    () => sidecar.close(),
    () => sidecar.closeAllConnections(),
    () => client.close(),
  );
  return { client, received };
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

  test("counts the wait for a free connection towards the timeout", async () => {
    const { client, received } = await connect(() => {}, { timeoutMs: 1_000 });
    const requests = Array.from({ length: 100 }, () => client.request("/", {}));
    const outcomes = await Promise.allSettled(requests);
    expect(outcomes.map((each) => each.status === "rejected" && each.reason.kind)).toEqual(Array(100).fill("timeout"));
    expect(received).toHaveLength(64);
  });

  test("rejects as unreachable when no process listens, and as interrupted when the connection breaks", async () => {
    const [port] = await freePorts(1);
    const absent = createSidecarClient({ origin: `http://127.0.0.1:${port}`, timeoutMs: 10_000 });
    cleanUp.push(() => absent.close());
    await expect(absent.request("/", {})).rejects.toMatchObject({
      name: "SidecarError",
      kind: "unreachable",
      message: `the Dapr sidecar at http://127.0.0.1:${port} is unreachable`,
    });
    const { client } = await connect((_req, res) => res.write("beginning", () => res.destroy()));
    await expect(client.request("/", {})).rejects.toMatchObject({
      kind: "interrupted",
      message: expect.stringMatching(/closed the connection$/),
    });
  });
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

  test("are never sent after their timeout", async () => {
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
