// Ctrl-C: the release stays as it is, and another run can go on with it at once.
import { isDeepStrictEqual } from "node:util";
import type { Azure, Change } from "../azure/azure.ts";
import { lockOf, withoutLock } from "../core/lock.ts";

export interface Interruptible {
  readonly azure: Azure;
  /**
   * Starts no more writes, and drops the lock of the run. A write of tags replaces all of them: if Azure does not show
   * the last write yet, the lock stays and expires, because dropping it would bring back the tags of before.
   *
   * @returns when the lock that is left expires; undefined: there is none
   */
  stop(): Promise<number | undefined>;
}

/** @param owner of the run that uses `azure` */
export function makeInterruptible(azure: Azure, owner: string): Interruptible {
  let isStopped = false;
  let writing: Promise<void> = Promise.resolve();
  let last: Change["tags"];
  const start = (write: () => Promise<void>): Promise<void> => {
    if (isStopped) return new Promise<never>(() => {});
    writing = write();
    return writing;
  };
  return {
    azure: {
      ...azure,
      patch(change, check) {
        last = change.tags ?? last;
        return start(() => azure.patch(change, check));
      },
      setActive: (revision, active, check) => start(() => azure.setActive(revision, active, check)),
    },
    async stop() {
      isStopped = true;
      await writing;
      const app = await azure.readApp();
      const isShown = last === undefined || isDeepStrictEqual({ ...app.tags }, { ...last });
      const lock = lockOf(isShown ? app.tags : (last ?? {}), azure.now());
      if (lock?.owner !== owner) return undefined;
      if (app.isBusy || !isShown) return lock.expiry;
      await azure.patch({ tags: withoutLock(app.tags) });
      return undefined;
    },
  };
}
