import type { SidecarResponse } from "../dapr/client.ts";
import { field } from "../runtime/field.ts";
import { StoreError } from "./store.ts";

/**
 * Failures that a retry may overcome, and after which a write may have succeeded: the sidecar's own limits, a SQLite
 * file that another process has locked, a commit without an answer, connections that do not open or break, in the
 * words of Go's packages net and crypto/tls, and Azure's statuses for load, timeouts and its own faults.
 */
const TRANSIENT = new RegExp(
  [
    "circuit breaker is open|context (deadline exceeded|canceled)|database is locked|failed to commit",
    "dial tcp|(i/o|handshake) timeout|EOF|connection (reset|refused|timed out)|closed network connection|broken pipe",
    String.raw`(RESPONSE|status code) (408|410|429|449|5\d\d)\b`,
  ].join("|"),
);

/** A condition that does not hold, alone and in a transaction. Cosmos DB returns 404 for an ETag on a missing item. */
const CONFLICT = /possible etag mismatch|invalid etag value|operation \d+ which failed with status code (404|409|412)/;

/**
 * Turns an error response of the sidecar's state API into an error for the caller. Its cause has the whole response.
 */
export function storeFailure({ statusCode, text }: SidecarResponse, storeName: string): StoreError {
  const cause = new Error(`${statusCode} ${text}`);
  const { errorCode, message } = readError(text);
  if (statusCode === 409 || CONFLICT.test(message)) {
    return new StoreError("conflict", "another request changed the entry first", { cause });
  }
  if (errorCode === "ERR_STATE_STORE_NOT_FOUND" || errorCode === "ERR_STATE_STORE_NOT_CONFIGURED") {
    const missing = `the sidecar has no state store named "${storeName}"; check its component, its scopes and STATESTORE_NAME`;
    return new StoreError("unavailable", missing, { cause });
  }
  return new StoreError(TRANSIENT.test(message) ? "unavailable" : "refused", summarize(message), { cause });
}

/** One line, without the addresses and headers in the messages of Azure's SDK. */
export function summarize(message: string): string {
  const status = /RESPONSE \d{3}: (.*)/.exec(message)?.[1];
  return status ? `the store returned ${status}` : message.split("\n", 1).join().slice(0, 300);
}

/** The sidecar's errors are JSON, `{ errorCode, message }`; a proxy's are not. */
function readError(text: string): { errorCode: unknown; message: string } {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {}
  return { errorCode: field(body, "errorCode"), message: String(field(body, "message") ?? text) };
}
