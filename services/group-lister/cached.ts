interface CachedOptions<T> {
  readonly load: () => Promise<T>;
  /** Until when `get` returns the value without loading, in milliseconds since 1970. */
  readonly freshUntil: (value: T) => number;
  /** Until when `get` falls back on the value after a failed load, in milliseconds since 1970. */
  readonly usableUntil: (value: T) => number;
  /** How long a failure is repeated before `load` runs again, in milliseconds. */
  readonly holdMs: (error: unknown) => number;
}

interface Loaded<T> {
  readonly value: T;
  /** Why the value is stale; undefined when it is fresh. */
  readonly error?: unknown;
}

export interface Cached<T> {
  /** The last value loaded, however old. */
  readonly held: T | undefined;
  /**
   * A fresh value, loaded if necessary. After a failed load, the last value with the error while that value is usable.
   * Otherwise rejects with the error.
   */
  get(): Promise<Loaded<T>>;
  /** A value whose load started at most `maxAgeMs` before this call. Rejects when the load fails. */
  refresh(maxAgeMs: number): Promise<Loaded<T>>;
}

/** A value that is loaded on demand. Concurrent callers share one `load`. */
export function createCached<T>({ load, freshUntil, usableUntil, holdMs }: CachedOptions<T>): Cached<T> {
  let held: T | undefined;
  /** When the load of `held` started, and that of `flight`, in milliseconds since 1970. */
  let heldFrom = Number.NEGATIVE_INFINITY;
  let flightFrom = Number.NEGATIVE_INFINITY;
  let failure: { readonly error: unknown; readonly until: number } | undefined;
  let flight: Promise<Loaded<T>> | undefined;
  let next: Promise<Loaded<T>> | undefined;

  function fetch(): Promise<Loaded<T>> {
    flight ??= attempt().finally(() => {
      flight = undefined;
    });
    return flight;
  }

  async function attempt(): Promise<Loaded<T>> {
    if (failure && Date.now() < failure.until) throw failure.error;
    const startedAt = Date.now();
    flightFrom = startedAt;
    try {
      held = await load();
      heldFrom = startedAt;
      failure = undefined;
      return { value: held };
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
        return await fetch();
      } catch (error) {
        if (held !== undefined && Date.now() < usableUntil(held)) return { value: held, error };
        throw error;
      }
    },
    async refresh(maxAgeMs) {
      const earliest = Date.now() - maxAgeMs;
      if (held !== undefined && heldFrom > earliest) return { value: held };
      if (!flight || flightFrom > earliest) return fetch();
      // The load in flight may have read the value before the change that the caller wants to see, so wait for the
      // next.
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
