import { describe, expect, test } from "vitest";
import { sidecarOrigin } from "../../../services/dapr/config.ts";
import { ConfigError } from "../../../services/runtime/config.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";

describe("readStateApiConfig", () => {
  const defaults = {
    PORT: 8080,
    HOST: "127.0.0.1",
    METRICS_PORT: 0,
    ALLOWED_HOSTS: "",
    LOG_LEVEL: "info",
    SHUTDOWN_TIMEOUT_MS: 10_000,
    APP_API_TOKEN: "",
    ALLOWED_CALLERS: "welcome",
    DIRECT_CALLS: "loopback",
    WELCOME: "Hello from Super API on Container Apps",
    STATESTORE_NAME: "statestore",
    STATESTORE_TIMEOUT_MS: 1_900,
    STATESTORE_MAX_PENDING: 1_024,
    MAX_BODY_BYTES: 1_048_576,
    DAPR_HTTP_PORT: 3500,
    DAPR_HTTP_ENDPOINT: "",
    DAPR_API_TOKEN: "",
  };

  test("returns frozen defaults for an empty environment", () => {
    const config = readStateApiConfig({}, []);
    expect(config).toEqual(defaults);
    expect(sidecarOrigin(config)).toBe("http://127.0.0.1:3500");
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("reads the environment, treats empty as unset, and prefers the flag", () => {
    const env = { PORT: "9000", WELCOME: "", STATESTORE_NAME: "other", DAPR_HTTP_PORT: "3600" };
    expect(readStateApiConfig(env, [])).toMatchObject({ STATESTORE_NAME: "other" });
    const config = readStateApiConfig(env, ["--statestore", "flagged"]);
    expect(config).toEqual({ ...defaults, PORT: 9000, STATESTORE_NAME: "flagged", DAPR_HTTP_PORT: 3600 });
    expect(sidecarOrigin(config)).toBe("http://127.0.0.1:3600");
    const endpoint = readStateApiConfig({ DAPR_HTTP_ENDPOINT: "http://state-api-dapr:3500" }, []);
    expect(sidecarOrigin(endpoint)).toBe("http://state-api-dapr:3500");
  });

  test.each([
    { STATESTORE_NAME: "A", STATESTORE_TIMEOUT_MS: 50, STATESTORE_MAX_PENDING: 1 },
    { STATESTORE_NAME: "0.b_C-9", STATESTORE_TIMEOUT_MS: 60_000, STATESTORE_MAX_PENDING: 100_000 },
  ])("accepts the limits %j", (values) => {
    const env = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, `${value}`]));
    expect(readStateApiConfig(env, [])).toEqual({ ...defaults, ...values });
  });

  const name =
    'must match pattern "^[A-Za-z0-9][A-Za-z0-9._-]*$"; example: STATESTORE_NAME=statestore. ' +
    "Name of the Dapr state store component; the flag --statestore overrides it.";
  const timeout =
    "example: STATESTORE_TIMEOUT_MS=1900. " +
    "Maximum time a request waits for the store; keep it above the sidecar's own timeout.";
  const pending =
    "example: STATESTORE_MAX_PENDING=1024. Maximum number of requests that wait for the store; further ones get 503.";
  test.each([
    ["STATESTORE_NAME", "../x", name],
    ["STATESTORE_TIMEOUT_MS", "49", `must be >= 50; ${timeout}`],
    ["STATESTORE_TIMEOUT_MS", "60001", `must be <= 60000; ${timeout}`],
    ["STATESTORE_MAX_PENDING", "0", `must be >= 1; ${pending}`],
    ["STATESTORE_MAX_PENDING", "100001", `must be <= 100000; ${pending}`],
    ["STATESTORE_MAX_PENDING", "many", `must be integer; ${pending}`],
  ])("refuses %s=%s with the fault, an example and the description", (variable, value, fault) => {
    const message = `The configuration is not valid:\n  ${variable}="${value}" ${fault}`;
    expect(() => readStateApiConfig({ [variable]: value }, [])).toThrow(new ConfigError(message));
  });

  test("lists every fault in one message, with the value, the fault and an example", () => {
    const env = { PORT: "80a", LOG_LEVEL: "loud", STATESTORE_TIMEOUT_MS: "5", STATESTORE_NAME: "../x" };
    const read = () => readStateApiConfig(env, []);
    expect(read).toThrow('PORT="80a" must be integer; example: PORT=8080.');
    expect(read).toThrow('LOG_LEVEL="loud" must be one of trace, debug,');
    expect(read).toThrow('STATESTORE_TIMEOUT_MS="5" must be >= 50');
    expect(read).toThrow('STATESTORE_NAME="../x"');
  });

  test("refuses an address that other machines reach, unless callers need a token", () => {
    const read = (env: Record<string, string>) => readStateApiConfig({ HOST: "0.0.0.0", ...env }, []);
    expect(() => read({})).toThrow("Set APP_API_TOKEN to the token of the service's sidecar;");
    expect(read({ APP_API_TOKEN: "t" })).toMatchObject({ HOST: "0.0.0.0", APP_API_TOKEN: "t" });
  });

  test("rejects an unknown flag and names the supported one", () => {
    const read = () => readStateApiConfig({}, ["--store", "x"]);
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/^Unknown option '--store'.*\. The only flag is --statestore NAME\.$/);
  });
});
