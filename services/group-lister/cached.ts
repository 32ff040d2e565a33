interface CachedOptions<T> {
  readonly load: () => Promise<T>;
  /** Until when a value is as good as a new one, in milliseconds since 1970. */
  readonly freshUntil: (value: T) => number;
  /** Until when it is better than none at all, should no new one be had. */
  readonly usableUntil: (value: T) => number;
  /** How long a failure stands before `load` is tried again, in milliseconds. */
  readonly holdMs: (error: unknown) => number;
}

export interface Cached<T> {
  /** The last value loaded, however old. */
  readonly held: T | undefined;
  /**
   * A fresh value; when there is none, what `load` brings. When that fails, the last value while it is usable, with the
   * error; else rejects with the error.
   */
  get(): Promise<{ readonly value: T; readonly error?: unknown }>;
  /** A value whose loading began after this call; rejects when there is none. */
  refresh(): Promise<T>;
}

/** A value that is loaded when it is asked for, by one `load` at a time for all who ask. */
export function createCached<T>({ load, freshUntil, usableUntil, holdMs }: CachedOptions<T>): Cached<T> {
  let held: T | undefined;
  let failure: { readonly error: unknown; readonly until: number } | undefined;
  let flight: Promise<T> | undefined;
  let next: Promise<T> | undefined;

  function fetch(): Promise<T> {
    flight ??= attempt().finally(() => {
      flight = undefined;
    });
    return flight;
  }

  async function attempt(): Promise<T> {
    if (failure && Date.now() < failure.until) throw failure.error;
    try {
      held = await load();
      failure = undefined;
      return held;
    } catch (error) {
      failure = { error, until: Date.now() + holdMs(error) };
      throw error;
    }
  }

  return {
    get held() {
      return held;
    },
    async get() {
      if (held !== undefined && Date.now() < freshUntil(held)) return { value: held };
      try {
        return { value: await fetch() };
      } catch (error) {
        if (held !== undefined && Date.now() < usableUntil(held)) return { value: held, error };
        throw error;
      }
    },
    refresh() {
      if (!flight) return fetch();
      // What is on its way may have been read before whatever the caller wants to see.
      next ??= flight
        .catch(() => {})
        .then(() => {
          next = undefined;
          return fetch();
        });
      return next;
    },
  };
}
