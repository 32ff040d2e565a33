import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";

interface Answer {
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Nobody answered within the time given. */
export class LateError extends Error {
  override readonly name = "LateError";
}

/**
 * Sends a request and reads the whole answer, a text.
 * Undici's `request` and `fetch` make a stream of every body and an AbortSignal of every time-out; without them a request
 * costs half the CPU.
 * @param timeoutMs counts from the call to the last byte, the wait for a free connection included
 * @throws {LateError} and what undici throws when nobody is there or the connection breaks
 */
export function requestText(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  timeoutMs: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let statusCode = 0;
    let headers: IncomingHttpHeaders = {};
    let sent: Dispatcher.DispatchController | undefined;
    let late: LateError | undefined;
    const timer = setTimeout(() => {
      late = new LateError(`no answer within ${timeoutMs} ms`);
      reject(late);
      sent?.abort(late);
    }, timeoutMs);
    dispatcher.dispatch(options, {
      onRequestStart(controller) {
        sent = controller;
        if (late) controller.abort(late);
      },
      onResponseStart(_controller, status, received) {
        statusCode = status;
        headers = received;
      },
      onResponseData(_controller, chunk) {
        chunks.push(chunk);
      },
      onResponseEnd() {
        clearTimeout(timer);
        resolve({ statusCode, headers, text: Buffer.concat(chunks).toString() });
      },
      onResponseError(_controller, error) {
        clearTimeout(timer);
        reject(error);
      },
    });
  });
}
