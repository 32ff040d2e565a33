import { expect, test } from "vitest";
import { createKeyOrder } from "../../../../services/state-api/batching/key-order.ts";

const KEYS = 100_000;
const AT_ONCE = 100;
const IN_ORDER = ["first", "second", "third"].flatMap((name) => [`${name} starts`, `${name} ends`]);

test("only keys with a running change are remembered, of 100,000 with three changes each, which run in order", async () => {
  const lastChanges = new Map<string, Promise<unknown>>();
  const inOrder = createKeyOrder(lastChanges);
  const wrong: string[] = [];
  let next = 0;
  let largest = 0;
  const work = async () => {
    while (next < KEYS) {
      const number = next++;
      const steps: string[] = [];
      const change = (name: string, until?: Promise<void>) =>
        inOrder([`k${number}`], async () => {
          steps.push(`${name} starts`);
          await until;
          steps.push(`${name} ends`);
          if (number % 2 === 1) throw new Error("no");
        });
      const thirdArrived = Promise.withResolvers<void>();
      const first = change("first");
      const second = change("second", thirdArrived.promise);
      largest = Math.max(largest, lastChanges.size);
      await Promise.allSettled([first]);
      const third = change("third");
      thirdArrived.resolve();
      await Promise.allSettled([second, third]);
      if (`${steps}` !== `${IN_ORDER}`) wrong.push(`k${number}: ${steps}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  expect(wrong).toEqual([]);
  expect(largest).toBe(AT_ONCE);
  expect(lastChanges.size).toBe(0);
});
