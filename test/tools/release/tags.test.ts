import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lockOf, withLock, withoutLock } from "../../../tools/release/core/lock.ts";
import {
  formatProgress,
  holds,
  maxLength,
  type Progress,
  parseProgress,
  phases,
} from "../../../tools/release/core/tags.ts";

const times = fc.integer({ min: 1_700_000_000, max: 2_500_000_000 }).map((seconds) => seconds * 1000);
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });

/** Names are as long as Azure allows. */
const progresses: fc.Arbitrary<Progress> = fc.record({
  id: fc.stringMatching(/^r[0-9a-f]{8}$/),
  phase: fc.constantFrom(...phases),
  step: fc.integer({ min: 0, max: 99 }),
  since: times,
  from: fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/),
  base: optional(times),
  restarts: optional(fc.integer({ min: 0, max: 999 })),
  approved: optional(fc.constantFrom("yes", "forced")),
  hold: optional(fc.constantFrom(...holds)),
  reason: optional(fc.stringMatching(/^[!-~]([ -~]{0,400}[!-~])?$/)),
});

describe("the tag of a release", () => {
  test("is readable", () => {
    const since = Date.parse("2026-11-26T11:00:00Z");
    const progress = { id: "r12345678", phase: "step", step: 2, since, from: "welcome--a" } as const;
    expect(formatProgress({ ...progress, hold: "confirm" })).toBe(
      "id=r12345678 phase=step step=2 since=2026-11-26T11:00:00Z from=welcome--a hold=confirm",
    );
  });

  test("keeps all of the progress but the end of a long reason, and is never longer than Azure allows", () => {
    fc.assert(
      fc.property(progresses, (progress) => {
        const text = formatProgress(progress);
        expect(text.length).toBeLessThanOrEqual(maxLength);
        const { reason: read, ...others } = parseProgress(text) ?? {};
        const { reason: written, ...wanted } = progress;
        expect(others).toEqual(wanted);
        if (written === undefined) expect(read).toBeUndefined();
        else expect(written.replace(/\s+/g, " ").startsWith(read ?? "?")).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    undefined,
    "",
    "blue",
    "id=r12345678 phase=step step=2 from=welcome--a",
    "id=r12345678 phase=gone step=2 since=2026-11-26T11:00:00Z from=welcome--a",
    "id=x phase=step step=2 since=2026-11-26T11:00:00Z from=welcome--a",
    "id=r12345678 phase=step step=2 since=2026-99-26T11:00:00Z from=welcome--a",
    "id=r12345678 phase=step step=-1 since=2026-11-26T11:00:00Z from=welcome--a",
  ])("is no progress when a part of it is missing or wrong: %s", (text) => {
    expect(parseProgress(text)).toBeUndefined();
  });

  test("with any text is read without an error", () => {
    // Half surrogate pairs, too. The unit "binary" takes seconds to prepare.
    const unit = fc.nat(0xffff).map((code) => String.fromCharCode(code));
    fc.assert(
      fc.property(fc.string({ unit }), (text) => {
        parseProgress(text);
        parseProgress(`id=r12345678 phase=step ${text}`);
      }),
    );
  });
});

describe("the tag of the lock", () => {
  const now = Date.parse("2026-11-26T11:00:00Z");

  test("names its owner for 5 minutes, and keeps the other tags", () => {
    const tags = withLock({ team: "a" }, "runner-1", now);
    expect(tags).toEqual({ team: "a", "release-lock": "runner-1 2026-11-26T11:05:00Z" });
    expect(lockOf(tags, now + 299_000)).toEqual({ owner: "runner-1", expiry: now + 300_000 });
    expect(lockOf(tags, now + 300_000)).toBeUndefined();
    expect(withoutLock(tags)).toEqual({ team: "a" });
  });

  test.each(["", "runner-1", "runner-1 soon", "runner-1 2026-11-26T11:05:00Z more"])(
    "that is %j locks nothing",
    (tag) => {
      expect(lockOf({ "release-lock": tag }, now)).toBeUndefined();
    },
  );
});
