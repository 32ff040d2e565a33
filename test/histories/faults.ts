import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { CosmosSimulator } from "../simulators/cosmos/simulator.ts";
import { type Instance, MAX_PENDING } from "./instances.ts";
import { now, type Recorder } from "./recorder.ts";
import type { Workload } from "./workload.ts";

/**
 * Does harm and undoes it. Resolves with a function that returns how many operations or requests were hit, once all
 * operations have ended.
 */
export type Fault = () => Promise<() => number>;

interface Target {
  readonly instances: readonly Instance[];
  readonly workload: Workload;
  readonly recorder: Recorder;
  /** From 0 to below 1. */
  readonly next: () => number;
  /** False where a sidecar may not survive that a read is cancelled: see sqlite.test.ts. */
  readonly mayCancelReads: boolean;
}

/** The faults of the service, the sidecar and the clients, which need no store of a kind. */
export function commonFaults(target: Target): Record<string, Fault> {
  const { instances, workload, recorder, next, mayCancelReads } = target;
  const between = (least: number, most: number) => least + next() * (most - least);
  const victim = () => instances[Math.floor(next() * instances.length)] as Instance;
  const during = (work: () => Promise<void>) => countDuring(recorder, work);

  async function restart(instance: Instance, name: "service" | "sidecar"): Promise<void> {
    await instance[name].end("SIGKILL");
    await sleep(between(0, 300));
    instance[name] = await instance[name].restart();
  }

  return {
    ...(mayCancelReads ? { "service killed": () => during(() => restart(victim(), "service")) } : {}),
    "sidecar killed": () => during(() => restart(victim(), "sidecar")),
    "service restarted": () =>
      during(async () => {
        const instance = victim();
        await instance.service.end("SIGTERM");
        instance.service = await instance.service.restart();
      }),
    "service and sidecar killed": () =>
      during(async () => {
        const instance = victim();
        await instance.service.end("SIGKILL");
        await restart(instance, "sidecar");
        instance.service = await instance.service.restart();
      }),
    "sidecar stopped": () =>
      during(async () => {
        const { pid } = victim().sidecar;
        process.kill(pid, "SIGSTOP");
        await sleep(between(300, mayCancelReads ? 2_500 : 700)); // the sidecar's own timeout is 800 ms
        process.kill(pid, "SIGCONT");
      }),
    "bodies cut": () => known(workload.abandonWrites(12, true)),
    "clients left": () => known(workload.abandonWrites(8, false)),
    "storms of outdated ETags": () => known(workload.storm(12)),
    "races for one entry": () => known(workload.race(12, 5)),
    "more writes than may wait": async () => {
      const pids = instances.map(({ sidecar }) => sidecar.pid);
      for (const pid of pids) process.kill(pid, "SIGSTOP"); // so that writes wait
      const refused = workload.flood(MAX_PENDING * instances.length + 20);
      await sleep(400);
      for (const pid of pids) process.kill(pid, "SIGCONT");
      return known(refused);
    },
  };
}

/** Another process holds the lock of the database file. */
export function sqliteFaults({ recorder, next }: Target, file: string): Record<string, Fault> {
  return {
    "store locked": () =>
      countDuring(recorder, async () => {
        const database = new DatabaseSync(file, { timeout: 0 });
        while (!tryToLock(database)) await sleep(1);
        await sleep(300 + next() * 1_200);
        database.exec("ROLLBACK");
        database.close();
      }),
  };
}

function tryToLock(database: DatabaseSync): boolean {
  try {
    database.exec("BEGIN EXCLUSIVE");
    return true;
  } catch {
    return false; // another connection has the lock
  }
}

export function cosmosFaults({ recorder, next }: Target, cosmos: CosmosSimulator): Record<string, Fault> {
  const during = (work: () => Promise<void>) => countDuring(recorder, work);

  /** Lets the next writes take effect, and answers something else. */
  async function failAfterEffect(answer: false | 408 | 503): Promise<number> {
    let hit = 0;
    const most = 5 + Math.floor(next() * 15);
    cosmos.after = ({ method, isQuery, status }) => {
      if (method === "GET" || isQuery || status === 207 || status >= 300 || hit === most) return true;
      hit++;
      return answer;
    };
    await sleep(600);
    cosmos.after = () => true;
    return hit;
  }

  return {
    "store slow": () =>
      during(async () => {
        cosmos.latencyMs = 150 + next() * 1_500;
        await sleep(500 + next() * 1_000);
        cosmos.latencyMs = 0;
      }),
    "store gone": () =>
      during(async () => {
        cosmos.setReachable(false);
        await sleep(300 + next() * 1_200);
        cosmos.setReachable(true);
      }),
    "store busy (429)": () =>
      during(async () => {
        cosmos.throttleNext(12, 150);
        await sleep(400);
      }),
    "connections cut after the effect": () => known(failAfterEffect(false)),
    "408 after the effect": () => known(failAfterEffect(408)),
    "503 after the effect": () => known(failAfterEffect(503)),
  };
}

async function countDuring(recorder: Recorder, work: () => Promise<void>): Promise<() => number> {
  const start = now();
  await work();
  const end = now();
  return () => recorder.countHits(start, end);
}

async function known(hits: Promise<number>): Promise<() => number> {
  const count = await hits;
  return () => count;
}
