import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { coalesce } from "../../../../services/state-api/batching/coalesce.ts";
import { type Call, type Condition, type Entry, StoreError } from "../../../../services/state-api/store.ts";
import { draw, isLinearizable, type Observed } from "../../../support/linearizable.ts";
import { createCall, createMemoryStore } from "../../../support/memory-store.ts";

/** The state of a key is the number of the write that made its entry, or "missing". */
const MISSING = "missing";
type Outcome = "ok" | "conflict" | "unknown";

const read = (seen: string) => ({
  what: `read ${seen}`,
  changes: false,
  step: (from: string) => (from === seen ? { to: from } : undefined),
});

/** @param holds whether the condition of the change holds in a state */
const change = (what: string, to: string, outcome: Outcome, holds = (_from: string) => true) => ({
  what: `${what}: ${outcome}`,
  changes: outcome !== "conflict",
  step: (from: string) =>
    holds(from) === (outcome !== "conflict") ? { to: outcome === "conflict" ? from : to } : undefined,
});

describe("the judge of histories", () => {
  const at = (start: number, end: number, operation: Omit<Observed<string>, "start" | "end">) => ({
    start,
    end,
    ...operation,
  });
  const never = Number.POSITIVE_INFINITY;
  const write = (to: string, outcome: Outcome = "ok") => change(`write ${to}`, to, outcome);
  const create = (to: string, outcome: Outcome) => change(`create ${to}`, to, outcome, (from) => from === MISSING);
  const replace = (old: string, to: string, outcome: Outcome) =>
    change(`replace ${old} by ${to}`, to, outcome, (from) => from === old);
  const remove = (outcome: Outcome = "ok") => change("delete", MISSING, outcome);

  test.each([
    ["a read during a write sees the new value", [at(1, 4, write("1")), at(2, 3, read("1"))]],
    ["a read during a write sees the old value", [at(1, 4, write("1")), at(2, 3, read(MISSING))]],
    [
      "a write without a result takes effect late",
      [at(1, never, write("1", "unknown")), at(2, 3, read(MISSING)), at(4, 5, read("1"))],
    ],
    ["a write without a result never takes effect", [at(1, never, write("1", "unknown")), at(4, 5, read(MISSING))]],
    ["of two creators that overlap, one wins", [at(1, 3, create("1", "ok")), at(2, 4, create("2", "conflict"))]],
    [
      "a delete that overlaps a write comes after it",
      [at(1, 4, remove()), at(2, 3, write("1")), at(5, 6, read(MISSING))],
    ],
    [
      "a replacement fails because a write without a result came before it",
      [at(1, 2, write("1")), at(3, never, write("2", "unknown")), at(4, 5, replace("1", "3", "conflict"))],
    ],
  ])("accepts a history in which %s", (_what, history) => {
    expect(isLinearizable(history, MISSING)).toBe(true);
  });

  test.each([
    [
      "a read returns an old value after the acknowledgement of a write",
      [at(1, 2, write("1")), at(3, 4, read(MISSING))],
    ],
    ["an acknowledged write is lost", [at(1, 2, write("1")), at(3, 4, write("2")), at(5, 6, read("1"))]],
    [
      "a write that was repeated comes back (1, 2, 1)",
      [
        at(1, never, write("1", "unknown")),
        at(2, 3, read("1")),
        at(4, 5, write("2")),
        at(6, 7, read("2")),
        at(8, 9, read("1")),
      ],
    ],
    [
      "two reads see two concurrent writes in different orders",
      [at(1, 10, write("1")), at(2, 9, write("2")), at(3, 4, read("1")), at(5, 6, read("2")), at(7, 8, read("1"))],
    ],
    ["two creators win", [at(1, 3, create("1", "ok")), at(2, 4, create("2", "ok"))]],
    ["both creators lose", [at(1, 3, create("1", "conflict")), at(2, 4, create("2", "conflict"))]],
    [
      "two replacements of one value win",
      [at(1, 2, write("1")), at(3, 5, replace("1", "2", "ok")), at(4, 6, replace("1", "3", "ok"))],
    ],
    [
      "a replacement fails although nobody changed the value",
      [at(1, 2, write("1")), at(3, 4, replace("1", "2", "conflict"))],
    ],
    ["a deleted value comes back", [at(1, 2, write("1")), at(3, 4, remove()), at(5, 6, read("1"))]],
    ["a value appears that nobody wrote", [at(1, 2, read("9"))]],
  ])("rejects a history in which %s", (_what, history) => {
    expect(isLinearizable(history, MISSING)).toBe(false);
  });
});

