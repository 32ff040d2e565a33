// Looks at what a state must be judged by.
import { type Azure, AzureFault, type RequestCounts } from "../azure/azure.ts";
import type { Counts } from "../core/judge.ts";
import type { Underway } from "../core/state.ts";
import { failureOf } from "../core/verdict.ts";
import { type CheckLook, lookAt, nothingSeen, type Seen, type Sides, type Window } from "../core/windows.ts";
import type { Definition, ProbeCheck, RatioCheck } from "../definition/definition.ts";
import type { Clock } from "./clock.ts";
import { isGood, type Probe } from "./probe.ts";

interface Observer {
  readonly definition: Definition;
  readonly azure: Azure;
  readonly clock: Clock;
  readonly probe: Probe;
}

/** A revision that is unhealthy for this long does not come back by itself soon enough. */
const [unhealthyLooks, unhealthyPause] = [6, 10_000];

/**
 * The quick signs come first, and health last of them, because it takes a minute. The first failure among them ends the
 * look, so that the traffic goes back within seconds.
 *
 * @param domain of the addresses of the app
 * @param isSwapping the last write removes the label of the new revision
 */
export async function observe(
  observer: Observer,
  state: Underway,
  domain: string | undefined,
  isSwapping = false,
): Promise<Seen> {
  const { definition, azure } = observer;
  const look = lookAt(definition, state, isSwapping, azure.now());
  const notes: string[] = [];
  const silent = new Set<string>();
  for (const check of look.probes) {
    const found = await probeBoth(observer, check, domain);
    if (found === "failing") return { ...nothingSeen, failing: new Set([check.name]) };
    if (found === "silent") {
      silent.add(check.name);
      notes.push(`Check ${check.name}: GET ${check.get} fails at both labels.`);
    }
  }
  const replicas = look.needsReplicas ? await ask(() => azure.readReplicas(state.nextName)) : undefined;
  const restarts = replicas?.reduce((sum, replica) => sum + replica.restarts, 0);
  const notReady = replicas?.find(({ details }) => details !== undefined)?.details;
  const quick = { ...nothingSeen, restarts, notReady };
  if (failureOf(definition, state, quick) !== undefined) return quick;
  if (look.needsHealth && (await staysUnhealthy(observer, state))) return { ...quick, isUnhealthy: true };
  const counts = new Map<string, Sides>();
  for (const one of look.counts) {
    const { check } = one;
    const sides = await ask(() => countSides(azure, one, state));
    if (sides) counts.set(check.name, sides);
  }
  return { ...quick, silent, counts, notes };

  /** Without an answer the release goes on: too little to judge by is inconclusive. */
  async function ask<Answer>(question: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof AzureFault)) throw error;
      notes.push(error.message);
      return undefined;
    }
  }
}

async function staysUnhealthy({ azure, clock }: Observer, { next, nextName }: Underway): Promise<boolean> {
  let revision = next;
  for (let looks = 0; isUnhealthy(revision); looks += 1) {
    if (looks === unhealthyLooks) return true;
    await clock.sleep(unhealthyPause);
    try {
      const app = await azure.readApp();
      revision = app.revisions.find(({ name }) => name === nextName);
    } catch (error) {
      if (!(error instanceof AzureFault)) throw error;
    }
  }
  return false;
}

/** Also when Azure does not show it, or somebody stopped it: a look can be older than the last write. */
function isUnhealthy(revision: Underway["next"]): boolean {
  return !revision?.isActive || revision.health === "unhealthy";
}

async function probeBoth(
  { definition, clock, probe }: Observer,
  { get, every, failures }: ProbeCheck,
  domain: string | undefined,
): Promise<"good" | "failing" | "silent"> {
  const { next, live } = definition.labels;
  for (let probes = 1; probes <= failures; probes += 1) {
    if (isGood(await probe(labelUrl(definition, next, domain) + get))) return "good";
    if (probes < failures) await clock.sleep(every * 1000);
  }
  return isGood(await probe(labelUrl(definition, live, domain) + get)) ? "failing" : "silent";
}

export function labelUrl({ app }: Definition, label: string, domain: string | undefined): string {
  return `https://${app}---${label}.${domain}`;
}

async function countSides(
  azure: Azure,
  { check, next, live, turn, probes }: CheckLook,
  { nextName, progress }: Underway,
): Promise<Sides> {
  const own = await countRequests(azure, check, next);
  const isSame = next.from === live.from && next.to === live.to;
  const old = isSame ? own : await countRequests(azure, check, live);
  return { next: own.get(nextName) ?? none, live: old.get(progress.from) ?? none, turn, probes };
}

const none: Counts = { bad: 0, total: 0 };

/** The requests that a check compares, by revision. */
export async function countRequests(
  azure: Azure,
  { source, over }: RatioCheck,
  { from, to }: Window,
): Promise<RequestCounts> {
  if (to <= from) return new Map();
  return source === "metrics" ? azure.countErrors(from, to) : azure.countSlow(from, to, over ?? 1);
}
