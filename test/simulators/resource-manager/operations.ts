// Asynchronous operations: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
import { randomUUID } from "node:crypto";
import type { AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import type { ArmFault } from "./faults.ts";

export interface Operations {
  /**
   * Returns the headers that tell a client where to poll the operation that its request started.
   *
   * @param fault Why the operation fails; undefined: it succeeds
   */
  start(url: URL, fault?: ArmFault): { "Azure-AsyncOperation": string; "x-ms-retry-after-ms": string };
  /** Like `start`, but returns a response with status 202. @param result The URL of the result, if there is one. */
  accept(url: URL, result?: URL, fault?: ArmFault): AzureResponse;
  /** Returns the status of an operation: InProgress the first time, Succeeded or Failed after that. */
  poll(path: string, id: string): AzureResponse;
  /** Whether an operation on a resource has not ended yet. It ends when the client has seen its end. */
  isRunning(path: string): boolean;
}

interface Operation {
  readonly path: string;
  readonly fault: ArmFault | undefined;
  isPolled: boolean;
  isEnded: boolean;
}

export function createOperations(): Operations {
  const started = new Map<string, Operation>();
  const operations: Operations = {
    start({ origin, pathname, search }, fault) {
      const id = randomUUID();
      started.set(id, { path: pathname.toLowerCase(), fault, isPolled: false, isEnded: false });
      const [subscription] = /^\/subscriptions\/[^/]+/i.exec(pathname) ?? [];
      return {
        "Azure-AsyncOperation": `${origin}${subscription}/operations/${id}${search}`,
        "x-ms-retry-after-ms": "1",
      };
    },
    accept(url, result, fault) {
      const headers = operations.start(url, fault);
      const location = result?.href ?? headers["Azure-AsyncOperation"];
      return { status: 202, body: undefined, headers: { ...headers, Location: location } };
    },
    poll(path, id) {
      const operation = started.get(id) ?? { isPolled: true, isEnded: true, fault: undefined };
      operation.isEnded = operation.isPolled;
      operation.isPolled = true;
      const { fault } = operation;
      const status = !operation.isEnded ? "InProgress" : fault ? "Failed" : "Succeeded";
      const error = status === "Failed" && fault ? { error: { code: fault.code, message: fault.message } } : {};
      return { ...ok({ id: path, status, ...error }), headers: { "x-ms-retry-after-ms": "1" } };
    },
    isRunning: (path) =>
      [...started.values()].some((operation) => operation.path === path.toLowerCase() && !operation.isEnded),
  };
  return operations;
}
