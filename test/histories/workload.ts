import { setTimeout as sleep } from "node:timers/promises";
import { field } from "../../services/runtime/field.ts";
import { at } from "../support/at.ts";
import type { Operation, Value } from "./checker.ts";
import { type ApiRequest, type ApiResponse, abandon, type Client, createClient, NoResponse } from "./client.ts";
import { type Keys, now, type Recorder } from "./recorder.ts";

const CLIENTS = 10;
/** New keys after this time keep the histories short, so that the checker can search them. */
const HISTORY_MS = 1_500;
/** A client waits this long after an operation without a result: every unknown write makes the search longer. */
const BACK_OFF_MS = 150;

interface Options {
  /** The instances of the service. */
  readonly origins: readonly string[];
  readonly recorder: Recorder;
  /** From 0 to below 1. */
  readonly next: () => number;
}

export interface Workload {
  /** Starts the clients; the returned function stops them and resolves when they have. */
  start(): () => Promise<void>;
  /** Sends conditional writes with one outdated ETag at once. Resolves with how many were rejected. */
  storm(count: number): Promise<number>;
  /** Sends conditional changes with one current ETag, or creations of one key, at once; several times. */
  race(count: number, times: number): Promise<number>;
  /** Sends more writes at once than the service lets wait. Resolves with how many it refused as too many. */
  flood(count: number): Promise<number>;
  /** Sends writes and closes their connections: in the middle of the body, or before the response. */
  abandonWrites(count: number, half: boolean): Promise<number>;
  /** Reads all keys on all instances, with single and bulk reads. Rejects when one does not answer. */
  readAll(): Promise<void>;
  /** How often each status came; 0: no response. */
  readonly statuses: ReadonlyMap<string, number>;
}

interface Change {
  readonly request: ApiRequest;
  readonly changes: NonNullable<Operation["changes"]>;
  readonly condition?: NonNullable<Operation["condition"]>;
}

interface Seen {
  readonly etag: string;
  readonly value: string;
}

