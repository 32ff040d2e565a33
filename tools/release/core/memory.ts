// What one run remembers between two looks. Nothing of it is needed to go on after a kill: the state is in Azure.
import type { Write } from "./action.ts";
import type { Goal } from "./goal.ts";
import type { State } from "./state.ts";
import type { Table } from "./table.ts";
import type { Progress } from "./tags.ts";

export interface Memory {
  /** The release that this run has seen under way or has started. */
  readonly following: string | undefined;
  /** When the phase that was seen last had started: Azure can show an older one again. */
  readonly newest: number;
  /** Since when Azure shows an older one. */
  readonly olderSince: number | undefined;
  /** What `promote` ends, as keyOf: not the step after it. */
  readonly approving: string | undefined;
  /** The tests that have passed, as testsOf: a look can be older than they are. */
  readonly tested: string | undefined;
  /** The release that failed, attempt and goingBackSince are about. */
  readonly about: string | undefined;
  /** When the last step started, as the tag of the bake said it: it can get lost. */
  readonly base: number | undefined;
  /** Once a failure was seen, nothing brings the traffic back up. */
  readonly failed: string | undefined;
  /** What this run has been trying to do since when. */
  readonly attempt: { readonly key: string; readonly since: number } | undefined;
  readonly goingBackSince: number | undefined;
  readonly foreignSince: number | undefined;
  /** The last write, until Azure shows it. */
  readonly pending: Pending | undefined;
  /** What a tick has changed: it ends when Azure has applied that, and does nothing else. */
  readonly changed: { readonly key: string | undefined; readonly since: number; readonly message: string } | undefined;
}

interface Pending {
  readonly moves: Write["moves"];
  readonly message: string;
  /** Azure has accepted it, and it raises the traffic: if Azure never shows it, the release goes back. */
  readonly isAwaited: boolean;
  /** From when on a failure that Azure shows is that of this write: milliseconds since 1970. */
  readonly failsFrom: number;
  /** Value of the tag before and after the write. */
  readonly before: string | undefined;
  readonly after: string;
  /** undefined: the write does not change it */
  readonly table: Table | undefined;
  readonly until: number;
}

export const emptyMemory: Memory = {
  following: undefined,
  newest: 0,
  olderSince: undefined,
  approving: undefined,
  tested: undefined,
  about: undefined,
  base: undefined,
  failed: undefined,
  attempt: undefined,
  goingBackSince: undefined,
  foreignSince: undefined,
  pending: undefined,
  changed: undefined,
};

export const isSwapping = ({ pending }: Memory) => pending?.after.includes(" phase=swapped ") === true;

/** One try of the tests. */
export const testsOf = ({ id, since }: Progress) => `${id} ${since}`;

/** A phase of a release, or one of its steps. */
export const keyOf = ({ id, phase, step }: Progress) => `${id}/${phase}/${step}`;

/** @param started id of the release that the goal asks for, if it asks for one */
export function remember(memory: Memory, goal: Goal, state: State, started: string | undefined, now: number): Memory {
  const foreignSince = state.kind === "foreign" ? (memory.foreignSince ?? now) : undefined;
  if (state.kind === "foreign" && state.release && goal.kind === "abort") {
    return { ...memory, foreignSince, following: state.release.progress.id };
  }
  if (state.kind !== "underway") return { ...memory, foreignSince };
  const { progress } = state;
  const isOurs = started === undefined ? state.isTagged : started === progress.id;
  const isBack = progress.phase === "back" && !state.isLost;
  const isSame = memory.about === undefined || memory.about === progress.id;
  const { failed, goingBackSince, attempt, base } = isSame ? memory : emptyMemory;
  return {
    ...memory,
    foreignSince,
    following: isOurs ? progress.id : memory.following,
    ...(isOurs ? newestOf(memory, progress.since, now) : {}),
    approving: goal.kind === "promote" ? (memory.approving ?? keyOf(progress)) : undefined,
    about: progress.id,
    base: progress.base ?? base,
    attempt,
    failed: failed ?? (isBack ? (progress.reason ?? "the release was sent back") : undefined),
    goingBackSince: goingBackSince ?? (isBack ? now : undefined),
  };
}

/** After a minute, the older phase is no old answer: somebody wrote it. */
const longestDelay = 60_000;

function newestOf({ newest, olderSince }: Memory, since: number, now: number): Pick<Memory, "newest" | "olderSince"> {
  if (since >= newest) return { newest: since, olderSince: undefined };
  const first = olderSince ?? now;
  return now - first < longestDelay ? { newest, olderSince: first } : { newest: since, olderSince: undefined };
}
