import { once } from "node:events";
import { request as httpRequest, IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { PassThrough } from "node:stream";
import type { Express, RequestHandler } from "express";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { beforeEach, describe, expect, test } from "vitest";
import { addCommonRoutes, createMetricsApp, createServiceApp } from "../../../services/runtime/app.ts";
import { field, listIn } from "../../../services/runtime/field.ts";
import { Problem } from "../../../services/runtime/problem.ts";

const id = "0af7651916cd43dd8448eb211c80319c";
const headers = { traceparent: `00-${id}-b7ad6b7169203331-01` };
let logged: Record<string, unknown>[];
let route: RequestHandler;
const register = () => new Registry();
const access = { HOST: "127.0.0.1", ALLOWED_HOSTS: "" };
const log = pino({ level: "debug", base: null }, { write: (line: string) => logged.push(JSON.parse(line)) });

const openapi = {
  info: { title: "A service" },
  paths: {
    "/items/{id}": { get: {}, parameters: [] },
    "/route": { get: {}, put: {} },
    "/items/all": { post: {} },
    "/metrics": { get: {} },
  },
};
function createApp(metricsPort = 0) {
  const app = createServiceApp(register(), access);
  app.get("/route", (req, res, next) => route(req, res, next));
  app.get("/items/:id", (_req, res) => void res.send("item"));
  const config = { METRICS_PORT: metricsPort };
  addCommonRoutes(app, { openapi, config, log, register: register(), ready: async () => {} });
  return app;
}
beforeEach(() => {
  logged = [];
});
const fail = (error: unknown) => {
  route = () => {
    throw error;
  };
  return request(createApp()).get("/route").set(headers);
};

test("a Problem has its name, which logs show", () => {
  expect(String(new Problem(409, "taken", "The name is taken"))).toBe("Problem: The name is taken");
});

describe("an error of a route", () => {
  test("that is a Problem is sent with its headers and the trace id, and logged for debugging", async () => {
    const got = await fail(
      new Problem(409, "taken", "The name is taken", { detail: "Choose another.", headers: { "X-Test": "1" } }),
    );
    expect(got.status).toBe(409);
    expect(got.type).toBe("application/problem+json");
    expect(got.headers["x-test"]).toBe("1");
    expect(got.body).toEqual({
      type: "urn:problem:taken",
      title: "The name is taken",
      status: 409,
      detail: "Choose another.",
      traceId: id,
    });
    const entry = { level: 20, msg: "refused", code: "taken", traceId: id, method: "GET", path: "/route", status: 409 };
    expect(logged).toMatchObject([entry]);
  });

  test("that is a Problem without options has no detail", async () => {
    const { body } = await fail(new Problem(404, "none", "There is none"));
    expect(body).toEqual({ type: "urn:problem:none", title: "There is none", status: 404, traceId: id });
  });

  test("that is a Problem of the 500s is logged as an error with its cause", async () => {
    await fail(new Problem(500, "broken", "It broke", { cause: new Error("the cause") }));
    expect(logged).toMatchObject([{ level: 50, msg: "It broke", traceId: id, status: 500, err: { type: "Problem" } }]);
    expect(JSON.stringify(logged)).toContain("the cause");
  });

  test.each([
    ["an Error", new Error("secret internals")],
    ["no object", "secret internals"],
    ["an Express error of the 500s", Object.assign(new Error("secret internals"), { status: 500, expose: true })],
    ["one whose message callers may not see", Object.assign(new Error("secret"), { status: 400, expose: false })],
    ["one whose status is no number", Object.assign(new Error("secret internals"), { status: "400" })],
  ])("that is %s gets 500 without its message", async (_name, error) => {
    const got = await fail(error);
    expect(got.status).toBe(500);
    expect(got.body).toEqual({
      type: "urn:problem:internal",
      title: "The service failed unexpectedly",
      status: 500,
      detail: "Search the log for this traceId to find the cause.",
      traceId: id,
    });
    expect(logged).toMatchObject([{ level: 50, msg: "The service failed unexpectedly" }]);
  });

  test("that is Express's own for a bad path gets its status and message", async () => {
    const got = await request(createApp()).get("/items/%ff").set(headers);
    expect(got.body).toEqual({
      type: "urn:problem:bad-request",
      title: "The request is malformed",
      status: 400,
      detail: "Failed to decode param '%ff'",
      traceId: id,
    });
  });

  test("after the start of the response closes the connection, because the status is sent", async () => {
    route = (_req, res, next) => {
      res.write("half");
      next(new Error("too late"));
    };
    const server = createApp().listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const sent = httpRequest({ port: (server.address() as AddressInfo).port, path: "/route", agent: false }).end();
      const [response] = await once(sent, "response");
      let text = "";
      const read = async () => {
        for await (const chunk of response) text += chunk;
      };
      await expect(read()).rejects.toThrow("aborted");
      expect(text).toBe("half");
    } finally {
      server.close();
    }
  });
});

