// Sends requests to one origin of Azure, with a token for it.
import type { PipelineRequest } from "@azure/core-rest-pipeline";
import { createHttpClient } from "../../../services/group-lister/azure/http.ts";
import { field } from "../../../services/runtime/field.ts";
import { isLoopback } from "../../../services/runtime/loopback.ts";
import type { Clock } from "../run/clock.ts";
import { AzureFault } from "./azure.ts";
import {
  explainNoResponse,
  explainResponse,
  explainUnexpected,
  failureOfOperation,
  type HttpResponse,
  type Subject,
} from "./fault.ts";
import type { GetToken } from "./sign-in.ts";

export interface ConnectionOptions {
  /** Such as `https://management.azure.com`; the token goes to no other origin. */
  readonly origin: string;
  /** The environment variable that sets `origin`, for messages. */
  readonly variable: string;
  readonly getToken: GetToken;
  readonly clock: Clock;
  /** Milliseconds until Azure responds, in the place of the usual ones: for tests. */
  readonly timeout?: number | undefined;
}

export interface Connection {
  /** The time of the last response, from its header Date; before the first one, the time of this computer. */
  now(): number;
  /**
   * Sends a request that changes nothing, up to three times.
   *
   * @throws {AzureFault}
   */
  read(path: string, subject: Subject, options?: ReadOptions): Promise<unknown>;
  /** All items of a list that Azure sends in pages. */
  readAll(path: string, subject: Subject): Promise<unknown[]>;
  /**
   * Sends a request once, or twice if Azure did not accept the token of the first one.
   *
   * @param check called right before the request is sent, with its token at hand; what it throws stops the request
   * @returns the URL of the operation that Azure has started, for explainOperation
   */
  write(
    method: "PATCH" | "POST",
    path: string,
    subject: Subject,
    body?: unknown,
    check?: () => void,
  ): Promise<string | undefined>;
  /** Why an operation failed; undefined: Azure does not say. Sent once. */
  explainOperation(url: string): Promise<string | undefined>;
}

interface ReadOptions {
  readonly body?: unknown;
  /** Milliseconds, for each attempt. */
  readonly timeout?: number;
  readonly check?: (() => void) | undefined;
}

/** Milliseconds: until Azure responds. Its services take longer to accept a change. */
const [TIMEOUT, PATCH_TIMEOUT] = [10_000, 30_000];
/** A query may take minutes, but each look waits for it. */
export const COUNT_TIMEOUT = 60_000;
const ATTEMPTS = 3;
/** Seconds to wait before the next attempt. When Azure asks for a longer wait, the caller decides. */
const LONGEST_WAIT = 20;
/** A list of revisions has at most some hundred entries. */
const MAX_PAGES = 50;

export function createConnection({ origin, variable, getToken, clock, ...own }: ConnectionOptions): Connection {
  let time: number | undefined;
  let hasResponded = false;
  const now = () => time ?? clock.now();

  /** One client for all requests, because each has its own connections. Loaded with the first request. */
  let connecting: ReturnType<typeof load> | undefined;
  async function load() {
    const pipeline = await import("@azure/core-rest-pipeline");
    const http = await createHttpClient(COUNT_TIMEOUT); // each request has its own, shorter or equal
    const proxy = pipeline.proxyPolicy(); // of HTTPS_PROXY and NO_PROXY
    const isLocal = isLoopback(new URL(origin).hostname);
    return {
      ...pipeline,
      sendRequest: (request: PipelineRequest) =>
        isLocal ? http.sendRequest(request) : proxy.sendRequest(request, http.sendRequest),
    };
  }

  async function send(
    method: "GET" | "PATCH" | "POST",
    url: URL,
    { body, timeout: usual = TIMEOUT, check }: ReadOptions,
  ): Promise<HttpResponse> {
    const timeout = own.timeout ?? usual;
    connecting ??= load();
    const { createHttpHeaders, createPipelineRequest, sendRequest } = await connecting;
    const attempt = async (isFirst: boolean) => {
      const headers = createHttpHeaders({
        accept: "application/json",
        authorization: `Bearer ${await getToken({ isRejected: !isFirst })}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      });
      const request = createPipelineRequest({
        url: url.href,
        method,
        headers,
        timeout,
        allowInsecureConnection: url.protocol === "http:", // only on loopback: sign-in.ts
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      check?.();
      const response = await sendRequest(request).catch((error: unknown) => {
        throw explainNoResponse(error, origin, timeout, variable);
      });
      hasResponded = true;
      const date = Date.parse(response.headers.get("Date") ?? "");
      if (Number.isFinite(date)) time = date;
      return response;
    };
    const response = await attempt(true);
    // Azure did nothing yet, so this is safe for a write, too. A token can expire, or be revoked, in a long release.
    return response.status === 401 ? attempt(false) : response;
  }

  async function readOnce(url: URL, subject: Subject, options: ReadOptions): Promise<unknown> {
    const response = await send(options.body === undefined ? "GET" : "POST", url, options);
    if (response.status !== 200) throw explainResponse(response, subject, now());
    try {
      return JSON.parse(response.bodyAsText ?? "");
    } catch {
      throw explainUnexpected(origin, "a response that is not JSON", variable);
    }
  }

  async function readUrl(url: URL, subject: Subject, options: ReadOptions = {}): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await readOnce(url, subject, options);
      } catch (error) {
        if (!(error instanceof AzureFault) || !(error.kind === "busy" || error.kind === "unreachable")) throw error;
        const wait = error.retryAfter ?? 2 ** (attempt - 1);
        // A first request that gets no response more likely has a wrong address than bad luck.
        if (attempt === ATTEMPTS || wait > LONGEST_WAIT || !hasResponded) throw error;
        await clock.sleep(wait * 1000);
      }
    }
  }

  return {
    now,
    read: (path, subject, options) => readUrl(new URL(path, origin), subject, options),
    async readAll(path, subject) {
      const items: unknown[] = [];
      let url: URL | null = new URL(path, origin);
      for (let page = 0; url !== null; page++) {
        if (page === MAX_PAGES) throw explainUnexpected(origin, "an endless list", variable);
        const content = await readUrl(url, subject);
        const value = field(content, "value");
        if (!Array.isArray(value)) throw explainUnexpected(origin, "no list", variable);
        items.push(...value);
        const next = field(content, "nextLink");
        url = typeof next === "string" && next !== "" ? URL.parse(next, origin) : null;
        if (url !== null && url.origin !== origin) throw explainUnexpected(origin, "a link to another host", variable);
      }
      return items;
    },
    async write(method, path, subject, body, check) {
      const timeout = method === "PATCH" ? PATCH_TIMEOUT : TIMEOUT;
      const response = await send(method, new URL(path, origin), { body, timeout, check });
      if (response.status < 200 || response.status > 299) throw explainResponse(response, subject, now());
      return response.headers.get("Azure-AsyncOperation") ?? response.headers.get("Location");
    },
    async explainOperation(address) {
      const url = URL.parse(address, origin);
      if (url?.origin !== origin) return undefined;
      try {
        return failureOfOperation(await send("GET", url, {}));
      } catch (error) {
        if (error instanceof AzureFault) return undefined;
        throw error;
      }
    },
  };
}
