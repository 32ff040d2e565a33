import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createTrace } from "../../../../services/runtime/trace.ts";
import { coalesce } from "../../../../services/state-api/batching/coalesce.ts";
import { StoreError, type Write } from "../../../../services/state-api/store.ts";
import { createCall, createMemoryStore } from "../../../support/memory-store.ts";

const plenty = { maxPending: 10_000 };
const call = createCall();

/** Holds calls of the store until it is opened. */
function createGate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { wait: () => promise, open: resolve };
}

/** Until the end of the test, the timers of the batcher run only with `vi.advanceTimersByTime`. */
function stopTimers() {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
}

/** Resolves when all that needs no timer has happened. */
const settle = () => new Promise(setImmediate);

const count = (inner: ReturnType<typeof createMemoryStore>, operation: string) =>
  inner.calls.filter((each) => each.operation === operation).length;

describe("batches", () => {
  test("a lone request is sent at once, in a call of its own", async () => {
    const inner = createMemoryStore();
    const store = coalesce(inner, plenty);
    await store.save({ key: "a", value: 1 }, call);
    expect(await store.get("a", call)).toMatchObject({ value: 1 });
    expect(inner.calls).toEqual([
      { operation: "save", keys: ["a"] },
      { operation: "get", keys: ["a"] },
    ]);
  });

  test("writes that arrive while one is at the store are sent together, at most 64", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const sizes: number[] = [];
    const store = coalesce(inner, { ...plenty, observe: (_operation, size) => sizes.push(size) });
    const writes = Array.from({ length: 600 }, (_, index) => store.save({ key: `k${index}`, value: index }, call));
    await expect.poll(() => sizes).toEqual([1, 64, 64, 64, 64, 64, 64, 64]);
    gate.open();
    await Promise.all(writes);
    expect(sizes.slice(8), "the 151 others in the next").toEqual([64, 64, 23]);
    expect(inner.entries.size).toBe(600);
  });

  test("a slow store gets a batch every 2 ms, and at most 8 at once", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const store = coalesce(inner, plenty);
    stopTimers();
    const writes: Promise<void>[] = [];
    for (let index = 0; index < 12; index++) {
      writes.push(store.save({ key: `k${index}`, value: index }, call));
      await settle();
      vi.advanceTimersByTime(2);
      await settle();
    }
    expect(inner.calls).toHaveLength(8);
    gate.open();
    await Promise.all(writes);
    expect(inner.calls.map(({ keys }) => keys.length)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 4]);
  });

  test("64 waiting writes are sent without a wait, and the next ones gather for 2 ms of their own", async () => {
    stopTimers();
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const store = coalesce(inner, plenty);
    const sizes = () => inner.calls.map(({ keys }) => keys.length);
    const save = (key: string) => store.save({ key, value: 1 }, call);
    const writes = [save("first")];
    await settle();
    vi.advanceTimersByTime(1);
    writes.push(save("a"));
    await settle();
    vi.advanceTimersByTime(1);
    await settle();
    expect(sizes(), "a lone first write starts no wait").toEqual([1]);
    writes.push(save("a0"));
    await settle();
    for (let index = 1; index < 63; index++) writes.push(save(`a${index}`));
    await settle();
    expect(sizes()).toEqual([1, 64]);
    writes.push(save("b"));
    await settle();
    vi.advanceTimersByTime(1);
    await settle();
    expect(sizes(), "2 ms after the first").toEqual([1, 64]);
    vi.advanceTimersByTime(1);
    await settle();
    expect(sizes()).toEqual([1, 64, 1]);
    gate.open();
    await Promise.all(writes);
  });

  test("writes that do not fit into one batch of 3 MiB follow in the next, while the others are at the store", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const store = coalesce(inner, plenty);
    const save = (key: string, bytes: number) => store.save({ key, value: 1, bytes }, call);
    const writes = [save("first", 1), ...["a", "b", "c", "d"].map((key) => save(key, 1_048_576)), save("e", 4_194_304)];
    await expect.poll(() => inner.calls.map(({ keys }) => keys.join())).toEqual(["first", "a,b,c", "d", "e"]);
    gate.open();
    await Promise.all(writes);
  });

  test("reads of the same key in one batch share one item and all get its entry", async () => {
    const inner = createMemoryStore();
    inner.entries.set("a", { value: "A", etag: "v" });
    const gate = createGate();
    inner.before = gate.wait;
    const store = coalesce(inner, plenty);
    const reads = Array.from({ length: 20 }, (_, index) => store.get(index % 2 ? "a" : "none", call));
    gate.open();
    const entries = await Promise.all(reads);
    expect(entries.map((entry) => entry?.value)).toEqual(entries.map((_, index) => (index % 2 ? "A" : undefined)));
    expect(inner.calls.map(({ keys }) => keys.length)).toEqual([1, 2]);
  });

  test("reads and writes are sent singly and at once when the store is not to be batched", async () => {
    const inner = createMemoryStore();
    inner.batching = false;
    const gate = createGate();
    inner.before = gate.wait;
    const store = coalesce(inner, plenty);
    const reads = Array.from({ length: 20 }, (_, index) => store.get(`k${index}`, call));
    const writes = Array.from({ length: 20 }, (_, index) => store.save({ key: `k${index}`, value: index }, call));
    await expect.poll(() => inner.calls).toHaveLength(40);
    gate.open();
    await Promise.all([...reads, ...writes]);
    expect(count(inner, "get")).toBe(20);
    expect(count(inner, "save")).toBe(20);
  });

  test("a bulk read is one call of its own, whatever else is sent", async () => {
    const inner = createMemoryStore();
    inner.entries.set("b", { value: "B", etag: "v" });
    const store = coalesce(inner, plenty);
    expect(await store.getMany(["a", "b"], call)).toEqual([undefined, { value: "B", etag: "v" }]);
    expect(inner.calls).toEqual([{ operation: "getMany", keys: ["a", "b"] }]);
  });

  test("each write of a batch keeps its own consistency and TTL", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const saved: Write[] = [];
    const { saveMany } = inner;
    inner.saveMany = (writes, call) => {
      saved.push(...writes);
      return saveMany(writes, call);
    };
    const store = coalesce(inner, plenty);
    const first = store.save({ key: "first", value: 0 }, call);
    const writes: Write[] = [
      { key: "a", value: 1, consistency: "strong" },
      { key: "b", value: 2, consistency: "eventual", ttlInSeconds: 5 },
      { key: "c", value: 3 },
    ];
    const others = writes.map((write) => store.save(write, call));
    gate.open();
    await Promise.all([first, ...others]);
    expect(saved).toEqual(writes);
  });

  test("`observe` learns the operation and the number of different keys of each batch", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const batches: [string, number][] = [];
    const store = coalesce(inner, { ...plenty, observe: (...batch) => batches.push(batch) });
    const sent = [
      ...["a", "b", "c"].map((key) => store.save({ key, value: 1 }, call)),
      ...["a", "b", "c", "c"].map((key) => store.get(key, call)),
    ];
    gate.open();
    await Promise.all(sent);
    expect(batches.toSorted()).toEqual([
      ["get", 1],
      ["get", 2],
      ["save", 1],
      ["save", 2],
    ]);
  });

  test("writes with a condition, deletes and transactions are sent singly", async () => {
    const inner = createMemoryStore();
    inner.before = () => sleep(2);
    const store = coalesce(inner, plenty);
    await Promise.all([
      ...Array.from({ length: 5 }, (_, index) =>
        store.save({ key: `c${index}`, value: 1, condition: { ifNoneMatch: "*" } }, call),
      ),
      ...Array.from({ length: 5 }, (_, index) => store.delete({ key: `d${index}` }, call)),
      store.transaction([{ operation: "upsert", key: "t", data: 1 }], call),
    ]);
    expect(count(inner, "save")).toBe(5);
    expect(count(inner, "delete")).toBe(5);
    expect(count(inner, "transaction")).toBe(1);
  });
});

