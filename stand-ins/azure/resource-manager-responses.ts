// Responses of Azure Resource Manager, marked as sample data.
import { randomUUID } from "node:crypto";
import type { AzureResponse } from "./http.ts";

export function ok(body: unknown): AzureResponse {
  return { status: 200, body, headers: commonHeaders() };
}

/** https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors */
export function armError(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): AzureResponse {
  return { status, body: { error: { code, message } }, headers: { ...commonHeaders(), ...headers } };
}

/** https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling */
export function throttled(retryAfterSeconds: number) {
  const message = `Number of 'read' requests exceeded. Please try again after '${retryAfterSeconds}' seconds.`;
  return armError(429, "SubscriptionRequestsThrottled", message, { "Retry-After": String(retryAfterSeconds) });
}

/** `Sample-Data` tells clients that the groups are sample data. */
function commonHeaders(): Record<string, string> {
  return { "Sample-Data": "azure-stand-in", "x-ms-request-id": randomUUID() };
}
