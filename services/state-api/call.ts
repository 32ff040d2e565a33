import type { Request, Response } from "express";
import { traceOf } from "../shared/trace.ts";
import { type Call, StoreError } from "./store.ts";

/** Why nobody waits any more: the caller hung up. There is no one to answer. */
export class CallerLeft extends Error {}

/** The Call of a request: it ends when the caller leaves or has waited for `timeoutMs`. */
export function callOf(req: Request, res: Response, timeoutMs: number): Call {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new StoreError("unavailable", `the store gave no answer within ${timeoutMs} ms`));
  }, timeoutMs);
  res.once("close", () => {
    clearTimeout(timer);
    if (!res.writableFinished) controller.abort(new CallerLeft());
  });
  return { signal: controller.signal, traceparent: traceOf(req).traceparent };
}

/** The outcome of `work`, or the reason why `call` ended before it. The work itself goes on. */
export function until<T>({ signal }: Call, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const ended = () => reject(signal.reason);
    signal.addEventListener("abort", ended);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", ended));
  });
}
