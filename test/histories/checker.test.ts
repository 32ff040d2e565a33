import { readFileSync, rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createRandom } from "../simulators/container-apps/random.ts";
import { buildTimeout } from "../support/go-tools.ts";
import { run } from "../support/processes.ts";
import { check, fileOf, type History, keep, type Operation, type Value, type Verdict } from "./checker.ts";

/** Operations of a history in which each operation begins after the end of the one before, except as `at` says. */
type Step = Partial<Operation> & { at?: [start: number, end: number] };

const write = (value: Value, more: Step = {}): Step => ({ changes: [{ key: "k", value }], ...more });
const remove = (more: Step = {}): Step => write(null, more);
const read = (value: Value, more: Step = {}): Step => ({ read: { key: "k", value }, ...more });
const replace = (expected: Value, value: Value, more: Step = {}): Step =>
  write(value, { condition: { key: "k", value: expected }, ...more });
const create = (value: Value, more: Step = {}): Step => replace(null, value, more);
const transact = (a: Value, b: Value, more: Step = {}): Step => ({
  changes: [
    { key: "p~a", value: a },
    { key: "p~b", value: b },
  ],
  ...more,
});
const readA = (value: Value, more: Step = {}): Step => ({ read: { key: "p~a", value }, ...more });
const readB = (value: Value, more: Step = {}): Step => ({ read: { key: "p~b", value }, ...more });

const lost = { outcome: "unknown" } as const;
const rejected = { outcome: "rejected" } as const;
const failed = { outcome: "failed" } as const;

function history(name: string, steps: readonly Step[], lag = 0): History {
  const operations = steps.map(({ at, ...step }, index): Operation => {
    const [start, end] = at ?? [index * 10, index * 10 + 5];
    return { client: index, start, end, outcome: "ok", ...step };
  });
  const keys = name.includes("transaction") ? ["p~a", "p~b"] : ["k"];
  return { name, keys, operations, ...(lag > 0 ? { lag } : {}) };
}

const good: History[] = [
  history("no operation", []),
  history("a write and its read", [read(null), write("1"), read("1"), remove(), read(null)]),
  history("a read beside a write sees the old value", [write("1"), write("2", { at: [10, 40] }), read("1")]),
  history("a read beside a write sees the new value", [write("1"), write("2", { at: [10, 40] }), read("2")]),
  history("two writes at once, in the order that reads show", [
    write("1", { at: [0, 9] }),
    write("2", { at: [0, 9] }),
    read("1"),
  ]),
  history("a write without a response that took effect", [write("1", lost), read(null), read("1")]),
  history("a write without a response that took effect long after", [
    write("1", lost),
    write("2"),
    read("2"),
    read("1"),
  ]),
  history("a write without a response that never took effect", [write("1", lost), write("2"), read("2")]),
  history("a deletion without a response that took effect", [write("1"), remove(lost), read("1"), read(null)]),
  history("a failed write that nobody sees", [write("1"), write("2", failed), read("1")]),
  history("one of two creators wins", [
    create("1", { at: [0, 9] }),
    create("2", { at: [0, 9], ...rejected }),
    read("1"),
  ]),
  history("a rejected creation after an unseen write without a response", [write("1", lost), create("2", rejected)]),
  history("a replacement of the value that was read", [write("1"), replace("1", "2"), replace("1", "3", rejected)]),
  history("a replacement without a response, and one that it defeats", [
    write("1"),
    replace("1", "2", lost),
    replace("1", "3", rejected),
  ]),
  history("a replacement of any value", [
    write("1"),
    write("2", { condition: { key: "k", present: true, value: null } }),
    read("2"),
  ]),
  history("a transaction that both keys show", [transact("1", "2"), readA("1"), readB("2")]),
  history("a transaction beside reads", [
    transact("1", "2"),
    transact("3", null, { at: [10, 60] }),
    readB("2"),
    readA("1"),
    readA("3"),
    readB(null),
  ]),
  history("a transaction without a response", [transact("1", "2", lost), readA(null), readB("2"), readA("1")]),
  history("a late read within the lag", [write("1"), write("2"), read("1")], 20),
  history("a rejection because of a late read", [write("1"), write("2"), replace("2", "3", rejected)], 20),
  history("a rejection because of a creation that may have happened", [create("1", lost), create("2", rejected)], 20),
  history("a rejection beside the deletion", [write("1"), remove({ at: [100, 110] }), replace("1", "2", rejected)], 20),
  history(
    "a late read, although the deletion ended in time, of a write without a response",
    [write("1", lost), remove(), read("1", { at: [1000, 1005] })],
    20,
  ),
];

