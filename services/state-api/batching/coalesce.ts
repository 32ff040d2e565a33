import { type Call, type Component, type StateStore, StoreError, UNKNOWN_COMPONENT, type Write } from "../store.ts";

interface CoalesceOptions {
  /** Calls that may wait or be under way at once; one more is refused. */
  readonly maxPending: number;
  /** Told the size of every batch that leaves. */
  readonly observe?: (operation: "get" | "save", size: number) => void;
}

/** Enough to spread the cost of a call thin; small enough that one slow member does not hold up many. */
const MAX_BATCH = 64;
/**
 * How long a batch gathers behind one that is at the store, in milliseconds. A store on this host is back sooner, so that
 * one batch at a time goes there, as large as can be; with a distant one, they follow each other at this pace.
 */
const GATHER_MS = 2;
const MAX_IN_FLIGHT = 8;

/**
 * Wraps a store so that calls which arrive while another is under way leave together as one bulk call.
 * An idle service adds no wait; a busy one pays for a sidecar call once per batch. It stays invisible:
 * - each caller gets the result of its own item: when a batch is refused, its members are tried again one by one
 * - what changes one key happens in the order of arrival, whichever way it goes: a second write to a key waits for the first
 * - a write with a condition, a delete and a transaction go alone
 * - a read that arrives after a write was acknowledged is sent after it, so it sees it
 * - what nobody waits for any more is not sent; what was sent is never cut off
 * Reads are gathered only where reading many keys at once is the cheaper call (`readsManyCheaply`).
 */
export function coalesce(store: StateStore, { maxPending, observe }: CoalesceOptions): StateStore {
  const reads = createBatcher<string, Awaited<ReturnType<StateStore["get"]>>>({
    keyOf: (key) => key,
    one: store.get,
    many: store.getMany,
    observe: (size) => observe?.("get", size),
  });
  const writes = createBatcher<Write, void>({
    keyOf: (write) => write.key,
    one: store.save,
    many: async (batch, call) => {
      await store.saveMany(batch, call);
      return batch.map(() => undefined);
    },
    observe: (size) => observe?.("save", size),
  });
  const inOrder = createOrder();
  let pending = 0;

  /** Everything comes through here, so this is the bound on what is kept in memory. */
  async function admit<T>(work: () => Promise<T>): Promise<T> {
    if (pending >= maxPending) throw new StoreError("overloaded", `${maxPending} requests are waiting already`);
    pending++;
    try {
      return await work();
    } finally {
      pending--;
    }
  }

  return {
    get: (key, call) =>
      admit(async () => (readsManyCheaply(await store.component(call)) ? reads.add(key, call) : store.get(key, call))),
    getMany: (keys, call) => admit(() => store.getMany(keys, call)),
    save: (write, call) =>
      admit(() => inOrder([write.key], () => (write.condition ? store.save(write, call) : writes.add(write, call)))),
    saveMany: (batch, call) =>
      admit(() =>
        inOrder(
          batch.map(({ key }) => key),
          () => store.saveMany(batch, call),
        ),
      ),
    delete: (removal, call) => admit(() => inOrder([removal.key], () => store.delete(removal, call))),
    transaction: (operations, call) =>
      admit(() =>
        inOrder(
          operations.map(({ key }) => key),
          () => store.transaction(operations, call),
        ),
      ),
    component: store.component,
  };
}

/** Cosmos DB answers several keys by a query across all partitions, which costs more than as many point reads. */
function readsManyCheaply({ type }: Component): boolean {
  return type !== "state.azure.cosmosdb" && type !== UNKNOWN_COMPONENT.type;
}

/** Runs changes to the same key one after the other in the order of the calls, others at once. */
function createOrder() {
  const last = new Map<string, Promise<unknown>>();
  return function inOrder<T>(keys: readonly string[], change: () => Promise<T>): Promise<T> {
    const before = keys.flatMap((key) => last.get(key) ?? []);
    const result = before.length > 0 ? Promise.allSettled(before).then(change) : change();
    for (const key of keys) last.set(key, result);
    const forget = () => {
      for (const key of keys) if (last.get(key) === result) last.delete(key);
    };
    result.then(forget, forget);
    return result;
  };
}

interface Batching<Item, Result> {
  keyOf(item: Item): string;
  one(item: Item, call: Call): Promise<Result>;
  /** Results in the order of the items, whose keys all differ. */
  many(items: readonly Item[], call: Call): Promise<readonly Result[]>;
  observe(size: number): void;
}

/** What one member of a batch asked for, and everybody who waits for it. */
interface Member<Item, Result> {
  readonly item: Item;
  readonly result: PromiseWithResolvers<Result>;
}

interface Waiting<Item, Result> extends Member<Item, Result> {
  readonly call: Call;
}

function createBatcher<Item, Result>({ keyOf, one, many, observe }: Batching<Item, Result>) {
  let waiting: Waiting<Item, Result>[] = [];
  let inFlight = 0;
  let gathering: NodeJS.Timeout | undefined;

  function depart(): void {
    clearTimeout(gathering);
    gathering = undefined;
    if (waiting.length === 0 || inFlight === MAX_IN_FLIGHT) return;
    const batch = waiting.slice(0, MAX_BATCH);
    waiting = waiting.slice(MAX_BATCH);
    inFlight++;
    send(batch).finally(() => {
      inFlight--;
      depart();
    });
    if (waiting.length > 0) gathering = setTimeout(depart, GATHER_MS);
  }

  /** Settles every member; never rejects. */
  async function send(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    // By key, because several callers may read the same one. Writes to the same key never meet here: they are in order.
    const members = new Map<string, Member<Item, Result>>();
    let traceparent: Call["traceparent"] | undefined;
    for (const { item, call, result } of batch) {
      if (call.ended) {
        result.reject(call.ended);
        continue;
      }
      traceparent ??= call.traceparent; // a batch shows up in the trace of its first member
      const key = keyOf(item);
      const same = members.get(key);
      if (same) same.result.promise.then(result.resolve, result.reject);
      else members.set(key, { item, result });
    }
    if (!traceparent) return; // nobody waits any more
    // On behalf of all: no single caller ends it, the store's own time-out does.
    const call = { ended: undefined, traceparent };
    const all = [...members.values()];
    const alone = ({ item, result }: Member<Item, Result>) => one(item, call).then(result.resolve, result.reject);
    observe(all.length);
    if (all.length === 1) return void (await Promise.all(all.map(alone)));
    try {
      const results = await many(
        all.map(({ item }) => item),
        call,
      );
      all.forEach(({ result }, index) => {
        result.resolve(results[index] as Result); // as many results as items is what `many` promises
      });
    } catch (error) {
      // Refused because of one of them, perhaps; absent for all of them, if it is absent.
      if (error instanceof StoreError && error.kind !== "unavailable") await Promise.all(all.map(alone));
      else for (const { result } of all) result.reject(error);
    }
  }

  return {
    add(item: Item, call: Call): Promise<Result> {
      const result = Promise.withResolvers<Result>();
      waiting.push({ item, call, result });
      if (inFlight === 0 || waiting.length === MAX_BATCH) depart();
      else gathering ??= setTimeout(depart, GATHER_MS);
      return result.promise;
    },
  };
}
