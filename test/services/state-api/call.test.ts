import { EventEmitter } from "node:events";
import type { Request, Response } from "express";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CallerLeft, runCall } from "../../../services/state-api/call.ts";
import type { Call } from "../../../services/state-api/store.ts";

describe("runCall", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Runs work that settles on demand. */
  function run(timeoutMs = 100) {
    const req = { headers: {} } as Request;
    const res = Object.assign(new EventEmitter(), { writableFinished: false });
    const work = Promise.withResolvers<string>();
    let call: Call | undefined;
    const result = runCall(req, res as unknown as Response, timeoutMs, (given) => {
      call = given;
      return work.promise;
    });
    result.catch(() => {}); // tests await it later
    return { result, res, work, ended: () => call?.ended };
  }

  test("settles as its work does, and leaves no timer once the response is closed", async () => {
    const done = run();
    done.work.resolve("the result");
    expect(await done.result).toBe("the result");
    const failed = run();
    failed.work.reject(new Error("no"));
    await expect(failed.result).rejects.toThrow("no");
    for (const { res, ended } of [done, failed]) {
      res.writableFinished = true;
      res.emit("close");
      expect(ended()).toBeUndefined();
    }
    expect(vi.getTimerCount()).toBe(0);
  });

  test("rejects after the timeout, tells the work so, and ignores its result", async () => {
    const { result, work, ended } = run(100);
    vi.advanceTimersByTime(99);
    expect(ended()).toBeUndefined();
    vi.advanceTimersByTime(1);
    const late = { name: "StoreError", kind: "unavailable", message: "no response from the store within 100 ms" };
    expect(ended()).toMatchObject(late);
    work.resolve("too late");
    await expect(result).rejects.toMatchObject(late);
  });

  test("rejects when the caller disconnects before the response, and tells the work so", async () => {
    const { result, res, ended } = run();
    res.emit("close");
    await expect(result).rejects.toBeInstanceOf(CallerLeft);
    expect(ended()).toBeInstanceOf(CallerLeft);
    expect(ended()?.name).toBe("CallerLeft");
    expect(vi.getTimerCount()).toBe(0);
  });
});
