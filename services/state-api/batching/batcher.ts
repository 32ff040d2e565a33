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

/** An item to send, and the callers that wait for its result. */
interface Member<Item, Result> {
  readonly item: Item;
  readonly waiting: Waiting<Item, Result>[];
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
  const members = mergeByKey(wanted, batching.keyOf);
  batching.observe(members.length);
  if (members.length === 1) await sendEach(batching, members);
  else await sendTogether(batching, members, shareCall(wanted));
}

/** Rejects the items whose callers no longer wait, and returns the others. */
function dropEnded<Item, Result>(batch: readonly Waiting<Item, Result>[]): Waiting<Item, Result>[] {
  return batch.filter(({ call, outcome }) => {
    if (call.ended) outcome.reject(call.ended);
    return !call.ended;
  });
}

/**
 * Makes one member for each key. Only reads share a key in a batch: writes to the same key wait for each other before
 * they get there.
 */
function mergeByKey<Item, Result>(
  batch: readonly Waiting<Item, Result>[],
  keyOf: (item: Item) => string,
): Member<Item, Result>[] {
  const members = new Map<string, Member<Item, Result>>();
  for (const each of batch) {
    const key = keyOf(each.item);
    const member = members.get(key);
    if (member) member.waiting.push(each);
    else members.set(key, { item: each.item, waiting: [each] });
  }
  return [...members.values()];
}

/** The call that serves all of `waiting`. It has ended when no caller waits any more. */
function shareCall(waiting: readonly { readonly call: Call }[]): Call {
  return {
    get ended() {
      const reasons = waiting.map(({ call }) => call.ended);
      return reasons.includes(undefined) ? undefined : reasons[0];
    },
    trace: () => shareTrace(waiting.map(({ call }) => call.trace())),
  };
}

/**
 * One bad item can fail a whole batch: the store rejects it, or the SDK cannot write it. So after a failure retry
 * singly. An outage fails all items: do not retry.
 */
async function sendTogether<Item, Result>(
  batching: Batching<Item, Result>,
  members: readonly Member<Item, Result>[],
  call: Call,
): Promise<void> {
  try {
    const items = members.map(({ item }) => item);
    const results = await batching.sendMany(items, call);
    members.forEach(({ waiting }, index) => {
      for (const { outcome } of waiting) outcome.resolve(results[index] as Result); // as many results as items
    });
  } catch (error) {
    const isOutage = error instanceof StoreError && error.kind === "unavailable";
    if (!isOutage) return sendEach(batching, members);
    for (const { waiting } of members) for (const { outcome } of waiting) outcome.reject(error);
  }
}

/** Each in the trace of its own callers, because the headers of a shared call may be what failed. */
async function sendEach<Item, Result>(
  { sendOne }: Batching<Item, Result>,
  members: readonly Member<Item, Result>[],
): Promise<void> {
  const settle = async ({ item, waiting }: Member<Item, Result>) => {
    try {
      const result = await sendOne(item, shareCall(waiting));
      for (const { outcome } of waiting) outcome.resolve(result);
    } catch (error) {
      for (const { outcome } of waiting) outcome.reject(error);
    }
  };
  await Promise.all(members.map(settle));
}