interface Step {
  readonly kind: keyof typeof kinds;
  /** Index of the first key. */
  readonly key: number;
  /** How many keys a step for several has. */
  readonly count: number;
  /** The store rejects the value. */
  readonly bad: boolean;
  /** After this many milliseconds the caller no longer waits. */
  readonly leavesAfter: number | undefined;
  /** Milliseconds until the next step. */
  readonly pause: number;
}

/** What happens to one call of the store. */
interface Fate {
  /** Milliseconds until it takes effect. */
  readonly before: number;
  /** Milliseconds until its response. */
  readonly after: number;
  /** It fails before it takes effect, or it takes effect and the response is lost. */
  readonly fault: "early" | "late" | undefined;
}

interface World {
  /** Whether the store says that it can be batched. */
  readonly batching: boolean;
  /** Whether a bulk save applies nothing when the store rejects one of its items. */
  readonly atomic: boolean;
}

/** Counts of what happened in all histories together. */
const counts = {
  operations: 0,
  batches: 0,
  "batches of more than 32 items": 0,
  "batches that left while another was at the store": 0,
  "batches with a bad item": 0,
  "failures before the effect": 0,
  "failures after the effect": 0,
  "callers that left before their request": 0,
  "callers that left after their request": 0,
  "conditions met": 0,
  "conditions not met": 0,
  "unknown outcomes": 0,
};

const BAD = "bad";
const isBad = (value: unknown) => String(value).startsWith(BAD);
const keyAt = (index: number) => `p~${index}`;

/** Runs the steps against a store in memory, and returns what the clients of each key observed. */
class Run {
  readonly histories = new Map<string, Observed<string>[]>();
  readonly inner = createMemoryStore();
  private readonly store = coalesce(this.inner, { maxPending: 10_000 });
  private readonly running: Promise<void>[] = [];
  /** The newest entry that a client has read. */
  private readonly seen = new Map<string, Entry>();
  private clock = 0;
  private writes = 0;
  private calls = 0;
  private bulkSaves = 0;

  constructor(fates: readonly Fate[], { batching, atomic }: World) {
    const { inner } = this;
    inner.batching = batching;
    const fateOf = new WeakMap<string[], Fate>();
    inner.before = async (operation, keys, values, call) => {
      const fate = fates[this.calls++ % fates.length] as Fate;
      fateOf.set(keys, fate);
      if (operation === "saveMany") this.countBatch(keys, values);
      try {
        await sleep(fate.before);
        if (call.ended) throw call.ended; // nobody waits, and no connection was free yet
        const bad = values.findIndex(isBad);
        if (bad >= 0) {
          if (operation === "saveMany" && !atomic) {
            for (const index of keys.slice(0, bad).keys()) this.applyPart(keys[index], values[index]);
            await sleep(fate.after);
          }
          throw new StoreError("refused", "a bad value");
        }
        if (fate.fault === "early") {
          counts["failures before the effect"]++;
          throw new StoreError("unavailable", "lost on the way to the store");
        }
      } catch (error) {
        if (operation === "saveMany") this.bulkSaves--;
        throw error;
      }
    };
    inner.after = async (operation, keys) => {
      const fate = fateOf.get(keys) as Fate;
      await sleep(fate.after);
      if (operation === "saveMany") this.bulkSaves--;
      if (fate.fault !== "late") return;
      counts["failures after the effect"]++;
      throw new StoreError("unavailable", "lost on the way from the store");
    };
  }

  /** Saves an item of a batch that fails. */
  private applyPart(key = "", value: unknown): void {
    this.inner.entries.set(key, { value, etag: `part${++this.clock}` });
  }

