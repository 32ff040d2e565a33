/**
 * Settles with `work`'s result, or rejects with `error()` once `timeoutMs` milliseconds have passed. The work itself
 * continues.
 */
export function withTimeout<T>(work: Promise<T>, timeoutMs: number, error: () => Error): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(error()), timeoutMs);
  work.then(resolve, reject).finally(() => clearTimeout(timer));
  return promise;
}