const bad: [history: History, verdict?: string][] = [
  [history("a lost write", [write("1"), write("2"), read("1")])],
  [history("a lost write, read as missing", [write("1"), read(null)])],
  [history("a lost deletion", [write("1"), remove(), read("1")])],
  [history("a value that nobody wrote", [write("1"), read("100")])],
  [history("a value before its write", [read("1"), write("1")])],
  [history("a value before its write without a response", [read("1"), write("1", lost)])],
  [history("a stale read", [write("1"), write("2"), read("2"), read("1")])],
  [
    history("a stale read beside the write", [
      write("1"),
      write("2", { at: [10, 90] }),
      read("2", { at: [20, 30] }),
      read("1", { at: [40, 50] }),
    ]),
  ],
  [history("two creators", [create("1", { at: [0, 9] }), create("2", { at: [0, 9] })])],
  [history("two replacements of one value", [write("1"), replace("1", "2"), replace("1", "3")])],
  [history("two deletions with one ETag", [write("1"), replace("1", null), replace("1", null)])],
  [history("a replacement of a deleted value", [write("1"), remove(), replace("1", "2")])],
  [history("a replacement that did not happen", [write("1"), replace("1", "2"), read("1")])],
  [history("a failed write that is visible", [write("1"), write("2", failed), read("2")])],
  [history("half a body that was stored", [write("1000001", failed), read("100")])],
  [history("a rejected write that took effect", [write("1"), replace("1", "2", rejected), read("2")])],
  [history("a rejection without a reason", [write("1"), replace("1", "2", rejected), read("1")])],
  [history("a rejected creation of a missing key", [read(null), create("1", rejected), read(null)])],
  [history("a write that took effect twice", [write("1", lost), read("1"), write("2"), read("2"), read("1")])],
  [history("half a transaction", [transact("1", "2"), readA("1"), readB(null)])],
  [history("half a transaction without a response", [transact("1", "2", lost), readA("1"), readB(null)])],
  [history("half a transaction with a deletion", [transact("1", "2"), transact("3", null), readA("3"), readB("2")])],
  [history("a rolled-back transaction that is visible", [transact("1", "2", failed), readB("2")])],
  [history("a late read beyond the lag", [write("1"), write("2"), read("1", { at: [100, 105] })], 20), "stale read"],
  [history("a lost write, read after the lag", [write("1"), read(null, { at: [100, 105] })], 20), "stale read"],
  [history("a value that nobody wrote, on lagging replicas", [write("1"), read("2")], 20), "stale read"],
  [history("a value before its write, on lagging replicas", [read("1"), write("1")], 20), "stale read"],
  [
    history(
      "a rejection without a reason, on lagging replicas",
      [write("1"), replace("1", "2", { at: [90, 95], ...rejected })],
      20,
    ),
    "unfounded rejection",
  ],
  [
    history(
      "a rejected creation long after the deletion",
      [write("1"), remove(), create("2", { at: [90, 95], ...rejected })],
      20,
    ),
    "unfounded rejection",
  ],
  [
    history("a rejected creation of a missing key, on lagging replicas", [create("1", rejected)], 20),
    "unfounded rejection",
  ],
  [
    history(
      "a late read of a replacement without a response, although its condition never held",
      [write("1"), remove(), replace("1", "2", lost), read("2")],
      20,
    ),
  ],
  [history("two creators, on lagging replicas", [create("1"), create("2")], 20)],
  [history("a lost write, on lagging replicas", [write("1"), write("2"), read("1", { current: true })], 20)],
];