  private countBatch(keys: readonly string[], values: readonly unknown[]): void {
    counts.batches++;
    if (keys.length > 32) counts["batches of more than 32 items"]++;
    if (this.bulkSaves++ > 0) counts["batches that left while another was at the store"]++;
    if (values.some(isBad)) counts["batches with a bad item"]++;
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      const call = createCall();
      if (step.leavesAfter !== undefined) this.running.push(leave(call, step.leavesAfter));
      kinds[step.kind](this, step, call);
      if (step.pause > 0) await sleep(step.pause);
    }
    await Promise.all(this.running);
    // What the store has at the end: no acknowledged write is lost.
    for (const [key, history] of this.histories) {
      const entry = this.inner.entries.get(key);
      history.push({ start: ++this.clock, end: ++this.clock, ...read(stateOf(entry)) });
    }
  }

  newValue(bad: boolean): string {
    return `${bad ? BAD : ""}${++this.writes}`;
  }

  read(keys: readonly string[], call: Call): void {
    const [first = ""] = keys;
    const asked =
      keys.length === 1 ? this.store.get(first, call).then((entry) => [entry]) : this.store.getMany(keys, call);
    const start = ++this.clock;
    this.follow(asked, call, (outcome, entries) => {
      if (outcome !== "ok") return;
      const end = ++this.clock;
      keys.forEach((key, index) => {
        const entry = entries?.[index];
        this.observe(key, { start, end, ...read(stateOf(entry)) });
        if (entry) this.seen.set(key, entry);
      });
    });
  }

  save(key: string, value: string, condition: Condition | undefined, call: Call): void {
    const write = { key, value, bytes: 1, condition };
    this.change("save", new Map([[key, value]]), this.store.save(write, call), call, this.holds(key, condition));
  }

  delete(key: string, condition: Condition | undefined, call: Call): void {
    const asked = this.store.delete({ key, condition }, call);
    this.change("delete", new Map([[key, MISSING]]), asked, call, this.holds(key, condition));
  }

  /** Saves and deletes by turns. */
  transaction(keys: readonly string[], value: string, call: Call): void {
    const operations = keys.map((key, index) =>
      index % 2 === 0 ? ({ operation: "upsert", key, data: value } as const) : ({ operation: "delete", key } as const),
    );
    const to = new Map(keys.map((key, index) => [key, index % 2 === 0 ? value : MISSING]));
    this.change("transaction", to, this.store.transaction(operations, call), call);
  }

  /** A condition on the newest entry that a client has read. */
  ifSeen(key: string): Condition {
    return { ifMatch: [this.seen.get(key)?.etag ?? "never"] };
  }

  private holds(key: string, condition: Condition | undefined): ((from: string) => boolean) | undefined {
    if (!condition) return undefined;
    if ("ifNoneMatch" in condition) return (from) => from === MISSING;
    if (condition.ifMatch === "*") return (from) => from !== MISSING;
    const seen = this.seen.get(key);
    return (from) => seen !== undefined && from === stateOf(seen);
  }

  private change(
    name: string,
    to: ReadonlyMap<string, string>,
    asked: Promise<void>,
    call: Call,
    holds?: (from: string) => boolean,
  ): void {
    const start = ++this.clock;
    this.follow(asked, call, (outcome) => {
      if (outcome === "none") return;
      if (holds && outcome !== "unknown") counts[outcome === "ok" ? "conditions met" : "conditions not met"]++;
      const end = outcome === "unknown" ? Number.POSITIVE_INFINITY : ++this.clock;
      for (const [key, state] of to) {
        this.observe(key, { start, end, ...change(`${name} ${state}`, state, outcome, holds) });
      }
    });
  }

  /** Tells `settled` what the client learns; `none`: the operation had no effect, whatever the state was. */
  private follow<T>(asked: Promise<T>, call: Call, settled: (outcome: Outcome | "none", result?: T) => void): void {
    counts.operations++;
    const done = asked.then(
      (result) => {
        if (call.ended) counts["callers that left after their request"]++;
        settled("ok", result);
      },
      (error) => {
        if (error instanceof Left && call.ended) {
          counts["callers that left before their request"]++;
          return settled("none");
        }
        if (!(error instanceof StoreError)) throw error;
        if (error.kind === "unavailable") counts["unknown outcomes"]++;
        settled(error.kind === "conflict" ? "conflict" : error.kind === "unavailable" ? "unknown" : "none");
      },
    );
    this.running.push(done);
  }

  private observe(key: string, operation: Observed<string>): void {
    const history = this.histories.get(key);
    if (history) history.push(operation);
    else this.histories.set(key, [operation]);
  }
}

function stateOf(entry: Entry | undefined): string {
  return entry ? String(entry.value) : MISSING;
}

/** Why a caller no longer waits. */
class Left extends Error {}

async function leave(call: Call, milliseconds: number): Promise<void> {
  await sleep(milliseconds);
  call.ended = new Left();
}

