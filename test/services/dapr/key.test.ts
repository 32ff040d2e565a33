import type { Request } from "express";
import { describe, expect, test } from "vitest";
import { keyOf, keyRule } from "../../../services/dapr/key.ts";

const of = (key: string, prefix?: string) => keyOf({ params: { key } } as unknown as Request, prefix);

describe("keyOf", () => {
  test.each(["k", "a.b", "...", "Az09._~:@=+,-", "x".repeat(958)])("returns the key %s", (key) => {
    expect(of(key)).toBe(key);
  });

  test.each(["", ".", "..", "a/b", "a|b", "a%b", "a b", "é", "a\n", "x".repeat(959)])("refuses the key %j", (key) => {
    expect(() => of(key)).toThrow(
      expect.objectContaining({
        status: 400,
        code: "bad-key",
        message: "This key is not allowed",
        detail: `${keyRule(958)}.`,
      }),
    );
  });

  test("limits the length of the key together with its prefix", () => {
    expect(of("x".repeat(955), "abc")).toHaveLength(955);
    expect(() => of("x".repeat(956), "abc")).toThrow(expect.objectContaining({ detail: `${keyRule(955)}.` }));
  });
});

test("keyRule names the maximum length, by default 958, and the characters", () => {
  const rule = (length: number) =>
    `a key has 1 to ${length} of the characters A-Z a-z 0-9 . _ ~ : @ = + , - and is not "." or ".."`;
  expect([keyRule(), keyRule(7)]).toEqual([rule(958), rule(7)]);
});