export function createWorkload({ origins, recorder, next }: Options): Workload {
  let keys: Keys = recorder.startHistories();
  // Seven digits: no value is a part of another one, so a body that is cut would be a value that nobody wrote.
  let lastValue = 1_000_000;
  let lastClient = 0;
  const statuses = new Map<string, number>();

  const pick = <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)] as T;
  const all = () => [...keys.single, ...keys.partition];
  const newValue = () => ++lastValue;

  const count = (what: string) => statuses.set(what, (statuses.get(what) ?? 0) + 1);

  /** One client: it sends one request at a time, and knows the ETags that it has read. */
  function createActor() {
    const http: Client = createClient();
    let client = ++lastClient;
    const seen = new Map<string, Seen>();

    async function send(request: ApiRequest, origin = pick(origins)) {
      const start = now();
      const response = await http.send(origin, request).catch((error) => {
        if (error instanceof NoResponse) return error;
        throw error;
      });
      const end = now();
      const instance = origins.length > 1 ? `, instance ${origins.indexOf(origin) + 1}` : "";
      const answer = response instanceof NoResponse ? "no response" : `${response.status}`;
      count(
        response instanceof NoResponse ? "none" : `${response.status} ${at(parse(response.text), "type") ?? ""}`.trim(),
      );
      const note = `${request.method} ${request.path.split("/", 3).join("/")}${instance}, ${answer}`;
      return { response, times: { client, start, end, note } };
    }

    /** Returns the outcome. */
    async function change({ request, changes, condition }: Change): Promise<Operation["outcome"]> {
      const { response, times } = await send(request);
      // The service reads the ETag for `If-Match: *`, so it also rejects when another change comes after that read.
      const isExact = condition !== undefined && !condition.present;
      const outcome = outcomeOf(response, isExact);
      recorder.record({ ...times, outcome, changes, ...(condition ? { condition } : {}) });
      if (outcome === "unknown") client = ++lastClient; // for the checker, the client still waits
      return outcome;
    }

    function remember(key: string, value: Value, etag: unknown): void {
      if (value !== null && typeof etag === "string") seen.set(key, { value, etag });
      else seen.delete(key);
    }

    async function read(key: string, options: { origin?: string; current?: true } = {}): Promise<boolean> {
      const { response, times } = await send({ method: "GET", path: `/state/${key}` }, options.origin);
      if (response instanceof NoResponse || ![200, 404].includes(response.status)) return false;
      const value = response.status === 404 ? null : String(JSON.parse(response.text));
      remember(key, value, response.etag?.slice(1, -1));
      recorder.record({ ...times, outcome: "ok", read: { key, value }, ...current(options) });
      return true;
    }

    /** Several reads with one request; nothing promises that they see one moment. */
    async function readMany(keys: readonly string[], options: { origin?: string; current?: true } = {}) {
      const { response, times } = await send({ method: "POST", path: "/state/bulk", body: { keys } }, options.origin);
      if (response instanceof NoResponse || response.status !== 200) return false;
      const items: unknown = JSON.parse(response.text);
      for (const [index, key] of keys.entries()) {
        const item = field(items, String(index));
        const value = field(item, "found") === true ? String(field(item, "data")) : null;
        remember(key, value, field(item, "etag"));
        recorder.record({ ...times, outcome: "ok", read: { key, value }, ...current(options) });
      }
      return true;
    }

    return { seen, change, read, readMany, close: http.close };
  }

  const current = ({ current }: { current?: true }) => (current ? { current } : {});

  function put(key: string): Change {
    const value = newValue();
    return {
      request: { method: "PUT", path: `/state/${key}`, body: value },
      changes: [{ key, value: String(value) }],
    };
  }

  function save(key: string, condition?: { etag?: string; concurrency?: "first-write" }): Change {
    const value = newValue();
    return {
      request: { method: "POST", path: "/state", body: { key, data: value, ...condition } },
      changes: [{ key, value: String(value) }],
    };
  }

  function create(key: string): Change {
    const { request, changes } = next() < 0.5 ? put(key) : save(key, { concurrency: "first-write" });
    const headers = request.method === "PUT" ? { "If-None-Match": "*" } : {};
    return { request: { ...request, headers }, changes, condition: { key, value: null } };
  }

  function replace(key: string, { etag, value }: Seen): Change {
    if (next() < 0.3) return { ...save(key, { etag }), condition: { key, value } };
    const { request, changes } = put(key);
    return { request: { ...request, headers: { "If-Match": `"${etag}"` } }, changes, condition: { key, value } };
  }

  function replaceAny(key: string): Change {
    const { request, changes } = put(key);
    return {
      request: { ...request, headers: { "If-Match": "*" } },
      changes,
      condition: { key, present: true, value: null },
    };
  }

  function remove(key: string): Change {
    return { request: { method: "DELETE", path: `/state/${key}` }, changes: [{ key, value: null }] };
  }

  function removeIf(key: string, { etag, value }: Seen): Change {
    const { request, changes } = remove(key);
    return { request: { ...request, headers: { "If-Match": `"${etag}"` } }, changes, condition: { key, value } };
  }

  function transact([a, b]: Keys["partition"]): Change {
    const [first, second] = next() < 0.5 ? [a, b] : [b, a];
    const operations: object[] = [];
    const changes: { key: string; value: Value }[] = [];
    const upsert = (key: string) => {
      const data = newValue();
      operations.push({ operation: "upsert", key, data });
      changes.push({ key, value: String(data) });
    };
    upsert(first);
    if (next() < 0.7) upsert(second);
    else {
      operations.push({ operation: "delete", key: second });
      changes.push({ key: second, value: null });
    }
    return { request: { method: "POST", path: "/state/transaction", body: { operations } }, changes };
  }

  async function work(isOver: () => boolean): Promise<void> {
    const actor = createActor();
    while (!isOver()) {
      const key = pick(all());
      const { partition } = keys;
      const known = actor.seen.get(key);
      const dice = next() * 100;
      let done: unknown;
      if (dice < 28) done = await actor.read(key);
      else if (dice < 34) done = await actor.readMany(all());
      else if (dice < 46) done = await actor.change(put(key));
      else if (dice < 54) done = await actor.change(save(key));
      else if (dice < 62) done = await actor.change(create(key));
      else if (dice < 65) done = await actor.change(replaceAny(key));
      else if (dice < 70) done = await actor.change(remove(key));
      else if (dice < 80) done = await actor.change(transact(partition));
      else if (!known) done = await actor.read(key);
      else done = await actor.change(dice < 95 ? replace(key, known) : removeIf(key, known));
      const isDone = done === true || done === "ok" || done === "rejected";
      await sleep(isDone ? next() * 8 : BACK_OFF_MS * (0.5 + next()));
    }
    actor.close();
  }

  /** Sends all changes at once, each from a client of its own. */
  async function sendAtOnce(changes: readonly Change[]): Promise<Operation["outcome"][]> {
    return Promise.all(
      changes.map(async (change) => {
        const actor = createActor();
        const outcome = await actor.change(change);
        actor.close();
        return outcome;
      }),
    );
  }

  return {
    statuses,
    start() {
      let over = false;
      const renewing = setInterval(() => {
        keys = recorder.startHistories();
      }, HISTORY_MS);
      const working = Array.from({ length: CLIENTS }, () => work(() => over));
      return async () => {
        over = true;
        clearInterval(renewing);
        await Promise.all(working);
      };
    },

    async storm(count) {
      const key = pick(all());
      const actor = createActor();
      let outdated: Seen | undefined;
      while (!outdated) {
        await actor.change(put(key));
        await actor.read(key); // another client may have deleted it
        outdated = actor.seen.get(key);
      }
      await actor.change(put(key));
      actor.close();
      const outcomes = await sendAtOnce(Array.from({ length: count }, () => replace(key, outdated)));
      return outcomes.filter((outcome) => outcome === "rejected").length;
    },

    async race(count, times) {
      let rejected = 0;
      for (let round = 0; round < times; round++) {
        const key = pick(all());
        const actor = createActor();
        await actor.read(key);
        const known = actor.seen.get(key);
        actor.close();
        const contenders = Array.from({ length: count }, (_, index) =>
          known ? (index % 2 === 1 ? removeIf(key, known) : replace(key, known)) : create(key),
        );
        rejected += (await sendAtOnce(contenders)).filter((outcome) => outcome === "rejected").length;
      }
      return rejected;
    },

    async flood(count) {
      const refused = () => statuses.get("503 urn:problem:overloaded") ?? 0;
      const before = refused();
      // On keys of their own: many writes at once to a key that is also read have too many orders to search.
      const ownKeys = recorder.startSingles(Math.ceil(count / 5));
      await sendAtOnce(Array.from({ length: count }, () => put(pick(ownKeys))));
      return refused() - before;
    },

    async abandonWrites(count, half) {
      const leaving = Array.from({ length: count }, async () => {
        const { request, changes } = put(pick(all()));
        const start = now();
        const left = await abandon(pick(origins), request, { half, afterMs: next() * 15 });
        // Half a body is no request, so it must change nothing.
        recorder.record({
          client: ++lastClient,
          start,
          end: now(),
          outcome: half ? "failed" : "unknown",
          note: half ? "half of the body sent" : "left before the response",
          changes,
        });
        return left;
      });
      return (await Promise.all(leaving)).filter(Boolean).length;
    },

    async readAll() {
      const actor = createActor();
      const options = (origin: string) => ({ origin, current: true }) as const;
      const insist = async (what: string, read: () => Promise<boolean>) => {
        for (let attempt = 0; !(await read()); attempt++) {
          if (attempt === 50) throw new Error(`the final read of ${what} got no answer`);
          await sleep(200);
        }
      };
      for (const origin of origins) {
        for (const key of recorder.keys()) await insist(key, () => actor.read(key, options(origin)));
        for (let from = 0; from < recorder.keys().length; from += 100) {
          const some = recorder.keys().slice(from, from + 100);
          await insist(`${some[0]} and others`, () => actor.readMany(some, options(origin)));
        }
      }
      actor.close();
    },
  };
}

function outcomeOf(response: ApiResponse | NoResponse, isExact: boolean): Operation["outcome"] {
  if (response instanceof NoResponse) return response.sent ? "unknown" : "failed";
  const { status, text } = response;
  if (status >= 200 && status < 300) return "ok";
  const promisesNoChange = String(at(parse(text), "detail")).includes("Nothing was changed");
  if ((status === 409 || status === 412) && promisesNoChange) return isExact ? "rejected" : "failed";
  if (status === 503 && promisesNoChange) return "failed";
  if (status >= 500) return "unknown";
  throw new Error(`unexpected response to a valid request: ${status} ${text}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
