import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { CosmosSimulator } from "../simulators/cosmos/simulator.ts";
import { freeze } from "../support/freeze.ts";
import type { Process } from "../support/processes.ts";
import { cancelRead, saveAt } from "./cancelled-reads.ts";
import { type Instance, MAX_PENDING } from "./instances.ts";
import { now, type Recorder } from "./recorder.ts";
import type { Workload } from "./workload.ts";

/**
 * Makes a part fail for a while, and repairs it. Resolves with a function that returns how many operations or requests
 * were hit, once all operations have ended.
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
  const victim = () => victimOf(target);
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
    // When it goes on, it ends the requests whose time is over, and closes their connections to the sidecar.
    ...(mayCancelReads ? { "service stopped": () => during(() => stop(victim().service, between(300, 2_500))) } : {}),
    "sidecar stopped": () =>
      during(() => stop(victim().sidecar, mayCancelReads ? between(300, 2_500) : between(200, SHORT_STOP_MS))),
    "bodies cut": () => known(workload.abandonWrites(12, true)),
    "clients left": () => known(workload.abandonWrites(8, false)),
    "storms of outdated ETags": () => known(workload.storm(12)),
    "more writes than may wait": async () => {
      const before = workload.refused();
      // The writes wait while the sidecars are stopped.
      const sidecars = instances.map(({ sidecar }) => sidecar);
      const refused = await frozen(sidecars, async () => {
        const flood = workload.flood(MAX_PENDING * instances.length + 20);
        await waitFor(() => workload.refused() > before, mayCancelReads ? WAIT_MS : SHORT_STOP_MS);
        return { flood };
      });
      return known(refused.flood);
    },
  };
}

/** Draws an instance. */
function victimOf({ instances, next }: Target): Instance {
  return instances[Math.floor(next() * instances.length)] as Instance;
}

/** Maximum time for a fault to hit something. */
const WAIT_MS = 3_000;

/** A stop that cancels no read: the timeout of resiliency.yaml is 600 ms. */
const SHORT_STOP_MS = 400;

/** Resolves when the condition holds, or after a time. */
async function waitFor(holds: () => boolean, timeoutMs = WAIT_MS): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!holds() && performance.now() < deadline) await sleep(10);
}

/** Stops a process for this time. */
async function stop(victim: Process, milliseconds: number): Promise<void> {
  const start = performance.now();
  await frozen([victim], () => sleep(Math.max(0, milliseconds - (performance.now() - start))));
}

/** Stops these processes while `work` runs. */
async function frozen<T>(processes: readonly Process[], work: () => Promise<T>): Promise<T> {
  const pids = processes.map(({ pid }) => pid);
  try {
    await Promise.all(pids.map(freeze));
    return await work();
  } finally {
    for (const pid of pids) process.kill(pid, "SIGCONT");
  }
}

/** Another process holds the lock of the database file, and reads of another client of the sidecar are cancelled. */
export function sqliteFaults(target: Target, file: string): Record<string, Fault> {
  const { recorder, next, mayCancelReads } = target;

  async function cancelReads(): Promise<number> {
    const { sidecar } = victimOf(target);
    await saveAt(sidecar, "cancelled", 1);
    let count = 0;
    for (let index = 0; index < 10; index++) if (await cancelRead(sidecar, "cancelled", next)) count++;
    return count;
  }

  return {
    ...(mayCancelReads ? { "reads cancelled": () => known(cancelReads()) } : {}),
    "store locked": () =>
      countDuring(recorder, async (hit) => {
        const database = new DatabaseSync(file, { timeout: 0 });
        while (!tryToLock(database)) await sleep(1);
        await sleep(300 + next() * 1_200);
        await hit();
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
  const during = (work: (hit: () => Promise<void>) => Promise<void>) => countDuring(recorder, work);

  /** Lets the next writes take effect, and answers something else. */
  async function failAfterEffect(answer: false | 408 | 503): Promise<number> {
    let hit = 0;
    const most = 5 + Math.floor(next() * 15);
    cosmos.after = ({ method, isQuery, status }) => {
      if (method === "GET" || isQuery || status === 207 || status >= 300 || hit === most) return true;
      hit++;
      return answer;
    };
    await waitFor(() => hit > 0);
    await sleep(300); // for more of them
    cosmos.after = () => true;
    return hit;
  }

  return {
    "store slow": () =>
      during(async (hit) => {
        cosmos.latencyMs = 150 + next() * 1_500;
        await sleep(500 + next() * 1_000);
        await hit();
        cosmos.latencyMs = 0;
      }),
    "store gone": () =>
      during(async (hit) => {
        cosmos.setReachable(false);
        await sleep(300 + next() * 1_200);
        await hit();
        cosmos.setReachable(true);
      }),
    "store busy (429)": () =>
      during(async (hit) => {
        cosmos.throttleNext(12, 150);
        await hit();
      }),
    "connections cut after the effect": () => known(failAfterEffect(false)),
    "408 after the effect": () => known(failAfterEffect(408)),
    "503 after the effect": () => known(failAfterEffect(503)),
  };
}

/** Gives `work` a function that resolves when an operation was hit. */
async function countDuring(
  recorder: Recorder,
  work: (hit: () => Promise<void>) => Promise<void>,
): Promise<() => number> {
  const start = now();
  await work(() => waitFor(() => recorder.countHits(start, now()) > 0));
  const end = now();
  return () => recorder.countHits(start, end);
}

async function known(hits: Promise<number>): Promise<() => number> {
  const count = await hits;
  return () => count;
}
