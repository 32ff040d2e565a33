// Calls of a sidecar without its service, and reads that are cancelled there: see sqlite.test.ts.
import type { Process } from "../support/processes.ts";
import { measure } from "../support/stopwatch.ts";
import { type ApiRequest, type ApiResponse, abandon, createClient } from "./client.ts";

const PATH = "/v1.0/state/statestore";

/** Resolves with whether the value was saved. */
export async function saveAt(sidecar: Process, key: string, value: number): Promise<boolean> {
  const { status } = await send(sidecar, { method: "POST", path: PATH, body: [{ key, value }] });
  return status === 204;
}

export async function readAt(sidecar: Process, key: string): Promise<number> {
  return Number((await send(sidecar, { method: "GET", path: `${PATH}/${key}` })).text);
}

/**
 * Reads an entry together with thousands of missing keys, to measure how long that takes, then does so again and leaves
 * at some moment before the end, as a service does that is killed. SQLite's driver spends much of the time on passing
 * the keys; a read that is cancelled there comes to its first row. Resolves with whether no response had come.
 */
export async function cancelRead(sidecar: Process, key: string, next: () => number): Promise<boolean> {
  const keys = [key, ...Array.from({ length: 8_000 }, (_, index) => `missing${index}`)];
  const request: ApiRequest = { method: "POST", path: `${PATH}/bulk`, body: { keys } };
  const milliseconds = await measure(() => send(sidecar, request));
  return abandon(sidecar.origin, request, { half: false, afterMs: next() * milliseconds });
}

async function send({ origin }: Process, request: ApiRequest): Promise<ApiResponse> {
  const client = createClient();
  try {
    return await client.send(origin, request);
  } finally {
    client.close();
  }
}
