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
/** Clients in each race. */
const CONTENDERS = 8;

/** Returns random numbers from 0 to below 1. */
type Next = () => number;

interface Options {
  /** The instances of the service. */
  readonly origins: readonly string[];
  readonly recorder: Recorder;
  /** A source of random numbers with this name. */
  readonly randomOf: (name: string) => Next;
}

export const races = ["creations", "saves and deletions with one ETag", "saves with one ETag and deletions"] as const;

/** What a request asks for. All but the first six have a condition. */
export type Kind =
  | "single read"
  | "bulk read"
  | "put"
  | "save"
  | "delete"
  | "transaction"
  | "creation"
  | "replacement"
  | "replacement of any value"
  | "conditional delete";

export interface Workload {
  /**
   * Starts the clients, and races beside them. The returned function stops both and resolves when they have; it rejects
   * when a response was wrong.
   */
  start(): () => Promise<void>;
  /** Sends conditional writes with one outdated ETag at once. Resolves with how many were rejected. */
  storm(count: number): Promise<number>;
  /** Sends more writes at once than the service lets wait. Resolves with how many it refused as too many. */
  flood(count: number): Promise<number>;
  /** How many requests the service has refused as too many. */
  refused(): number;
  /** Sends writes and closes their connections: in the middle of the body, or before the response. */
  abandonWrites(count: number, half: boolean): Promise<number>;
  /** Reads all keys on all instances, with single and bulk reads. Rejects when one does not answer. */
  readAll(): Promise<void>;
  /** How often each status came. */
  readonly statuses: ReadonlyMap<string, number>;
  /** Operations by kind and outcome, without those of `readAll`. */
  readonly kinds: ReadonlyMap<Kind, Readonly<Record<Operation["outcome"], number>>>;
  /** By race: how often one contender won and another one was rejected. */
  readonly decided: ReadonlyMap<string, number>;
}

interface Change {
  readonly kind: Kind;
  readonly request: ApiRequest;
  readonly changes: NonNullable<Operation["changes"]>;
  readonly condition?: NonNullable<Operation["condition"]>;
}

interface Seen {
  readonly etag: string;
  readonly value: string;
}

