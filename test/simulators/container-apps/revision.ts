// What a revision is and does at a time. Azure shows it late, and in part wrongly.
import { seedOf } from "./random.ts";
import type { Template } from "./template.ts";
import type { Variant } from "./variants.ts";

export interface Revision {
  readonly name: string;
  readonly createdAt: number;
  readonly template: Template;
  readonly variant: Variant;
  /** From each activation to the deactivation. */
  readonly runs: Run[];
  /** When its replicas begin to crash; undefined: they do not. */
  crashesFrom: number | undefined;
}

interface Run {
  readonly from: number;
  /** Infinity: it has not ended. */
  to: number;
}

const second = 1_000;
/** How long a new revision is missing in the list. */
const hiddenFor = 3 * second;
/** How long Azure takes to show that a replica is ready, or that it crashes. */
const healthLag = 8 * second;

export function isVisible({ createdAt }: Revision, now: number): boolean {
  return now >= createdAt + hiddenFor;
}

/** The run at a time; undefined: it is not active. */
export function runAt({ runs }: Revision, at: number): Run | undefined {
  return runs.find(({ from, to }) => from <= at && at < to);
}

/** When the replicas of a run can serve requests, unless they crash before. */
export function readyAt({ variant }: Revision, { from }: Run): number {
  return from + variant.startup * second;
}

export function isReady(revision: Revision, at: number): boolean {
  const run = runAt(revision, at);
  const { crashesFrom = Number.POSITIVE_INFINITY } = revision;
  return run !== undefined && at >= readyAt(revision, run) && at < crashesFrom;
}

/** How often its replica has crashed: after 10 s, 20 s, 40 s and so on, up to every 5 minutes. */
export function countRestarts({ crashesFrom }: Revision, now: number): number {
  if (crashesFrom === undefined) return 0;
  let restarts = 0;
  for (let at = crashesFrom, pause = 10; at <= now; at += pause * second, pause = Math.min(300, 2 * pause)) restarts++;
  return restarts;
}

/** The states as Azure shows them. A revision that crashes is `Provisioned`. */
export function showStates(revision: Revision, now: number) {
  const { variant, crashesFrom, name } = revision;
  const run = runAt(revision, now);
  if (!run) return { provisioningState: "Deprovisioned", healthState: "None", runningState: "Stopped" };
  const age = now - run.from;
  if (age < 5 * second) return { provisioningState: "Provisioning", healthState: "None", runningState: "Processing" };
  if (variant.failsToActivate) {
    const provisioningError = "Error activating revision. The container did not start.";
    return {
      provisioningState: "Provisioned",
      provisioningError,
      healthState: "None",
      runningState: "ActivationFailed",
    };
  }
  if (crashesFrom !== undefined && now >= crashesFrom + healthLag) {
    const isLost = countRestarts(revision, now) > 3;
    const runningState = isLost ? "Failed" : "Degraded";
    return { provisioningState: "Provisioned", healthState: "Unhealthy", runningState };
  }
  if (now < readyAt(revision, run) + healthLag) {
    // `Activating` is documented nowhere.
    const runningState = age < 12 * second ? "Processing" : "Activating";
    return { provisioningState: "Provisioned", healthState: "None", runningState };
  }
  // Also without a scale rule, Azure shows RunningAtMaxScale for some.
  const runningState = seedOf(name) % 3 === 0 ? "RunningAtMaxScale" : "Running";
  return { provisioningState: "Provisioned", healthState: "Healthy", runningState };
}
