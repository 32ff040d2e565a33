// A write is done when Azure shows it: Azure may accept one and apply it late or never, and show an older state.

import type { App } from "../azure/azure.ts";
import type { Definition } from "../definition/definition.ts";
import type { Write } from "./action.ts";
import { patience } from "./limits.ts";
import { isSwapping, type Memory } from "./memory.ts";
import { isSameTable, tableOf } from "./table.ts";
import { formatProgress, parseProgress, releaseTag } from "./tags.ts";

/** How long a write without an answer, or one that raises nothing, may stay invisible before it is decided again. */
const retryAfter = 30_000;

/** How long Azure may show an older state after it has accepted a write. */
const shownWithin = 15_000;

/**
 * @param app before the write
 * @param isAccepted Azure has accepted the write; false: it may have
 */
export function expect(
  memory: Memory,
  { labels }: Definition,
  app: App,
  write: Write,
  isAccepted: boolean,
  now: number,
) {
  const { moves, traffic, progress, message } = write;
  const isAwaited = isAccepted && moves === "up";
  const pending = {
    moves,
    message,
    isAwaited,
    failsFrom: isAwaited && app.failure === undefined ? now + shownWithin : Number.POSITIVE_INFINITY,
    before: app.tags[releaseTag],
    after: formatProgress(progress),
    table: traffic && tableOf({ ...app, traffic }, labels),
    until: now + (isAwaited ? patience.up : retryAfter),
  };
  return { ...memory, pending };
}

/** Forgets the last write when Azure shows it, when another write came after it, and when the time for it is over. */
export function confirm(memory: Memory, { labels }: Definition, app: App, now: number): Memory {
  const { pending } = memory;
  if (!pending) return memory;
  const { table, after, before, until, isAwaited, failsFrom, message } = pending;
  const tag = app.tags[releaseTag];
  const isSame = tag === after && (!table || isSameTable(table, tableOf(app, labels)));
  // While Azure applies it, it can still take it back. Nothing goes back from the swap, which ends without that.
  const isShown = isSame && !(isAwaited && app.isBusy && !isSwapping(memory));
  const isOvertaken = tag !== after && tag !== before && !isOlder(tag, after);
  if (isShown || isOvertaken) return { ...memory, pending: undefined };
  if (now >= failsFrom && app.failure !== undefined && !app.isBusy && tag === before) {
    const failed = memory.failed ?? `Azure took this back: ${message} (${app.failure})`;
    return { ...memory, pending: undefined, failed };
  }
  if (now < until) return memory;
  const failed = isAwaited ? `Azure accepted this, but did not apply it within 5 minutes: ${message}` : undefined;
  return { ...memory, pending: undefined, failed: memory.failed ?? failed };
}

/** An older write of the same release: Azure shows it late. */
function isOlder(tag: string | undefined, after: string): boolean {
  const [shown, written] = [parseProgress(tag), parseProgress(after)];
  return shown !== undefined && written !== undefined && shown.id === written.id && shown.since < written.since;
}
