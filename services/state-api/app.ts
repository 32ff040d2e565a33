import type { Express, Request, Response } from "express";
import type { Registry } from "prom-client";
import { keyOf } from "../dapr/key.ts";
import { addCommonRoutes, createServiceApp } from "../runtime/app.ts";
import { field } from "../runtime/field.ts";
import { JSON_TYPE, RETRY_SOON, readJson, send, TEXT_TYPE } from "../runtime/http.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import { checkBody, checkTransaction } from "./body.ts";
import { CallerLeft, runCall } from "./call.ts";
import type { StateApiConfig } from "./config.ts";
import { openapi, validate } from "./openapi.ts";
import { type Call, type Condition, partitionOf, type StateStore, StoreError } from "./store.ts";

interface StateApi {
  readonly store: StateStore;
  readonly config: StateApiConfig;
  readonly log: Logger;
  readonly register: Registry;
  /** Resolves when requests can be served; rejects with the reason when they cannot. */
  readonly ready: () => Promise<void>;
}

/** The HTTP API of the state store. openapi.ts describes routes, bodies and statuses. */
export function createApp({ store, config, log, register, ready }: StateApi): Express {
  const app = createServiceApp(register, config);
  const run = <T>(req: Request, res: Response, work: (call: Call) => Promise<T>) =>
    runCall(req, res, config.STATESTORE_TIMEOUT_MS, work);

  app.post("/state", async (req, res) => {
    const { value: body, size } = await readJson(req, config.MAX_BODY_BYTES);
    if (field(body, "etag") !== undefined && field(body, "concurrency") === "last-write") {
      throw new Problem(400, "bad-request", "concurrency last-write ignores an etag", {
        detail: "Omit one of them, or use first-write.",
      });
    }
    const { key, data, etag, concurrency, ttlInSeconds, consistency } = checkBody(body, validate.saveRequest);
    const condition: Condition | undefined =
      etag !== undefined ? { ifMatch: [etag] } : concurrency === "first-write" ? { ifNoneMatch: "*" } : undefined;
    const write = { key, value: data, bytes: size, condition, ttlInSeconds, consistency };
    await run(req, res, (call) => store.save(write, call)).catch(writing(409));
    const message = "Successfully wrote to statestore";
    if (prefersJson(req)) send(res, JSON_TYPE, JSON.stringify({ message, key }));
    else send(res, TEXT_TYPE, message);
  });

  app.post("/state/bulk", async (req, res) => {
    const { value } = await readJson(req, config.MAX_BODY_BYTES);
    const { keys } = checkBody(value, validate.bulkRequest);
    const entries = await run(req, res, (call) => store.getMany(keys, call)).catch(readingMany);
    const items = keys.map((key, index) => {
      const entry = entries[index];
      return entry ? { key, found: true, data: entry.value, etag: entry.etag } : { key, found: false };
    });
    // One by one: beside an object with numbers as names, V8 would write a deeply nested value by recursion and fail.
    send(res, JSON_TYPE, `[${items.map((item) => JSON.stringify(item)).join(",")}]`);
  });

  app.post("/state/transaction", async (req, res) => {
    const { value } = await readJson(req, config.MAX_BODY_BYTES);
    const operations = checkTransaction(value);
    const keys = new Set(operations.map(({ key }) => key));
    if (keys.size < operations.length) {
      throw new Problem(400, "repeated-key", "A transaction must name each key once", {
        detail: "Stores differ in how they combine two operations on one key. Send one operation for each key.",
      });
    }
    const partitions = new Set([...keys].map(partitionOf));
    if (partitions.size > 1 || partitions.has(undefined)) {
      const named = [...partitions].map((partition) => partition ?? "no partition").join(", ");
      throw new Problem(400, "no-common-partition", "The keys of a transaction must name one common partition", {
        detail: `Name a partition before the first ~ of every key: alice~cart, alice~orders. These keys name ${named}.`,
      });
    }
    await run(req, res, (call) => store.transaction(operations, call)).catch(writing(409));
    res.status(204).end();
  });

  app.get("/state/:key", async (req, res) => {
    const key = keyOf(req);
    const entry = await run(req, res, (call) => store.get(key, call)).catch(reading);
    if (!entry) throw new Problem(404, "no-such-key", `Key "${key}" has no entry`);
    res.setHeader("ETag", `"${entry.etag}"`);
    if (req.fresh) res.status(304).end();
    else send(res, JSON_TYPE, JSON.stringify(entry.value));
  });

  app.put("/state/:key", async (req, res) => {
    const key = keyOf(req);
    const condition = conditionOf(req);
    const { value, size } = await readJson(req, config.MAX_BODY_BYTES);
    await run(req, res, (call) => store.save({ key, value, bytes: size, condition }, call)).catch(writing(412));
    res.status(condition && "ifNoneMatch" in condition ? 201 : 204).end();
  });

  app.delete("/state/:key", async (req, res) => {
    const key = keyOf(req);
    const condition = conditionOf(req);
    await run(req, res, (call) => store.delete({ key, condition }, call)).catch(writing(412));
    res.status(204).end();
  });

  app.get("/", (_req, res) => {
    send(res, TEXT_TYPE, config.WELCOME);
  });
  addCommonRoutes(app, { openapi, config, log, register, ready });
  return app;
}

