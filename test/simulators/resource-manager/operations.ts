// Asynchronous operations: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
import { randomUUID } from "node:crypto";
import type { AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";

export interface Operations {
  /** Returns the headers that tell a client where to poll the operation that its request started. */
  start(url: URL): { "Azure-AsyncOperation": string; "x-ms-retry-after-ms": string };
  /** Starts an operation and returns 202. @param result The URL of the operation's result, if it has one. */
  accept(url: URL, result?: URL): AzureResponse;
  /** Returns the status of an operation: InProgress the first time, Succeeded after that. */
  poll(path: string, id: string): AzureResponse;
}

export function createOperations(): Operations {
  const inProgress = new Set<string>();
  const operations: Operations = {
    start({ origin, pathname, search }) {
      const id = randomUUID();
      inProgress.add(id);
      const [subscription] = /^\/subscriptions\/[^/]+/i.exec(pathname) ?? [];
      return {
        "Azure-AsyncOperation": `${origin}${subscription}/operations/${id}${search}`,
        "x-ms-retry-after-ms": "1",
      };
    },
    accept(url, result) {
      const headers = operations.start(url);
      const location = result?.href ?? headers["Azure-AsyncOperation"];
      return { status: 202, body: undefined, headers: { ...headers, Location: location } };
    },
    poll(path, id) {
      const status = inProgress.delete(id) ? "InProgress" : "Succeeded";
      return { ...ok({ id: path, status }), headers: { "x-ms-retry-after-ms": "1" } };
    },
  };
  return operations;
}
