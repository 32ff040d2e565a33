import { describe, expect, test } from "vitest";
import { parseJson, parseMeasured } from "../../../services/runtime/json.ts";
import { Problem } from "../../../services/runtime/problem.ts";

function refusalOf(text: string): Problem {
  try {
    parseJson(text);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error(`accepted: ${text.slice(0, 100)}`);
}

describe("parseJson", () => {
  test.each([
    "0",
    "-0",
    "9007199254740991",
    "-9007199254740992",
    "123456789012345680000",
    "0.1",
    "0.30000000000000004",
    "1.50e3",
    "1E+2",
    "1e21",
    "5e-324",
    "1.7976931348623157e308",
    "0e999",
    "0.000000000000000000000000",
    "1000000000000000000000000000000",
    '"12345678901234567890 1e400"',
    '"\\\\" ',
    '{"a\\"":[12,{"b":"\\\\\\""}]}',
    '"\\ud83d\\ude00"',
    '"\\\\ud800"',
    '[{"a":1},null]',
    "0.001e-5",
    "1.0100e2",
  ])("accepts %s and returns what JSON.parse returns", (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ["12345678901234567890", "the top of the document"],
    ["[1, -9007199254740993]", "/1"],
    ['{"a":{"b/c":[0,{"d~":1e400}]}}', "/a/b~1c/1/d~0"],
    ['{"first":"{[,","x":[[],{},"\\"",1e-400]}', "/x/3"],
    ["[0.10000000000000001]", "/0"],
    ['["\\"[[,",12345678901234567]', "/1"],
    ['{"":123456789012345678}', "/"],
  ])("refuses the number in %s, which a double cannot hold, and names its place", (text, place) => {
    const { status, code, detail } = refusalOf(text);
    expect({ status, code, detail }).toEqual({
      status: 400,
      code: "not-storable",
      detail: `At ${place}: a double (IEEE 754) cannot hold the number. Send the number as a string.`,
    });
  });

  test.each([
    ['{"a":1,"a":1}', "/a"],
    ['[{"a":{},"b":[{"c":"{,","c\\"":0}]},{"x":{"y":1,"z":[],"\\u0079":2}}]', "/1/x/y"],
    ['{"":1,"__proto__":2,"__proto__":3}', "/__proto__"],
  ])("refuses two members with the same name in %s and names their place", (text, place) => {
    expect(refusalOf(text)).toMatchObject({
      status: 400,
      code: "not-storable",
      detail: `At ${place}: an object has two members with this name. Send each name once.`,
    });
  });

  test.each([
    ['["\\ud800"]', "/0"],
    ['{"a":["ok","\\udc00\\ud800"]}', "/a/1"],
  ])("refuses half of a surrogate pair in %s and names its place", (text, place) => {
    expect(refusalOf(text)).toMatchObject({ status: 400, detail: expect.stringContaining(`At ${place}: `) });
  });

  const nested = (levels: number) =>
    `${'{"a":['.repeat(levels / 2)}${"[".repeat(levels % 2)}${"]".repeat(levels % 2)}${"]}".repeat(levels / 2)}`;
  test("accepts 9,998 nested levels", () => {
    expect(parseJson(nested(9_998))).toHaveProperty("a");
  });

  test.each(["[]", "{}"])("accepts any number of %s side by side", (value) => {
    expect(parseJson(`[${`${value},`.repeat(9_999)}1]`)).toHaveLength(10_000);
  });

  test("refuses 9,999 nested levels", () => {
    const { status, detail } = refusalOf(nested(9_999));
    expect(status).toBe(400);
    expect(detail).toMatch(/^At \/a\/0\/a\/0.*…: more than 9998 nested levels\. Send a flatter document\.$/);
  });

  const numbered = (levels: number) => `${'{"0":'.repeat(levels)}1${"}".repeat(levels)}`;
  test("refuses nested objects that JSON.stringify could not write", () => {
    const { status, code, detail } = refusalOf(numbered(9_000));
    expect({ status, code, detail }).toEqual({
      status: 400,
      code: "not-storable",
      detail: "At the top of the document: too many nested objects whose names are numbers. Send a flatter document.",
    });
  });

  test("accepts a few of them, which JSON.stringify can write", () => {
    expect(() => JSON.stringify(JSON.parse(numbered(9_000)))).toThrow(RangeError);
    expect(JSON.stringify(parseJson(numbered(500)))).toBe(numbered(500));
  });

  test("refuses invalid JSON with the parser's message", () => {
    expect(refusalOf('{"a":}')).toMatchObject({
      status: 400,
      code: "bad-request",
      message: "The body is not valid JSON",
      detail: `Unexpected token '}', "{"a":}" is not valid JSON.`,
    });
  });

  test.each([
    "1E400",
    "[1e400,1]",
    "1e-400",
    "0.1e-330",
    "1234567890123456.7",
    "12345678901234567",
    "123456789012345678e2",
    "1.00000000000000001",
  ])("refuses the number %s, which a double cannot hold", (text) => {
    expect(refusalOf(text)).toMatchObject({
      code: "not-storable",
      message: "The body has a value that cannot be stored exactly",
    });
  });

  test.each([
    "123456789012345",
    "1234567890123456",
    "0.000001",
    "1e5",
    "1E5",
    "100e-2",
    "0.0e0",
    "1000000000000000000000",
    "10203040506070800000",
    "[1,22,333]",
    "[1234567890123456,1]",
  ])("accepts the number %s", (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ['["a",{"b":1},"\\udfff"]', "/2"],
    ['{"\\ud800":1}', "the top of the document"],
    ['[{"a":1,"\\ud800":1}]', "/0"],
    ['"\\uD83D"', "the top of the document"],
  ])("names what is wrong with half of a surrogate pair in %s", (text, place) => {
    expect(refusalOf(text).detail).toBe(`At ${place}: a string contains half of a surrogate pair. Send valid Unicode.`);
  });

  test.each([
    ['[1,{"a":1,"b":{"a":2,"c":3},"c":[{"a":1},{"a":1}]}]', undefined],
    ['{"a":["a","a"],"b":"a"}', undefined],
    ['{"a":{"b":1},"b":1}', undefined],
    ['[{"a":1},{"a":1}]', undefined],
    ['{"a":[1,"x",{}],"x":1,"a":2}', "/a"],
    ['{"a":{"a":1,"b":2,"a":3}}', "/a/a"],
    ['{"a":[],"b":{},"a":3}', "/a"],
    ['{"x" : 1 , "x" : 2}', "/x"],
    ['{"x":["s","s"],"a":1,"a":2}', "/a"],
    ['{"a":"b","b":"c","c":1,"a":2}', "/a"],
  ])("finds a repeated name of one object in %s at %s", (text, place) => {
    if (place === undefined) expect(parseJson(text)).toEqual(JSON.parse(text));
    else
      expect(refusalOf(text).detail).toBe(
        `At ${place}: an object has two members with this name. Send each name once.`,
      );
  });

  test("shortens a place of more than 100 characters", () => {
    const placeOf = (name: string) => /^At (.*): a double/.exec(refusalOf(`{"${name}":1e999}`).detail ?? "")?.[1];
    expect(placeOf("x".repeat(99))).toBe(`/${"x".repeat(99)}`);
    expect(placeOf("x".repeat(100))).toBe(`/${"x".repeat(99)}…`);
  });

  test("estimates the memory of a value from its text and its objects and arrays", () => {
    expect(parseMeasured("1")).toEqual({ value: 1, bytes: 3 });
    expect(parseMeasured('{"a":[null,"b"],"c":{}}').bytes).toBe(3 * 23 + 3 * 64);
  });
});