function prefersJson(req: Request): boolean {
  return req.accepts(["text/plain", "application/json"]) === "application/json";
}

/**
 * The condition of a write. If-Match compares strongly (RFC 9110 §13.1), so a weak ETag matches no entry.
 * @throws {Problem} 400
 */
function conditionOf(req: Request): Condition | undefined {
  const ifMatch = req.get("If-Match");
  const ifNoneMatch = req.get("If-None-Match");
  if (ifNoneMatch !== undefined && ifNoneMatch !== "*") {
    throw new Problem(400, "bad-request", "This condition is not supported", {
      detail: "Send If-Match with ETags or *, or If-None-Match: *.",
    });
  }
  if (ifMatch !== undefined && !validate.ifMatch.Check(ifMatch)) {
    throw new Problem(400, "bad-request", "If-Match is malformed", {
      detail: 'Put each ETag in quotes, as the ETag header does: If-Match: "abc".',
    });
  }
  if (ifNoneMatch !== undefined && ifMatch !== undefined) return { ifMatch: [] }; // no entry satisfies both
  if (ifNoneMatch !== undefined) return { ifNoneMatch: "*" };
  if (ifMatch === undefined || ifMatch === "*") return ifMatch && { ifMatch };
  const etags = [...ifMatch.matchAll(/(W\/)?"([^"]*)"/g)];
  return { ifMatch: etags.flatMap(([, weak, etag = ""]) => (weak ? [] : [etag])) };
}

function writing(conflictStatus: 409 | 412) {
  return (error: unknown): never => failed("Error writing to statestore", error, conflictStatus);
}

function reading(error: unknown): never {
  return failed("Error reading from statestore", error, 409);
}

function readingMany(error: unknown): never {
  if (!(error instanceof StoreError && error.kind === "too-large")) reading(error);
  throw new Problem(422, "response-too-large", "The entries are too large for one response", {
    detail: "Ask for fewer keys.",
    cause: error,
  });
}

/**
 * Turns an error of the store into a problem. Its title starts with a fixed text that the walkthroughs of this sample
 * show.
 */
function failed(title: string, error: unknown, conflictStatus: 409 | 412): never {
  if (error instanceof CallerLeft) throw new Problem(499, "caller-left", "The caller disconnected");
  if (!(error instanceof StoreError)) throw error;
  const message = `${title}: ${error.message}`;
  switch (error.kind) {
    case "conflict":
      throw new Problem(conflictStatus, "conflict", message, { detail: "Nothing was changed.", cause: error });
    case "overloaded":
      throw new Problem(503, "overloaded", message, {
        detail: "Nothing was changed. Retry.",
        headers: RETRY_SOON,
        cause: error,
      });
    case "unavailable":
      throw new Problem(503, "store-unavailable", message, {
        detail: "Retry. A write may still have succeeded.",
        headers: RETRY_SOON,
        cause: error,
      });
    case "too-large":
    case "refused":
      throw new Problem(500, "store-refused", message, {
        detail: "Search the log for this traceId to find the whole response.",
        cause: error,
      });
  }
}
