import type { IncomingMessage } from "node:http";
import { isFlag, isQueryRequest, readHeader } from "./http.ts";

export interface ReceivedRequest {
  method: string;
  /** As sent, with percent-encoding. */
  path: string;
  isUpsert: boolean;
  isBatch: boolean;
  isQuery: boolean;
  consistencyLevel: string | undefined;
  /** JSON: an array with one value. */
  partitionKey: string | undefined;
  ifMatch: string | undefined;
  sessionToken: string | undefined;
}

export interface RecordedRequest extends ReceivedRequest {
  /** The status of the response. */
  status: number;
}

export function readRequest(request: IncomingMessage): ReceivedRequest {
  return {
    method: request.method ?? "",
    path: request.url ?? "",
    isUpsert: isFlag(request, "x-ms-documentdb-is-upsert"),
    isBatch: isFlag(request, "x-ms-cosmos-is-batch-request"),
    isQuery: isQueryRequest(request),
    consistencyLevel: readHeader(request, "x-ms-consistency-level"),
    partitionKey: readHeader(request, "x-ms-documentdb-partitionkey"),
    ifMatch: readHeader(request, "if-match"),
    sessionToken: readHeader(request, "x-ms-session-token"),
  };
}