const kinds = {
  save: (run: Run, { key, bad }: Step, call: Call) => run.save(keyAt(key), run.newValue(bad), undefined, call),
  create: (run: Run, { key }: Step, call: Call) =>
    run.save(keyAt(key), run.newValue(false), { ifNoneMatch: "*" }, call),
  replace: (run: Run, { key }: Step, call: Call) => run.save(keyAt(key), run.newValue(false), { ifMatch: "*" }, call),
  saveIfMatch: (run: Run, { key }: Step, call: Call) =>
    run.save(keyAt(key), run.newValue(false), run.ifSeen(keyAt(key)), call),
  delete: (run: Run, { key }: Step, call: Call) => run.delete(keyAt(key), undefined, call),
  deleteIfMatch: (run: Run, { key }: Step, call: Call) => run.delete(keyAt(key), run.ifSeen(keyAt(key)), call),
  transaction: (run: Run, step: Step, call: Call) => run.transaction(keysOf(step, 6), run.newValue(step.bad), call),
  get: (run: Run, { key }: Step, call: Call) => run.read([keyAt(key)], call),
  getMany: (run: Run, step: Step, call: Call) => run.read(keysOf(step, 10), call),
  /** Many clients at once, one of which may send a bad value. */
  manySaves: (run: Run, step: Step, call: Call) => {
    for (const [index, key] of keysOf(step, 100).entries()) {
      const bad = step.bad && index === step.count % 10;
      run.save(key, run.newValue(bad), undefined, index % 3 === 0 ? call : createCall());
    }
  },
  manyReads: (run: Run, step: Step, call: Call) => {
    for (const [index, key] of keysOf(step, 100).entries()) run.read([key], index % 3 === 0 ? call : createCall());
  },
};

function keysOf({ key, count }: Step, most: number): string[] {
  return Array.from({ length: Math.min(count, most) }, (_, index) => keyAt(key + index));
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    ...([
      "save",
      "save",
      "save",
      "create",
      "replace",
      "saveIfMatch",
      "saveIfMatch",
      "delete",
      "deleteIfMatch",
    ] as const),
    ...(["transaction", "get", "get", "get", "getMany", "manySaves", "manyReads"] as const),
  ),
  key: fc.oneof({ weight: 4, arbitrary: fc.nat(2) }, { weight: 1, arbitrary: fc.nat(99) }),
  count: fc.integer({ min: 2, max: 100 }),
  bad: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  leavesAfter: fc.option(fc.nat(4), { freq: 4, nil: undefined }),
  pause: fc.constantFrom(0, 0, 0, 0, 1, 2, 4),
});
const fate: fc.Arbitrary<Fate> = fc.record({
  before: fc.nat(4),
  after: fc.nat(4),
  fault: fc.constantFrom(...Array<undefined>(14).fill(undefined), "early", "late"),
});

function judge(histories: ReadonlyMap<string, readonly Observed<string>[]>): void {
  for (const [key, history] of histories) {
    if (!isLinearizable(history, MISSING))
      throw new Error(`no order explains the history of ${key}:\n${draw(history)}`);
  }
}

describe("histories of concurrent clients", () => {
  const steps = fc.array(step, { minLength: 20, maxLength: 60 });
  const fates = fc.array(fate, { minLength: 10, maxLength: 40 });
  const histories = (world: World, check: (run: Run) => void = () => {}) =>
    fc.asyncProperty(steps, fates, async (steps, fates) => {
      const run = new Run(fates, world);
      await run.play(steps);
      check(run);
      judge(run.histories);
    });

  test("are linearizable for each key, whatever the store's delays and faults, bad values and callers that leave", async ({
    annotate,
  }) => {
    await fc.assert(histories({ batching: true, atomic: true }), { seed: 18, numRuns: 120, endOnFailure: true });
    await annotate(JSON.stringify(counts));
    for (const [what, count] of Object.entries(counts)) expect(count, what).toBeGreaterThan(20);
  });

  test("are linearizable on a store that can apply a part of a batch, because it is never batched", async () => {
    const check = ({ inner }: Run) => {
      expect(inner.calls.filter(({ operation }) => operation === "saveMany")).toEqual([]);
    };
    await fc.assert(histories({ batching: false, atomic: false }, check), {
      seed: 18,
      numRuns: 30,
      endOnFailure: true,
    });
  });

  test("would not be linearizable if such a store were batched", async () => {
    const { failed, errorInstance } = await fc.check(histories({ batching: true, atomic: false }), {
      seed: 18,
      numRuns: 200,
      endOnFailure: true,
    });
    expect(failed).toBe(true);
    expect(String(errorInstance)).toMatch(/^Error: no order explains the history of p~\d+:\n\d+\.\.(\d+|Infinity) /);
  });
});
