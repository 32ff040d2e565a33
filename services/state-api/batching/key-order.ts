/**
 * Runs changes to the same key one after the other, in the order of the calls, and changes to different keys at once. A
 * change that fails lets the next one start.
 * @param lastChanges for each key with a change that has not finished, the last of them; empty at first
 */
export function createKeyOrder(lastChanges: Map<string, Promise<unknown>>) {
  return function inOrder<T>(keys: readonly string[], change: () => Promise<T>): Promise<T> {
    const earlier = keys.flatMap((key) => lastChanges.get(key) ?? []);
    const result = earlier.length > 0 ? Promise.allSettled(earlier).then(change) : change();
    for (const key of keys) lastChanges.set(key, result);
    const forget = () => {
      for (const key of keys) if (lastChanges.get(key) === result) lastChanges.delete(key);
    };
    result.then(forget, forget);
    return result;
  };
}
