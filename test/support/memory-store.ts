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
  before: (operation: string, keys: string[], values: unknown[]) => Promise<void> | void;
  /** Runs after a call took effect. It may wait. */
  after: (operation: string, keys: string[]) => Promise<void> | void;
  batching: boolean;
}

/** A store in a Map. Its hooks delay calls and make them fail, which a real store does not do on demand. */
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
  async function during<T>(operation: string, keys: string[], values: unknown[], work: () => T): Promise<T> {
    store.calls.push({ operation, keys });
    await store.before(operation, keys, values);
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
    get: (key: string, _call: Call) => during("get", [key], [], () => entries.get(key)),
    getMany: (keys: readonly string[]) => during("getMany", [...keys], [], () => keys.map((key) => entries.get(key))),
    save: ({ key, value, condition }: Write) =>
      during("save", [key], [value], () => {
        check(key, condition);
        put(key, value);
      }),
    saveMany: (writes: readonly Write[]) =>
      during(
        "saveMany",
        writes.map(({ key }) => key),
        writes.map(({ value }) => value),
        () => {
          for (const { key, value } of writes) put(key, value);
        },
      ),
    delete: ({ key, condition }: Removal) =>
      during("delete", [key], [], () => {
        check(key, condition);
        entries.delete(key);
      }),
    transaction: (operations: readonly Operation[]) =>
      during(
        "transaction",
        operations.map(({ key }) => key),
        [],
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
