import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createCached } from "../../../services/group-lister/cached.ts";

const FRESH_MS = 100;
const USABLE_MS = 200;
const HOLD_MS = 50;

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000, toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());
const pass = (milliseconds: number) => vi.setSystemTime(Date.now() + milliseconds);

interface Value {
  readonly from: number;
}

/** A cache whose loads end when the test says so. */
function create() {
  const loads: PromiseWithResolvers<Value>[] = [];
  const cached = createCached<Value>({
    load: () => {
      const load = Promise.withResolvers<Value>();
      loads.push(load);
      return load.promise;
    },
    freshUntil: ({ from }) => from + FRESH_MS,
    usableUntil: ({ from }) => from + USABLE_MS,
    holdMs: () => HOLD_MS,
  });
  const succeed = (index: number) => {
    const value = { from: Date.now() };
    loads[index]?.resolve(value);
    return value;
  };
  return { cached, loads, succeed, fail: (index: number, error: Error) => loads[index]?.reject(error) };
}

async function filled() {
  const cache = create();
  const first = cache.cached.get();
  const value = cache.succeed(0);
  await first;
  return { ...cache, value };
}

describe("get", () => {
  test("shares one load among concurrent callers, and holds its value", async () => {
    const { cached, loads, succeed } = create();
    expect(cached.held).toBeUndefined();
    const both = [cached.get(), cached.get()];
    const value = succeed(0);
    expect(await Promise.all(both)).toEqual([{ value }, { value }]);
    expect(loads).toHaveLength(1);
    expect(cached.held).toBe(value);
  });

  test("returns a fresh value without a load, and loads when it is no longer fresh", async () => {
    const { cached, loads, succeed, value } = await filled();
    pass(FRESH_MS - 1);
    expect((await cached.get()).value).toBe(value);
    expect(loads).toHaveLength(1);
    pass(1);
    const second = cached.get();
    const next = succeed(1);
    expect(await second).toEqual({ value: next });
  });

  test("returns a usable value with the error after a failed load, and rejects when it is no longer usable", async () => {
    const { cached, fail, value } = await filled();
    const error = new Error("it failed");
    pass(USABLE_MS - 1);
    const stale = cached.get();
    fail(1, error);
    expect(await stale).toEqual({ value, error });
    pass(1);
    await expect(cached.get()).rejects.toBe(error); // held
  });

  test("rejects after a failed load without a value", async () => {
    const { cached, fail } = create();
    const first = cached.get();
    fail(0, new Error("it failed"));
    await expect(first).rejects.toThrow("it failed");
  });

  test("repeats a failure while it is held, then loads again, and forgets it after a success", async () => {
    const { cached, loads, succeed, fail } = create();
    const first = cached.get();
    fail(0, new Error("it failed"));
    await expect(first).rejects.toThrow();
    pass(HOLD_MS - 1);
    await expect(cached.get()).rejects.toThrow("it failed");
    expect(loads).toHaveLength(1);
    pass(1);
    const second = cached.get();
    expect(loads).toHaveLength(2);
    const value = succeed(1);
    expect(await second).toEqual({ value });
    const refreshed = cached.refresh(0);
    expect(loads).toHaveLength(3);
    const next = succeed(2);
    expect((await refreshed).value).toBe(next);
  });
});

describe("refresh", () => {
  test("returns a value whose load started less than the time ago, and loads otherwise", async () => {
    const { cached, loads, succeed, value } = await filled();
    pass(9);
    expect((await cached.refresh(10)).value).toBe(value);
    pass(1);
    const refreshed = cached.refresh(10);
    expect(loads).toHaveLength(2);
    const next = succeed(1);
    expect((await refreshed).value).toBe(next);
  });

  test("shares a load in flight that started less than the time ago", async () => {
    const { cached, loads, succeed } = create();
    const first = cached.get();
    pass(9);
    const refreshed = cached.refresh(10);
    const value = succeed(0);
    expect((await refreshed).value).toBe(value);
    await first;
    expect(loads).toHaveLength(1);
  });

  test("waits for the load after an older one in flight, which all that wait share, also after it fails", async () => {
    const { cached, loads, succeed, fail } = create();
    const first = cached.get();
    pass(10);
    const both = [cached.refresh(10), cached.refresh(5)];
    expect(loads).toHaveLength(1);
    fail(0, new Error("it failed"));
    await expect(first).rejects.toThrow("it failed");
    await expect(Promise.all(both)).rejects.toThrow("it failed"); // held
    pass(HOLD_MS);

    const second = cached.get();
    pass(10);
    const waiting = [cached.refresh(10), cached.refresh(10)];
    succeed(1);
    await second;
    await expect.poll(() => loads.length).toBe(3);
    const value = succeed(2);
    expect(await Promise.all(waiting)).toEqual([{ value }, { value }]);
    expect(loads).toHaveLength(3);
  });

  test("waits again for the next load when it is called during a later one", async () => {
    const { cached, loads, succeed } = create();
    for (const index of [0, 2]) {
      const running = cached.refresh(0);
      pass(10);
      const waiting = cached.refresh(0);
      expect(loads).toHaveLength(index + 1);
      succeed(index);
      await running;
      await expect.poll(() => loads.length).toBe(index + 2);
      pass(1);
      const value = succeed(index + 1);
      expect((await waiting).value).toBe(value);
      pass(1);
    }
  });
});
