import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createRandom, seedOf } from "../simulators/container-apps/random.ts";
import { check, fileOf, type History, keep, type Verdict } from "./checker.ts";
import { commonFaults, type Fault } from "./faults.ts";
import type { Instance } from "./instances.ts";
import { createRecorder, type Recorder } from "./recorder.ts";
import { createWorkload, type Kind, races, type Workload } from "./workload.ts";

/** Decides which operations and faults are drawn. Their timing still differs from run to run. */
const seed = Number(process.env.HISTORY_SEED ?? 1);
/** Each run takes at least this time, and long enough for every fault. */
export const seconds = Number(process.env.HISTORY_SECONDS ?? 15);

interface Scenario {
  readonly name: string;
  readonly instances: readonly Instance[];
  /** Microseconds by which reads of the store may be late. */
  readonly lag?: number;
  /** See `commonFaults`; default true. */
  readonly mayCancelReads?: boolean;
  /** Runs when clients and faults have ended; then the final reads must be current. Default: waits for the lag. */
  readonly beforeFinalReads?: () => Promise<unknown>;
  readonly storeFaults: (target: Parameters<typeof commonFaults>[0]) => Record<string, Fault>;
}

export interface Result {
  readonly histories: readonly History[];
  /** Those that failed. */
  readonly failures: readonly Verdict[];
  /** Faults by name: how often they happened, and how many operations they hit. */
  readonly faults: ReadonlyMap<string, { times: number; hits: number }>;
  /** What happened too rarely to prove something, such as "12 x transaction: ok". */
  readonly tooRare: readonly string[];
}

/** On an idle machine, each scenario has at least twice as many of each. */
const LEAST_SUCCESSES: Readonly<Record<Kind, number>> = {
  "single read": 100,
  "bulk read": 20,
  put: 50,
  save: 20,
  delete: 20,
  transaction: 30,
  creation: 10,
  replacement: 8,
  "replacement of any value": 8,
  "conditional delete": 3,
};
const LEAST_REJECTIONS: Partial<Readonly<Record<Kind, number>>> = {
  creation: 30,
  replacement: 30,
  "replacement of any value": 2,
  "conditional delete": 10,
};
const LEAST_DECIDED_RACES = 2;

/** Lets clients work while faults happen, reads all keys at the end, checks all histories and prints a summary. */
export async function runScenario({
  name,
  instances,
  lag = 0,
  mayCancelReads = true,
  beforeFinalReads = () => sleep(1_000 + lag / 1_000),
  storeFaults,
}: Scenario): Promise<Result> {
  const randomOf = (use: string) => createRandom(seedOf(`${name} ${seed} ${use}`)).next;
  const recorder = createRecorder(lag);
  const origins = instances.map(({ service }) => service.origin);
  const workload = createWorkload({ origins, recorder, randomOf });
  const next = randomOf("faults");
  const target = { instances, workload, recorder, next, mayCancelReads };

  const histories = () => recorder.histories().map((history) => ({ ...history, name: `${name}, ${history.name}` }));
  const whole = fileOf(name);
  let faults: Awaited<ReturnType<typeof injectFaults>>;
  let verdicts: Verdict[];
  try {
    const stop = workload.start();
    try {
      faults = await injectFaults({ ...commonFaults(target), ...storeFaults(target) }, next);
    } finally {
      await stop();
    }
    await beforeFinalReads();
    await workload.readAll();
    keep(whole, histories());
    verdicts = await check(histories());
  } catch (cause) {
    keep(whole, histories());
    throw new Error(`${cause}. All histories are in ${whole}.`, { cause });
  }
  const result = {
    histories: histories(),
    failures: verdicts.filter(({ verdict }) => verdict !== "linearizable"),
    faults: new Map([...faults].map(([fault, { times, hits }]) => [fault, { times, hits: sum(hits) }])),
    tooRare: findTooRare(workload),
  };
  if (result.failures.length === 0) rmSync(whole);
  print(name, result, recorder, workload);
  return result;
}

async function injectFaults(faults: Record<string, Fault>, next: () => number) {
  const happened = new Map<string, { times: number; hits: (() => number)[] }>();
  const deadline = performance.now() + seconds * 1_000;
  do {
    for (const [name, fault] of shuffle(Object.entries(faults), next)) {
      await sleep(200 + next() * 300);
      const counted = happened.get(name) ?? { times: 0, hits: [] };
      happened.set(name, counted);
      counted.times++;
      counted.hits.push(await fault());
    }
  } while (performance.now() < deadline);
  await sleep(500);
  return happened;
}

function findTooRare({ kinds, decided }: Workload): string[] {
  const counts = (least: object, outcome: "ok" | "rejected") =>
    Object.entries(least).map(([kind, least]) => {
      const count = kinds.get(kind as Kind)?.[outcome] ?? 0;
      return { what: `${kind}: ${outcome}`, count, least };
    });
  return [
    ...counts(LEAST_SUCCESSES, "ok"),
    ...counts(LEAST_REJECTIONS, "rejected"),
    ...races.map((race) => ({ what: `race of ${race}`, count: decided.get(race) ?? 0, least: LEAST_DECIDED_RACES })),
  ]
    .filter(({ count, least }) => count < least)
    .map(({ what, count, least }) => `${count} x ${what}, at least ${least} expected`);
}

function shuffle<T>(items: readonly T[], next: () => number): T[] {
  return items
    .map((item) => ({ item, order: next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}

const sum = (counts: readonly (() => number)[]) => counts.reduce((total, count) => total + count(), 0);

function print(name: string, { histories, failures, faults }: Result, recorder: Recorder, workload: Workload): void {
  const { operations, ...outcomes } = recorder.counts();
  const list = (counts: Iterable<[string, unknown]>) => [...counts].map((each) => each.join(" ")).join(", ");
  console.log(
    [
      `${name}, HISTORY_SEED=${seed}: ${histories.length} histories, ${operations} operations`,
      `  outcomes: ${list(Object.entries(outcomes))}`,
      `  responses: ${list([...workload.statuses].sort())}`,
      `  ok/rejected: ${list([...workload.kinds].map(([kind, { ok, rejected }]) => [kind, `${ok}/${rejected}`]))}`,
      `  races decided: ${list(workload.decided)}`,
      `  faults (operations hit): ${list([...faults].map(([what, { times, hits }]) => [`${times} x ${what}`, `(${hits})`]))}`,
      ...failures.map(({ name, verdict, explanation = [], drawing }) =>
        [
          `  ${name}: ${verdict}`,
          ...explanation,
          ...(drawing ? [`drawn in ${drawing}`] : []),
          ...histories
            .filter((history) => history.name === name)
            .map((history) => `kept in ${keep(fileOf(history.name), [history])}`),
        ].join("\n    "),
      ),
    ].join("\n"),
  );
}
