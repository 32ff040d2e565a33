import { setTimeout as sleep } from "node:timers/promises";
import { createRandom, seedOf } from "../simulators/container-apps/random.ts";
import { check, type History, keep, type Verdict } from "./checker.ts";
import { commonFaults, type Fault } from "./faults.ts";
import type { Instance } from "./instances.ts";
import { createRecorder, type Recorder } from "./recorder.ts";
import { createWorkload, type Workload } from "./workload.ts";

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
  readonly storeFaults: (target: Parameters<typeof commonFaults>[0]) => Record<string, Fault>;
}

export interface Result {
  readonly histories: readonly History[];
  /** Those that failed. */
  readonly failures: readonly Verdict[];
  /** Faults by name: how often they happened, and how many operations they hit. */
  readonly faults: ReadonlyMap<string, { times: number; hits: number }>;
}

/** Lets clients work while faults happen, reads all keys at the end, checks all histories and prints a summary. */
export async function runScenario({
  name,
  instances,
  lag = 0,
  mayCancelReads = true,
  storeFaults,
}: Scenario): Promise<Result> {
  const { next } = createRandom(seedOf(`${name} ${seed}`));
  const recorder = createRecorder(lag);
  const origins = instances.map(({ service }) => service.origin);
  const workload = createWorkload({ origins, recorder, next });
  const target = { instances, workload, recorder, next, mayCancelReads };

  const stop = workload.start();
  const faults = await injectFaults({ ...commonFaults(target), ...storeFaults(target) }, next);
  await stop();
  await sleep(1_000 + lag / 1_000);
  await workload.readAll();

  const histories = recorder.histories().map((history) => ({ ...history, name: `${name}, ${history.name}` }));
  const verdicts = await check(histories);
  const result = {
    histories,
    failures: verdicts.filter(({ verdict }) => verdict !== "linearizable"),
    faults: new Map([...faults].map(([fault, { times, hits }]) => [fault, { times, hits: sum(hits) }])),
  };
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
      `  faults (operations hit): ${list([...faults].map(([what, { times, hits }]) => [`${times} x ${what}`, `(${hits})`]))}`,
      ...failures.map(({ name, verdict, explanation = [], drawing }) =>
        [
          `  ${name}: ${verdict}`,
          ...explanation,
          ...(drawing ? [`drawn in ${drawing}`] : []),
          ...histories.filter((history) => history.name === name).map((history) => `kept in ${keep(history)}`),
        ].join("\n    "),
      ),
    ].join("\n"),
  );
}