/** Handles a request without a connection, which takes about a millisecond. */
async function handle(app: Express, method: string, url: string, host = "localhost") {
  const connection = new PassThrough() as PassThrough & Socket;
  const sent = { host, ...headers };
  const req = Object.assign(new IncomingMessage(connection), { method, url, headers: sent });
  const res = new ServerResponse(req);
  res.assignSocket(connection);
  app(req, res);
  await once(res, "finish");
  const [head = "", text = ""] = String(connection.read()).split("\r\n\r\n");
  const lines = head.split("\r\n").slice(1);
  return {
    status: res.statusCode,
    headers: new Headers(lines.map((line) => line.split(": ") as [string, string])),
    text,
  };
}
const bodyOf = ({ text }: { text: string }) => JSON.parse(text);

describe("requests that no route serves", () => {
  test("get 404 on another path", async () => {
    expect(bodyOf(await handle(createApp(), "GET", "/nothing"))).toEqual({
      type: "urn:problem:no-such-route",
      title: "No route for /nothing",
      status: 404,
      detail: "See GET /openapi.json.",
      traceId: id,
    });
  });

  test.each([
    ["DELETE", "/route", "GET, HEAD, PUT"],
    ["POST", "/items/1", "GET, HEAD"],
    ["PUT", "/items/all", "POST"],
  ])("get 405 for %s %s, with the methods of the document", async (method, path, allowed) => {
    const got = await handle(createApp(), method, path);
    expect([got.status, got.headers.get("allow")]).toEqual([405, allowed]);
    expect(bodyOf(got)).toEqual({
      type: "urn:problem:method-not-allowed",
      title: `${path} does not accept ${method}`,
      status: 405,
      detail: `It accepts ${allowed}.`,
      traceId: id,
    });
  });

  test("get 404 for /metrics when another port serves it, and the document does not have it", async () => {
    const [samePort, ownPort] = [createApp(), createApp(9_090)];
    expect((await handle(samePort, "GET", "/metrics")).status).toBe(200);
    expect((await handle(ownPort, "GET", "/metrics")).status).toBe(404);
    const documentOf = async (app: Express) => bodyOf(await handle(app, "GET", "/openapi.json"));
    expect(await documentOf(samePort)).toEqual(openapi);
    const { "/metrics": _metrics, ...paths } = openapi.paths;
    expect(await documentOf(ownPort)).toEqual({ ...openapi, paths });
  });

  test("get 404 on the port of the metrics, and 421 with another host", async () => {
    const app = createMetricsApp(register(), access, log);
    expect(bodyOf(await handle(app, "GET", "/"))).toMatchObject({
      type: "urn:problem:no-such-route",
      title: "No route for /",
      status: 404,
      detail: "This port has only GET /metrics.",
    });
    expect((await handle(app, "GET", "/metrics", "evil.example")).status).toBe(421);
  });
});

test("responses have their type, and neither X-Powered-By nor an ETag that no route set", async () => {
  const [app, metrics] = [createApp(), createMetricsApp(register(), access, log)];
  for (const [served, path, type] of [
    [app, "/healthz", "text/plain; charset=utf-8"],
    [app, "/items/1", "text/html; charset=utf-8"],
    [app, "/openapi.json", "application/json; charset=utf-8"],
    [app, "/metrics", "text/plain; version=0.0.4; charset=utf-8"],
    [metrics, "/metrics", "text/plain; version=0.0.4; charset=utf-8"],
  ] as const) {
    const { status, headers } = await handle(served, "GET", path);
    expect([status, headers.get("content-type")]).toEqual([200, type]);
    expect([headers.get("x-powered-by"), headers.get("etag")]).toEqual([null, null]);
  }
  expect((await handle(app, "GET", "/healthz")).text).toBe("ok");
});

test("field and listIn read properties of objects, and nothing of other values", () => {
  expect(field({ a: 1 }, "a")).toBe(1);
  for (const value of [null, undefined, "text", 5]) expect(field(value, "length")).toBeUndefined();
  expect(listIn({ a: [1] }, "a")).toEqual([1]);
  for (const value of [{ a: "text" }, {}, null]) expect(listIn(value, "a")).toEqual([]);
});
