// The servers that the benchmark compares, with the requests that it sends to each.

import type { Target } from "./load.ts";
import { ports } from "./ports.ts";

export const operations = ["save", "get", "groupz", "hello"] as const;
export type Operation = (typeof operations)[number];

const keys = Array.from({ length: 1_000 }, (_, index) => `key-${index}`);
const value = { hello: "world", n: 1 };
const keyOf = (index: number) => keys[index % keys.length];

const get = (port: number, path: (index: number) => string): Target => ({
  port,
  request: (index) => ({ method: "GET", path: path(index) }),
});
const post = (port: number, path: string, body: (index: number) => unknown): Target => ({
  port,
  request: (index) => ({ method: "POST", path, body: JSON.stringify(body(index)) }),
});

export const appToken = "the-token-of-the-benchmark";
/** What a sidecar sends, so that every check of a caller runs. */
const fromSidecar = { "dapr-api-token": appToken, "dapr-caller-app-id": "welcome" };

const stateApi = (port: number) => ({
  save: { ...post(port, "/state", (index) => ({ key: keyOf(index), data: value })), headers: fromSidecar },
  get: { ...get(port, (index) => `/state/${keyOf(index)}`), headers: fromSidecar },
});
const bareSidecar = (port: number) => ({
  save: post(port, "/v1.0/state/statestore", (index) => [{ key: keyOf(index), value }]),
  get: get(port, (index) => `/v1.0/state/statestore/${keyOf(index)}`),
});
const groupz = (port: number) => ({ groupz: get(port, () => "/groupz") });
const hello = (port: number) => ({ hello: get(port, () => "/") });

const rivals = {
  "state-api": stateApi(ports.stateApi),
  "state-api without checks": stateApi(ports.withoutChecks),
  "bare sidecar": bareSidecar(ports.sidecar.http),
  "plain SDK service": stateApi(ports.plainSdk),
  "group-lister": groupz(ports.groupLister),
  "bare node:http": groupz(ports.bareHttp),
  "hello-wasm": hello(ports.helloWasm),
  welcome: hello(ports.welcome),
} satisfies Record<string, Partial<Record<Operation, Target>>>;
export type Rival = keyof typeof rivals;

/** The rivals that take part in an operation. */
export function listTargets(operation: Operation): { rival: Rival; target: Target }[] {
  return (Object.entries(rivals) as [Rival, Partial<Record<Operation, Target>>][]).flatMap(
    ([rival, { [operation]: target }]) => (target ? [{ rival, target }] : []),
  );
}
