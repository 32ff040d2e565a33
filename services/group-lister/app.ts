import type { Express, Request, Response } from "express";
import type { Registry } from "prom-client";
import type { Access } from "../runtime/access.ts";
import { addCommonRoutes, createServiceApp } from "../runtime/app.ts";
import { boundSending, JSON_TYPE } from "../runtime/http.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import { traceOf } from "../runtime/trace.ts";
import { AzureError } from "./azure/error.ts";
import type { Cached } from "./cached.ts";
import type { Snapshot } from "./groups.ts";
import { openapi, validate } from "./openapi.ts";

interface GroupLister {
  readonly groups: Cached<Snapshot>;
  readonly config: Access & { readonly GROUPS_MAX_AGE_MS: number; readonly METRICS_PORT: number };
  readonly log: Logger;
  readonly register: Registry;
  /** Resolves when requests can be served; rejects with an AzureError when they cannot. */
  readonly ready: () => Promise<void>;
  /** Called for every response with a stale listing. */
  readonly observeStale: () => void;
}

/** Serves the list of resource groups over HTTP. openapi.ts describes the routes, headers and statuses. */
export function createApp({ groups, config, log, register, ready, observeStale }: GroupLister): Express {
  const app = createServiceApp(register, config);
  const maxAge = Math.floor(config.GROUPS_MAX_AGE_MS / 1000);
  const cacheControl = `private, max-age=${maxAge}`;

  async function listGroups(req: Request, res: Response): Promise<void> {
    const { details = "false" } = req.query;
    if (!validate.details.Check(details)) {
      throw new Problem(400, "bad-request", "details must be true or false", {
        detail: "Example: GET /groupz?details=true",
      });
    }
    const receivedAt = Date.now();
    const isForced = NO_CACHE.test(req.headers["cache-control"] ?? "");
    // A client that sends no-cache gets the error rather than a stale listing: RFC 9111 §4.2.4.
    const { value, error } = await (isForced ? groups.refresh(FORCED_MAX_AGE_MS) : groups.get()).catch((failure) => {
      if (failure instanceof AzureError && failure.details !== undefined) {
        log.warn({ traceId: traceOf(req).id, details: failure.details }, failure.message);
      }
      return throwProblem(failure);
    });
    if (error !== undefined) observeStale();
    const { body, etag } = details === "true" ? value.details : value.names;
    const age = Math.max(0, Math.floor((Date.now() - value.at) / 1000));
    const headers: Record<string, string | number> = {
      "Cache-Control": cacheControl,
      Age: age,
      "Cache-Status": cacheStatus(value.at >= receivedAt, isForced, maxAge - age, error),
      ETag: etag,
    };
    if (value.sampleData !== undefined) headers["Sample-Data"] = value.sampleData;
    if (matchesEtag(req, etag)) {
      res.writeHead(304, headers).end();
      return;
    }
    headers["Content-Type"] = JSON_TYPE;
    headers["Content-Length"] = body.length;
    res.writeHead(200, headers).end(body);
    boundSending(res);
  }

  app.get("/", listGroups);
  app.get("/groupz", listGroups);
  addCommonRoutes(app, { openapi, config, log, register, ready: () => ready().catch(throwNotReady) });
  return app;
}

/**
 * A listing that is not older than this counts as new for a request with no-cache, so callers cannot make the service
 * exceed the rate that Azure allows.
 */
const FORCED_MAX_AGE_MS = 2_000;

const NO_CACHE = /(^|,)\s*no-cache\s*(,|$)/i;

/** If-None-Match with weak comparison, RFC 9110 §13.1.2. */
function matchesEtag(req: Request, etag: string): boolean {
  const header = req.headers["if-none-match"];
  if (header === undefined) return false;
  return header === "*" || header.split(",").some((known) => known.trim().replace(/^W\//, "") === etag);
}

/** RFC 9211. A negative ttl means stale. It replaces the header Warning, which RFC 9111 removed. */
function cacheStatus(isNew: boolean, isForced: boolean, ttl: number, error: unknown): string {
  if (isNew) return `group-lister; fwd=${isForced ? "request" : "miss"}`;
  const reason = error instanceof AzureError ? `; detail=${error.kind}` : "";
  return `group-lister; hit; ttl=${ttl}${reason}`;
}

/**
 * 403 and 404 from Azure keep their status, because a 5xx would invite retries that cannot succeed. 429 keeps its
 * status too, so that clients, proxies and Dapr's resiliency policies slow down.
 */
const STATUS: Readonly<Record<AzureError["kind"], number>> = {
  "no-credential": 503,
  "credential-refused": 502,
  "credential-slow": 504,
  "token-refused": 502,
  forbidden: 403,
  "no-such-subscription": 404,
  throttled: 429,
  "azure-timeout": 504,
  "azure-unreachable": 502,
  "azure-failed": 502,
};

function throwProblem(error: unknown): never {
  throw error instanceof AzureError ? toProblem(error, STATUS[error.kind], error.kind) : error;
}

function throwNotReady(error: unknown): never {
  throw error instanceof AzureError ? toProblem(error, 503, "not-ready") : error;
}

function toProblem(error: AzureError, status: number, code: string): Problem {
  const seconds = Math.max(1, Math.ceil(((error.retryAt ?? 0) - Date.now()) / 1000));
  const headers: Record<string, string> = status === 429 || status >= 500 ? { "Retry-After": String(seconds) } : {};
  return new Problem(status, code, error.message, { detail: error.advice, headers, cause: error });
}
