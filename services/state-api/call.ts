import type { Request, Response } from "express";
import { traceOf } from "../runtime/trace.ts";
import { type Call, StoreError } from "./store.ts";

/** The caller disconnected before the response. */
export class CallerLeft extends Error {
  override readonly name = "CallerLeft";
}

/**
 * Runs `work` for a request. Settles with `work`'s result, or rejects as soon as the caller disconnects or `timeoutMs`
 * have passed. Work that has begun by then continues, because a write that was sent cannot be taken back.
 * @throws {CallerLeft}
 * @throws {StoreError} `unavailable` after the timeout
 */
export function runCall<T>(
  req: Request,
  res: Response,
  timeoutMs: number,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    // Not an AbortSignal: creating and releasing one costs as much as the rest of this function, on every request.
    const call: Call = {
      ended: undefined,
      trace: () => traceOf(req),
    };
    const end = (reason: Error) => {
      call.ended = reason;
      reject(reason);
    };
    const timer = setTimeout(() => {
      end(new StoreError("unavailable", `no response from the store within ${timeoutMs} ms`));
    }, timeoutMs);
    res.once("close", () => {
      clearTimeout(timer);
      if (!res.writableFinished) end(new CallerLeft());
    });
    work(call).then(resolve, reject);
  });
}
