import type { Request, Response } from "express";
import { traceOf } from "../runtime/trace.ts";
import { type Call, StoreError } from "./store.ts";

/** Why nobody waits any more: the caller hung up. There is no one to answer. */
export class CallerLeft extends Error {
  override readonly name = "CallerLeft";
}

/**
 * The outcome of `work`, or the reason why its caller no longer waits for it: gone, or longer than `timeoutMs`. The work
 * itself goes on, except for what has not begun by then.
 */
export function whileWaiting<T>(
  req: Request,
  res: Response,
  timeoutMs: number,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    // Not an AbortSignal: making and releasing one costs as much as the rest of this function, for each request.
    const call: Call = {
      ended: undefined,
      traceparent: () => traceOf(req).traceparent,
    };
    const end = (reason: Error) => {
      call.ended = reason;
      reject(reason);
    };
    const timer = setTimeout(() => {
      end(new StoreError("unavailable", `the store gave no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    res.once("close", () => {
      clearTimeout(timer);
      if (!res.writableFinished) end(new CallerLeft());
    });
    work(call).then(resolve, reject);
  });
}