export function createWorkload({ origins, recorder, randomOf }: Options): Workload {
  let keys: Keys = recorder.startHistories();
  // Seven digits: no value is a part of another one, so a body that is cut would be a value that nobody wrote.
  let lastValue = 1_000_000;
  let lastClient = 0;
  const statuses = new Map<string, number>();
  const kinds = new Map<Kind, Record<Operation["outcome"], number>>();
  const decided = new Map<string, number>();
  /** For the clients that faults start. Faults do not overlap. */
  const faultNext = randomOf("clients of faults");

  const all = () => [...keys.single, ...keys.partition];
  const newValue = () => ++lastValue;

  const count = (what: string) => statuses.set(what, (statuses.get(what) ?? 0) + 1);
  const refused = () => statuses.get("503 urn:problem:overloaded") ?? 0;

  function tally(kind: Kind, outcome: Operation["outcome"]): void {
    const outcomes = kinds.get(kind) ?? { ok: 0, rejected: 0, failed: 0, unknown: 0 };
    outcomes[outcome]++;
    kinds.set(kind, outcomes);
  }

  /** One client: it sends one request at a time, and knows the ETags that it has read. */
  function createActor(next: Next) {
    const http: Client = createClient();
    let client = ++lastClient;
    const seen = new Map<string, Seen>();

    async function send(request: ApiRequest, origin = pick(origins, next)) {
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
    async function change({ kind, request, changes, condition }: Change): Promise<Operation["outcome"]> {
      const { response, times } = await send(request);
      const outcome = outcomeOf(response, condition !== undefined);
      tally(kind, outcome);
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
      if (response instanceof NoResponse || ![200, 404].includes(response.status)) {
        if (!options.current) tally("single read", readOutcomeOf(response));
        return false;
      }
      if (!options.current) tally("single read", "ok");
      const value = response.status === 404 ? null : String(JSON.parse(response.text));
      remember(key, value, response.etag?.slice(1, -1));
      recorder.record({ ...times, outcome: "ok", read: { key, value }, ...current(options) });
      return true;
    }

    /** Several reads with one request; nothing promises that they see one moment. */
    async function readMany(keys: readonly string[], options: { origin?: string; current?: true } = {}) {
      const { response, times } = await send({ method: "POST", path: "/state/bulk", body: { keys } }, options.origin);
      if (response instanceof NoResponse || response.status !== 200) {
        if (!options.current) tally("bulk read", readOutcomeOf(response));
        return false;
      }
      if (!options.current) tally("bulk read", "ok");
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
      kind: "put",
      request: { method: "PUT", path: `/state/${key}`, body: value },
      changes: [{ key, value: String(value) }],
    };
  }

  function save(key: string, condition?: { etag?: string; concurrency?: "first-write" }): Change {
    const value = newValue();
    return {
      kind: "save",
      request: { method: "POST", path: "/state", body: { key, data: value, ...condition } },
      changes: [{ key, value: String(value) }],
    };
  }

  function create(key: string, next: Next): Change {
    const { request, changes } = next() < 0.5 ? put(key) : save(key, { concurrency: "first-write" });
    const headers = request.method === "PUT" ? { "If-None-Match": "*" } : {};
    return { kind: "creation", request: { ...request, headers }, changes, condition: { key, value: null } };
  }

  function replace(key: string, { etag, value }: Seen, next: Next): Change {
    const { request, changes } = next() < 0.3 ? save(key, { etag }) : put(key);
    const headers = request.method === "PUT" ? { "If-Match": `"${etag}"` } : {};
    return { kind: "replacement", request: { ...request, headers }, changes, condition: { key, value } };
  }

  function replaceAny(key: string): Change {
    const { request, changes } = put(key);
    return {
      kind: "replacement of any value",
      request: { ...request, headers: { "If-Match": "*" } },
      changes,
      condition: { key, present: true, value: null },
    };
  }

  function remove(key: string): Change {
    return { kind: "delete", request: { method: "DELETE", path: `/state/${key}` }, changes: [{ key, value: null }] };
  }

  function removeIf(key: string, { etag, value }: Seen): Change {
    const { request, changes } = remove(key);
    const headers = { "If-Match": `"${etag}"` };
    return { kind: "conditional delete", request: { ...request, headers }, changes, condition: { key, value } };
  }

  function transact([a, b]: Keys["partition"], next: Next): Change {
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
    const request = { method: "POST", path: "/state/transaction", body: { operations } } as const;
    return { kind: "transaction", request, changes };
  }

  async function work(next: Next, isOver: () => boolean): Promise<void> {
    const actor = createActor(next);
    while (!isOver()) {
      const key = pick(all(), next);
      const { partition } = keys;
      const known = actor.seen.get(key);
      const dice = next() * 100;
      let done: unknown;
      if (dice < 28) done = await actor.read(key);
      else if (dice < 34) done = await actor.readMany(all());
      else if (dice < 46) done = await actor.change(put(key));
      else if (dice < 54) done = await actor.change(save(key));
      else if (dice < 62) done = await actor.change(create(key, next));
      else if (dice < 65) done = await actor.change(replaceAny(key));
      else if (dice < 70) done = await actor.change(remove(key));
      else if (dice < 80) done = await actor.change(transact(partition, next));
      else if (!known) done = await actor.read(key);
      else done = await actor.change(dice < 92 ? replace(key, known, next) : removeIf(key, known));
      const isDone = done === true || done === "ok" || done === "rejected";
      await sleep(isDone ? next() * 8 : BACK_OFF_MS * (0.5 + next()));
    }
    actor.close();
  }

  /** Sends all changes at once, each from a client of its own. */
  async function sendAtOnce(changes: readonly Change[], next: Next): Promise<Operation["outcome"][]> {
    return Promise.all(
      changes.map(async (change) => {
        const actor = createActor(next);
        const outcome = await actor.change(change);
        actor.close();
        return outcome;
      }),
    );
  }

  /** Sends conditional changes of one entry at once, again and again, on keys that no other client changes. */
  async function keepRacing(next: Next, isOver: () => boolean): Promise<void> {
    const actor = createActor(next);
    while (!isOver()) {
      for (const race of races) {
        const [key = ""] = recorder.startSingles(1, next() < 0.5 ? "~race" : "");
        const contenders = await prepare(race, key, actor, next);
        const outcomes = await sendAtOnce(contenders, next);
        if (outcomes.includes("ok") && outcomes.includes("rejected")) decided.set(race, (decided.get(race) ?? 0) + 1);
        await sleep(50 + next() * 150);
      }
    }
    actor.close();
  }

  /** None when a fault prevents the preparation. */
  async function prepare(
    race: (typeof races)[number],
    key: string,
    actor: ReturnType<typeof createActor>,
    next: Next,
  ): Promise<Change[]> {
    const first = next() < 0.5 ? 0 : 1; // the first contender often wins: let each kind be first as often
    const contenders = Array.from({ length: CONTENDERS }, (_, index) => index % 2 === first);
    if ((await actor.change(put(key))) !== "ok") return [];
    if (race === "creations") {
      if ((await actor.change(remove(key))) !== "ok") return [];
      return contenders.map(() => create(key, next));
    }
    await actor.read(key);
    const known = actor.seen.get(key);
    if (!known) return [];
    const removal = () => (race === "saves with one ETag and deletions" ? remove(key) : removeIf(key, known));
    return contenders.map((saves) => (saves ? replace(key, known, next) : removal()));
  }

  return {
    statuses,
    kinds,
    decided,
    refused,
    start() {
      let over = false;
      const renewing = setInterval(() => {
        keys = recorder.startHistories();
      }, HISTORY_MS);
      const isOver = () => over;
      const working = [
        ...Array.from({ length: CLIENTS }, (_, index) => work(randomOf(`client ${index + 1}`), isOver)),
        keepRacing(randomOf("races"), isOver),
      ];
      const ended = Promise.allSettled(working);
      return async () => {
        over = true;
        clearInterval(renewing);
        await ended;
        await Promise.all(working);
      };
    },

    async storm(count) {
      const key = pick(all(), faultNext);
      const actor = createActor(faultNext);
      let outdated: Seen | undefined;
      while (!outdated) {
        await actor.change(put(key));
        await actor.read(key); // another client may have deleted it
        outdated = actor.seen.get(key);
      }
      await actor.change(put(key));
      actor.close();
      const changes = Array.from({ length: count }, () => replace(key, outdated, faultNext));
      const outcomes = await sendAtOnce(changes, faultNext);
      return outcomes.filter((outcome) => outcome === "rejected").length;
    },

    async flood(count) {
      const before = refused();
      // On keys of their own: many writes at once to a key that is also read have too many orders to search.
      const ownKeys = recorder.startSingles(Math.ceil(count / 5));
      const changes = Array.from({ length: count }, () => put(pick(ownKeys, faultNext)));
      await sendAtOnce(changes, faultNext);
      return refused() - before;
    },

    async abandonWrites(count, half) {
      const leaving = Array.from({ length: count }, async () => {
        const { request, changes } = put(pick(all(), faultNext));
        const start = now();
        const left = await abandon(pick(origins, faultNext), request, { half, afterMs: faultNext() * 15 });
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
      const actor = createActor(faultNext);
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

function pick<T>(items: readonly T[], next: Next): T {
  return items[Math.floor(next() * items.length)] as T;
}

/** @throws {Error} when the service may not respond so: conflicts are only for conditions, and 500 for none */
function outcomeOf(response: ApiResponse | NoResponse, hasCondition: boolean): Operation["outcome"] {
  if (response instanceof NoResponse) return response.sent ? "unknown" : "failed";
  const { status, text } = response;
  if (status >= 200 && status < 300) return "ok";
  const promisesNoChange = String(at(parse(text), "detail")).includes("Nothing was changed");
  if ((status === 409 || status === 412) && promisesNoChange && hasCondition) return "rejected";
  if (status === 503) return promisesNoChange ? "failed" : "unknown";
  throw new Error(`unexpected response to a valid request: ${status} ${text}`);
}

/** Of a read that returned nothing. */
function readOutcomeOf(response: ApiResponse | NoResponse): "failed" {
  if (response instanceof NoResponse || response.status === 503) return "failed";
  throw new Error(`unexpected response to a read: ${response.status} ${response.text}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
