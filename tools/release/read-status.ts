// `status`: the release that is under way. Reads only.

import { type App, type Azure, AzureFault } from "./azure/azure.ts";
import { readAgreement } from "./bicep-variables.ts";
import { type Lock, lockOf } from "./core/lock.ts";
import { emptyMemory } from "./core/memory.ts";
import { type State, stateOf } from "./core/state.ts";
import { formatTime } from "./core/tags.ts";
import { nothingSeen, type Seen } from "./core/windows.ts";
import { commandFor, holdMessage, rolledBackMessage } from "./core/words.ts";
import type { Definition } from "./definition/definition.ts";
import { observe } from "./run/observe.ts";
import type { Probe } from "./run/probe.ts";
import type { Report } from "./show/report.ts";
import { summarize } from "./show/summarize.ts";

export interface Status extends Report {
  readonly state: State["kind"];
  /** Who works on the release. */
  readonly lock: { readonly owner: string; readonly until: string } | undefined;
  /** With these, a deployment of infra/bicep deploys what is live. Without a release under way. */
  readonly agreement: readonly string[];
}

export async function readStatus(definition: Definition, azure: Azure, probe: Probe): Promise<Status> {
  const app = await azure.readApp();
  const state = stateOf(definition, app);
  const seen = await look(definition, azure, probe, app, state);
  const now = azure.now();
  const lock = lockOf(app.tags, now);
  const message = messageOf(definition, state, lock, seen);
  const goal = { kind: "run", retry: false, once: true, allowQueue: false } as const;
  const situation = { definition, goal, app, state, seen, memory: emptyMemory, now };
  return {
    ...summarize(situation, { kind: "wait", until: now, message }),
    state: state.kind,
    lock: lock && { owner: lock.owner, until: formatTime(lock.expiry) },
    agreement: state.kind === "idle" ? await readAgreement(definition, state.live) : [],
  };
}

/** Each check once and without pauses. */
async function look(definition: Definition, azure: Azure, probe: Probe, app: App, state: State): Promise<Seen> {
  if (state.kind !== "underway") return nothingSeen;
  const checks = definition.checks.map((check) => (check.source === "probe" ? { ...check, failures: 1 } : check));
  const clock = { now: () => azure.now(), sleep: async () => {} };
  try {
    return await observe({ definition: { ...definition, checks }, azure, clock, probe }, state, app.domain);
  } catch (error) {
    if (!(error instanceof AzureFault)) throw error;
    return { ...nothingSeen, notes: [error.message] };
  }
}

function messageOf(definition: Definition, state: State, lock: Lock | undefined, seen: Seen): string {
  if (state.kind === "foreign") return state.message;
  if (state.kind === "idle") {
    const { live, last } = state;
    if (last?.phase === "rolled-back") return rolledBackMessage(last, live.name);
    return `no release is under way: all traffic is on ${live.name}`;
  }
  const { progress, nextName } = state;
  const unhealthy = seen.isUnhealthy ? `${nextName} is not healthy. ` : "";
  if (progress.hold) return unhealthy + holdMessage(definition, progress);
  const reason = progress.phase === "back" ? `${progress.reason}. ` : "";
  const who = lock
    ? `${lock.owner} works on it`
    : `nobody works on it. Go on with ${commandFor(definition, "run")}, or back with ${commandFor(definition, "abort")}`;
  return `${unhealthy}${reason}${who}`;
}
