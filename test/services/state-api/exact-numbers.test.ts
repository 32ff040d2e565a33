import { describe, expect, test } from "vitest";
import { fromStored, toStored } from "../../../services/state-api/exact-numbers.ts";

const nested = (levels: number, value: unknown) => {
  let result = value;
  for (let level = 0; level < levels; level++) result = [result];
  return result;
};

describe("toStored and fromStored", () => {
  test.each([
    [null],
    [true],
    ["text"],
    [""],
    ["a json: in the middle"],
    [{ text: "json:x", list: [null, "text", 12.5, -0.000001, 1e20] }],
    [0.123456],
    [83_886_080.1234567], // the component prints greater numbers exactly
    [-83_886_080.1234567],
  ])("keep %j", (value) => {
    expect(toStored(value)).toBe(value);
    expect(fromStored(value)).toBe(value);
  });

  test.each([
    [0.1234567, "json:0.1234567"],
    [-1e-7, "json:-1e-7"],
    [83_886_078.1234567, "json:83886078.1234567"],
    [{ a: ["text", null, { b: 1.12345678 }], c: 1 }, 'json:{"a":["text",null,{"b":1.12345678}],"c":1}'],
    ["json:", 'json:"json:"'],
    ["json:[1]", 'json:"json:[1]"'],
  ])("store %j as the text %j", (value, stored) => {
    expect(toStored(value)).toBe(stored);
    expect(fromStored(stored)).toEqual(value);
  });

  test("look into a value of any depth", () => {
    const fine = nested(20_000, 1);
    expect(toStored(fine) === fine).toBe(true);
  });

  test.each(["json:", "json:{", "json", "JSON:1"])("read %j, which another application wrote, as it is", (stored) => {
    expect(fromStored(stored)).toBe(stored);
  });
});