describe("callers that leave while their batch waits for a connection", () => {
  /** Holds a first call of the store, and all others until `open`; then sends only those whose callers wait. */
  function createWaiting() {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = async (_operation, _keys, _values, call) => {
      await gate.wait();
      if (call.ended) throw call.ended;
    };
    return { inner, open: gate.open, store: coalesce(inner, plenty) };
  }
  const left = new Error("left");

  test("do not keep the batch from being sent for the others", async () => {
    const { inner, open, store } = createWaiting();
    const [leaving, staying] = [createCall(), createCall()];
    const sent = [
      store.save({ key: "first", value: 0 }, staying),
      store.save({ key: "a", value: 1 }, leaving),
      store.save({ key: "b", value: 2 }, staying),
    ];
    await expect.poll(() => inner.calls).toHaveLength(2);
    leaving.ended = left;
    open();
    await Promise.all(sent);
    expect(inner.entries.get("b")?.value).toBe(2);
  });

  test("do not keep a read of the same key from being sent for the others", async () => {
    const { inner, open, store } = createWaiting();
    inner.entries.set("a", { value: "A", etag: "v" });
    const [leaving, staying] = [createCall(), createCall()];
    const first = store.get("first", staying);
    const reads = [store.get("a", leaving), store.get("a", staying)];
    await expect.poll(() => inner.calls).toHaveLength(2);
    leaving.ended = left;
    open();
    expect(await first).toBeUndefined();
    for (const entry of await Promise.all(reads)) expect(entry?.value).toBe("A");
  });

  test("end the batch when all have left", async () => {
    const { inner, open, store } = createWaiting();
    const [leaving, staying] = [createCall(), createCall()];
    const first = store.save({ key: "first", value: 0 }, staying);
    const sent = ["a", "b"].map((key) => store.save({ key, value: 1 }, leaving));
    await expect.poll(() => inner.calls).toHaveLength(2);
    leaving.ended = left;
    open();
    await first;
    for (const outcome of await Promise.allSettled(sent)) expect(outcome).toEqual({ status: "rejected", reason: left });
    expect([...inner.entries.keys()]).toEqual(["first"]);
  });

  test("get no retry of their own item after the batch was rejected", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = async (_operation, keys) => {
      await gate.wait();
      if (keys.includes("bad")) throw new StoreError("refused", "bad item");
    };
    const store = coalesce(inner, plenty);
    const [leaving, staying] = [createCall(), createCall()];
    const sent = [
      store.save({ key: "first", value: 0 }, staying),
      store.save({ key: "a", value: 1 }, leaving),
      store.save({ key: "b", value: 2 }, staying),
      store.save({ key: "bad", value: 3 }, staying),
    ];
    await expect.poll(() => inner.calls).toHaveLength(2);
    leaving.ended = left;
    gate.open();
    const outcomes = await Promise.allSettled(sent);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected"]);
    expect([...inner.entries.keys()]).toEqual(["first", "b"]);
  });
});

