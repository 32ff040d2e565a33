import { afterEach, describe, expect, test, vi } from "vitest";
import {
  ConfigError,
  commonVariables,
  configOrExit,
  readConfig,
  TOKEN_PATTERN,
} from "../../../services/runtime/config.ts";

const variables = {
  COUNT: { type: "integer", minimum: 1, maximum: 10, default: 5, description: "How many" },
  COLOR: { type: "string", enum: ["red", "blue"], default: "red", description: "Which color" },
  NAME: { type: "string", pattern: "^[a-z]*$", default: "x", description: "Its name" },
  TOKEN: { type: "string", pattern: TOKEN_PATTERN, default: "", writeOnly: true, description: "A secret" },
} as const;

afterEach(() => void vi.restoreAllMocks());

describe("readConfig", () => {
  test("returns the values, numbers for integers, in a frozen object", () => {
    const config = readConfig(variables, { COUNT: "10", COLOR: "blue", NAME: "ab", TOKEN: "t" });
    expect(config).toEqual({ COUNT: 10, COLOR: "blue", NAME: "ab", TOKEN: "t" });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("returns the defaults of variables that are missing or empty", () => {
    const defaults = { COUNT: 5, COLOR: "red", NAME: "x", TOKEN: "" };
    expect(readConfig(variables, {})).toEqual(defaults);
    expect(readConfig(variables, { COUNT: "", COLOR: "", NAME: "", TOKEN: "" })).toEqual(defaults);
  });

  test("lists every fault with the value, what is wrong, an example and the description", () => {
    const env = { COUNT: "11", COLOR: "green", NAME: "A", TOKEN: "the secret" };
    const shown = (error: unknown) => (error instanceof ConfigError ? `${error.name}: ${error.message}` : undefined);
    let message: string | undefined;
    try {
      readConfig(variables, env);
    } catch (error) {
      message = shown(error);
    }
    expect(message).toBe(
      "ConfigError: The configuration is not valid:\n" +
        '  COUNT="11" must be <= 10; example: COUNT=5. How many.\n' +
        '  COLOR="green" must be one of red, blue; example: COLOR=red. Which color.\n' +
        '  NAME="A" must match pattern "^[a-z]*$"; example: NAME=x. Its name.\n' +
        "  TOKEN=(hidden) must have only visible ASCII characters: no space, no line break; example: TOKEN=. A secret.",
    );
  });

  test("lists more than the eight faults that typebox reports for one value", () => {
    const names = Array.from({ length: 12 }, (_, index) => `COUNT_${index}`);
    const counts = Object.fromEntries(names.map((name) => [name, variables.COUNT]));
    const fault = (name: string) => `  ${name}="11" must be <= 10; example: ${name}=5. How many.`;
    expect(() => readConfig(counts, Object.fromEntries(names.map((name) => [name, "11"])))).toThrow(
      new ConfigError(["The configuration is not valid:", ...names.map(fault)].join("\n")),
    );
  });

  test.each(["x", "1x", "x1", "1.5", "-", " 1", "0"])("refuses the integer %j", (value) => {
    expect(() => readConfig(variables, { COUNT: value })).toThrow("COUNT=");
  });

  test("accepts a negative integer where the minimum allows it, and keeps digits as text in a string", () => {
    expect(readConfig({ N: { ...variables.COUNT, minimum: -20 } }, { N: "-12" })).toEqual({ N: -12 });
    expect(readConfig({ S: { type: "string", default: "", description: "" } }, { S: "12" })).toEqual({ S: "12" });
  });
});

describe("ALLOWED_HOSTS", () => {
  const read = (names: string) => readConfig(commonVariables, { ALLOWED_HOSTS: names }).ALLOWED_HOSTS;

  test.each(["localhost", "a-1.Example", "[::1]", "a.example,[::ffff:127.0.0.1],b"])("accepts %s", (names) => {
    expect(read(names)).toBe(names);
  });

  test.each(["localhost:8080", "a b", "a,", ",a", "::1", "[::1", "[g]", "[]"])("refuses %s", (names) => {
    expect(() => read(names)).toThrow(`ALLOWED_HOSTS="${names}" must match pattern`);
  });
});

describe("configOrExit", () => {
  test("returns what was read", () => {
    expect(configOrExit(() => 1)).toBe(1);
  });

  test("prints the message of a ConfigError and exits with 1", () => {
    const exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
    const print = vi.spyOn(console, "error").mockImplementation(() => {});
    configOrExit(() => {
      throw new ConfigError("wrong");
    });
    expect([exit.mock.calls, print.mock.calls]).toEqual([[[1]], [["wrong"]]]);
  });

  test("throws any other error", () => {
    const broken = () => {
      throw new Error("broken");
    };
    expect(() => configOrExit(broken)).toThrow("broken");
  });
});
