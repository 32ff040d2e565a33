import { describe, expect, test } from "vitest";
import { createKeyOrder } from "../../../../services/state-api/batching/key-order.ts";

/** A change that settles on demand. */
function createChange(order: string[], name: string) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const run = () => {
    order.push(name);
    return promise;
  };
  return { run, finish: resolve, fail: reject };
}

/** Lets all promises that can settle do so. */
const settle = () => new Promise(setImmediate);

describe("createKeyOrder", () => {
  test("starts a change at once when none of its key is running, and returns its result", async () => {
    const inOrder = createKeyOrder(new Map());
    const order: string[] = [];
    const [a, b] = [createChange(order, "a"), createChange(order, "b")];
    const results = [inOrder(["a"], a.run), inOrder(["b"], b.run), inOrder(["c"], async () => "the result")];
    expect(order).toEqual(["a", "b"]);
    a.finish();
    b.finish();
    expect(await Promise.all(results)).toEqual([undefined, undefined, "the result"]);
  });

  test("starts each change of a key when the one before has settled, also after a failure", async () => {
    const inOrder = createKeyOrder(new Map());
    const order: string[] = [];
    const [first, second, third] = ["first", "second", "third"].map((name) => createChange(order, name));
    const results = [first, second, third].map((change) => inOrder(["k"], change?.run ?? (async () => {})));
    await settle();
    expect(order).toEqual(["first"]);
    first?.fail(new Error("no"));
    await expect(results[0]).rejects.toThrow("no");
    await settle();
    expect(order).toEqual(["first", "second"]);
    const fourth = inOrder(["k"], createChange(order, "fourth").run);
    await settle();
    expect(order, "the second is still running").toEqual(["first", "second"]);
    second?.finish();
    await settle();
    expect(order).toEqual(["first", "second", "third"]);
    third?.finish();
    await Promise.all([results[1], results[2]]);
    await settle();
    expect(order).toEqual(["first", "second", "third", "fourth"]);
    expect(fourth).toBeInstanceOf(Promise);
  });

  test("starts a change of several keys after the last change of each, and before the next ones", async () => {
    const inOrder = createKeyOrder(new Map());
    const order: string[] = [];
    const [a, b, both, nextB] = [
      createChange(order, "a"),
      createChange(order, "b"),
      createChange(order, "both"),
      createChange(order, "next b"),
    ];
    inOrder(["a"], a.run);
    inOrder(["b"], b.run);
    inOrder(["a", "b"], both.run);
    inOrder(["b"], nextB.run);
    a.finish();
    await settle();
    expect(order).toEqual(["a", "b"]);
    b.finish();
    await settle();
    expect(order).toEqual(["a", "b", "both"]);
    both.finish();
    await settle();
    expect(order).toEqual(["a", "b", "both", "next b"]);
  });

  test("remembers none of 1,000 keys after their changes, half of which failed", async () => {
    const lastChanges = new Map<string, Promise<unknown>>();
    const inOrder = createKeyOrder(lastChanges);
    const changes = Array.from({ length: 1_000 }, (_, index) =>
      inOrder([`k${index}`, `l${index}`], index % 2 === 0 ? async () => {} : () => Promise.reject(new Error("no"))),
    );
    expect(lastChanges.size).toBe(2_000);
    const outcomes = await Promise.allSettled(changes);
    expect(outcomes.filter(({ status }) => status === "rejected")).toHaveLength(500);
    expect(lastChanges.size).toBe(0);
  });
});