describe("errors", () => {
  test("the items of a rejected batch are retried singly, so that only the bad one fails", async () => {
    const inner = createMemoryStore();
    inner.before = async (_operation, keys) => {
      await sleep(1);
      if (keys.includes("bad")) throw new StoreError("refused", "bad item");
    };
    const store = coalesce(inner, plenty);
    const keys = ["a", "b", "c", "bad", "d", "e"];
    const outcomes = await Promise.allSettled(keys.map((key) => store.save({ key, value: key }, call)));
    expect(outcomes.map(({ status }) => status)).toEqual(keys.map((key) => (key === "bad" ? "rejected" : "fulfilled")));
    expect([...inner.entries.keys()].sort()).toEqual(["a", "b", "c", "d", "e"]);

    const reads = await Promise.allSettled(keys.map((key) => store.get(key, call)));
    expect(reads.map(({ status }) => status)).toEqual(keys.map((key) => (key === "bad" ? "rejected" : "fulfilled")));
  });

  test("a retried item is sent in the trace of its own caller, not in the one that the batch shared", async () => {
    const inner = createMemoryStore();
    const { getMany, get } = inner;
    const traces = new Map<string, string>();
    inner.before = () => sleep(1);
    inner.getMany = async (keys, shared) => {
      if (shared.trace().id === idOf("bad")) throw new StoreError("refused", "431 Request Header Fields Too Large");
      return getMany(keys, shared);
    };
    inner.get = async (key, own) => {
      traces.set(key, own.trace().id);
      return get(key, own);
    };
    const idOf = (key: string) => Buffer.from(key.padEnd(16, "_")).toString("hex");
    // The trace of "bad" alone is sampled, so the batch takes it.
    const callOf = (key: string) => {
      const traceparent = `00-${idOf(key)}-b7ad6b7169203331-${key === "bad" ? "01" : "00"}`;
      const trace = createTrace({ traceparent });
      return { ended: undefined, trace: () => trace };
    };
    const store = coalesce(inner, plenty);
    const keys = ["first", "a", "bad", "b"];
    await Promise.all(keys.map((key) => store.get(key, callOf(key))));
    expect(traces).toEqual(new Map(keys.map((key) => [key, idOf(key)])));
  });

  test("a value that JSON.stringify cannot write fails alone, not the 63 writes of its batch", async () => {
    const inner = createMemoryStore();
    inner.before = async (_operation, _keys, values) => {
      await sleep(1);
      JSON.stringify(values);
    };
    const store = coalesce(inner, plenty);
    const first = store.save({ key: "first", value: 0 }, call); // the others gather meanwhile
    const unwritable = JSON.parse(`${'{"0":'.repeat(9_000)}1${"}".repeat(9_000)}`);
    const values = Array.from({ length: 64 }, (_, index) => (index === 30 ? unwritable : index));
    const writes = values.map((value, index) => store.save({ key: `k${index}`, value }, call));
    const outcomes = await Promise.allSettled([first, ...writes]);
    const failed = outcomes.filter(({ status }) => status === "rejected");
    expect(failed).toMatchObject([{ reason: expect.any(RangeError) }]);
    expect(inner.entries.size).toBe(64);
    expect(inner.calls[1]?.keys).toHaveLength(64);
  });

  test("writes of 1 MiB are sent in batches of at most 3 MiB", async () => {
    const inner = createMemoryStore();
    const sizes: number[] = [];
    const store = coalesce(inner, { ...plenty, observe: (_operation, size) => sizes.push(size) });
    const writes = Array.from({ length: 8 }, (_, i) => store.save({ key: `k${i}`, value: i, bytes: 1_048_576 }, call));
    await Promise.all(writes);
    expect(sizes).toEqual([1, 3, 3, 1]);
  });

  test("the items of a batch are not retried when the store is unavailable", async () => {
    const inner = createMemoryStore();
    inner.before = async () => {
      await sleep(1);
      throw new StoreError("unavailable", "unreachable");
    };
    const store = coalesce(inner, plenty);
    const writes = Array.from({ length: 50 }, (_, index) => store.save({ key: `k${index}`, value: 1 }, call));
    const outcomes = await Promise.allSettled(writes);
    expect(outcomes.every(({ status }) => status === "rejected")).toBe(true);
    expect(inner.calls).toHaveLength(2);
  });

  test("an unexpected error of the store reaches every caller, and the next call works", async () => {
    const inner = createMemoryStore();
    inner.before = async () => {
      await sleep(1);
      throw new TypeError("a bug");
    };
    const store = coalesce(inner, plenty);
    const writes = ["a", "b", "c", "d"].map((key) => store.save({ key, value: 1 }, call));
    for (const outcome of await Promise.allSettled(writes)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { message: "a bug" } });
    }
    inner.before = () => {};
    await store.save({ key: "a", value: 2 }, call);
    expect(inner.entries.get("a")?.value).toBe(2);
  });
});

