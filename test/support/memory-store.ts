import { createTrace } from "../../services/runtime/trace.ts";
import {
  type BatchableStore,
  type Call,
  type Condition,
  type Entry,
  type Operation,
  type Removal,
  StoreError,
  type Write,
} from "../../services/state-api/store.ts";

export interface MemoryStore extends BatchableStore {
  /** The stored entries. */
  readonly entries: Map<string, Entry>;
  /** Every call in the order of arrival: its name and its keys. */
  readonly calls: { operation: string; keys: string[] }[];
  /** Runs before a call takes effect. It may wait, or throw to fail the call with nothing changed. */
  before: (operation: string, keys: string[], values: unknown[], call: Call) => Promise<void> | void;
  /** Runs after a call took effect. It may wait. */
  after: (operation: string, keys: string[]) => Promise<void> | void;
  batching: boolean;
}

/**
 * A store in a Map. Its hooks delay calls and make them fail, which a real store does not do on demand. A call whose
 * caller has left has no effect, as in the adapter for Dapr.
 */
export function createMemoryStore(): MemoryStore {
  const entries = new Map<string, Entry>();
  let version = 0;
  const put = (key: string, value: unknown) => entries.set(key, { value, etag: `v${++version}` });
  function check(key: string, condition: Condition | undefined) {
    const entry = entries.get(key);
    const holds =
      condition === undefined ||
      ("ifNoneMatch" in condition
        ? !entry
        : entry && (condition.ifMatch === "*" || condition.ifMatch.includes(entry.etag)));
    if (!holds) throw new StoreError("conflict", "the condition does not hold");
  }
  async function during<T>(
    operation: string,
    keys: string[],
    values: unknown[],
    call: Call,
    work: () => T,
  ): Promise<T> {
    if (call.ended) throw call.ended;
    store.calls.push({ operation, keys });
    await store.before(operation, keys, values, call);
    const result = work();
    await store.after(operation, keys);
    return result;
  }
  const store: MemoryStore = {
    entries,
    calls: [],
    before: () => {},
    after: () => {},
    batching: true,
    get: (key: string, call: Call) => during("get", [key], [], call, () => entries.get(key)),
    getMany: (keys: readonly string[], call: Call) =>
      during("getMany", [...keys], [], call, () => keys.map((key) => entries.get(key))),
    save: ({ key, value, condition }: Write, call: Call) =>
      during("save", [key], [value], call, () => {
        check(key, condition);
        put(key, value);
      }),
    saveMany: (writes: readonly Write[], call: Call) =>
      during(
        "saveMany",
        writes.map(({ key }) => key),
        writes.map(({ value }) => value),
        call,
        () => {
          for (const { key, value } of writes) put(key, value);
        },
      ),
    delete: ({ key, condition }: Removal, call: Call) =>
      during("delete", [key], [], call, () => {
        check(key, condition);
        entries.delete(key);
      }),
    transaction: (operations: readonly Operation[], call: Call) =>
      during(
        "transaction",
        operations.map(({ key }) => key),
        operations.map((item) => (item.operation === "upsert" ? item.data : undefined)),
        call,
        () => {
          for (const item of operations) {
            if (item.operation === "upsert") put(item.key, item.data);
            else entries.delete(item.key);
          }
        },
      ),
    batches: async () => store.batching,
  };
  return store;
}

export function createCall(): Call {
  return {
    ended: undefined,
    trace: () => createTrace({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }),
  };
}
