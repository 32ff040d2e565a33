// The servers that the benchmark compares, with the requests that it sends to each.

import type { Target } from "./load.ts";
import { ports } from "./ports.ts";

export const operations = ["get", "save", "groupz", "hello", "secret"] as const;
export type Operation = (typeof operations)[number];

const keys = Array.from({ length: 1_000 }, (_, index) => `key-${index}`);
const value = { hello: "world", n: 1 };
/** What the store has before the first request: state-api returns 404 for a missing key, which counts as a failure. */
export const entries = keys.map((key) => ({ key, value }));
const keyOf = (index: number) => keys[index % keys.length];

const get = (port: number, path: (index: number) => string): Target => ({
  port,
  request: (index) => ({ method: "GET", path: path(index) }),
});
const post = (port: number, path: string, body: (index: number) => unknown): Target => ({
  port,
  request: (index) => ({ method: "POST", path, body: JSON.stringify(body(index)) }),
});

/** As `npm start`, the benchmark gives the sidecar and the services tokens, so that every check of a caller runs. */
export const tokens = { APP_API_TOKEN: "token-of-the-app", DAPR_API_TOKEN: "token-of-the-sidecar" };
const fromSidecar = { "dapr-api-token": tokens.APP_API_TOKEN, "dapr-caller-app-id": "welcome" };
export const toSidecar = { "dapr-api-token": tokens.DAPR_API_TOKEN };
/** Of a signed-in user. `startServers` adds the header Authorization. */
export const fromUser: Record<string, string> = {};

const stateApi = (port: number) => ({
  save: { ...post(port, "/state", (index) => ({ key: keyOf(index), data: value })), headers: fromSidecar },
  get: { ...get(port, (index) => `/state/${keyOf(index)}`), headers: fromSidecar },
});
const bareSidecar = (port: number) => ({
  save: { ...post(port, "/v1.0/state/statestore", (index) => [{ key: keyOf(index), value }]), headers: toSidecar },
  get: { ...get(port, (index) => `/v1.0/state/statestore/${keyOf(index)}`), headers: toSidecar },
});
const groupz = (port: number) => ({ groupz: get(port, () => "/groupz") });
const hello = (port: number) => ({ hello: get(port, () => "/") });
/** A route that needs sign-in, if that is on, and calls no sidecar. */
const secret = (port: number) => ({ secret: { ...get(port, () => "/api/secret"), headers: fromUser } });

const rivals = {
  "state-api": stateApi(ports.stateApi),
  "state-api without checks": stateApi(ports.withoutChecks),
  "bare sidecar": bareSidecar(ports.sidecar.http),
  "plain SDK service": stateApi(ports.plainSdk),
  "group-lister": groupz(ports.groupLister),
  "bare node:http": groupz(ports.bareHttp),
  "hello-wasm": hello(ports.helloWasm),
  welcome: { ...hello(ports.welcome), ...secret(ports.welcome) },
  "welcome without checks": secret(ports.welcomeWithoutChecks),
  "welcome with sign-in": secret(ports.welcomeWithSignIn),
} satisfies Record<string, Partial<Record<Operation, Target>>>;
export type Rival = keyof typeof rivals;

/** The rivals that take part in an operation. */
export function listTargets(operation: Operation): { rival: Rival; target: Target }[] {
  return (Object.entries(rivals) as [Rival, Partial<Record<Operation, Target>>][]).flatMap(
    ([rival, { [operation]: target }]) => (target ? [{ rival, target }] : []),
  );
}