describe("order", () => {
  test("changes of every kind to one key reach the store in the order of arrival", async () => {
    const inner = createMemoryStore();
    const effects: string[] = [];
    inner.before = () => sleep(Math.random() * 3); // lets calls overtake each other
    inner.after = (operation, keys) => {
      if (keys.includes("k")) effects.push(operation);
    };
    const store = coalesce(inner, plenty);
    await Promise.all([
      store.save({ key: "k", value: 1 }, call),
      store.save({ key: "k", value: 2, condition: { ifMatch: "*" } }, call),
      store.delete({ key: "k" }, call),
      store.save({ key: "k", value: 3, condition: { ifNoneMatch: "*" } }, call),
      store.transaction([{ operation: "upsert", key: "k", data: 4 }], call),
      store.save({ key: "k", value: 6 }, call),
    ]);
    expect(effects).toEqual(["save", "save", "delete", "save", "transaction", "save"]);
    expect(inner.entries.get("k")?.value).toBe(6);
  });

  test("a write waits for the previous write to its key, even after that write's caller has left", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = (_operation, _keys, [value]) => (value === "slow" ? gate.wait() : undefined);
    const store = coalesce(inner, plenty);
    const leaving = createCall();
    const slow = store.save({ key: "k", value: "slow" }, leaving);
    const next = store.save({ key: "k", value: "next" }, call);
    await expect.poll(() => inner.calls).toHaveLength(1);
    leaving.ended = new Error("left");
    await sleep(5);
    expect(inner.calls).toHaveLength(1);
    gate.open();
    await Promise.all([slow, next]);
    expect(inner.entries.get("k")?.value).toBe("next");
  });

  test("a failed write does not block the next one to the same key", async () => {
    const inner = createMemoryStore();
    inner.before = (_operation, _keys, [value]) => {
      if (value === "bad") throw new StoreError("refused", "no");
    };
    const store = coalesce(inner, plenty);
    const bad = store.save({ key: "k", value: "bad" }, call);
    const good = store.save({ key: "k", value: "good" }, call);
    await expect(bad).rejects.toThrow("no");
    await good;
    expect(inner.entries.get("k")?.value).toBe("good");
  });
});

