import { shareTrace } from "../../runtime/trace.ts";
import { type Call, StoreError } from "../store.ts";

/** Large enough to spread the cost of a sidecar call thin, small enough that a slow item does not delay many others. */
const MAX_BATCH = 64;
/** The sidecar accepts a body of 4 MiB. The rest is for keys and metadata. */
const MAX_BATCH_BYTES = 3 * 1_048_576;
/**
 * How long items gather while another batch is at the store, in milliseconds. A local store responds sooner, so it gets
 * one batch at a time, each as large as possible. A distant store gets batches at this pace.
 */
const GATHER_MS = 2;
const MAX_IN_FLIGHT = 8;

interface Batching<Item, Result> {
  keyOf(item: Item): string;
  /** About as many bytes as the item adds to the call. */
  bytesOf(item: Item): number;
  sendOne(item: Item, call: Call): Promise<Result>;
  /** Resolves with the results in the order of the items. The keys of the items differ. */
  sendMany(items: readonly Item[], call: Call): Promise<readonly Result[]>;
  /** Called with the number of items of every batch. */
  observe(size: number): void;
}

/** An item that a caller waits for. */
interface Waiting<Item, Result> {
  readonly item: Item;
  readonly call: Call;
  readonly outcome: PromiseWithResolvers<Result>;
}

/**
 * Sends items in batches. The first item is sent at once; items that arrive while it is at the store are sent together.
 */
export function createBatcher<Item, Result>(batching: Batching<Item, Result>) {
  let queue: Waiting<Item, Result>[] = [];
  let inFlight = 0;
  let gathering: NodeJS.Timeout | undefined;

  function depart(): void {
    clearTimeout(gathering);
    gathering = undefined;
    if (queue.length === 0 || inFlight === MAX_IN_FLIGHT) return;
    const size = countFitting(queue, batching);
    const batch = queue.slice(0, size);
    queue = queue.slice(size);
    inFlight++;
    sendBatch(batching, batch).finally(() => {
      inFlight--;
      depart();
    });
    if (queue.length > 0) gathering = setTimeout(depart, GATHER_MS);
  }

  return {
    add(item: Item, call: Call): Promise<Result> {
      const outcome = Promise.withResolvers<Result>();
      queue.push({ item, call, outcome });
      if (inFlight === 0 || queue.length === MAX_BATCH) depart();
      else gathering ??= setTimeout(depart, GATHER_MS);
      return outcome.promise;
    },
  };
}

/** How many items at the head of the queue make a batch: at least one. */
function countFitting<Item, Result>(
  queue: readonly Waiting<Item, Result>[],
  { bytesOf }: Batching<Item, Result>,
): number {
  let bytes = 0;
  let count = 0;
  for (const { item } of queue) {
    bytes += bytesOf(item);
    if (count === MAX_BATCH || (count > 0 && bytes > MAX_BATCH_BYTES)) break;
    count++;
  }
  return count;
}

/** Settles the outcome of every item; never rejects. */
async function sendBatch<Item, Result>(
  batching: Batching<Item, Result>,
  batch: readonly Waiting<Item, Result>[],
): Promise<void> {
  const wanted = dropEnded(batch);
  if (wanted.length === 0) return;
  // The call belongs to no single caller, so none of them ends it.
  const call: Call = { ended: undefined, trace: () => shareTrace(wanted.map(({ call }) => call.trace())) };
  const members = mergeByKey(wanted, batching.keyOf);
  batching.observe(members.length);
  if (members.length === 1) await sendEach(batching, members, () => call);
  else await sendTogether(batching, members, call);
}

/** Rejects the items whose callers no longer wait, and returns the others. */
function dropEnded<Item, Result>(batch: readonly Waiting<Item, Result>[]): Waiting<Item, Result>[] {
  return batch.filter(({ call, outcome }) => {
    if (call.ended) outcome.reject(call.ended);
    return !call.ended;
  });
}

/**
 * Keeps one item for each key and settles the others with it. Only reads share a key in a batch: writes to the same key
 * wait for each other before they get there.
 */
function mergeByKey<Item, Result>(
  batch: readonly Waiting<Item, Result>[],
  keyOf: (item: Item) => string,
): Waiting<Item, Result>[] {
  const members = new Map<string, Waiting<Item, Result>>();
  for (const waiting of batch) {
    const key = keyOf(waiting.item);
    const member = members.get(key);
    if (member) member.outcome.promise.then(waiting.outcome.resolve, waiting.outcome.reject);
    else members.set(key, waiting);
  }
  return [...members.values()];
}

/**
 * One bad item can fail a whole batch: the store rejects it, or the SDK cannot write it. So after a failure retry
 * singly. An outage fails all items: do not retry.
 */
async function sendTogether<Item, Result>(
  batching: Batching<Item, Result>,
  members: readonly Waiting<Item, Result>[],
  shared: Call,
): Promise<void> {
  try {
    const items = members.map(({ item }) => item);
    const results = await batching.sendMany(items, shared);
    members.forEach(({ outcome }, index) => {
      outcome.resolve(results[index] as Result); // sendMany returns as many results as it gets items
    });
  } catch (error) {
    const isOutage = error instanceof StoreError && error.kind === "unavailable";
    // In the trace of each caller: the headers of the shared call may be what failed.
    if (!isOutage) return sendEach(batching, members, ({ call }) => ({ ...shared, trace: call.trace }));
    for (const { outcome } of members) outcome.reject(error);
  }
}

async function sendEach<Item, Result>(
  { sendOne }: Batching<Item, Result>,
  members: readonly Waiting<Item, Result>[],
  callFor: (member: Waiting<Item, Result>) => Call,
): Promise<void> {
  const settle = (member: Waiting<Item, Result>) =>
    sendOne(member.item, callFor(member)).then(member.outcome.resolve, member.outcome.reject);
  await Promise.all(members.map(settle));
}