describe("the checker", () => {
  test(`accepts ${good.length} histories that one copy of the state can produce`, {
    timeout: buildTimeout,
  }, async () => {
    const verdicts = await check(good);
    expect(verdicts.map(({ name, verdict }) => [name, verdict])).toEqual(
      good.map(({ name }) => [name, "linearizable"]),
    );
  });

  test(`finds the fault in each of ${bad.length} histories, and names and draws it`, {
    timeout: buildTimeout,
  }, async () => {
    const verdicts = await check(bad.map(([history]) => history));
    expect(verdicts.map(({ name, verdict }) => [name, verdict])).toEqual(
      bad.map(([{ name }, verdict = "not linearizable"]) => [name, verdict]),
    );
    for (const { name, explanation = [], drawing = "" } of verdicts) {
      expect(explanation[0], name).toMatch(/^No order of the operations explains: /);
      expect(readFileSync(drawing, "utf8"), name).toContain("<html");
      rmSync(drawing);
    }
  });

  test("agrees with a search of all orders on 3,000 random histories", { timeout: buildTimeout }, async () => {
    const { next } = createRandom(1);
    const histories = Array.from({ length: 3_000 }, (_, index) => drawHistory(`${index}`, next));
    const verdicts = await check(histories, { draw: false });
    const expected = histories.map(({ operations }) => (hasOrder(operations) ? "linearizable" : "not linearizable"));
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(expected);
    const good = expected.filter((verdict) => verdict === "linearizable").length;
    expect(good).toBeGreaterThan(600);
    expect(good).toBeLessThan(2_400);
  });

  test("agrees with a search of all orders on 20,000 random histories with late reads and rejections", {
    timeout: buildTimeout,
  }, async () => {
    const { next } = createRandom(2);
    const histories = Array.from({ length: 20_000 }, (_, index) => drawHistory(`${index}`, next, 20));
    const verdicts = await check(histories, { draw: false });
    const expected = histories.map(judgeLate);
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(expected);
    for (const each of ["linearizable", "not linearizable", "stale read", "unfounded rejection"]) {
      expect(expected.filter((verdict) => verdict === each).length, each).toBeGreaterThan(100);
    }
  });

  test("names the operation that no order explains, not the ones after it", { timeout: buildTimeout }, async () => {
    const steps = [write("1"), write("2"), read("1"), write("3"), read("3")];
    const [verdict] = await check([history("a lost write, then good operations", steps)]);
    expect(verdict?.explanation?.[0]).toContain("read k = 1: ok");
    expect(verdict?.explanation?.join()).not.toContain("write k = 3");
    rmSync(verdict?.drawing ?? "");
  });

  test("judges a kept history again as a command", { timeout: buildTimeout }, async () => {
    const lost = history("a lost write, kept", [write("1"), read(null)]);
    const file = keep(fileOf(lost.name), [lost]);
    const { ended, output } = run(process.execPath, ["test/histories/checker.ts", file]);
    expect(await ended).toMatchObject({ code: 0 });
    expect(output()).toContain('"verdict": "not linearizable"');
    const [, drawing = ""] = /"drawing": "(.+)"/.exec(output()) ?? [];
    for (const each of [file, drawing]) rmSync(each);
  });

  test("is inconclusive when the time is over", { timeout: buildTimeout }, async () => {
    const steps = Array.from({ length: 60 }, (_, index) => write(`${index}`, { at: [0, 100] }));
    const impossible = history("many writes at once", [...steps, read("no value", { at: [200, 201] })]);
    const [verdict] = await check([impossible], { timeout: "100ms" });
    expect(verdict?.verdict).toBe("inconclusive");
  });

  test("rejects a history that writes a value twice, because its values identify the writes", {
    timeout: buildTimeout,
  }, async () => {
    await expect(check([history("twice", [write("1"), write("1")])])).rejects.toThrow(
      "writes a value for the second time",
    );
  });
});

/**
 * Up to seven operations on two keys: at once, or over a longer time if there is a lag, so that some of them end more
 * than the lag before others start. A quarter of those reads and rejections must not be late.
 */
function drawHistory(name: string, next: () => number, lag = 0): History {
  const below = (count: number) => Math.floor(next() * count);
  const keys = ["a", "b"];
  const count = 2 + below(6);
  const key = () => keys[below(4) === 0 ? 1 : 0] ?? "";
  /** Of a key, an operation writes only the value with its own number. */
  const value = (): Value => (below(4) === 0 ? null : `${below(count)}`);
  const outcomes = ["ok", "ok", "ok", "unknown", "rejected", "failed"] as const;
  const operations = Array.from({ length: count }, (_, index): Operation => {
    const start = below(30 + 5 * lag);
    const current = lag > 0 && below(4) === 0 ? { current: true as const } : {};
    const times = { client: index, start, end: start + below(40), ...current };
    if (below(5) < 2) return { ...times, outcome: below(8) ? "ok" : "unknown", read: { key: key(), value: value() } };
    const changed = below(4) === 0 ? keys : [key()];
    const changes = changed.map((key, at) => ({ key, value: below(5) === 0 || at > 0 ? null : `${index}` }));
    const outcome = outcomes[below(outcomes.length)] ?? "ok";
    if (changes.length > 1 || (outcome !== "rejected" && below(2))) {
      return { ...times, outcome: outcome === "rejected" ? "ok" : outcome, changes };
    }
    const required = below(4) === 0 ? { present: true as const, value: null } : { value: value() };
    return { ...times, outcome, changes, condition: { key: changes[0]?.key ?? "", ...required } };
  });
  return { name, keys, operations, ...(lag > 0 ? { lag } : {}) };
}