describe("limits", () => {
  test("calls beyond maxPending fail at once as overloaded and change nothing; later calls are admitted again", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const store = coalesce(inner, { maxPending: 10 });
    const kept = Array.from({ length: 10 }, (_, index) => store.save({ key: `k${index}`, value: 1 }, call));
    await expect(store.save({ key: "extra", value: 1 }, call)).rejects.toMatchObject({ kind: "overloaded" });
    await expect(store.get("extra", call)).rejects.toMatchObject({
      kind: "overloaded",
      message: "10 requests are already waiting",
    });
    await expect(store.getMany(["extra"], call)).rejects.toMatchObject({ kind: "overloaded" });
    await expect(store.delete({ key: "extra" }, call)).rejects.toMatchObject({ kind: "overloaded" });
    await expect(store.transaction([], call)).rejects.toMatchObject({ kind: "overloaded" });
    gate.open();
    await Promise.all(kept);
    await store.save({ key: "extra", value: 1 }, call);
    expect(inner.entries.size).toBe(11);
  });

  test("a batch of which all callers left while it gathered is no call of the store", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const sizes: number[] = [];
    const store = coalesce(inner, { ...plenty, observe: (_operation, size) => sizes.push(size) });
    const leaving = createCall();
    const first = store.save({ key: "first", value: 1 }, call);
    const ended = ["a", "b"].map((key) => store.save({ key, value: 1 }, leaving));
    leaving.ended = new Error("left");
    for (const each of ended) await expect(each).rejects.toThrow("left");
    gate.open();
    await first;
    expect(sizes).toEqual([1]);
    expect(inner.calls).toHaveLength(1);
  });

  test("writes and reads whose callers left while they waited are never sent", async () => {
    const inner = createMemoryStore();
    const gate = createGate();
    inner.before = gate.wait;
    const store = coalesce(inner, plenty);
    const leaving = createCall();
    const first = [store.save({ key: "a", value: 1 }, call), store.get("a", call)];
    const ended = [store.save({ key: "c", value: 1 }, leaving), store.get("c", leaving)];
    const kept = [store.save({ key: "d", value: 1 }, call), store.get("d", call)];
    leaving.ended = new Error("left");
    gate.open();
    for (const each of ended) await expect(each).rejects.toThrow("left");
    await Promise.all([...first, ...kept]);
    expect(inner.calls.flatMap(({ keys }) => keys).sort()).toEqual(["a", "a", "d", "d"]);
  });
});
