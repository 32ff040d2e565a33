// A virtual clock in seconds. Each operation moves it by the time that the operation takes on Azure, so that a test
// sees in milliseconds what depends on minutes: a role that was assigned too shortly before it is needed.

export interface Clock {
  now: number;
}

/** Shortest durations. A role can still be late on Azure: docs/verification.md. */
const durations: Readonly<Record<string, number>> = {
  "microsoft.app/managedenvironments": 60,
  "microsoft.containerservice/managedclusters": 180,
  "microsoft.documentdb/databaseaccounts": 90,
  "microsoft.network/privateendpoints": 20,
};

export function durationOf(type: string): number {
  return durations[type.toLowerCase()] ?? 1;
}

export function startClock(): Clock {
  return { now: Date.now() / 1000 };
}