/** Judges a history with a lag by the promise in cosmos.test.ts. */
function judgeLate(history: History): Verdict["verdict"] {
  const { operations } = history;
  const isFounded = (operation: Operation) => {
    const { outcome, condition } = operation;
    if (outcome !== "rejected" || !condition) return true;
    return mayFind(history, operation, condition.key, (value) => !holds(condition, value));
  };
  if (!operations.every(isFounded)) return "unfounded rejection";
  const reads = operations.flatMap(({ outcome, read, ...times }) =>
    outcome === "ok" && read ? { ...times, read } : [],
  );
  const isStale = (each: (typeof reads)[number]) =>
    !mayFind(history, each, each.read.key, (value) => value === each.read.value);
  if (reads.some(isStale)) return "stale read";

  // A late read shows only that its value had been written by its end; a late rejection shows nothing about the order.
  const ordered = operations.filter(({ current, outcome, read }) => current || !(read || outcome === "rejected"));
  const seen = ordered.map((operation): Operation => {
    const { changes = [], outcome, end } = operation;
    const showing = reads.filter(({ read }) => changes.some(({ value }) => value !== null && value === read.value));
    if (showing.length === 0) return operation;
    const ends = [...(outcome === "ok" ? [end] : []), ...showing.map(({ end }) => end)];
    return { ...operation, outcome: "ok", end: Math.min(...ends) };
  });
  return hasOrder(seen) ? "linearizable" : "not linearizable";
}

/**
 * Tries every order of a key's writes that their times allow, until the key has a value that fits at a moment between
 * the lag before `start` and `end`.
 */
function mayFind(
  { operations, lag = 0 }: History,
  { start, end }: Pick<Operation, "start" | "end">,
  key: string,
  fits: (value: Value) => boolean,
): boolean {
  const writes = operations.flatMap(({ outcome, changes = [], ...times }) =>
    outcome === "ok" || outcome === "unknown"
      ? changes.filter((change) => change.key === key).map(({ value }) => ({ ...times, outcome, value }))
      : [],
  );
  /** The key has the value from `since` at the earliest until one of `rest` must have taken effect. */
  const search = (value: Value, since: number, rest: typeof writes): boolean => {
    const until = Math.min(...rest.filter(({ outcome }) => outcome === "ok").map(({ end }) => end));
    if (fits(value) && since <= end && until >= start - lag) return true;
    return rest.some((next) => {
      const others = rest.filter((other) => other !== next);
      return next.start <= until && search(next.value, Math.max(since, next.start), others);
    });
  };
  return search(null, Number.NEGATIVE_INFINITY, writes);
}

function holds(condition: NonNullable<Operation["condition"]>, value: Value): boolean {
  return condition.present ? value !== null : value === condition.value;
}

/** Tries every order that the times allow. */
function hasOrder(operations: readonly Operation[], state: ReadonlyMap<string, Value> = new Map()): boolean {
  const rest = operations.filter(({ outcome, read }) => outcome !== "failed" && !(read && outcome === "unknown"));
  const endOf = ({ outcome, end }: Operation) => (outcome === "unknown" ? Number.POSITIVE_INFINITY : end);
  if (rest.every(({ outcome }) => outcome === "unknown")) return true; // they never happen
  return rest.some((first) => {
    if (rest.some((other) => endOf(other) < first.start)) return false;
    const { read, condition, changes = [], outcome } = first;
    const others = rest.filter((other) => other !== first);
    if (read) return (state.get(read.key) ?? null) === read.value && hasOrder(others, state);
    const isMet = !condition || holds(condition, state.get(condition.key) ?? null);
    if (outcome === "rejected") return !isMet && hasOrder(others, state);
    if (!isMet) return outcome === "unknown" && hasOrder(others, state);
    return hasOrder(others, new Map([...state, ...changes.map(({ key, value }) => [key, value] as const)]));
  });
}
